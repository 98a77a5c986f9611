//! What a killed process leaves in its directory is audited without it.

use crate::{
    bidders::bid_once,
    process::{Server, gavel},
};
use gavel_control_plane::store::{Candidate, ClusterStore as _, RedbStore};
use gavel_runtime::disk::Disk;
use std::{path::Path, process::Output, sync::Arc};

fn verify(directory: &Path, line: &str) -> Output {
    let mut command = gavel("verify --data");
    command.arg(directory).args(line.split_whitespace()).output().expect("the binary runs")
}

#[track_caller]
fn assert_said(output: &Output, status: i32, words: &[&str]) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_run_is_found_good_in_the_directory_of_a_killed_process() {
    let (server, folder) = (Server::new(), tempfile::tempdir().expect("a folder"));
    let record = folder.path().join("run.jsonl");
    let record = record.to_str().expect("text");
    let process = server.start();
    for room in ["vase", "lamp"] {
        server.json(&format!(
            "rooms create {room} --opening-price 10.00 --increment 1.00 --closes-in 1h --guests bid"
        ));
    }
    server.json("limits set bids_per_user_max=0 sockets_per_ip_max=0");
    server.json(&format!(
        "load --url {} --sockets 6 --room-ids vase,lamp --bids-per-second 60 --duration 1s \
         --record {record}",
        server.url()
    ));
    let in_use = verify(&server.data(), "");
    assert_said(&in_use, 69, &["--data", "in use by another process"]);
    process.kill();

    let recorded = format!("--history {record}");
    let complete = format!("{recorded} --complete");
    assert_said(&verify(&server.data(), &complete), 0, &["vase", "lamp", "ok"]);
    let process = server.start();
    bid_once(&server.url(), "vase").await;
    process.kill();
    let phantom = verify(&server.data(), &complete);
    assert_said(&phantom, 1, &["invariant 6 (no phantom)", "1 of 2 rooms"]);
    assert_said(&verify(&server.data(), &recorded), 0, &["vase", "lamp"]);
    assert_said(&verify(&server.data(), "lamp"), 0, &["lamp"]);
    add_unowned(&server.data(), "chair").await;
    let all = verify(&server.data(), "");
    assert_said(&all, 0, &["vase", "lamp"]);
    assert_said(&verify(&server.data(), "chair"), 1, &["the directory holds no room chair"]);
}

/// A room as it is between its creation and its first owner.
async fn add_unowned(directory: &Path, room: &str) {
    let store = RedbStore::new(Arc::new(Disk::open(directory).expect("the store opens")));
    let us = Candidate { replica: "us".to_owned(), endpoint: String::new() };
    let leads = store.lead(&us, None).await.expect("the lease");
    let rooms = store.rooms().await.expect("the rooms");
    let rules = &rooms.first().expect("a room").rules;
    let created = store.create_room(leads.term, &room.parse().expect("an id"), rules).await;
    assert_eq!(created, Ok(true));
}

#[test]
fn a_directory_without_a_store_is_64_and_stays_without() {
    let folder = tempfile::tempdir().expect("a folder");
    for directory in [folder.path().to_owned(), folder.path().join("none")] {
        let name = directory.to_str().expect("text");
        assert_said(&verify(&directory, ""), 64, &[name, "holds no store"]);
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0);
    for other in ["--redis-url redis://h", "--node http://h", "--stream s", "--all"] {
        assert_said(&verify(folder.path(), other), 64, &["--data"]);
    }
}
