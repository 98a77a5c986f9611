//! A node that comes to the end of the memory it may have.

use crate::target::{Socket, Target};

/// What it takes to fill the node up beyond what it holds when nobody is there.
const ROOM_BYTES: u64 = 48 << 20;
/// What one socket leaves of a message that it does not end.
const PART_BYTES: u64 = 512 << 10;

/// What a process holds that serves nobody.
fn idle_bytes() -> u64 {
    let folder = tempfile::tempdir().expect("a folder");
    let target = Target::start(folder.path(), "idle", "", |command| command);
    target.bidders().bid();
    target.resident_bytes()
}

/// Lets sockets begin messages until the process holds so much.
fn fill(target: &Target, sockets: &mut impl Iterator<Item = Socket>, bytes: u64) -> Vec<Socket> {
    let mut filled = Vec::new();
    target.until("a full process", |target| {
        if target.resident_bytes() >= bytes {
            return true;
        }
        let mut socket = sockets.next().expect("enough sockets");
        socket.begin_message(PART_BYTES);
        filled.push(socket);
        false
    });
    filled
}

#[test]
fn a_node_without_memory_refuses_who_comes_and_serves_who_is_there() {
    let max = (idle_bytes() + ROOM_BYTES) * 100 / 90;
    let folder = tempfile::tempdir().expect("a folder");
    let setting = format!("--set data_plane.node.memory_max_bytes={max}");
    let mut target = Target::start(folder.path(), "full", &setting, |command| command);
    assert_eq!(target.metric("gavel_memory_max_bytes"), max);
    let mut bidders = target.bidders();
    let idle: Vec<_> = (0..400).map(|_| target.open().expect("a socket")).collect();
    let mut idle = idle.into_iter();
    bidders.bid();
    assert_eq!(target.get("/readyz").0, 200);

    let filled = fill(&target, &mut idle, max / 100 * 91);
    target.process.says("no more sockets are opened");
    let refused = target.open().err().expect("no socket");
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.to_lowercase().contains("\r\nretry-after: "), "{refused}");
    assert_eq!(target.get("/readyz").0, 503);
    assert_eq!(target.metric("gavel_shedding{what=\"sockets\"}"), 1);
    bidders.bid();

    let more = fill(&target, &mut idle, max / 100 * 97);
    target.process.says("no more connections are taken");
    let mut outside = Socket::on(target.connect());
    outside.ask();
    bidders.bid();

    drop((filled, more));
    target.process.says("enough is free again");
    outside.upgraded().expect("it was let in at last");
    outside.until("\"welcome\"");
    bidders.bid();
    target.until("a node at ease", |target| target.get("/readyz").0 == 200);
    target.process.stop();
}
