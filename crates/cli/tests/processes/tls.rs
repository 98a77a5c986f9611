//! A cluster of processes that show each other certificates of `gavel certs
//! dev`, as docs/security.md starts it.

use super::verbs::{done, gavel, in_force, start, start_redis};
use gavel_testkit::blocking::free_port;
use serde_json::Value;

#[test]
fn processes_that_show_who_they_are_make_a_cluster_and_impostors_do_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let [redis, http, grpc, ws_1, ws_2, relay_1, relay_2] = [(); 7].map(|()| free_port());
    let certs = folder.path().join("certs");
    let certs = certs.display();
    done(&format!("certs dev {certs}"));
    let shows = |name: &str| {
        format!(
            "--set tls.cert_file={certs}/{name}.pem --set tls.key_file={certs}/{name}.key \
             --set tls.ca_file={certs}/ca.pem --set tls.client_ca_file={certs}/ca.pem \
             --redis-url redis://127.0.0.1:{redis}"
        )
    };
    let node = |id: &str, cert: &str, ws: u16, relay: u16| {
        format!(
            "data-plane --node-id {id} --http-listen 127.0.0.1:{ws} --set admin.token=hush \
             --relay-listen 127.0.0.1:{relay} --control-endpoint https://127.0.0.1:{grpc} {}",
            shows(cert)
        )
    };
    let _redis = start_redis(folder.path(), redis);
    let control = format!(
        "control-plane --http-listen 127.0.0.1:{http} --grpc-listen 127.0.0.1:{grpc} {}",
        shows("control-plane")
    );
    let mut control = start(folder.path(), "control", &control);
    control.says("control plane listens");
    let first = start(folder.path(), "node-1", &node("node-1", "node-1", ws_1, relay_1));
    control.says("a node registers");
    let impostor = start(folder.path(), "impostor", &node("node-2", "node-1", ws_2, relay_2));
    control.says("a node has another one's certificate");
    impostor.kill();
    assert_eq!(control.said("a node registers"), 1);
    let second = start(folder.path(), "node-2", &node("node-2", "node-2", ws_2, relay_2));

    let by = |role: &str| {
        format!(
            "--endpoint https://127.0.0.1:{grpc} --ca {certs}/ca.pem \
             --cert {certs}/operator-{role}.pem --key {certs}/operator-{role}.key"
        )
    };
    let rooms = ["lamp", "chair", "clock"];
    let create = |room: &str, by: &str| {
        format!(
            "rooms create {room} --title {room} --opening-price 10.00 --increment 1.00 \
             --closes-in 1h --guests bid {by}"
        )
    };
    let refused = gavel(&create("lamp", &by("viewer"))).output().expect("the binary runs");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && said.contains("operator"), "{said}");
    for room in rooms {
        done(&create(room, &by("operator")));
    }
    let limits = "limits set sockets_per_ip_max=0 bids_per_user_max=0";
    done(&format!("{limits} {}", by("admin")));
    in_force(2, &by("viewer"));

    // Half of the bids go over the relay, whichever node owns a room.
    let urls = format!("wss://localhost:{ws_1}/ws,wss://localhost:{ws_2}/ws");
    let history = folder.path().join("run.jsonl");
    let history = history.display();
    done(&format!(
        "load --url {urls} --ca {certs}/ca.pem --sockets 40 --room-ids lamp,chair,clock \
         --bids-per-second 40 --duration 3s --json --record {history}"
    ));
    done(&format!(
        "verify --history {history} --complete --node https://localhost:{ws_2} --token hush \
         --ca {certs}/ca.pem"
    ));
    let listed = done(&format!("audit list --json {}", by("viewer"))).stdout;
    let entries: Vec<Value> = serde_json::from_slice(&listed).expect("JSON");
    let told: Vec<_> = entries
        .iter()
        .map(|entry| {
            (entry["name"].as_str(), entry["resource"].as_str(), entry["outcome"].as_str())
        })
        .collect();
    let done_by = |name, resource| (Some(name), Some(resource), Some("DONE"));
    assert_eq!(
        told,
        [
            done_by("admin", "limits"),
            done_by("operator", "rooms/clock"),
            done_by("operator", "rooms/chair"),
            done_by("operator", "rooms/lamp"),
            (Some("viewer"), Some("rooms"), Some("PERMISSION_DENIED")),
        ]
    );
    for process in [second, first, control] {
        process.stop();
    }
}
