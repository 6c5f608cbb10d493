//! SQLite's one writer, whose commits are shared.
//!
//! Making a commit durable costs a wait for the disk, whatever it holds. So transactions that wait for the writer become
//! turns of one transaction of the database: each has a savepoint of its own, and one `commit` makes all of them durable.
//! A turn is told that it is committed only then; one that is dropped is rolled back to its savepoint and takes nothing
//! of the others with it.
//!
//! ```text
//! begin immediate; savepoint turn  …first turn's statements…   kept
//! release turn; savepoint turn     …second turn's statements…  dropped
//! rollback to turn                 …third turn's statements…   kept
//! commit                           first and third are told
//! ```
//!
//! A transaction that presumes, and that read nothing, is known whole before it needs its turn. It is put into a queue; a
//! thread of its own takes the lock for all that are there by then, writes one after the other and commits them. So the
//! lock is not held by a request that waits for its share of the processors.
//!
//! *Invariant:* the lock is fair, and the committer queues for it when the first turn is kept. So a batch is who was
//! waiting by then, nobody waits for a batch to fill, and an idle server commits at once.
//!
//! Any `await` below may be the last of a request that was given up. [`Stage`] therefore says at every moment what the
//! connection may hold, and the next turn starts from there.

use std::sync::{Arc, Weak};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Executor as _, Sqlite, SqliteConnection, SqlitePool};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Notify, OwnedMutexGuard, mpsc, oneshot};

use super::later::Later;
use super::{Error, presumed_otherwise};

/// Keeps a turn and makes the savepoint of the next.
const NEXT: &str = "release turn; savepoint turn";

/// Whole transactions that wait to be written.
const QUEUE_MAX: usize = 1024;
/// Whole transactions in one commit: the first of them waits for the last.
const QUEUED_A_COMMIT_MAX: usize = 256;

/// Whether a transaction is durable.
type Outcome = Result<(), Arc<sqlx::Error>>;

/// A transaction of which everything is known.
#[derive(Debug)]
struct Whole {
    statements: Later,
    told: oneshot::Sender<Outcome>,
}

/// What the connection holds beside the turns that were kept before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No transaction, or one in which nothing is kept.
    Opening,
    /// A savepoint whose statements are undone unless its turn ends well: also that of the turn under way.
    Undecided,
    /// A savepoint whose statements stay.
    Kept,
    /// Statements that stay, and perhaps a new savepoint that holds nothing.
    Moving,
    /// The next turn's savepoint, which holds nothing.
    Ready,
}

#[derive(Debug)]
struct Batch {
    /// There is one while a transaction may be open.
    connection: Option<PoolConnection<Sqlite>>,
    stage: Stage,
    /// The turns that wait to hear that they are durable.
    kept: Vec<oneshot::Sender<Outcome>>,
}

#[derive(Debug)]
struct Shared {
    pool: SqlitePool,
    batch: Arc<Mutex<Batch>>,
    wake: Arc<Notify>,
    queue: mpsc::Sender<Whole>,
    acquire: Duration,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The committer finds that there is nothing left to commit for, and ends.
        self.wake.notify_one();
    }
}

/// The one writer of a SQLite file; cloning shares it.
#[derive(Debug, Clone)]
pub struct Writer(Arc<Shared>);

/// A transaction of the writer. Dropped, it has changed nothing.
#[derive(Debug)]
pub struct Turn {
    /// None before the turn is needed, and after it has ended.
    batch: Option<OwnedMutexGuard<Batch>>,
    later: Later,
    /// What was put off failed or was given up half-way: nothing of this turn may stay.
    broken: bool,
    /// Whether guards are put off too.
    presumes: bool,
    shared: Arc<Shared>,
}

impl Writer {
    /// A writer on this pool of one connection. Waiting longer than `acquire` for a turn is a failure.
    pub(super) fn new(pool: SqlitePool, acquire: Duration) -> Self {
        let batch = Batch { connection: None, stage: Stage::Opening, kept: Vec::new() };
        let (batch, wake) = (Arc::new(Mutex::new(batch)), Arc::new(Notify::new()));
        let (queue, queued) = mpsc::channel(QUEUE_MAX);
        let (written, pool_of_queue, runtime) = (Arc::clone(&batch), pool.clone(), Handle::current());
        std::thread::spawn(move || runtime.block_on(write_queue(written, pool_of_queue, queued)));
        let shared = Arc::new(Shared { pool, batch, wake: Arc::clone(&wake), queue, acquire });
        tokio::spawn(commit_batches(Arc::downgrade(&shared), wake));
        Self(shared)
    }

