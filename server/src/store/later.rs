//! Statements that are put off until the next whose answer is waited for.
//!
//! A statement to SQLite is handed to the connection's own thread and its answer is handed back: two switches of
//! threads, which cost more than the statement itself. What only writes, and may only fail as a whole transaction does,
//! needs no answer of its own. Several of those are sent as one text, in their order.
//!
//! A guard, a statement whose answer decides what comes next, can be among them in a transaction that presumes: what comes
//! next is what comes when it changed one row, and the statement after it undoes the transaction if it did not.

use std::fmt::Write as _;
use std::sync::Arc;

use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, AssertSqlSafe, Executor as _, SqliteConnection};

/// Statements that are put off at most: every mixture of them is a text of its own to be kept prepared.
const STATEMENTS_MAX: usize = 32;

/// What SQLite says when a guard did not change one row.
pub(super) const PRESUMED: &str = "presumed otherwise";

/// What a connection needs so that [`GUARD`] can fail: a text goes on unless a statement of it fails, and only a trigger
/// can make one fail.
pub(super) const GUARDS: &str = "create temp view guards (changed) as select 1; \
     create temp trigger guard instead of insert on guards when new.changed <> 1 \
     begin select raise(abort, 'presumed otherwise'); end";

/// Fails unless the write before it changed one row.
pub(super) const GUARD: &str = "insert into guards (changed) values (changes())";

/// A value of a statement that is put off.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Number(i64),
    Text(Arc<str>),
    Bytes(Arc<[u8]>),
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Number(flag.into())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(text.as_str().into())
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Statements put off, as one text with its values.
#[derive(Debug, Default)]
pub(super) struct Later {
    sql: String,
    statements: usize,
    values: Vec<Value>,
}

impl Later {
    /// Whether there is nothing to send.
    pub(super) fn is_empty(&self) -> bool {
        self.statements == 0
    }

    /// Whether they should be sent before there are more.
    pub(super) fn is_full(&self) -> bool {
        self.statements >= STATEMENTS_MAX
    }

    /// Adds a statement and gives where its values go: `$1` is the next of them.
    pub(super) fn push(&mut self, sql: &str) -> &mut Vec<Value> {
        let before = self.values.len();
        if !self.is_empty() {
            self.sql.push_str("; ");
        }
        append_numbered(&mut self.sql, sql, "$", before);
        self.statements += 1;
        &mut self.values
    }

    /// What is to be done, without the values.
    pub(super) fn text(&self) -> &str {
        &self.sql
    }

    /// The values, in the order of their numbers.
    pub(super) fn values(&self) -> &[Value] {
        &self.values
    }

    /// Sends them, and `last` after them.
    pub(super) async fn send(
        &self,
        connection: &mut SqliteConnection,
        last: &'static str,
    ) -> Result<(), sqlx::Error> {
        let mut sql = self.sql.clone();
        if !last.is_empty() {
            sql.push_str("; ");
            sql.push_str(last);
        }
        execute(connection, sql, &self.values).await
    }
}

/// Does a text of statements that this program is written with.
pub(super) async fn execute(
    connection: &mut SqliteConnection,
    sql: String,
    values: impl IntoIterator<Item = &Value>,
) -> Result<(), sqlx::Error> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        match value {
            Value::Null => arguments.add(None::<i64>),
            Value::Number(number) => arguments.add(*number),
            Value::Text(text) => arguments.add(Arc::clone(text)),
            Value::Bytes(bytes) => arguments.add(Arc::clone(bytes)),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    connection.execute(sqlx::query_with(AssertSqlSafe(sql), arguments)).await.map(drop)
}

/// Appends a statement with another name for its values, and their numbers counted from `before` on. A dollar sign is a
/// value's number everywhere in it.
pub(super) fn append_numbered(text: &mut String, sql: &str, name: &str, before: usize) {
    let mut parts = sql.split('$');
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = part.split_at(digits);
        let number: usize = number.parse().unwrap_or_default();
        write!(text, "{name}{}{rest}", number + before).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::append_numbered;

    #[test]
    fn values_are_counted_on() {
        let mut text = String::new();
        append_numbered(&mut text, "insert into a values ($1, $2, $1)", "$", 0);
        text.push_str("; ");
        append_numbered(&mut text, "update b set c = $2 where d = $10", "$", 2);
        assert_eq!(text, "insert into a values ($1, $2, $1); update b set c = $4 where d = $12");
    }
}
