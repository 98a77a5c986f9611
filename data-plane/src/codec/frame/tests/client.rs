//! The other end of the wire, as small as it can be: masks frames, reads server frames.

use super::super::{DecodeError, Decoder, Incoming, Opcode};

/// An [`Incoming`] that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

pub(super) fn said(incoming: &Incoming<'_>) -> Said {
    match *incoming {
        Incoming::Text(text) => Said::Text(text.to_owned()),
        Incoming::Binary(bytes) => Said::Binary(bytes.to_vec()),
        Incoming::Ping(bytes) => Said::Ping(bytes.to_vec()),
        Incoming::Pong(bytes) => Said::Pong(bytes.to_vec()),
        Incoming::Close { code, reason } => Said::Close(code, reason.to_owned()),
    }
}

/// Everything one read makes a decoder say.
pub(super) fn decode(decoder: &mut Decoder, input: &[u8]) -> (Vec<Said>, Option<DecodeError>) {
    let mut input = input.to_vec();
    let mut rest = input.as_mut_slice();
    let mut messages = Vec::new();
    loop {
        match decoder.decode(&mut rest) {
            Ok(Some(incoming)) => messages.push(said(&incoming)),
            Ok(None) => {
                assert!(rest.is_empty(), "input left over");
                assert_eq!(decoder.is_idle(), !decoder.is_mid_message(), "heap without a reason");
                return (messages, None);
            }
            Err(error) => return (messages, Some(error)),
        }
    }
}

/// A client frame.
pub(super) fn frame(fin: bool, opcode: Opcode, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut bytes = vec![u8::from(fin) << 7 | opcode.bits()];
    match payload.len() {
        short @ 0..=125 => bytes.push(0x80 | u8::try_from(short).unwrap()),
        medium @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(medium).unwrap().to_be_bytes());
        }
        long => {
            bytes.push(0x80 | 127);
            bytes.extend(u64::try_from(long).unwrap().to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
    bytes
}

/// Reads one server frame: opcode bits, payload.
pub(super) fn read_server_frame(bytes: &[u8]) -> (u8, Vec<u8>) {
    assert_eq!(bytes[0] & 0xf0, 0x80, "final, nothing reserved");
    let (length, payload) = match bytes[1] {
        126 => (u64::from(u16::from_be_bytes([bytes[2], bytes[3]])), &bytes[4..]),
        127 => (u64::from_be_bytes(bytes[2..10].try_into().unwrap()), &bytes[10..]),
        short => (u64::from(short), &bytes[2..]),
    };
    assert_eq!(usize::try_from(length).unwrap(), payload.len(), "length as declared");
    (bytes[0] & 0xf, payload.to_vec())
}