    /// The pool that the writer's connection comes from, for statements that are no turn.
    pub(super) fn pool(&self) -> &SqlitePool {
        &self.0.pool
    }

    /// A transaction. One that presumes waits for its turn when it needs it, any other at once.
    pub(super) async fn turn(&self, presumes: bool) -> Result<Turn, Error> {
        let (later, shared) = (Later::default(), Arc::clone(&self.0));
        let mut turn = Turn { batch: None, later, broken: false, presumes, shared };
        if !presumes {
            turn.begin().await?;
        }
        Ok(turn)
    }

    /// Commits what is kept and closes the connection.
    pub(super) async fn close(&self) {
        self.0.batch.lock().await.finish().await;
        self.0.pool.close().await;
    }
}

impl Turn {
    fn batch(&mut self) -> &mut Batch {
        self.batch.as_mut().expect("a turn has its batch until it ends")
    }

    /// Waits for the turn and begins it.
    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        let lock = Arc::clone(&self.shared.batch).lock_owned();
        let batch = tokio::time::timeout(self.shared.acquire, lock).await;
        // From here on, whoever gives up wakes the committer.
        let batch = self.batch.insert(batch.map_err(|_| sqlx::Error::PoolTimedOut)?);
        batch.begin(&self.shared.pool).await
    }

    /// The connection, once it has done everything that was put off.
    pub(super) async fn settled(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        if self.batch.is_none() {
            self.begin().await?;
        }
        if !self.later.is_empty() || self.broken {
            self.send("").await?;
        }
        Ok(self.batch().connection())
    }

    /// Puts a statement off, and gives where its values go.
    pub(super) async fn later(&mut self, sql: &str) -> Result<&mut SqliteArguments, sqlx::Error> {
        if self.later.is_full() {
            self.settled().await?;
        }
        Ok(self.later.push(sql))
    }

    /// Whether guards are presumed to hold.
    pub(super) fn presumes(&self) -> bool {
        self.presumes
    }

    /// Sends what was put off, and `last` after it.
    async fn send(&mut self, last: &'static str) -> Result<(), sqlx::Error> {
        if std::mem::replace(&mut self.broken, true) {
            return Err(sqlx::Error::Protocol("a statement of this transaction failed".to_owned()));
        }
        let later = std::mem::take(&mut self.later);
        later.send(self.batch().connection(), last).await?;
        self.broken = false;
        Ok(())
    }

    /// Keeps what was written and waits until it is durable.
    pub(super) async fn commit(mut self) -> Result<(), Error> {
        if self.batch.is_none() {
            return self.queue().await;
        }
        let mut kept = Stage::Kept;
        if !self.later.is_empty() || self.broken {
            // The next turn's savepoint comes with it. Whoever gives up here does not hear whether this turn is kept: a
            // rollback to the savepoint then undoes all of it, or, of the next one, nothing.
            self.send(NEXT).await?;
            kept = Stage::Ready;
        }
        let (told, durable) = oneshot::channel();
        let mut batch = self.batch.take().expect("a turn has its batch until it ends");
        batch.kept.push(told);
        batch.stage = kept;
        drop(batch);
        self.shared.wake.notify_one();
        hear(durable).await
    }

    /// Has everything written as a whole, without a turn, and waits until it is durable. Whoever gives up here does not hear
    /// whether it is.
    async fn queue(mut self) -> Result<(), Error> {
        if self.later.is_empty() {
            return Ok(());
        }
        let (told, durable) = oneshot::channel();
        let whole = Whole { statements: std::mem::take(&mut self.later), told };
        self.shared.queue.send(whole).await.map_err(|_| sqlx::Error::WorkerCrashed)?;
        hear(durable).await
    }
}

async fn hear(durable: oneshot::Receiver<Outcome>) -> Result<(), Error> {
    match durable.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) if presumed_otherwise(&error) => Err(Error::Presumed),
        Ok(Err(error)) => Err(Error::Commit(error)),
        Err(_) => Err(sqlx::Error::WorkerCrashed.into()),
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.batch.take().is_some() {
            // Nobody may be waiting, and the database must not stay locked for other processes.
            self.shared.wake.notify_one();
        }
    }
}

