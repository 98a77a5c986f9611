//! WebSocket frames (RFC 6455) as seen by a server: a pure machine, no I/O.
//!
//! ```text
//! bytes read --> Decoder::decode --> Incoming (a whole message or control frame)
//! payload    --> text / binary / ping / pong / close --> Bytes ready to be written
//! ```
//!
//! A frame that lies whole in the input is unmasked in place and handed out as a borrow of it.
//! Only what a read left incomplete is copied to the heap, and it is given back as soon as it has
//! been handed out: an idle [`Decoder`] owns no memory beyond its own few words.

mod encode;
mod error;
mod header;
mod mask;
mod partial;
#[cfg(test)]
mod tests;
mod utf8;

use self::header::{Context, Header};
use self::partial::{Filled, Partial};

pub use self::encode::{HeaderBytes, binary, close, header, ping, pong, put, text};
pub use self::error::DecodeError;
pub use self::header::Opcode;

/// Payload bytes a control frame can carry at most.
pub const CONTROL_BYTES_MAX: usize = 125;

/// Frames one message may be split into, unless [`Decoder::with_fragments_max`] says otherwise.
///
/// No browser fragments at all; without a bound, empty fragments would hold a message open forever.
pub const FRAGMENTS_MAX: u32 = 1024;

/// One thing a client said, borrowed from the input or from the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A whole text message.
    Text(&'a str),
    /// A whole binary message.
    Binary(&'a [u8]),
    /// A ping; its payload belongs in the pong.
    Ping(&'a [u8]),
    /// A pong with the payload of the ping it answers.
    Pong(&'a [u8]),
    /// The client closes; whatever it sends afterwards is discarded.
    Close {
        /// The code, if the frame had a payload.
        code: Option<u16>,
        /// The reason, possibly empty.
        reason: &'a str,
    },
}

/// Turns the bytes of one socket into messages; strict, and bounded in memory.
#[derive(Debug)]
pub struct Decoder {
    message_bytes_max: usize,
    fragments_max: u32,
    phase: Phase,
    partial: Option<Box<Partial>>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Open,
    Closed,
    Failed(DecodeError),
}

/// Where the next thing to hand out lies.
enum Found<'b> {
    Nothing,
    Whole(Opcode, &'b mut [u8]),
    Control(Opcode),
    Message,
}

// One of these lives in every socket for as long as the socket does.
const _: () = assert!(size_of::<Decoder>() <= 64);

// === impl Decoder ===

impl Decoder {
    /// A decoder that refuses messages of more than `message_bytes_max` bytes.
    #[must_use]
    pub fn new(message_bytes_max: usize) -> Self {
        Self { message_bytes_max, fragments_max: FRAGMENTS_MAX, phase: Phase::Open, partial: None }
    }

    /// The same decoder with another bound on the frames of one message.
    #[must_use]
    pub fn with_fragments_max(mut self, fragments_max: u32) -> Self {
        self.fragments_max = fragments_max;
        self
    }

    /// Takes the next message off the front of `input`; call it until it answers `None`.
    ///
    /// `None` means that all of `input` was consumed. Payloads are unmasked in place.
    ///
    /// # Errors
    ///
    /// The first violation of the protocol. From then on every call repeats it: close the socket
    /// with [`DecodeError::close_code`].
    pub fn decode<'a, 'b: 'a>(
        &'a mut self,
        input: &mut &'b mut [u8],
    ) -> Result<Option<Incoming<'a>>, DecodeError> {
        self.release();
        match self.phase {
            Phase::Open => {}
            Phase::Closed => {
                self.partial = None;
                *input = &mut [];
                return Ok(None);
            }
            Phase::Failed(error) => {
                self.partial = None;
                return Err(error);
            }
        }
        let found = match self.advance(input) {
            Ok(found) => found,
            Err(error) => {
                self.phase = Phase::Failed(error);
                self.partial = None;
                return Err(error);
            }
        };
        let incoming = match (found, self.partial.as_deref()) {
            (Found::Nothing, _) => return Ok(None),
            (Found::Whole(opcode, payload), _) => incoming(opcode, payload),
            (Found::Control(opcode), Some(partial)) => incoming(opcode, partial.control()),
            (Found::Message, Some(partial)) => Ok(partial.message()),
            (Found::Control(_) | Found::Message, None) => return Ok(None),
        };
        match incoming {
            Ok(Incoming::Close { .. }) => self.phase = Phase::Closed,
            Ok(_) => {}
            Err(error) => self.phase = Phase::Failed(error),
        }
        incoming.map(Some)
    }

    /// Whether nothing is half received, so the decoder holds no heap.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.partial.is_none()
    }

    /// Whether a message or frame has begun and not ended: the time for the message deadline to run.
    ///
    /// It differs from [`is_idle`](Self::is_idle) only between two calls of `decode`, while memory
    /// already handed out waits to be given back.
    #[must_use]
    pub fn is_mid_message(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| !partial.is_spent())
    }

    /// Gives back what the previous call handed out.
    fn release(&mut self) {
        if let Some(partial) = &mut self.partial {
            partial.release();
            if partial.is_spent() {
                self.partial = None;
            }
        }
    }

    fn advance<'b>(&mut self, input: &mut &'b mut [u8]) -> Result<Found<'b>, DecodeError> {
        loop {
            if !self.partial.as_ref().is_some_and(|partial| partial.in_frame()) {
                let Some(header) = self.take_header(input)? else { return Ok(Found::Nothing) };
                if let Some(payload) = self.take_whole(&header, input) {
                    return Ok(Found::Whole(header.opcode, payload));
                }
                self.partial.get_or_insert_default().begin(&header);
            }
            let partial = self.partial.get_or_insert_default();
            match partial.fill(input, self.message_bytes_max)? {
                Filled::Starved => return Ok(Found::Nothing),
                Filled::Fragment => {}
                Filled::Control(opcode) => return Ok(Found::Control(opcode)),
                Filled::Message => return Ok(Found::Message),
            }
        }
    }

    /// The next frame header, across reads if need be.
    fn take_header(&mut self, input: &mut &mut [u8]) -> Result<Option<Header>, DecodeError> {
        let context = match &self.partial {
            Some(partial) => partial.context(self.message_bytes_max, self.fragments_max),
            None => Context::between_messages(self.message_bytes_max),
        };
        if let Some(partial) = &mut self.partial
            && partial.in_header()
        {
            return partial.resume_header(input, &context);
        }
        if let Some((header, length)) = Header::parse(input, &context)? {
            take(input, length);
            return Ok(Some(header));
        }
        if !input.is_empty() {
            return self.partial.get_or_insert_default().resume_header(input, &context);
        }
        Ok(None)
    }

    /// The payload in place, if the frame is a message of its own and has arrived entirely.
    fn take_whole<'b>(&self, header: &Header, input: &mut &'b mut [u8]) -> Option<&'b mut [u8]> {
        let alone =
            header.opcode.is_control() || (header.fin && header.opcode != Opcode::Continuation);
        if !alone || input.len() < header.length {
            return None;
        }
        let payload = take(input, header.length);
        mask::apply(payload, header.mask);
        Some(payload)
    }
}

