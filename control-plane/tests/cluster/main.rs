//! A whole control plane over loopback, with nodes that are only their
//! streams.

mod access;
mod audit;
mod documents;
mod floods;
mod metrics;
mod replicas;
mod restart;
mod roles;
mod rooms;
mod scaler;
mod tls;
mod users;
mod world;
