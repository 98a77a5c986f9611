//! Bytes of a socket to messages and back: frames, the handshake, and the
//! JSON dialects. No I/O.

pub mod frame;
pub mod handshake;
pub mod json;
