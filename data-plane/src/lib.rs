//! Under construction.

pub mod metrics;
pub mod store;
