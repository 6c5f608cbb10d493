//! The HTTP interface of a real server: who may do what, and money under load.

mod authority;
mod money;
