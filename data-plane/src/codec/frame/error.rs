//! What a client can do wrong on the wire, and the close code that answers it.

use thiserror::Error;

/// A violation of RFC 6455 or of our bounds; the socket has to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// A client frame without a mask.
    #[error("frame is not masked")]
    Unmasked,
    /// A reserved bit without the extension that gives it a meaning.
    #[error("reserved bit is set")]
    ReservedBit,
    /// An opcode RFC 6455 does not define.
    #[error("opcode is reserved")]
    ReservedOpcode,
    /// A control frame that is not final.
    #[error("control frame is fragmented")]
    ControlFragmented,
    /// A control frame of more than 125 bytes.
    #[error("control frame is longer than 125 bytes")]
    ControlTooLong,
    /// A continuation of nothing.
    #[error("continuation frame outside of a message")]
    ContinuationUnexpected,
    /// A new message inside an unfinished one.
    #[error("new message before the last one ended")]
    ContinuationMissing,
    /// A length in more bytes than it needs, or with the highest of its 64 bits set.
    #[error("frame length is not encoded minimally")]
    LengthEncoding,
    /// A close payload of one byte.
    #[error("close payload has one byte")]
    ClosePayload,
    /// A close code that must not travel.
    #[error("close code is not allowed")]
    CloseCode,
    /// Text that is not UTF-8, reported at the first byte that proves it.
    #[error("text is not valid UTF-8")]
    InvalidUtf8,
    /// A message over the bound, reported from the header of the frame that crosses it.
    #[error("message is too big")]
    MessageTooBig,
    /// A message in more frames than allowed.
    #[error("message has too many fragments")]
    TooManyFragments,
}

impl DecodeError {
    /// The close code to send: 1002, 1007 or 1009.
    #[must_use]
    pub const fn close_code(self) -> u16 {
        match self {
            Self::Unmasked
            | Self::ReservedBit
            | Self::ReservedOpcode
            | Self::ControlFragmented
            | Self::ControlTooLong
            | Self::ContinuationUnexpected
            | Self::ContinuationMissing
            | Self::LengthEncoding
            | Self::ClosePayload
            | Self::CloseCode => 1002,
            Self::InvalidUtf8 => 1007,
            Self::MessageTooBig | Self::TooManyFragments => 1009,
        }
    }
}
