//! Bytes of a socket to messages.

use super::draw;
use gavel_data_plane::codec::frame::{DecodeError, Decoder, Incoming};

const MESSAGE_BYTES_MAX: usize = 4_096;

/// What a client said, without its borrow.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

/// However the network cuts the bytes, the same messages and the same error come out.
pub(crate) fn decoder(bytes: &[u8]) -> bool {
    let mut draw = draw::of(bytes);
    let cuts: Vec<usize> = (0..8).map(|_| 1 + usize::from(draw::byte(&mut draw) % 32)).collect();
    let wire = draw.take_rest();
    let whole = in_reads(wire, &[wire.len().max(1)]);
    assert_eq!(in_reads(wire, &cuts), whole);
    assert_eq!(in_reads(wire, &[1]), whole);
    !whole.0.is_empty()
}

fn in_reads(wire: &[u8], lengths: &[usize]) -> (Vec<Said>, Option<DecodeError>) {
    let mut decoder = Decoder::new(MESSAGE_BYTES_MAX).with_fragments_max(16);
    let (mut said, mut rest) = (Vec::new(), wire);
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (read, after) = rest.split_at((*length).min(rest.len()));
        rest = after;
        let mut read = read.to_vec();
        let mut input = read.as_mut_slice();
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(incoming)) => said.push(owned(incoming)),
                Ok(None) => break,
                Err(error) => {
                    let again = decoder.decode(&mut input);
                    assert_eq!(again, Err(error), "an error stays");
                    assert!(decoder.is_idle(), "nothing is kept for a socket that is closed");
                    return (said, Some(error));
                }
            }
        }
        assert!(input.is_empty(), "no byte is left over");
    }
    (said, None)
}

fn owned(incoming: Incoming<'_>) -> Said {
    let bounded = |bytes: &[u8], most| {
        assert!(bytes.len() <= most, "{} bytes are too many", bytes.len());
        bytes.to_vec()
    };
    match incoming {
        Incoming::Text(text) => {
            bounded(text.as_bytes(), MESSAGE_BYTES_MAX);
            Said::Text(text.to_owned())
        }
        Incoming::Binary(bytes) => Said::Binary(bounded(bytes, MESSAGE_BYTES_MAX)),
        Incoming::Ping(bytes) => Said::Ping(bounded(bytes, 125)),
        Incoming::Pong(bytes) => Said::Pong(bounded(bytes, 125)),
        Incoming::Close { code, reason } => Said::Close(code, reason.to_owned()),
    }
}
