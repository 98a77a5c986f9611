//! The first 2 to 14 bytes of a client frame, checked before any payload is looked at.

use super::CONTROL_BYTES_MAX;
use super::error::DecodeError;

/// The longest header of a client frame: two bytes, a 64-bit length, a mask.
pub(super) const HEADER_BYTES_MAX: usize = 14;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;

/// The six opcodes of RFC 6455.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// Goes on with the message begun by an earlier frame.
    Continuation,
    /// Begins a text message.
    Text,
    /// Begins a binary message.
    Binary,
    /// Closes the socket.
    Close,
    /// Asks for a pong.
    Ping,
    /// Answers a ping.
    Pong,
}

/// A checked header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) fin: bool,
    pub(super) opcode: Opcode,
    pub(super) length: usize,
    pub(super) mask: [u8; 4],
}

/// What the frames so far allow the next one to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    /// A message has begun and not ended.
    pub(super) in_message: bool,
    /// Bytes the message may still grow by.
    pub(super) bytes_left: usize,
    /// Frames the message may still have.
    pub(super) fragments_left: u32,
}

// === impl Opcode ===

impl Opcode {
    /// The four bits on the wire.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }

    /// Whether this is a close, ping or pong.
    #[must_use]
    pub const fn is_control(self) -> bool {
        self.bits() & 0x8 != 0
    }

    const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }
}

// === impl Context ===

impl Context {
    /// The state in which a new message may begin; its first frame is always allowed.
    pub(super) const fn between_messages(message_bytes_max: usize) -> Self {
        Self { in_message: false, bytes_left: message_bytes_max, fragments_left: 1 }
    }
}

// === impl Header ===

impl Header {
    /// Reads a header and its size in bytes; `None` while bytes are missing.
    ///
    /// Each byte is judged as soon as it is there: a length over the bound is refused before the
    /// mask has arrived, and long before anything is allocated for it.
    pub(super) fn parse(
        bytes: &[u8],
        context: &Context,
    ) -> Result<Option<(Self, usize)>, DecodeError> {
        let [first, rest @ ..] = bytes else { return Ok(None) };
        let (fin, opcode) = parse_first(*first, context)?;
        let [second, rest @ ..] = rest else { return Ok(None) };
        let Some((length, rest)) = parse_length(*second, opcode, rest)? else { return Ok(None) };
        let length = match usize::try_from(length) {
            Ok(length) if opcode.is_control() || length <= context.bytes_left => length,
            _ => return Err(DecodeError::MessageTooBig),
        };
        let Some((mask, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let header = Self { fin, opcode, length, mask: *mask };
        Ok(Some((header, bytes.len() - rest.len())))
    }
}

fn parse_first(first: u8, context: &Context) -> Result<(bool, Opcode), DecodeError> {
    // permessage-deflate enters here: once it is negotiated, RSV1 is legal on a Text or Binary
    // frame, and the header carries it as `compressed` to the place that finishes the message.
    if first & RESERVED != 0 {
        return Err(DecodeError::ReservedBit);
    }
    let fin = first & FIN != 0;
    let opcode = Opcode::from_bits(first & OPCODE).ok_or(DecodeError::ReservedOpcode)?;
    match opcode {
        Opcode::Close | Opcode::Ping | Opcode::Pong if !fin => Err(DecodeError::ControlFragmented),
        Opcode::Close | Opcode::Ping | Opcode::Pong => Ok((fin, opcode)),
        Opcode::Continuation if !context.in_message => Err(DecodeError::ContinuationUnexpected),
        Opcode::Text | Opcode::Binary if context.in_message => {
            Err(DecodeError::ContinuationMissing)
        }
        Opcode::Continuation | Opcode::Text | Opcode::Binary if context.fragments_left == 0 => {
            Err(DecodeError::TooManyFragments)
        }
        Opcode::Continuation | Opcode::Text | Opcode::Binary => Ok((fin, opcode)),
    }
}

/// The length and what follows it; `None` while bytes are missing.
fn parse_length(
    second: u8,
    opcode: Opcode,
    rest: &[u8],
) -> Result<Option<(u64, &[u8])>, DecodeError> {
    if second & MASKED == 0 {
        return Err(DecodeError::Unmasked);
    }
    let short = second & !MASKED;
    if opcode.is_control() && usize::from(short) > CONTROL_BYTES_MAX {
        return Err(DecodeError::ControlTooLong);
    }
    let (length, least, rest) = match short {
        126 => match rest.split_first_chunk::<2>() {
            Some((bytes, rest)) => (u64::from(u16::from_be_bytes(*bytes)), 126, rest),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk::<8>() {
            Some((bytes, rest)) => (u64::from_be_bytes(*bytes), 0x1_0000, rest),
            None => return Ok(None),
        },
        short => (u64::from(short), 0, rest),
    };
    if length < least || length > u64::MAX >> 1 {
        return Err(DecodeError::LengthEncoding);
    }
    Ok(Some((length, rest)))
}
