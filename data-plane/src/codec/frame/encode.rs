//! Frames a server sends: final, unmasked, with the shortest length.

use bytes::{BufMut, Bytes, BytesMut};

use super::CONTROL_BYTES_MAX;
use super::header::Opcode;

/// The bytes of one server frame header, on the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderBytes {
    bytes: [u8; 10],
    length: usize,
}

impl AsRef<[u8]> for HeaderBytes {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// The header of a final frame with `length` bytes of payload.
#[must_use]
pub fn header(opcode: Opcode, length: usize) -> HeaderBytes {
    // permessage-deflate: a compressed payload sets RSV1 (0x40) in this byte.
    let first = 0x80 | opcode.bits();
    let mut bytes = [0; 10];
    let length = if let Ok(short @ 0..=125) = u8::try_from(length) {
        write(&mut bytes, &[first, short])
    } else if let Ok(medium) = u16::try_from(length) {
        let [a, b] = medium.to_be_bytes();
        write(&mut bytes, &[first, 126, a, b])
    } else {
        let [a, b, c, d, e, f, g, h] =
            u64::try_from(length).expect("usize is at most 64 bits wide").to_be_bytes();
        write(&mut bytes, &[first, 127, a, b, c, d, e, f, g, h])
    };
    HeaderBytes { bytes, length }
}

/// Appends one whole frame to `buffer`, so that several can leave in one write.
pub fn put(buffer: &mut BytesMut, opcode: Opcode, payload: &[u8]) {
    let header = header(opcode, payload.len());
    buffer.reserve(header.length + payload.len());
    buffer.put_slice(header.as_ref());
    buffer.put_slice(payload);
}

/// A text message in one frame; `payload` must be UTF-8.
#[must_use]
pub fn text(payload: &[u8]) -> Bytes {
    whole(Opcode::Text, payload)
}

/// A binary message in one frame.
#[must_use]
pub fn binary(payload: &[u8]) -> Bytes {
    whole(Opcode::Binary, payload)
}

/// A ping; only the first 125 bytes of `payload` fit.
#[must_use]
pub fn ping(payload: &[u8]) -> Bytes {
    whole(Opcode::Ping, payload.get(..CONTROL_BYTES_MAX).unwrap_or(payload))
}

/// A pong; only the first 125 bytes of `payload` fit.
#[must_use]
pub fn pong(payload: &[u8]) -> Bytes {
    whole(Opcode::Pong, payload.get(..CONTROL_BYTES_MAX).unwrap_or(payload))
}

/// A close; `reason` is cut at the last character that fits into 123 bytes.
#[must_use]
pub fn close(code: Option<u16>, reason: &str) -> Bytes {
    let Some(code) = code else { return whole(Opcode::Close, &[]) };
    let code = code.to_be_bytes();
    let end = reason.floor_char_boundary(CONTROL_BYTES_MAX - code.len());
    let reason = reason.get(..end).unwrap_or_default();
    whole(Opcode::Close, &[&code, reason.as_bytes()].concat())
}

fn whole(opcode: Opcode, payload: &[u8]) -> Bytes {
    let mut buffer = BytesMut::new();
    put(&mut buffer, opcode, payload);
    buffer.freeze()
}

fn write(bytes: &mut [u8; 10], prefix: &[u8]) -> usize {
    for (slot, byte) in bytes.iter_mut().zip(prefix) {
        *slot = *byte;
    }
    prefix.len()
}
