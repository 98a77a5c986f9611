//! The control plane: who serves what. Nodes register here; rooms are assigned
//! to them; limits, flags and denials go out to them; their metrics come together.

pub mod cluster;
pub mod config;
mod denials;
mod driver;
pub mod flags;
mod grpc;
mod http;
mod leader;
mod limits;
mod replica;
mod rollout;
mod rollup;
mod server;
pub mod store;

pub use config::Config;
pub use http::metrics_at_start;
pub use server::{ControlPlane, run};
