//! One signal that everything stops by.

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use crate::tasks;

/// A handle on the process's wish to stop; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

// === impl Shutdown ===

impl Shutdown {
    /// A shutdown that only [`Shutdown::trigger`] sets off.
    pub fn new() -> Self {
        Self::default()
    }

    /// A shutdown that SIGTERM and SIGINT set off too.
    ///
    /// The handlers are installed before this returns, so a signal that comes
    /// early is not lost. Fails where the process may not install handlers.
    pub fn on_signals() -> std::io::Result<Self> {
        let shutdown = Self::new();
        let mut wait = signals()?;
        let token = shutdown.token.clone();
        drop(tasks::spawn("shutdown.signals", async move {
            // A second signal falls through to nothing: the first began an
            // orderly stop, which has its own deadline.
            let name = wait.recv().await;
            tracing::info!(signal = name, "stopping");
            token.cancel();
        }));
        Ok(shutdown)
    }

    /// Asks everything to stop; repeats are harmless.
    pub fn trigger(&self) {
        self.token.cancel();
    }

    /// Whether stopping has begun.
    pub fn is_triggered(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until stopping begins.
    pub fn wait(&self) -> WaitForCancellationFuture<'_> {
        self.token.cancelled()
    }

    /// Waits until stopping begins, without borrowing the handle.
    pub async fn wait_owned(self) {
        self.token.cancelled().await;
    }

    /// A shutdown that stops with this one, and can be stopped alone.
    pub fn child(&self) -> Self {
        Self { token: self.token.child_token() }
    }

    /// The token within, for APIs that take one.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
fn signals() -> std::io::Result<Signals> {
    use tokio::signal::unix::{SignalKind, signal};
    Ok(Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
    })
}

#[cfg(unix)]
impl Signals {
    async fn recv(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
fn signals() -> std::io::Result<Signals> {
    Ok(Signals)
}

#[cfg(not(unix))]
impl Signals {
    async fn recv(&mut self) -> &'static str {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "ctrl-c"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_stops_with_its_parent_but_not_the_other_way() {
        let parent = Shutdown::new();
        let (one, two) = (parent.child(), parent.child());
        one.trigger();
        assert!(one.is_triggered() && !parent.is_triggered());
        parent.trigger();
        two.wait_owned().await;
    }
}
