//! Whole transactions as single statements.
//!
//! The driver hands the result of every statement over by itself, each time waking whoever waits for the last. So the
//! statements of a transaction that is known whole become a *procedure*: SQLite keeps their text as a trigger on an empty
//! view of the connection's own, which has a column for each value, and a row inserted there does all of them. Several
//! rows are as many transactions. What fails undoes the whole insert, as any statement that fails undoes itself.
//!
//! ```text
//! create temp view procedure_1 (v1, v2) as select null, null
//! create temp trigger call_1 instead of insert on procedure_1
//!     begin insert into sales values (new.v1, new.v2); update stock set left = left - 1 where id = new.v2; end
//!
//! insert into procedure_1 values (?, ?), (?, ?)
//! ```

use std::collections::HashMap;

use deadpool::managed::ObjectId;
use sqlx::{AssertSqlSafe, Executor as _, SqliteConnection};

use super::later::{Later, append_numbered, execute};
use super::sqlite::Lent;

/// Procedures that a connection keeps. There are fewer kinds of transactions.
const PROCEDURES_MAX: usize = 256;

/// Calls that may be one statement. No other number: each is kept prepared.
pub(super) const TOGETHER: [usize; 3] = [16, 4, 1];

/// The procedures of a connection.
#[derive(Debug, Default)]
pub(super) struct Procedures {
    /// The connection, once it is known.
    of: Option<ObjectId>,
    /// The number of each, by its text; none where it could not be made.
    numbers: HashMap<String, Option<usize>>,
}

impl Procedures {
    /// Forgets those of another connection than this, in whose place it came: they went with it.
    pub(super) fn keep_those_of(&mut self, connection: &Lent) {
        let this = Some(Lent::id(connection));
        if self.of != this {
            *self = Self { of: this, numbers: HashMap::new() };
        }
    }

    /// Whether there is one for these statements, or can be none.
    pub(super) fn knows(&self, statements: &Later) -> bool {
        let (full, without_values) = (self.numbers.len() >= PROCEDURES_MAX, statements.values().is_empty());
        full || without_values || self.numbers.contains_key(statements.text())
    }

    /// Makes one. The connection must be in no transaction, which could be undone.
    pub(super) async fn make(
        &mut self,
        connection: &mut SqliteConnection,
        statements: &Later,
    ) -> Result<(), sqlx::Error> {
        let number = self.numbers.len();
        let names: Vec<String> = (1..=statements.values().len()).map(|value| format!("v{value}")).collect();
        let mut body = String::new();
        append_numbered(&mut body, statements.text(), "new.v", 0);
        let sql = format!(
            "create temp view procedure_{number} ({}) as select {}; \
             create temp trigger call_{number} instead of insert on procedure_{number} begin {body}; end",
            names.join(", "),
            vec!["null"; names.len()].join(", "),
        );
        let made = sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await;
        self.numbers.insert(statements.text().to_owned(), made.is_ok().then_some(number));
        made.map(drop)
    }

    /// Does transactions of the same statements, and `last` after them.
    pub(super) async fn call(
        &self,
        connection: &mut SqliteConnection,
        alike: &[&Later],
        last: &'static str,
    ) -> Result<(), sqlx::Error> {
        let Some(number) = alike.first().and_then(|first| self.numbers.get(first.text()).copied().flatten())
        else {
            for statements in alike {
                statements.send(connection, "").await?;
            }
            return connection.execute(last).await.map(drop);
        };
        let mut sql = format!("insert into procedure_{number} values ");
        // Values without a name: SQLite looks for a name among those of all others.
        let row = |statements: &&Later| format!("({})", vec!["?"; statements.values().len()].join(", "));
        sql.push_str(&alike.iter().map(row).collect::<Vec<_>>().join(", "));
        sql.push_str("; ");
        sql.push_str(last);
        execute(connection, sql, alike.iter().flat_map(|statements| statements.values())).await
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection as _, SqliteConnection};

    use super::super::later::{GUARD, GUARDS, Later};
    use super::Procedures;

    async fn connection() -> SqliteConnection {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.expect("a database");
        let tables = "create table stock (id bigint primary key, pieces bigint); create table sales (name text, id bigint); \
                      insert into stock values (1, 2), (2, 0)";
        for sql in [GUARDS, tables] {
            sqlx::raw_sql(sql).execute(&mut connection).await.expect("it is made");
        }
        connection
    }

    /// A sale, guarded by what is in stock.
    fn sale(name: &str, of: i64) -> Later {
        let mut sale = Later::default();
        sale.push("update stock set pieces = pieces - $2 where id = $1 and pieces >= $2")
            .extend([of.into(), 1.into()]);
        sale.push(GUARD);
        sale.push("insert into sales (name, id) values ($1, $2)").extend([name.into(), of.into()]);
        sale
    }

    async fn sold(connection: &mut SqliteConnection) -> Vec<String> {
        sqlx::query_scalar("select name from sales order by name").fetch_all(connection).await.expect("rows")
    }

    #[tokio::test]
    async fn rows_are_transactions_of_one_statement() {
        let (mut connection, mut procedures) = (connection().await, Procedures::default());
        assert!(!procedures.knows(&sale("ana", 1)));
        procedures.make(&mut connection, &sale("ana", 1)).await.expect("it is made");
        assert!(procedures.knows(&sale("ben", 2)));
        let (ana, ben) = (sale("ana", 1), sale("ben's", 1));
        procedures.call(&mut connection, &[&ana, &ben], "select 1").await.expect("there are two");
        assert_eq!(sold(&mut connection).await, ["ana", "ben's"]);
    }

    #[tokio::test]
    async fn a_row_that_fails_undoes_them_all() {
        let (mut connection, mut procedures) = (connection().await, Procedures::default());
        procedures.make(&mut connection, &sale("ana", 1)).await.expect("it is made");
        let sales = [sale("ana", 1), sale("ben", 2), sale("cleo", 1)];
        let failed =
            procedures.call(&mut connection, &sales.each_ref(), "select 1").await.expect_err("2 is sold out");
        assert!(failed.to_string().contains("presumed otherwise"), "{failed}");
        assert!(sold(&mut connection).await.is_empty());
        let (pieces,): (i64,) = sqlx::query_as("select pieces from stock where id = 1")
            .fetch_one(&mut connection)
            .await
            .expect("a row");
        assert_eq!(pieces, 2);
    }

    #[tokio::test]
    async fn what_cannot_be_a_trigger_is_done_all_the_same() {
        let (mut connection, mut procedures) = (connection().await, Procedures::default());
        let mut odd = Later::default();
        odd.push("with known as (select $1 as name) insert into sales (name) select name from known")
            .push("ana".into());
        procedures.make(&mut connection, &odd).await.expect_err("triggers have no such statements");
        assert!(procedures.knows(&odd), "it is not tried again");
        procedures.call(&mut connection, &[&odd, &odd], "select 1").await.expect("it is done");
        assert_eq!(sold(&mut connection).await, ["ana", "ana"]);
    }
}
