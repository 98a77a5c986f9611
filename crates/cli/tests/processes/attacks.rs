//! Who takes what a node has little of: memory, descriptors, lines of its log.
//! Two bid meanwhile, and each of their bids is accepted.

use crate::target::{Socket, Target, say_until_stuck};
use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    process::Command,
    time::Duration,
};

/// What a socket may hold of what its client does not read, over one that is idle.
const STALLED_BYTES_MAX: u64 = 64 << 10;
/// What the process may need more for other reasons.
const NOISE_BYTES: u64 = 4 << 20;

fn start(name: &str, settings: &str) -> (tempfile::TempDir, Target) {
    let folder = tempfile::tempdir().expect("a folder");
    let target = Target::start(folder.path(), name, settings, |command| command);
    (folder, target)
}

/// Whether the other side ends the connection, whatever it says before.
fn is_cut(stream: &mut TcpStream) -> bool {
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn heads_that_never_end_are_cut_and_hold_up_nobody() {
    let (_folder, target) = start("slow", "--set data_plane.http.header_timeout_ms=1000");
    let mut bidders = target.bidders();
    let mut slow: Vec<_> = (0..300).map(|_| target.connect()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /ws HTTP/1.1\r\nHost: t\r\nX-Half: ").expect("half a head");
    }
    bidders.bid();
    assert!(target.open().is_ok(), "others come in meanwhile");
    for stream in &mut slow {
        assert!(is_cut(stream));
    }
    bidders.bid();
    target.process.stop();
}

#[test]
fn sockets_that_never_read_hold_no_more_than_their_backlog() {
    const SOCKETS: u64 = 48;
    let (_folder, target) = start("stalled", "");
    let mut bidders = target.bidders();
    let mut stalled: Vec<_> = (0..SOCKETS).map(|_| target.open().expect("a socket")).collect();
    for socket in &mut stalled {
        socket.say(r#"{"type":"joinAuction","auctionId":"lamp"}"#);
        socket.until("auctionState");
    }
    bidders.bid();
    let idle = target.resident_bytes();
    // Each ping is answered with as much; in the end the node reads no more of them.
    let ping = format!(r#"{{"type":"ping","t":"{}"}}"#, "x".repeat(15_000));
    say_until_stuck(&mut stalled, &ping);
    let held = || target.resident_bytes().saturating_sub(idle);
    let most = SOCKETS * STALLED_BYTES_MAX + NOISE_BYTES;
    assert!(held() <= most, "{} bytes for {SOCKETS}", held());
    // Updates come on top of what waits already.
    for _ in 0..300 {
        bidders.bid();
    }
    assert!(held() <= most, "{} bytes for {SOCKETS}", held());
    drop(stalled);
    target.until("what they held", |target| target.metric("gavel_sockets") == 2);
    bidders.bid();
    target.process.stop();
}

#[test]
fn a_node_without_descriptors_takes_no_connection_and_then_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let few = |command: Command| {
        let mut shell = Command::new("/bin/sh");
        shell.env_clear().args(["-c", "ulimit -n 128 && exec \"$0\" \"$@\""]);
        shell.arg(command.get_program()).args(command.get_args());
        shell
    };
    let mut target = Target::start(folder.path(), "few", "", few);
    let mut bidders = target.bidders();
    let mut held: Vec<_> = (0..128).map(|_| target.connect()).collect();
    target.process.says("cannot accept");
    let mut outside = Socket::on(target.connect());
    outside.ask();
    bidders.bid();
    bidders.bid();
    for stream in held.drain(..) {
        drop(stream);
    }
    outside.upgraded().expect("it was let in at last");
    bidders.bid();
    assert!(target.process.stop().contains("cannot accept"));
}

#[test]
fn nobody_writes_lines_of_the_log_but_the_node() {
    let folder = tempfile::tempdir().expect("a folder");
    let verbose = |mut command: Command| {
        command.env("GAVEL_LOG_FORMAT", "json").env("RUST_LOG", "debug");
        command
    };
    let target = Target::start(folder.path(), "log", "", verbose);
    let forged = "x\r\n{\"level\":\"ERROR\",\"message\":\"forged\"}\n\u{1b}[31mred\u{7}\u{2028}";
    let quoted = serde_json::to_string(forged).expect("JSON");
    let long = "y".repeat(100_000);
    let mut socket = target.open().expect("a socket");
    for message in [
        format!(r#"{{"type":{quoted}}}"#),
        format!(r#"{{"type":"joinAuction","auctionId":{quoted}}}"#),
        format!(r#"{{"type":"joinAuction","auctionId":"{long}"}}"#),
        format!(r#"{{"type":"bid","auctionId":"lamp","amount":100,"bidId":{quoted}}}"#),
        format!(r#"{{"type":"bid","auctionId":"lamp","amount":100,"bidId":"a","tp":{quoted}}}"#),
        format!(r#"{{"type":"auth","token":{quoted}}}"#),
        forged.to_owned(),
    ] {
        socket.say(&message);
        socket.until("\"type\":");
    }
    let mut stream = target.connect();
    let head =
        "GET /\u{1b}[31m HTTP/1.1\r\nHost: \u{1b}[31m\r\nUser-Agent: \u{1b}]0;x\u{7}\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("the head leaves");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out");
    assert!(is_cut(&mut stream));
    let log = target.process.stop();
    assert!(log.lines().count() > 10, "it says what it does");
    for line in log.lines() {
        let parsed: serde_json::Value = serde_json::from_str(line).expect(line);
        assert!(parsed.is_object() && !line.chars().any(char::is_control), "{line}");
        assert!(line.len() < 4_096, "{} bytes in one line", line.len());
        assert_ne!(parsed["message"], "forged");
    }
}
