//! The table of hostile.txt, read whole, byte by byte, and cut one byte short.

use super::super::{DecodeError, Decoder};
use super::client::decode;

const TABLE: &str = include_str!("hostile.txt");

struct Row {
    line: usize,
    bytes: Vec<u8>,
    violation: String,
}

fn rows() -> Vec<Row> {
    let lines = TABLE.lines().enumerate().map(|(at, line)| (at + 1, line));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(line, row)| {
            let (bytes, rest) = row.split_once("->").expect("a row has an arrow");
            let (violation, _) = rest.split_once('#').expect("a row says what it is");
            Row { line, bytes: unhex(bytes), violation: violation.trim().to_owned() }
        })
        .collect()
}

fn unhex(words: &str) -> Vec<u8> {
    let expand = |word: &str| {
        let (byte, count) = word.split_once('*').unwrap_or((word, "1"));
        let byte = u8::from_str_radix(byte, 16).expect("two hexadecimal digits");
        vec![byte; count.parse().expect("a count")]
    };
    words.split_whitespace().flat_map(expand).collect()
}

fn decoder() -> Decoder {
    Decoder::new(1024).with_fragments_max(4)
}

fn name(error: Option<DecodeError>) -> String {
    error.map_or_else(|| "accepted".to_owned(), |error| format!("{error:?}"))
}

#[test]
fn every_row_is_refused_for_its_reason() {
    let rows = rows();
    assert!(rows.len() >= 100, "{} rows", rows.len());
    for Row { line, bytes, violation } in rows {
        let (_, error) = decode(&mut decoder(), &bytes);
        assert_eq!(name(error), violation, "hostile.txt:{line}, in one read");
        let mut decoder = decoder();
        let error = bytes.iter().find_map(|byte| decode(&mut decoder, &[*byte]).1);
        assert_eq!(name(error), violation, "hostile.txt:{line}, byte by byte");
    }
}

#[test]
fn lengths_and_bounds_are_judged_at_the_last_byte_of_a_row_and_not_before() {
    let judged_late = |row: &Row| {
        matches!(row.violation.as_str(), "MessageTooBig" | "LengthEncoding" | "TooManyFragments")
    };
    for Row { line, bytes, .. } in rows().into_iter().filter(judged_late) {
        let (_, legal) = bytes.split_last().expect("a row has bytes");
        let (_, error) = decode(&mut decoder(), legal);
        assert_eq!(name(error), "accepted", "hostile.txt:{line}, without its last byte");
    }
}

#[test]
fn every_violation_has_its_close_code() {
    for Row { line, bytes, violation } in rows() {
        let (_, error) = decode(&mut decoder(), &bytes);
        let code = match violation.as_str() {
            "InvalidUtf8" => 1007,
            "MessageTooBig" | "TooManyFragments" => 1009,
            _ => 1002,
        };
        assert_eq!(error.map(DecodeError::close_code), Some(code), "hostile.txt:{line}");
    }
}