/// Splits `count` bytes (at most what there is) off the front of `input`.
fn take<'b>(input: &mut &'b mut [u8], count: usize) -> &'b mut [u8] {
    let all = std::mem::take(input);
    let count = count.min(all.len());
    let (front, rest) = all.split_at_mut(count);
    *input = rest;
    front
}

fn incoming(opcode: Opcode, payload: &[u8]) -> Result<Incoming<'_>, DecodeError> {
    Ok(match opcode {
        Opcode::Text => {
            Incoming::Text(str::from_utf8(payload).map_err(|_| DecodeError::InvalidUtf8)?)
        }
        Opcode::Binary | Opcode::Continuation => Incoming::Binary(payload),
        Opcode::Ping => Incoming::Ping(payload),
        Opcode::Pong => Incoming::Pong(payload),
        Opcode::Close => return closing(payload),
    })
}

fn closing(payload: &[u8]) -> Result<Incoming<'_>, DecodeError> {
    let (code, reason) = match payload {
        [] => return Ok(Incoming::Close { code: None, reason: "" }),
        [_] => return Err(DecodeError::ClosePayload),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    // 1004-1006 and 1015 never travel; below 3000 the rest is unassigned, from 5000 on undefined.
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(DecodeError::CloseCode);
    }
    let reason = str::from_utf8(reason).map_err(|_| DecodeError::InvalidUtf8)?;
    Ok(Incoming::Close { code: Some(code), reason })
}
