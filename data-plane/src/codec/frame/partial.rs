//! What a decoder keeps on the heap between two reads: the unfinished, and nothing else.

use super::error::DecodeError;
use super::header::{Context, HEADER_BYTES_MAX, Header, Opcode};
use super::utf8::Utf8Buffer;
use super::{Incoming, mask, take};

/// The first room made for an unfinished payload; it doubles from there as bytes really arrive.
const BODY_BYTES_FIRST: usize = 512;

/// A header, a frame and a message, each possibly begun and not ended.
#[derive(Debug, Default)]
pub(super) struct Partial {
    head: [u8; HEADER_BYTES_MAX],
    head_length: usize,
    frame: Option<OpenFrame>,
    control: Vec<u8>,
    message: Option<Message>,
    ready: Option<Ready>,
}

/// What the caller has been handed, to be dropped when it comes back.
#[derive(Clone, Copy, Debug)]
enum Ready {
    Control,
    Message,
}

/// What became of an open frame after a read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Filled {
    /// The input ran out first.
    Starved,
    /// The frame ended, its message did not.
    Fragment,
    /// A control frame is ready in [`Partial::control`].
    Control(Opcode),
    /// A message is ready in [`Partial::message`].
    Message,
}

#[derive(Debug)]
struct OpenFrame {
    opcode: Opcode,
    fin: bool,
    /// Payload bytes still to come.
    left: usize,
    /// Turned so that its first byte is for the next payload byte.
    mask: [u8; 4],
}

#[derive(Debug)]
struct Message {
    body: Body,
    fragments: u32,
}

#[derive(Debug)]
enum Body {
    Text(Utf8Buffer),
    Binary(Vec<u8>),
}

// === impl Partial ===

impl Partial {
    /// Whether a frame's header is known and its payload is not complete.
    pub(super) const fn in_frame(&self) -> bool {
        self.frame.is_some()
    }

    /// Whether some bytes of a header have arrived, but not all.
    pub(super) const fn in_header(&self) -> bool {
        self.head_length > 0
    }

    /// Whether nothing is left to wait for.
    pub(super) const fn is_spent(&self) -> bool {
        let kept = self.message.is_some() && !matches!(self.ready, Some(Ready::Message));
        self.head_length == 0 && self.frame.is_none() && !kept
    }

    /// What the next frame may be.
    pub(super) fn context(&self, message_bytes_max: usize, fragments_max: u32) -> Context {
        let Some(message) = &self.message else {
            return Context::between_messages(message_bytes_max);
        };
        Context {
            in_message: true,
            bytes_left: message_bytes_max.saturating_sub(message.body.len()),
            fragments_left: fragments_max.saturating_sub(message.fragments),
        }
    }

