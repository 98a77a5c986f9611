//! A cluster of processes that show each other certificates of `gavel certs
//! dev`, as docs/security.md starts it.

use super::{
    process::Process,
    verbs::{done, gavel, in_force, start, start_redis},
};
use gavel_testkit::blocking::free_port;
use serde_json::Value;
use std::path::Path;

/// Where everything is.
struct Place<'a> {
    folder: &'a Path,
    redis: u16,
    grpc: u16,
}

// === impl Place ===

impl Place<'_> {
    fn certs(&self) -> String {
        self.folder.join("certs").display().to_string()
    }

    /// What a process shows, and to whom it listens.
    fn shows(&self, name: &str) -> String {
        let (certs, redis) = (self.certs(), self.redis);
        format!(
            "--set tls.cert_file={certs}/{name}.pem --set tls.key_file={certs}/{name}.key \
             --set tls.ca_file={certs}/ca.pem --set tls.client_ca_file={certs}/ca.pem \
             --redis-url redis://127.0.0.1:{redis}"
        )
    }

    fn control(&self) -> Process {
        let (http, grpc, shows) = (free_port(), self.grpc, self.shows("control-plane"));
        let listens = format!("--http-listen 127.0.0.1:{http} --grpc-listen 127.0.0.1:{grpc}");
        start(self.folder, "control", &format!("control-plane {listens} {shows}"))
    }

    /// A node with this certificate.
    fn node(&self, id: &str, cert: &str, web: u16) -> Process {
        let (relay, grpc, shows) = (free_port(), self.grpc, self.shows(cert));
        let line = format!(
            "data-plane --node-id {id} --http-listen 127.0.0.1:{web} --set admin.token=hush \
             --relay-listen 127.0.0.1:{relay} --control-endpoint https://127.0.0.1:{grpc} {shows}"
        );
        start(self.folder, &format!("{id}-as-{cert}"), &line)
    }

    /// What an operator of this role gives to a verb.
    fn by(&self, role: &str) -> String {
        let (certs, grpc) = (self.certs(), self.grpc);
        format!(
            "--endpoint https://127.0.0.1:{grpc} --ca {certs}/ca.pem \
             --cert {certs}/operator-{role}.pem --key {certs}/operator-{role}.key"
        )
    }

    fn create(&self, room: &str, role: &str) -> String {
        format!(
            "rooms create {room} --title {room} --opening-price 10.00 --increment 1.00 \
             --closes-in 1h --guests bid {}",
            self.by(role)
        )
    }

    /// Who did what to what, the newest first.
    fn audited(&self) -> Vec<[String; 3]> {
        let listed = done(&format!("audit list --json {}", self.by("viewer"))).stdout;
        let entries: Vec<Value> = serde_json::from_slice(&listed).expect("JSON");
        let text = |entry: &Value, key: &str| {
            entry.get(key).and_then(Value::as_str).expect("a text").to_owned()
        };
        let told = |entry: &Value| ["name", "resource", "outcome"].map(|key| text(entry, key));
        entries.iter().map(told).collect()
    }
}

#[test]
fn processes_that_show_who_they_are_make_a_cluster_and_impostors_do_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let [redis, grpc, web_1, web_2] = [(); 4].map(|()| free_port());
    let place = Place { folder: folder.path(), redis, grpc };
    let certs = place.certs();
    done(&format!("certs dev {certs}"));
    let _redis = start_redis(folder.path(), redis);
    let mut control = place.control();
    control.says("control plane listens");
    let first = place.node("node-1", "node-1", web_1);
    control.says("a node registers");
    let impostor = place.node("node-2", "node-1", web_2);
    control.says("a node has another one's certificate");
    impostor.kill();
    assert_eq!(control.said("a node registers"), 1);
    let second = place.node("node-2", "node-2", web_2);

    let refused = gavel(&place.create("lamp", "viewer")).output().expect("the binary runs");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && said.contains("operator"), "{said}");
    for room in ["lamp", "chair", "clock"] {
        done(&place.create(room, "operator"));
    }
    let limits = "limits set sockets_per_ip_max=0 bids_per_user_max=0";
    done(&format!("{limits} {}", place.by("admin")));
    in_force(2, 2, &place.by("viewer"));

    // Half of the bids go over the relay, whichever node owns a room.
    let urls = format!("wss://localhost:{web_1}/ws,wss://localhost:{web_2}/ws");
    let history = folder.path().join("run.jsonl");
    let history = history.display();
    done(&format!(
        "load --url {urls} --ca {certs}/ca.pem --sockets 40 --room-ids lamp,chair,clock \
         --bids-per-second 40 --duration 3s --json --record {history}"
    ));
    let node = format!("--node https://localhost:{web_2} --token hush --ca {certs}/ca.pem");
    done(&format!("verify --history {history} --complete {node}"));
    assert_eq!(
        place.audited(),
        [
            ["admin", "limits", "DONE"],
            ["operator", "rooms/clock", "DONE"],
            ["operator", "rooms/chair", "DONE"],
            ["operator", "rooms/lamp", "DONE"],
            ["viewer", "rooms", "PERMISSION_DENIED"],
        ]
    );
    for process in [second, first, control] {
        process.stop();
    }
}
