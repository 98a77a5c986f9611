//! What every Gavel process needs below its own logic: clock, tasks, shutdown,
//! sockets, TLS, configuration, telemetry, Redis, a store on disk, retries, HTTP,
//! and gRPC defaults.
//!
//! This crate imports no other crate of the workspace, and it is the only one
//! that may read the clock, the environment, or start a bare task. Everything
//! above it takes those as arguments.

pub mod backoff;
pub mod breaker;
pub mod clock;
pub mod config;
pub mod disk;
pub mod grpc;
pub mod http;
pub mod memory;
pub mod net;
pub mod proxies;
pub mod redis;
pub mod shutdown;
pub mod tasks;
pub mod telemetry;
pub mod tls;
