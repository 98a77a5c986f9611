//! `gavel dev --data` goes on where it was.

use crate::{
    bidders::bid_once,
    process::{Process, at, gavel, json},
};
use gavel_testkit::blocking::until;
use serde_json::Value;
use std::path::Path;

struct Dev {
    process: Process,
    addresses: Value,
}

// === impl Dev ===

impl Dev {
    fn start(folder: &Path, run: u32) -> Self {
        let mut command = gavel("dev --node-ports 0,0 --control-ports 0,0 --print-json");
        command.arg("--data").arg(folder.join("data")).env("RUST_LOG", "off");
        let process = Process::start(&mut command, &folder.join(format!("run-{run}")));
        let addresses = until("the addresses", || serde_json::from_str(&process.words()).ok());
        Self { process, addresses }
    }

    fn json(&self, line: &str) -> Value {
        let grpc = at(&self.addresses, "/control/grpc").as_str().expect("an address");
        let output = gavel(line).env("GAVEL_ENDPOINT", grpc).arg("--json").output();
        json(&output.expect("it runs")).unwrap_or_else(|| panic!("{line} does not go well"))
    }

    fn room(&self, id: &str) -> Value {
        until("the room's view", || {
            let room = self.json(&format!("rooms get {id}"));
            room.pointer("/view/state").is_some().then_some(room)
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demo_auctions_go_on_and_are_not_created_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let dev = Dev::start(folder.path(), 1);
    dev.json("rooms create vase --opening-price 10.00 --increment 1 --closes-in 1h");
    dev.json("limits set sockets_per_ip_max=77");
    let url = at(&dev.addresses, "/nodes/0/ws").as_str().expect("a URL").to_owned();
    let ack = bid_once(&url, "10").await;
    assert_eq!(ack.durability, "durable");
    let before = dev.room("10");
    dev.process.kill();

    let mut dev = Dev::start(folder.path(), 2);
    let rooms = dev.json("rooms list");
    assert_eq!(rooms.as_array().map(Vec::len), Some(11), "{rooms}");
    assert_eq!(*at(&dev.json("limits get"), "/limits/sockets_per_ip_max"), 77);
    let after = dev.room("10");
    for field in ["price", "highBidder", "bidCount", "closesAt", "seq"] {
        let path = format!("/view/{field}");
        assert_eq!(at(&after, &path), at(&before, &path), "{field}");
    }
    assert!(dev.process.stop().success());
}