impl Batch {
    fn connection(&mut self) -> &mut SqliteConnection {
        self.connection.as_mut().expect("a batch under way has a connection")
    }

    /// Begins a turn: after this its savepoint is the connection's.
    async fn begin(&mut self, pool: &SqlitePool) -> Result<(), sqlx::Error> {
        if self.connection.is_some() && self.stage != Stage::Opening {
            match self.next().await {
                Ok(()) => {
                    self.stage = Stage::Undecided;
                    return Ok(());
                }
                // The database has rolled everything back by itself (a full disk): nobody's turn is durable.
                Err(error) => self.fail(error).await,
            }
        }
        self.open(pool).await?;
        self.stage = Stage::Undecided;
        Ok(())
    }

    /// Writes a whole transaction. One that fails is undone by the next, or by the commit.
    async fn write(&mut self, pool: &SqlitePool, whole: Whole) {
        let Whole { statements, told } = whole;
        let written = match self.begin(pool).await {
            Ok(()) => statements.send(self.connection(), NEXT).await,
            Err(error) => Err(error),
        };
        match written {
            Ok(()) => {
                self.stage = Stage::Ready;
                self.kept.push(told);
            }
            // Who has gone away in the meantime is not told.
            Err(error) => drop(told.send(Err(Arc::new(error)))),
        }
    }

    /// Begins a transaction of the database with its first savepoint.
    async fn open(&mut self, pool: &SqlitePool) -> Result<(), sqlx::Error> {
        if self.connection.is_none() {
            self.connection = Some(pool.acquire().await?);
        } else {
            // A turn was given up while it began: whether the transaction is there is not known.
            self.run("rollback").await.ok();
        }
        self.stage = Stage::Opening;
        let begun = self.run("begin immediate; savepoint turn").await;
        if begun.is_err() {
            self.run("rollback").await.ok();
            self.connection = None;
        }
        begun
    }

    /// Leaves the savepoint before, with or without what it holds, and makes the next.
    async fn next(&mut self) -> Result<(), sqlx::Error> {
        match self.stage {
            Stage::Undecided => self.run("rollback to turn").await,
            Stage::Kept => {
                self.stage = Stage::Moving;
                self.run(NEXT).await
            }
            Stage::Ready => Ok(()),
            Stage::Opening | Stage::Moving => self.run("savepoint turn").await,
        }
    }

    /// Makes every turn that was kept durable, and tells them.
    async fn finish(&mut self) {
        if self.connection.is_none() {
            return;
        }
        let sql = match self.stage {
            _ if self.kept.is_empty() => "rollback",
            Stage::Undecided => "rollback to turn; commit",
            Stage::Opening | Stage::Kept | Stage::Moving | Stage::Ready => "commit",
        };
        match self.run(sql).await {
            Ok(()) => {
                for turn in self.kept.drain(..) {
                    // Who has gone away in the meantime is not told.
                    turn.send(Ok(())).ok();
                }
                self.connection = None;
                self.stage = Stage::Opening;
            }
            Err(error) => self.fail(error).await,
        }
    }

    /// Undoes everything and tells every turn.
    async fn fail(&mut self, error: sqlx::Error) {
        let error = Arc::new(error);
        for turn in self.kept.drain(..) {
            turn.send(Err(Arc::clone(&error))).ok();
        }
        self.stage = Stage::Opening;
        self.run("rollback").await.ok();
        self.connection = None;
    }

    async fn run(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        self.connection().execute(sqlx::query(sql)).await.map(drop)
    }
}

/// Commits a batch whenever a turn has ended and those who waited by then had theirs. Nothing interrupts it.
async fn commit_batches(shared: Weak<Shared>, wake: Arc<Notify>) {
    loop {
        wake.notified().await;
        let Some(batch) = shared.upgrade().map(|shared| Arc::clone(&shared.batch)) else { return };
        batch.lock().await.finish().await;
    }
}

/// Writes whole transactions: all that are there when the lock is had, then one commit. Ends with the writer.
async fn write_queue(batch: Arc<Mutex<Batch>>, pool: SqlitePool, mut queue: mpsc::Receiver<Whole>) {
    while let Some(first) = queue.recv().await {
        let mut batch = batch.lock().await;
        batch.write(&pool, first).await;
        for _ in 1..QUEUED_A_COMMIT_MAX {
            let Ok(whole) = queue.try_recv() else { break };
            batch.write(&pool, whole).await;
        }
        batch.finish().await;
    }
}
