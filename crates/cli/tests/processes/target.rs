//! A node that is attacked, and somebody who bids there meanwhile.

use crate::{
    process::{POLL, Process},
    verbs::{done, gavel, in_force},
};
use gavel_testkit::blocking::free_port;
use serde_json::Value;
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

/// No limit that one address would run into, and nothing shed because the machine is crowded.
const LIMITS: &str = "sockets_per_ip_max=0 handshakes_per_ip_rate=0 bids_per_user_max=0 \
    messages_per_session_rate=0 shed_target_ms=0 message_bytes_max=1048576 \
    heartbeat_interval_ms=300000 pong_deadline_ms=60000";
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a node that reads at all would have read something.
const STUCK_AFTER: u32 = 20;

/// `gavel serve` in a process of its own, with one auction.
pub(crate) struct Target {
    pub(crate) process: Process,
    port: u16,
    grpc: u16,
}

/// Two who outbid each other.
pub(crate) struct Bidders {
    sockets: [Socket; 2],
    bids: u32,
}

/// An open socket that writes frames by hand.
pub(crate) struct Socket {
    stream: TcpStream,
    said: Vec<u8>,
}

/// Sends text on all sockets over and over, until nobody has read any of it for a while.
pub(crate) fn say_until_stuck(sockets: &mut [Socket], text: &str) {
    let frame = frame(text);
    let mut sent_of_frame = vec![0; sockets.len()];
    for socket in sockets.iter() {
        socket.stream.set_nonblocking(true).expect("it is open");
    }
    let mut stuck = 0;
    while stuck < STUCK_AFTER {
        stuck += 1;
        for (socket, sent) in sockets.iter_mut().zip(&mut sent_of_frame) {
            while let Ok(more) = socket.stream.write(frame.get(*sent..).unwrap_or_default()) {
                *sent = (*sent + more) % frame.len();
                stuck = 0;
            }
        }
        thread::sleep(POLL.0);
    }
}

/// Text as a client frames it, masked with zeros.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(short), _) if short < 126 => frame.push(0x80 | short),
        (_, Ok(length)) => frame.extend([&[0xfe][..], &length.to_be_bytes()].concat()),
        (_, Err(_)) => {
            let length = u64::try_from(text.len()).expect("a length");
            frame.extend([&[0xff][..], &length.to_be_bytes()].concat());
        }
    }
    [&frame, &[0; 4][..], text.as_bytes()].concat()
}

// === impl Target ===

impl Target {
    /// Starts one with these settings, by what `wrap` makes of the command.
    pub(crate) fn start(
        folder: &Path,
        name: &str,
        settings: &str,
        wrap: impl FnOnce(Command) -> Command,
    ) -> Self {
        Self::start_by(folder, name, settings, "", wrap)
    }

    /// The same where verbs have to say who asks.
    pub(crate) fn start_by(
        folder: &Path,
        name: &str,
        settings: &str,
        operator: &str,
        wrap: impl FnOnce(Command) -> Command,
    ) -> Self {
        let [port, grpc] = [(); 2].map(|()| free_port());
        let data = folder.join(name);
        let line = format!(
            "serve --data {} --http-listen 127.0.0.1:{port} --grpc-listen 127.0.0.1:{grpc} \
             --set control_plane.http.listen=127.0.0.1:0 {settings}",
            data.display()
        );
        let mut command = wrap(gavel(&line));
        // Memory that is free goes back at once.
        command.env("_RJEM_MALLOC_CONF", "dirty_decay_ms:0,muzzy_decay_ms:0");
        let mut process = Process::start(folder, name, &mut command);
        process.says("node listens");
        let target = Self { process, port, grpc };
        let endpoint = format!("{} {operator}", target.endpoint());
        let set = done(&format!("limits set {LIMITS} --json {endpoint}")).stdout;
        let set: Value = serde_json::from_slice(&set).expect("JSON");
        let version = set.get("version").and_then(Value::as_u64);
        in_force(1, version.expect("a version"), &endpoint);
        done(&format!(
            "rooms create lamp --title lamp --opening-price 1.00 --increment 1.00 --closes-in 1h \
             --guests bid {endpoint}"
        ));
        target
    }

    /// What an operator's verb has to know.
    pub(crate) fn endpoint(&self) -> String {
        format!("--endpoint http://127.0.0.1:{}", self.grpc)
    }

