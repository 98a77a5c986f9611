//! The thread that writes: one transaction for all that waits, and a new beginning after a
//! failure.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ::redb::{Database, WriteTransaction};
use tokio::sync::{mpsc, oneshot};

use super::{BYTES_RESERVED, DiskError, Fault, OpenError, Shared};
use crate::backoff::Backoff;

/// Work that one transaction takes up; the rest goes into the next.
const BATCH_MAX: usize = 256;

/// Something to write, and somebody to tell.
pub(super) trait Job: Send {
    /// Does the work, from the start each time.
    fn run(&mut self, transaction: &WriteTransaction) -> Result<(), Fault>;

    /// Tells the outcome, which is that of the last run unless the transaction failed.
    fn answer(self: Box<Self>, outcome: Result<(), DiskError>);
}

/// Work as somebody asked for it.
pub(super) struct Asked<T, F> {
    work: F,
    result: Option<T>,
    answer: oneshot::Sender<Result<T, DiskError>>,
}

/// The writer's side of a [`super::Disk`].
pub(super) struct Writer {
    shared: Arc<Shared>,
    jobs: mpsc::Receiver<Box<dyn Job>>,
    open: Box<dyn FnMut() -> Result<Database, OpenError> + Send>,
    free_bytes: Box<dyn Fn() -> Option<u64> + Send>,
    full: bool,
}

/// What a fault means to whoever asked.
pub(super) fn class(fault: &Fault) -> DiskError {
    if is_failure(fault) {
        return DiskError::Unavailable(fault.to_string());
    }
    if let Fault::Corrupted(why) = fault {
        return DiskError::Corrupt(why.clone());
    }
    DiskError::Corrupt(fault.to_string())
}

// === impl Asked ===

impl<T, F> Asked<T, F> {
    pub(super) fn new(work: F, answer: oneshot::Sender<Result<T, DiskError>>) -> Self {
        Self { work, result: None, answer }
    }
}

impl<T, F> Job for Asked<T, F>
where
    T: Send,
    F: FnMut(&WriteTransaction) -> Result<T, Fault> + Send,
{
    fn run(&mut self, transaction: &WriteTransaction) -> Result<(), Fault> {
        self.result = Some((self.work)(transaction)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), DiskError>) {
        let Self { result, answer, .. } = *self;
        let unrun = || DiskError::Unavailable("it was not begun".to_owned());
        // Whoever asked may have given up.
        drop(answer.send(outcome.and_then(|()| result.ok_or_else(unrun))));
    }
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        jobs: mpsc::Receiver<Box<dyn Job>>,
        open: impl FnMut() -> Result<Database, OpenError> + Send + 'static,
        free_bytes: impl Fn() -> Option<u64> + Send + 'static,
    ) -> Self {
        let (open, free_bytes) = (Box::new(open), Box::new(free_bytes));
        Self { shared, jobs, open, free_bytes, full: false }
    }

    /// Writes until nobody is left to ask.
    pub(super) fn run(mut self) {
        while let Some(first) = self.jobs.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH_MAX
                && let Ok(next) = self.jobs.try_recv()
            {
                batch.push(next);
            }
            if self.is_full() {
                refuse(batch, &DiskError::Unavailable("the disk is full".to_owned()));
                continue;
            }
            // A panic drops the jobs, whose askers then know that they know nothing.
            let committed = catch_unwind(AssertUnwindSafe(|| self.commit(batch)));
            match committed {
                Ok(Ok(())) => {}
                Ok(Err(failure)) => self.begin_anew(&failure),
                Err(_) => self.begin_anew("the writer panicked"),
            }
        }
        self.shared.set(None);
    }

    /// Whether too little space is left to write, which is told when it changes.
    fn is_full(&mut self) -> bool {
        let free_bytes = (self.free_bytes)();
        let full = free_bytes.is_some_and(|free| free < BYTES_RESERVED);
        if full != self.full {
            self.full = full;
            if full {
                tracing::error!(free_bytes, "store.full: nothing is written until there is space");
            } else {
                tracing::info!(free_bytes, "store.full: there is space again");
            }
        }
        full
    }

    /// Writes all of a batch, or tells what failed. Work at fault itself is left out.
    fn commit(&self, mut batch: Vec<Box<dyn Job>>) -> Result<(), String> {
        let Some(database) = self.shared.database() else { return Err("it is closed".to_owned()) };
        while !batch.is_empty() {
            let mut transaction = match database.begin_write() {
                Ok(transaction) => transaction,
                Err(error) => return Err(self.fail(batch, DiskError::Unavailable, &error.into())),
            };
            transaction.set_two_phase_commit(true);
            let outcomes = batch.iter_mut().map(|job| job.run(&transaction));
            let faulty = outcomes.enumerate().find_map(|(n, outcome)| Some((n, outcome.err()?)));
            let Some((index, fault)) = faulty else {
                return match transaction.commit() {
                    Ok(()) => {
                        batch.into_iter().for_each(|job| job.answer(Ok(())));
                        Ok(())
                    }
                    Err(error) => Err(self.fail(batch, DiskError::Unknown, &error.into())),
                };
            };
            if let Err(error) = transaction.abort() {
                return Err(self.fail(batch, DiskError::Unavailable, &error.into()));
            }
            if is_failure(&fault) {
                return Err(self.fail(batch, DiskError::Unavailable, &fault));
            }
            batch.remove(index).answer(Err(class(&fault)));
        }
        Ok(())
    }

    /// Answers that nothing is certain any more. The file is closed before, so that nobody who
    /// hears of it reads what is not certain either.
    fn fail(
        &self,
        batch: Vec<Box<dyn Job>>,
        class: impl Fn(String) -> DiskError,
        fault: &Fault,
    ) -> String {
        self.shared.set(None);
        refuse(batch, &class(fault.to_string()));
        fault.to_string()
    }

    /// Opens the file anew, as often as it takes; whoever asks meanwhile is refused.
    fn begin_anew(&mut self, failure: &str) {
        tracing::error!(%failure, "store.failing: nothing is written until the file opens again");
        self.shared.set(None);
        let mut backoff = reopen_backoff();
        loop {
            loop {
                match self.jobs.try_recv() {
                    Ok(job) => job.answer(Err(super::reopening())),
                    Err(mpsc::error::TryRecvError::Empty) => break,
                    Err(mpsc::error::TryRecvError::Disconnected) => return,
                }
            }
            thread::sleep(backoff.next_delay());
            match (self.open)() {
                Ok(database) => {
                    self.shared.set(Some(database));
                    return tracing::info!("store.failing: the file is open again");
                }
                Err(error) => tracing::warn!(%error, "store.failing: trying again"),
            }
        }
    }
}

/// Short at first, since every bid of every room waits for it.
fn reopen_backoff() -> Backoff {
    Backoff::try_new(Duration::from_millis(20), Duration::from_secs(1))
        .unwrap_or_else(|_| Backoff::standard())
}

fn refuse(batch: Vec<Box<dyn Job>>, error: &DiskError) {
    batch.into_iter().for_each(|job| job.answer(Err(error.clone())));
}

/// Whether the disk or the database failed, and not what was asked of it: the database then wants
/// to be opened anew.
fn is_failure(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::Io(_)
            | Fault::PreviousIo
            | Fault::Backend(_)
            | Fault::DatabaseClosed
            | Fault::LockPoisoned(_)
    )
}
