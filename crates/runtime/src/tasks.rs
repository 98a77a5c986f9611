//! Starting tasks with a name, and stopping groups of them.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Starts `future` in the current span; a panic in it is logged with the
/// task's name, counted, and still reported by the handle.
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    #[expect(clippy::disallowed_methods, reason = "this is the named spawn that the ban points to")]
    tokio::spawn(watched(name, future))
}

/// How many tasks have panicked in this process.
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// Tasks that stop together.
#[derive(Debug, Clone, Default)]
pub struct Group {
    tracker: TaskTracker,
    stop: CancellationToken,
    kill: CancellationToken,
}

/// Tasks that did not stop within their grace, and were dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{tasks} tasks did not stop in time and were dropped")]
pub struct Overdue {
    /// How many there were.
    pub tasks: usize,
}

// === impl Group ===

impl Group {
    /// An empty group.
    pub fn new() -> Self {
        Self::default()
    }

    /// The token which tells the tasks of the group to stop.
    pub fn token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Starts a task in the group; it should watch [`Group::token`].
    pub fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let kill = self.kill.clone();
        let future = self.tracker.track_future(async move {
            if kill.run_until_cancelled_owned(future).await.is_none() {
                tracing::warn!(task = name, "dropped: it did not stop in time");
            }
        });
        spawn(name, future)
    }

    /// How many tasks are running.
    pub fn len(&self) -> usize {
        self.tracker.len()
    }

    /// Whether no task is running.
    pub fn is_empty(&self) -> bool {
        self.tracker.is_empty()
    }

    /// Tells all tasks to stop, waits for them, and drops those still running
    /// after `grace`.
    pub async fn shutdown(&self, grace: Duration) -> Result<(), Overdue> {
        self.stop.cancel();
        self.tracker.close();
        if tokio::time::timeout(grace, self.tracker.wait()).await.is_ok() {
            return Ok(());
        }
        let tasks = self.tracker.len();
        self.kill.cancel();
        self.tracker.wait().await;
        Err(Overdue { tasks })
    }
}

/// Adapters hold the future once; an `async fn` would keep the argument beside
/// what it is moved into, and double the size of every task.
fn watched<F: Future>(name: &'static str, future: F) -> impl Future<Output = F::Output> {
    AssertUnwindSafe(future.in_current_span())
        .catch_unwind()
        .map(move |result| result.unwrap_or_else(|panic| mourn(name, panic)))
}

fn mourn(name: &'static str, panic: Box<dyn Any + Send>) -> ! {
    PANICS.fetch_add(1, Ordering::Relaxed);
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    tracing::error!(task = name, panic = text, "task panicked");
    resume_unwind(panic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_counted_and_still_seen_by_the_handle() {
        let before = panics();
        let handle = spawn("test.panics", async { panic!("on purpose") });
        assert!(handle.await.unwrap_err().is_panic());
        assert!(panics() > before);
        assert_eq!(spawn("test.returns", async { 7 }).await.unwrap(), 7);
    }

    #[test]
    fn a_task_is_hardly_larger_than_its_future() {
        let content = [0_u8; 4096];
        let future = async move {
            std::future::pending::<()>().await;
            content
        };
        assert!(size_of_val(&watched("test.size", future)) < 4096 + 256);
    }

    #[tokio::test]
    async fn a_group_stops_its_tasks() {
        let group = Group::new();
        let token = group.token();
        drop(group.spawn("test.polite", async move { token.cancelled().await }));
        assert_eq!(group.len(), 1);
        assert_eq!(group.shutdown(Duration::from_secs(5)).await, Ok(()));
        assert!(group.is_empty());
    }

    #[tokio::test]
    async fn a_group_drops_what_does_not_stop() {
        let group = Group::new();
        drop(group.spawn("test.stubborn", std::future::pending()));
        let overdue = group.shutdown(Duration::from_millis(10)).await;
        assert_eq!(overdue, Err(Overdue { tasks: 1 }));
        assert!(group.is_empty());
    }
}
