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
//! thread of its own takes the lock for all that are there by then, writes them and commits them. So the lock is not held
//! by a request that waits for its share of the processors. Those that are the same statements with other values are one
//! statement, see [`super::procedure`]; should one of them fail, they are written again one by one.
//!
//! *Invariant:* the lock is fair, and the committer queues for it when the first turn is kept. So a batch is who was
//! waiting by then, nobody waits for a batch to fill, and an idle server commits at once.
//!
//! Any `await` below may be the last of a request that was given up. [`Stage`] therefore says at every moment what the
//! connection may hold, and the next turn starts from there.

use std::sync::{Arc, Weak};

use sqlx::{Executor as _, SqliteConnection};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Notify, OwnedMutexGuard, mpsc, oneshot};

use super::later::{Later, Value};
use super::procedure::{Procedures, TOGETHER};
use super::sqlite::{ACQUIRE_MAX, Connections, Lent};
use super::{Error, presumed_otherwise};

/// Keeps a turn and makes the savepoint of the next.
const NEXT: &str = "release turn; savepoint turn";

/// SQLite's result for a statement that cannot be done as things are.
const SQLITE_ERROR: &str = "1";
/// Whole transactions that wait to be written.
const QUEUE_MAX: usize = 1024;
/// Whole transactions in one commit: the first of them waits for the last.
const QUEUED_A_COMMIT_MAX: usize = 256;

/// Whether a transaction is durable.
type Outcome = Result<(), Lost>;

/// Why a transaction is not durable.
#[derive(Debug, Clone)]
enum Lost {
    /// It or its commit failed.
    Failed(Arc<sqlx::Error>),
    /// Another's turn failed so that SQLite undid all of them by itself, as it does where the disk is full.
    Undone,
}

impl From<sqlx::Error> for Lost {
    fn from(error: sqlx::Error) -> Self {
        // The statements of this file are right: such an error says that there is no transaction and no savepoint any more.
        let is_gone =
            error.as_database_error().is_some_and(|told| told.code().as_deref() == Some(SQLITE_ERROR));
        if is_gone { Self::Undone } else { Self::Failed(Arc::new(error)) }
    }
}

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
    connection: Option<Lent>,
    stage: Stage,
    /// The turns that wait to hear that they are durable.
    kept: Vec<oneshot::Sender<Outcome>>,
}

#[derive(Debug)]
struct Shared {
    connections: Connections,
    batch: Arc<Mutex<Batch>>,
    wake: Arc<Notify>,
    queue: mpsc::Sender<Whole>,
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
    /// A writer on this one connection.
    pub(super) fn new(connections: Connections) -> Self {
        let batch = Batch { connection: None, stage: Stage::Opening, kept: Vec::new() };
        let (batch, wake) = (Arc::new(Mutex::new(batch)), Arc::new(Notify::new()));
        let (queue, queued) = mpsc::channel(QUEUE_MAX);
        let (written, lent, runtime) = (Arc::clone(&batch), connections.clone(), Handle::current());
        std::thread::spawn(move || runtime.block_on(write_queue(&written, &lent, queued)));
        let shared = Arc::new(Shared { connections, batch, wake: Arc::clone(&wake), queue });
        tokio::spawn(commit_batches(Arc::downgrade(&shared), wake));
        Self(shared)
    }

    /// The writer's connection, for statements that are no turn.
    pub(super) async fn lend(&self) -> Result<Lent, sqlx::Error> {
        self.0.connections.lend().await
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
        self.0.connections.close().await;
    }
}

impl Turn {
    fn batch(&mut self) -> &mut Batch {
        self.batch.as_mut().expect("a turn has its batch until it ends")
    }

