//! What operators ask of a running control plane, over its gRPC.

mod audit;
mod explain;
mod flags;
mod limits;
mod metrics;
mod nodes;
mod rollout;
mod rooms;
mod target;
mod users;

pub(crate) use audit::Audit;
pub(crate) use flags::Flags;
pub(crate) use limits::Limits;
pub(crate) use metrics::Metrics;
pub(crate) use nodes::Nodes;
pub(crate) use rooms::{Rooms, ids as room_ids};
pub(crate) use target::{Target, present};
pub(crate) use users::Users;
