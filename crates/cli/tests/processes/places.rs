//! Limits that hold over processes, one of which is killed.

use crate::{
    process::POLL,
    verbs::{start, start_redis},
};
use gavel_testkit::blocking::free_port;
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
};

/// The default of `sockets_per_ip_max`.
const SOCKETS_MAX: usize = 5;

/// Opens a socket as a guest; none if it is turned away.
fn open(port: u16) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the node listens");
    let request = "GET /ws HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("the request leaves");
    let mut said = Vec::new();
    loop {
        let mut some = [0; 1024];
        let read = stream.read(&mut some).expect("an answer");
        assert!(read > 0, "{}", said.escape_ascii());
        said.extend_from_slice(some.get(..read).unwrap_or_default());
        let text = String::from_utf8_lossy(&said);
        if text.contains(r#""type":"welcome""#) {
            return Some(stream);
        }
        if text.contains(r#""code":"too_many_sockets""#) {
            return None;
        }
    }
}

#[test]
fn what_a_killed_node_held_is_free_after_its_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let [redis, ws_1, ws_2, relay_1, relay_2] = [(); 5].map(|()| free_port());
    let _redis = start_redis(folder.path(), redis);
    // No control plane: the limits are the defaults.
    let nobody = free_port();
    let node = |id: &str, ws: u16, relay: u16| {
        let line = format!(
            "data-plane --redis-url redis://127.0.0.1:{redis} --node-id {id} \
             --http-listen 127.0.0.1:{ws} --relay-listen 127.0.0.1:{relay} \
             --control-endpoint http://127.0.0.1:{nobody}"
        );
        let mut process = start(folder.path(), id, &line);
        process.says("node listens");
        process
    };
    let killed = node("node-1", ws_1, relay_1);
    let other = node("node-2", ws_2, relay_2);
    let held: Vec<_> = (0..SOCKETS_MAX).map(|_| open(ws_1).expect("a place")).collect();
    assert!(open(ws_1).is_none() && open(ws_2).is_none());
    killed.kill();
    drop(held);
    assert!(open(ws_2).is_none(), "nobody knows yet");
    let freed = (0..POLL.1).find_map(|_| {
        thread::sleep(POLL.0);
        open(ws_2)
    });
    let first = freed.expect("the places are free");
    let more: Vec<_> = (1..SOCKETS_MAX).map(|_| open(ws_2).expect("all of them")).collect();
    assert!(open(ws_2).is_none());
    drop((first, more));
    other.stop();
}
