//! Rollouts of flags: they go on by themselves, and back where the guards find
//! that the treatment does worse.
//!
//! ```text
//! nodes --trials--> Rollup --Groups--> Watch::step --Rollout--> flags document --> nodes
//! ```
//!
//! A rollout is a part of the flags document, see [`gavel_flags::Rollout`].
//! Only the leader watches. What a leader has seen is not stored: the next one
//! begins to compare anew, and holds a step for as long as is still due.

mod guard;
mod task;
mod watch;

pub(crate) use self::{
    guard::{Group, Groups},
    task::{Step, run},
};
