//! A cluster of separate processes on a real Redis, as the README starts it.

mod attacks;
mod memory;
mod places;
mod process;
mod replicas;
mod secrets;
mod target;
mod tls;
mod verbs;

use gavel_testkit::blocking::free_port;
use verbs::{done, gavel, in_force, start, start_redis};

#[test]
fn separate_processes_wait_for_redis_and_then_are_one_cluster() {
    let folder = tempfile::tempdir().expect("a folder");
    let [redis, http, grpc, ws_1, ws_2, relay_1, relay_2] = [(); 7].map(|()| free_port());
    let control = format!(
        "control-plane --redis-url redis://127.0.0.1:{redis} \
         --http-listen 127.0.0.1:{http} --grpc-listen 127.0.0.1:{grpc}"
    );
    let node = |id: &str, ws: u16, relay: u16| {
        format!(
            "data-plane --redis-url redis://127.0.0.1:{redis} --node-id {id} \
             --http-listen 127.0.0.1:{ws} --relay-listen 127.0.0.1:{relay} \
             --control-endpoint http://127.0.0.1:{grpc}"
        )
    };
    let mut control = start(folder.path(), "control", &control);
    let mut first = start(folder.path(), "node-1", &node("node-1", ws_1, relay_1));
    let mut second = start(folder.path(), "node-2", &node("node-2", ws_2, relay_2));
    for process in [&mut control, &mut first, &mut second] {
        process.says("redis.url: no answer; trying again");
    }

    let _redis = start_redis(folder.path(), redis);
    control.says("control plane listens");
    first.says("node listens");
    second.says("node listens");
    control.says("a node registers");

    let endpoint = format!("--endpoint http://127.0.0.1:{grpc}");
    for room in ["lamp", "chair", "clock"] {
        done(&format!(
            "rooms create {room} --title {room} --opening-price 10.00 --increment 1.00 \
             --closes-in 1h --guests bid {endpoint}"
        ));
    }
    done(&format!("limits set sockets_per_ip_max=0 bids_per_user_max=0 {endpoint}"));
    in_force(2, 2, &endpoint);
    let urls = format!("ws://127.0.0.1:{ws_1}/ws,ws://127.0.0.1:{ws_2}/ws");
    let history = folder.path().join("run.jsonl");
    let history = history.display();
    done(&format!(
        "load --url {urls} --sockets 40 --room-ids lamp,chair,clock --bids-per-second 40 \
         --duration 3s --json --record {history}"
    ));
    for process in [first, second, control] {
        process.stop();
    }
    // What was acknowledged outlives the cluster.
    let redis = format!("--redis-url redis://127.0.0.1:{redis}");
    done(&format!("verify --history {history} --complete {redis}"));
    let output = gavel(&format!("verify nothing {redis}")).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}
