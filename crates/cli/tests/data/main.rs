//! One machine without Redis: what was acknowledged outlives `kill -9`.

mod bidders;
mod dev;
mod exit;
mod process;
mod serve;
mod verify;
