//! Laid by the router; its author fills it in.

use super::problem::Problem;

/// Refuses.
pub async fn handle() -> Problem {
    Problem::not_found("endpoint yet")
}
