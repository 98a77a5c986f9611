//! The codec against good, bad and split input.

use super::*;

mod client;
mod hostile;
mod splits;

use self::client::{Said, decode, frame, said};

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

#[test]
fn the_examples_of_the_rfc() {
    let mut decoder = Decoder::new(1024);
    let input = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(decode(&mut decoder, &input), (vec![Said::Text("Hello".to_owned())], None));
    assert_eq!(text(b"Hello").as_ref(), [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    assert_eq!(pong(b"Hello").as_ref(), [0x8a, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    assert_eq!(header(Opcode::Binary, 256).as_ref(), [0x82, 0x7e, 0x01, 0x00]);
    assert_eq!(header(Opcode::Binary, 65536).as_ref(), [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn a_whole_frame_is_borrowed_from_the_input() {
    let mut decoder = Decoder::new(1024);
    let mut input = frame(true, Opcode::Text, b"in place", MASK);
    let bounds = input.as_ptr_range();
    let mut rest = input.as_mut_slice();
    let Ok(Some(Incoming::Text(text))) = decoder.decode(&mut rest) else { panic!("no text") };
    assert_eq!(text, "in place");
    assert!(bounds.contains(&text.as_ptr()));
    assert!(decoder.is_idle());
}

#[test]
fn an_idle_decoder_is_small_and_owns_no_heap() {
    assert!(size_of::<Decoder>() <= 32, "{}", size_of::<Decoder>());
    let mut decoder = Decoder::new(1024);
    let mut input = frame(false, Opcode::Text, b"a", MASK);
    input.extend(frame(true, Opcode::Continuation, b"b", MASK));
    let (last, most) = input.split_last_mut().expect("not empty");
    let mut rest = most;
    assert_eq!(decoder.decode(&mut rest), Ok(None));
    assert!(!decoder.is_idle() && decoder.is_mid_message());
    let mut rest = std::slice::from_mut(last);
    assert_eq!(decoder.decode(&mut rest), Ok(Some(Incoming::Text("ab"))));
    assert!(!decoder.is_mid_message());
    assert_eq!(decoder.decode(&mut rest), Ok(None));
    assert!(decoder.is_idle());
}

#[test]
fn the_caller_may_stop_between_two_messages() {
    let mut decoder = Decoder::new(1024);
    let mut input = frame(true, Opcode::Ping, b"1", MASK);
    input.extend(frame(true, Opcode::Ping, b"2", MASK));
    let mut rest = input.as_mut_slice();
    assert_eq!(decoder.decode(&mut rest), Ok(Some(Incoming::Ping(b"1"))));
    assert_eq!(rest.len(), 7);
    assert_eq!(decoder.decode(&mut rest), Ok(Some(Incoming::Ping(b"2"))));
    assert!(rest.is_empty());
}

#[test]
fn messages_at_the_bound_pass_and_memory_stays_under_it() {
    let mut decoder = Decoder::new(100_000);
    let payload = vec![b'x'; 100_000];
    let whole = frame(true, Opcode::Text, &payload, MASK);
    let (messages, error) = decode(&mut decoder, &whole);
    assert_eq!((messages.len(), error), (1, None));
    for piece in whole.chunks(7) {
        decode(&mut decoder, piece);
        let held = decoder.partial.as_ref().map_or(0, |partial| partial.body_capacity());
        assert!(held <= 100_000, "{held} bytes held");
    }
    assert!(decoder.is_idle());
}

#[test]
fn a_declared_length_costs_nothing_until_it_arrives() {
    let mut decoder = Decoder::new(16 << 20);
    let header = [0x82, 0xff, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7];
    assert_eq!(decode(&mut decoder, &header), (vec![], None));
    assert!(decoder.partial.as_ref().is_some_and(|partial| partial.body_capacity() <= 512));
}

#[test]
fn nothing_is_said_after_a_close() {
    let mut decoder = Decoder::new(1024);
    let mut input = frame(true, Opcode::Close, b"\x03\xe8bye", MASK);
    input.extend(frame(true, Opcode::Text, b"late", MASK));
    input.extend([0xff; 20]);
    let close = Said::Close(Some(1000), "bye".to_owned());
    assert_eq!(decode(&mut decoder, &input), (vec![close], None));
    assert_eq!(decode(&mut decoder, &input), (vec![], None));
}

#[test]
fn close_codes_that_may_travel() {
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014] {
        let input = frame(true, Opcode::Close, &u16::to_be_bytes(code), MASK);
        let close = Said::Close(Some(code), String::new());
        assert_eq!(decode(&mut Decoder::new(64), &input), (vec![close], None));
    }
    for code in [3000, 3999, 4000, 4408, 4999] {
        let input = frame(true, Opcode::Close, &u16::to_be_bytes(code), MASK);
        assert!(decode(&mut Decoder::new(64), &input).1.is_none(), "{code}");
    }
    let empty = frame(true, Opcode::Close, &[], MASK);
    let close = Said::Close(None, String::new());
    assert_eq!(decode(&mut Decoder::new(64), &empty), (vec![close], None));
}

#[test]
fn an_error_is_final() {
    let mut decoder = Decoder::new(1024);
    let (_, first) = decode(&mut decoder, &[0xff]);
    assert_eq!(first, Some(DecodeError::ReservedBit));
    let (messages, again) = decode(&mut decoder, &frame(true, Opcode::Text, b"ok", MASK));
    assert_eq!((messages, again), (vec![], first));
    assert!(decoder.is_idle());
}

#[test]
fn control_payloads_we_send_fit() {
    assert_eq!(ping(&[7; 200]).len(), 2 + 125);
    assert_eq!(pong(&[7; 125]).len(), 2 + 125);
    assert_eq!(close(None, "unsaid").as_ref(), [0x88, 0]);
    assert_eq!(close(Some(1000), "bye").as_ref(), b"\x88\x05\x03\xe8bye");
    let cut = close(Some(1000), &"\u{20ac}".repeat(60));
    assert_eq!(cut.len(), 2 + 2 + 41 * 3);
    assert!(str::from_utf8(&cut[4..]).is_ok());
}

#[test]
fn several_frames_share_one_buffer() {
    let mut buffer = bytes::BytesMut::new();
    put(&mut buffer, Opcode::Text, b"a");
    put(&mut buffer, Opcode::Binary, b"bc");
    assert_eq!(buffer.as_ref(), b"\x81\x01a\x82\x02bc");
    assert_eq!(said(&Incoming::Binary(b"bc")), Said::Binary(b"bc".to_vec()));
}
