//! What every engine must do. Each case runs against memory, a file, a real Redis, a primary
//! behind real sentinels and a real Redis cluster.

mod bid_limit;
mod fixture;
mod heartbeats;
mod places;
mod redb_restart;
mod redis_faults;
mod redis_replicas;
mod replay;
mod rooms;
mod server;
mod tickets;

/// Runs each case against each engine, with a store of its own. Where many servers work together,
/// the cases of a file share them and come one after the other, each to empty servers.
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

        mod redis_sentinel {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn every_case() {
                let servers = gavel_testkit::Sentinels::start().await;
                $(
                    eprintln!(stringify!($case));
                    servers.flush();
                    super::$case(crate::store::open(Some(&servers.url())).unwrap()).await;
                )+
            }
        }

        mod redis_cluster {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn every_case() {
                let cluster = gavel_testkit::RedisCluster::start().await;
                $(
                    eprintln!(stringify!($case));
                    cluster.flush();
                    super::$case(crate::store::open(Some(&cluster.url())).unwrap()).await;
                )+
            }
        }
    };
}
use on_every_engine;
