//! The data plane: sockets and bids. A [`Node`] holds browser sockets, decides
//! the bids of the rooms it owns, and passes on those of rooms that other
//! nodes own.

pub mod address;
mod admission;
pub mod auth;
mod bid;
pub mod close;
pub mod codec;
mod conduct;
pub mod config;
mod contact;
mod control;
pub mod flags;
mod heartbeat;
mod http;
mod kept;
pub mod limit;
mod memory;
pub mod metrics;
mod node;
mod peers;
mod places;
mod room;
mod seats;
pub mod session;
pub mod settings;
mod shed;
mod socket;
pub mod store;
pub mod trials;

pub use config::Config;
pub use node::Node;

/// Runs a node until the process is asked to stop.
///
/// # Errors
/// If it cannot start.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let shutdown = gavel_runtime::shutdown::Shutdown::on_signals()?;
    let store = store::configured(&config.redis)?;
    wait_for(&*store, &shutdown).await;
    if shutdown.is_triggered() {
        return Ok(());
    }
    let node = Node::start(config, store).await?;
    shutdown.wait().await;
    node.leave().await;
    node.stop().await;
    Ok(())
}

/// Waits until the store answers, and says so while it does not.
async fn wait_for(store: &dyn store::RoomStore, shutdown: &gavel_runtime::shutdown::Shutdown) {
    let mut backoff = gavel_runtime::backoff::Backoff::standard();
    while let Err(error) = store.now().await {
        let delay = backoff.next_delay();
        tracing::warn!(%error, retry_ms = delay.as_millis(), "redis.url: no answer; trying again");
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = shutdown.wait() => return,
        }
    }
}