    /// Goes on reading a header byte by byte, so that not one byte of payload is swallowed.
    pub(super) fn resume_header(
        &mut self,
        input: &mut &mut [u8],
        context: &Context,
    ) -> Result<Option<Header>, DecodeError> {
        while let [byte] = take(input, 1) {
            if let Some(slot) = self.head.get_mut(self.head_length) {
                *slot = *byte;
                self.head_length += 1;
            }
            let known = self.head.get(..self.head_length).unwrap_or_default();
            if let Some((header, _)) = Header::parse(known, context)? {
                self.head_length = 0;
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    /// Opens a frame whose payload will come in pieces or belongs to a longer message.
    pub(super) fn begin(&mut self, header: &Header) {
        let Header { fin, opcode, length, mask } = *header;
        self.frame = Some(OpenFrame { opcode, fin, left: length, mask });
        if opcode.is_control() {
            return;
        }
        let message = self.message.get_or_insert_with(|| Message::begin(opcode));
        message.fragments = message.fragments.saturating_add(1);
    }

    /// Moves payload from the input into the open frame.
    pub(super) fn fill(
        &mut self,
        input: &mut &mut [u8],
        message_bytes_max: usize,
    ) -> Result<Filled, DecodeError> {
        let Some(frame) = &mut self.frame else { return Ok(Filled::Starved) };
        let piece = take(input, frame.left);
        mask::apply(piece, frame.mask);
        frame.mask = mask::advance(frame.mask, piece.len());
        match &mut self.message {
            Some(message) if !frame.opcode.is_control() => {
                let ceiling =
                    if frame.fin { message.body.len() + frame.left } else { message_bytes_max };
                message.body.push(piece, ceiling)?;
            }
            _ => self.control.extend_from_slice(piece),
        }
        frame.left -= piece.len();
        if frame.left > 0 {
            return Ok(Filled::Starved);
        }
        let (opcode, fin) = (frame.opcode, frame.fin);
        self.frame = None;
        self.end(opcode, fin)
    }

    /// The payload of a finished control frame.
    pub(super) fn control(&self) -> &[u8] {
        &self.control
    }

    /// A finished message.
    pub(super) fn message(&self) -> Incoming<'_> {
        match self.message.as_ref().map(|message| &message.body) {
            Some(Body::Text(text)) => Incoming::Text(text.as_str()),
            Some(Body::Binary(bytes)) => Incoming::Binary(bytes),
            None => Incoming::Binary(&[]),
        }
    }

    #[cfg(test)]
    pub(super) fn body_capacity(&self) -> usize {
        match self.message.as_ref().map(|message| &message.body) {
            Some(Body::Text(text)) => text.capacity(),
            Some(Body::Binary(bytes)) => bytes.capacity(),
            None => 0,
        }
    }

    /// Drops what has been handed out.
    pub(super) fn release(&mut self) {
        match self.ready.take() {
            Some(Ready::Control) => self.control = Vec::new(),
            Some(Ready::Message) => self.message = None,
            None => {}
        }
    }

    fn end(&mut self, opcode: Opcode, fin: bool) -> Result<Filled, DecodeError> {
        if opcode.is_control() {
            self.ready = Some(Ready::Control);
            return Ok(Filled::Control(opcode));
        }
        if !fin {
            return Ok(Filled::Fragment);
        }
        // permessage-deflate: a compressed message is inflated here, against the same bound.
        if self.message.as_ref().is_some_and(|message| !message.body.may_end()) {
            return Err(DecodeError::InvalidUtf8);
        }
        self.ready = Some(Ready::Message);
        Ok(Filled::Message)
    }
}

// === impl Message ===

impl Message {
    fn begin(opcode: Opcode) -> Self {
        let body = match opcode {
            Opcode::Text => Body::Text(Utf8Buffer::default()),
            Opcode::Binary | Opcode::Continuation | Opcode::Close | Opcode::Ping | Opcode::Pong => {
                Body::Binary(Vec::new())
            }
        };
        Self { body, fragments: 0 }
    }
}

// === impl Body ===

impl Body {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    fn may_end(&self) -> bool {
        match self {
            Self::Text(text) => text.is_whole(),
            Self::Binary(_) => true,
        }
    }

    /// Adds a piece, growing by doubling but never beyond `ceiling`, the most it can come to.
    fn push(&mut self, piece: &[u8], ceiling: usize) -> Result<(), DecodeError> {
        let needed = self.len() + piece.len();
        match self {
            Self::Text(text) => {
                if let Some(more) = growth(text.capacity(), needed, ceiling) {
                    text.reserve_exact(more.saturating_sub(text.as_str().len()));
                }
                text.push(piece)
            }
            Self::Binary(bytes) => {
                if let Some(more) = growth(bytes.capacity(), needed, ceiling) {
                    bytes.reserve_exact(more - bytes.len());
                }
                bytes.extend_from_slice(piece);
                Ok(())
            }
        }
    }
}

/// The capacity to grow to, if `capacity` is not enough for `needed`.
fn growth(capacity: usize, needed: usize, ceiling: usize) -> Option<usize> {
    let roomy = capacity.saturating_mul(2).max(BODY_BYTES_FIRST).min(ceiling);
    (needed > capacity).then_some(roomy.max(needed))
}