    /// A connection on which nothing has been said.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the node listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream
    }

    /// Asks for a socket as a guest; the answer's status and head where there is none.
    pub(crate) fn open(&self) -> Result<Socket, String> {
        self.open_offering("none")
    }

    /// The same with one more subprotocol, which may be a token.
    pub(crate) fn open_offering(&self, offered: &str) -> Result<Socket, String> {
        let mut socket = Socket::on(self.connect());
        socket.ask_offering(offered);
        socket.upgraded()?;
        Ok(socket)
    }

    /// Two who have come to bid.
    pub(crate) fn bidders(&self) -> Bidders {
        Bidders { sockets: [(); 2].map(|()| self.open().expect("a socket")), bids: 0 }
    }

    /// What a page says, with its status.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.get_as("", path)
    }

    /// The same with a bearer token.
    pub(crate) fn get_as(&self, token: &str, path: &str) -> (u16, String) {
        let mut stream = self.connect();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("the request leaves");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_else(|| panic!("no answer: {answer}")), answer)
    }

    /// The value of a series.
    pub(crate) fn metric(&self, series: &str) -> u64 {
        let (_, page) = self.get("/metrics");
        let value = page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("{series} is not in {page}"))
    }

    /// Memory that the process holds.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.process.id()));
        let statm = statm.expect("it runs");
        let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
        pages.expect("pages") * u64::try_from(rustix::param::page_size()).expect("a size")
    }

    /// Waits until something holds.
    pub(crate) fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        for _ in 0..POLL.1 {
            if holds(self) {
                return;
            }
            thread::sleep(POLL.0);
        }
        panic!("{what} never came:\n{}", self.process.log());
    }
}

// === impl Bidders ===

impl Bidders {
    /// Bids, and waits until the bid is accepted.
    pub(crate) fn bid(&mut self) {
        self.bids += 1;
        let [one, other] = &mut self.sockets;
        let socket = if self.bids.is_multiple_of(2) { other } else { one };
        let bid_id = format!("b{}", self.bids);
        socket.say(&format!(
            r#"{{"type":"bid","auctionId":"lamp","amount":{}00,"bidId":"{bid_id}"}}"#,
            self.bids
        ));
        let answer = socket.until(format!(r#""bidId":"{bid_id}""#));
        assert!(answer.contains(r#""type":"bidAccepted""#), "{answer}");
    }
}

// === impl Socket ===

impl Socket {
    /// One on a connection whose request may still wait for its answer.
    pub(crate) fn on(stream: TcpStream) -> Self {
        Self { stream, said: Vec::new() }
    }

    /// Asks for the upgrade.
    pub(crate) fn ask(&mut self) {
        self.ask_offering("none");
    }

    fn ask_offering(&mut self, offered: &str) {
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: gavel.v1.json, {offered}\r\n\r\n"
        );
        self.stream.write_all(request.as_bytes()).expect("the request leaves");
    }

    /// Waits for the upgrade; the whole head where there is none.
    pub(crate) fn upgraded(&mut self) -> Result<(), String> {
        let head = self.until("\r\n\r\n");
        if head.starts_with("HTTP/1.1 101 ") { Ok(()) } else { Err(head) }
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the bytes leave");
    }

    /// Begins a message with so many bytes, does not end it, and waits until the node has it.
    pub(crate) fn begin_message(&mut self, bytes: u64) {
        self.send(&[&[0x01, 0xff][..], &bytes.to_be_bytes(), &[0; 4]].concat());
        self.send(&b" ".repeat(usize::try_from(bytes).expect("a size")));
        let (ping, pong) = ([0x89, 0x80, 0, 0, 0, 0], [0x8a, 0]);
        self.send(&ping);
        self.until(pong);
    }

    /// Sends text, masked with zeros.
    pub(crate) fn say(&mut self, text: &str) {
        self.send(&frame(text));
    }

    /// Reads until this has come; returns what came up to its end since the last time.
    pub(crate) fn until(&mut self, words: impl AsRef<[u8]>) -> String {
        let words = words.as_ref();
        let mut some = [0; 4096];
        loop {
            if let Some(at) = self.said.windows(words.len()).position(|found| found == words) {
                let said: Vec<u8> = self.said.drain(..at + words.len()).collect();
                return String::from_utf8_lossy(&said).into_owned();
            }
            let read = self.stream.read(&mut some).expect("an answer in time");
            assert!(read > 0, "it ended behind {}", self.said.escape_ascii());
            self.said.extend_from_slice(some.get(..read).unwrap_or_default());
        }
    }
}
