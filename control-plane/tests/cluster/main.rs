//! A whole control plane over loopback, with nodes that are only their
//! streams.

mod access;
mod documents;
mod metrics;
mod replicas;
mod restart;
mod rooms;
mod world;
