//! The targets, by what they come near to.

pub(crate) mod address;
pub(crate) mod auction;
pub(crate) mod client;
pub(crate) mod documents;
mod draw;
pub(crate) mod frame;
pub(crate) mod replies;
pub(crate) mod session;
pub(crate) mod stored;
pub(crate) mod upgrade;
pub(crate) mod wire;

/// The first byte, which chooses, and the rest as text.
fn choice_and_text(bytes: &[u8]) -> Option<(u8, &str)> {
    let (choice, rest) = bytes.split_first()?;
    Some((*choice, str::from_utf8(rest).ok()?))
}
