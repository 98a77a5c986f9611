//! What every engine must do. Each case runs against memory, a file and a real Redis.

mod bid_limit;
mod fixture;
mod heartbeats;
mod redb_restart;
mod redis_faults;
mod rooms;
mod server;

/// Runs each case against each engine, with a store of its own.
macro_rules! on_every_engine {
    ($($case:ident)+) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(crate::store::open(None).unwrap()).await;
            })+
        }

        mod redb {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let directory = tempfile::tempdir().unwrap();
                let store = crate::store::conformance::fixture::redb(directory.path());
                super::$case(store).await;
            })+
        }

        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let server = crate::store::conformance::server::Server::start().await;
                super::$case(server.store()).await;
            })+
        }
    };
}
use on_every_engine;