    /// Waits for the turn and begins it.
    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        let lock = Arc::clone(&self.shared.batch).lock_owned();
        let batch = tokio::time::timeout(ACQUIRE_MAX, lock).await;
        // From here on, whoever gives up wakes the committer.
        let batch = self.batch.insert(batch.map_err(|_| sqlx::Error::PoolTimedOut)?);
        batch.begin(&self.shared.connections).await
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
    pub(super) async fn later(&mut self, sql: &str) -> Result<&mut Vec<Value>, sqlx::Error> {
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
        Ok(Err(Lost::Failed(error))) if presumed_otherwise(&error) => Err(Error::Presumed),
        Ok(Err(Lost::Failed(error))) => Err(Error::Commit(error)),
        Ok(Err(Lost::Undone)) => Err(Error::Undone),
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
    async fn begin(&mut self, connections: &Connections) -> Result<(), sqlx::Error> {
        if self.connection.is_some() && self.stage != Stage::Opening {
            match self.next().await {
                Ok(()) => {
                    self.stage = Stage::Undecided;
                    return Ok(());
                }
                // The database has rolled everything back by itself: nobody's turn is durable.
                Err(error) => self.fail(error.into()).await,
            }
        }
        self.open(connections).await?;
        self.stage = Stage::Undecided;
        Ok(())
    }

    /// Makes a procedure, outside of any transaction. Without it the statements are done one after the other.
    async fn make(&mut self, connections: &Connections, procedures: &mut Procedures, statements: &Later) {
        self.finish().await;
        let made = match connections.lend().await {
            Ok(mut connection) => {
                procedures.keep_those_of(&connection);
                procedures.make(&mut connection, statements).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = made {
            tracing::warn!(%error, "a transaction is written without a procedure");
        }
    }

    /// Writes whole transactions that are alike. Each that fails is told so, and has changed nothing.
    async fn write(&mut self, connections: &Connections, procedures: &mut Procedures, wholes: Vec<Whole>) {
        if wholes.len() > 1 && self.call(connections, procedures, &wholes).await.is_ok() {
            self.kept.extend(wholes.into_iter().map(|whole| whole.told));
            return;
        }
        for whole in wholes {
            match self.call(connections, procedures, std::slice::from_ref(&whole)).await {
                Ok(()) => self.kept.push(whole.told),
                // Who has gone away in the meantime is not told.
                Err(error) => drop(whole.told.send(Err(Lost::Failed(Arc::new(error))))),
            }
        }
    }

    /// Does whole transactions as one turn. If it fails, it is undone by the next, or by the commit.
    async fn call(
        &mut self,
        connections: &Connections,
        procedures: &mut Procedures,
        alike: &[Whole],
    ) -> Result<(), sqlx::Error> {
        self.begin(connections).await?;
        if let Some(connection) = &self.connection {
            procedures.keep_those_of(connection);
        }
        let alike: Vec<&Later> = alike.iter().map(|whole| &whole.statements).collect();
        procedures.call(self.connection(), &alike, NEXT).await?;
        self.stage = Stage::Ready;
        Ok(())
    }

    /// Begins a transaction of the database with its first savepoint.
    async fn open(&mut self, connections: &Connections) -> Result<(), sqlx::Error> {
        if self.connection.is_none() {
            self.connection = Some(connections.lend().await?);
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
            Err(error) => self.fail(error.into()).await,
        }
    }

    /// Undoes everything and tells every turn.
    async fn fail(&mut self, lost: Lost) {
        for turn in self.kept.drain(..) {
            turn.send(Err(lost.clone())).ok();
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

/// Writes whole transactions: those that are there when the lock is had, then one commit. Ends with the writer.
async fn write_queue(batch: &Mutex<Batch>, connections: &Connections, mut queue: mpsc::Receiver<Whole>) {
    let mut procedures = Procedures::default();
    while let Some(first) = queue.recv().await {
        let mut batch = batch.lock().await;
        let mut waiting = vec![first];
        while waiting.len() < QUEUED_A_COMMIT_MAX
            && let Ok(whole) = queue.try_recv()
        {
            waiting.push(whole);
        }
        for whole in &waiting {
            if !procedures.knows(&whole.statements) {
                batch.make(connections, &mut procedures, &whole.statements).await;
            }
        }
        while !waiting.is_empty() {
            batch.write(connections, &mut procedures, alike(&mut waiting)).await;
        }
        batch.finish().await;
    }
}

/// Takes transactions that are like the first, as many as may be one statement.
fn alike(waiting: &mut Vec<Whole>) -> Vec<Whole> {
    let first = waiting.remove(0);
    let is_like = |whole: &Whole| whole.statements.text() == first.statements.text();
    let there = 1 + waiting.iter().filter(|whole| is_like(whole)).count();
    let count = TOGETHER.into_iter().find(|count| *count <= there).unwrap_or(1);
    let others: Vec<Whole> = waiting.extract_if(.., |whole| is_like(whole)).take(count - 1).collect();
    std::iter::once(first).chain(others).collect()
}
