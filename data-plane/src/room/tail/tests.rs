//! What is kept, and what a look at the stream tells.

use super::*;
use crate::store::{MemoryStore, RoomStore as _};
