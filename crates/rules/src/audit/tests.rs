//! Good histories are found good, and each corruption of one is found.

mod credit;
mod planted;
mod properties;
mod world;

use super::*;
use crate::auction::tests::{at, cents, id, user};
use alloc::{borrow::ToOwned, vec};
