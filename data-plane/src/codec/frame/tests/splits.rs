//! However the network cuts the bytes, the same messages and the same error come out.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{Decoder, Opcode, binary, close, ping, pong, put, text};
use super::client::{Said, decode, frame, read_server_frame};

const MESSAGE_BYTES_MAX: usize = 200_000;

/// A message and the lengths of the fragments it travels in.
fn messages() -> impl Strategy<Value = (Said, Vec<usize>)> {
    let long = prop_oneof![8 => 0..200_usize, 1 => 65_000..66_000_usize];
    let text = prop_oneof![
        any::<String>(),
        "[a-z\u{e9}\u{20ac}\u{1f600}]{0,80}",
        long.clone().prop_map(|length| "x".repeat(length)),
    ];
    let bytes = long.prop_map(|length| vec![7; length]);
    let control = vec(any::<u8>(), 0..=125);
    let said = prop_oneof![
        3 => text.prop_map(Said::Text),
        2 => bytes.prop_map(Said::Binary),
        1 => control.clone().prop_map(Said::Ping),
        1 => control.prop_map(Said::Pong),
    ];
    (said, vec(0..40_usize, 0..5))
}

/// The bytes of a message; a ping follows each fragment but the last.
fn encode(
    said: &Said,
    cuts: &[usize],
    mask: [u8; 4],
    wire: &mut Vec<u8>,
    expected: &mut Vec<Said>,
) {
    let (opcode, mut payload) = match said {
        Said::Text(text) => (Opcode::Text, text.as_bytes()),
        Said::Binary(bytes) => (Opcode::Binary, bytes.as_slice()),
        Said::Ping(bytes) => (Opcode::Ping, bytes.as_slice()),
        Said::Pong(bytes) => (Opcode::Pong, bytes.as_slice()),
        Said::Close(..) => unreachable!("not generated"),
    };
    let mut next = opcode;
    for cut in cuts.iter().filter(|_| !opcode.is_control()) {
        let (fragment, rest) = payload.split_at((*cut).min(payload.len()));
        wire.extend(frame(false, next, fragment, mask));
        wire.extend(frame(true, Opcode::Ping, b"between", mask));
        expected.push(Said::Ping(b"between".to_vec()));
        (payload, next) = (rest, Opcode::Continuation);
    }
    wire.extend(frame(true, next, payload, mask));
    expected.push(said.clone());
}

/// Decodes `wire` in reads of the given sizes, repeated as often as needed.
fn in_reads(wire: &[u8], reads: &[usize]) -> (Vec<Said>, Option<super::DecodeError>) {
    let mut decoder = Decoder::new(MESSAGE_BYTES_MAX);
    let (mut all, mut rest) = (Vec::new(), wire);
    for read in reads.iter().cycle() {
        let (piece, after) = rest.split_at((*read).min(rest.len()));
        let (messages, error) = decode(&mut decoder, piece);
        all.extend(messages);
        if error.is_some() || after.is_empty() {
            return (all, error);
        }
        rest = after;
    }
    (all, None)
}

proptest! {
    #[test]
    fn any_split_gives_the_same_messages(
        script in vec(messages(), 1..6),
        mask in any::<[u8; 4]>(),
        reads in vec(prop_oneof![1..20_usize, 1..5_000_usize], 1..10),
    ) {
        let (mut wire, mut expected) = (Vec::new(), Vec::new());
        for (said, cuts) in &script {
            encode(said, cuts, mask, &mut wire, &mut expected);
        }
        prop_assert_eq!(&in_reads(&wire, &[wire.len().max(1)]), &(expected.clone(), None));
        prop_assert_eq!(&in_reads(&wire, &reads), &(expected, None));
    }

    #[test]
    fn any_split_of_damaged_input_fails_alike(
        script in vec(messages(), 1..4),
        mask in any::<[u8; 4]>(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        reads in vec(1..40_usize, 1..10),
    ) {
        let (mut wire, mut expected) = (Vec::new(), Vec::new());
        for (said, cuts) in &script {
            encode(said, cuts, mask, &mut wire, &mut expected);
        }
        for (at, byte) in damage {
            let at = at.index(wire.len());
            wire[at] = byte;
        }
        prop_assert_eq!(in_reads(&wire, &reads), in_reads(&wire, &[wire.len()]));
    }

    #[test]
    fn noise_never_panics_and_splits_alike(
        wire in vec(prop_oneof![
            any::<u8>(),
            prop::sample::select(vec![0x00, 0x01, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8a, 0xfe]),
        ], 1..300),
        reads in vec(1..9_usize, 1..5),
    ) {
        prop_assert_eq!(in_reads(&wire, &reads), in_reads(&wire, &[wire.len()]));
    }

    #[test]
    fn a_client_reads_what_we_write(payload in vec(any::<u8>(), 0..70_000), code in 1000..5000_u16) {
        prop_assert_eq!(read_server_frame(&text(&payload)), (0x1, payload.clone()));
        prop_assert_eq!(read_server_frame(&binary(&payload)), (0x2, payload.clone()));
        let short = payload[..payload.len().min(125)].to_vec();
        prop_assert_eq!(read_server_frame(&ping(&payload)), (0x9, short.clone()));
        prop_assert_eq!(read_server_frame(&pong(&payload)), (0xa, short));
        let frame = close(Some(code), "why");
        prop_assert_eq!(read_server_frame(&frame).1, [&code.to_be_bytes()[..], b"why"].concat());
        let mut buffer = bytes::BytesMut::new();
        put(&mut buffer, Opcode::Text, &payload);
        prop_assert_eq!(buffer, text(&payload));
    }
}
