//! The routes over a real socket, and the page as text.

use super::*;
use crate::grpc::{Documents, Readers, Tokens};
use crate::store::{
    Assigned, AuditStore, Candidate, Document, DocumentName, Leadership, MemoryStore, Put,
    StoreError, StoredRoom,
};
use async_trait::async_trait;
use gavel_proto::telemetry::v1::{Counter, Gauge, Histogram, StreamReportsRequest};
use gavel_rules::{
    auction::AuctionRules,
    id::{NodeId, RoomId},
    order::{Epoch, Term, Version},
};
use std::{ops::RangeInclusive, sync::atomic::Ordering};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A store that never answers.
#[derive(Debug)]
struct Gone;

#[async_trait]
impl ClusterStore for Gone {
    async fn lead(&self, _: &Candidate, _: Option<Term>) -> Result<Leadership, StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn resign(&self, _: &Candidate, _: Term) -> Result<(), StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn room(&self, _: &RoomId) -> Result<Option<StoredRoom>, StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn create_room(&self, _: Term, _: &RoomId, _: &AuctionRules) -> Result<bool, StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn rooms(&self) -> Result<Vec<StoredRoom>, StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn assign(
        &self,
        _: Term,
        _: &RoomId,
        _: Epoch,
        _: Option<&NodeId>,
        _: Epoch,
    ) -> Result<Assigned, StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn document(&self, _: DocumentName) -> Result<Option<Document>, StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn put_document(
        &self,
        _: Term,
        _: DocumentName,
        _: Option<Version>,
        _: &str,
    ) -> Result<Put, StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Err(StoreError::Unavailable)
    }
}

#[async_trait]
impl AuditStore for Gone {
    async fn append_audit(&self, _: &str, _: u64) -> Result<u64, StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn amend_audit(&self, _: u64, _: &str) -> Result<(), StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn audit(&self, _: RangeInclusive<u64>) -> Result<Vec<(u64, String)>, StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn newest_audit(&self) -> Result<u64, StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn shared_secret(&self, _: &str) -> Result<String, StoreError> {
        Err(StoreError::Unavailable)
    }
}

fn state(store: impl ClusterStore) -> Arc<HttpState> {
    Arc::new(HttpState::new(Arc::new(store), Arc::default()))
}

/// Answers to a request for each path, each over a connection of its own.
async fn get_all<const N: usize>(state: Arc<HttpState>, paths: [&str; N]) -> [String; N] {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let readers = Readers::new(Tokens::default(), false);
    let ofrep = Ofrep { documents: Documents::new(), readers };
    let served = serve(listener, state, ofrep, Tls::default(), stop.clone());
    let served = gavel_runtime::tasks::spawn("test.http", served);
    let mut answers = paths.map(|_| String::new());
    for (path, answer) in paths.iter().zip(&mut answers) {
        let mut socket = TcpStream::connect(addr).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        socket.read_to_string(answer).await.unwrap();
    }
    stop.cancel();
    served.await.unwrap();
    answers
}

fn report() -> StreamReportsRequest {
    let counter = |name: &str, value| Counter { name: name.to_owned(), value };
    StreamReportsRequest {
        node_id: "node-1".to_owned(),
        incarnation: 1,
        at: 0,
        counters: vec![
            counter(r#"gavel_bids{outcome="accepted"}"#, 2),
            counter(r#"gavel_bids{outcome="too_low"}"#, 3),
            counter("gavel_bids_x", 4),
            counter("gavel_bids", 5),
        ],
        gauges: vec![
            Gauge { name: "gavel_sockets".to_owned(), value: 7 },
            Gauge { name: "gavel_bids_total".to_owned(), value: 8 },
        ],
        histograms: vec![Histogram {
            name: "gavel_ack_seconds".to_owned(),
            bounds: vec![0.001, 0.5],
            counts: vec![1, 2, 3],
            sum: 4.5,
        }],
        trials: Vec::new(),
    }
}

#[tokio::test]
async fn probes_tell_whether_the_store_answers() {
    let paths = ["/livez", "/readyz", "/nothing"];
    let statuses = |answers: [String; 3]| answers.map(|answer| answer[9..12].to_owned());
    let well = get_all(state(MemoryStore::new()), paths).await;
    assert_eq!(statuses(well), ["200", "200", "404"]);
    let ill = get_all(state(Gone), paths).await;
    assert!(ill[1].ends_with("the store does not answer\n"), "{}", ill[1]);
    assert_eq!(statuses(ill), ["200", "503", "404"]);
}

#[tokio::test]
async fn heads_have_the_same_limits_as_on_a_node() {
    // What follows a path stands in the head as it is.
    let headers = "X: y\r\n".repeat(70);
    let [answer] =
        get_all(state(MemoryStore::new()), [&format!("/livez HTTP/1.1\r\n{headers}Y:")]).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn prometheus_gets_its_text() {
    let state = state(MemoryStore::new());
    state.rooms.store(3, Ordering::Relaxed);
    state.rollup.lock().report(report(), Timestamp::new(clock::now_ms()));
    let [answer] = get_all(state, ["/metrics"]).await;
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    assert!(answer.contains("\ngavel_control_rooms 3\n"), "{answer}");
    assert!(answer.contains("\ngavel_cluster_sockets 7\n"), "{answer}");
}

#[test]
fn the_page_holds_each_family_once_and_in_one_piece() {
    let state = state(MemoryStore::new());
    state.nodes_live.store(1, Ordering::Relaxed);
    state.assignments.store(9, Ordering::Relaxed);
    state.rollup.lock().report(report(), Timestamp::new(0));
    let expected = r#"# HELP gavel_control_leader 1 on the replica that leads.
# TYPE gavel_control_leader gauge
gavel_control_leader 0
# HELP gavel_control_term The term that this process leads under, 0 if it does not.
# TYPE gavel_control_term gauge
gavel_control_term 0
# HELP gavel_control_nodes_live Nodes whose lease holds.
# TYPE gavel_control_nodes_live gauge
gavel_control_nodes_live 1
# HELP gavel_control_nodes_reporting Nodes that reported within the last 10000 ms.
# TYPE gavel_control_nodes_reporting gauge
gavel_control_nodes_reporting 1
# HELP gavel_control_nodes_held Nodes that are silent and keep their rooms for the brake.
# TYPE gavel_control_nodes_held gauge
gavel_control_nodes_held 0
# HELP gavel_control_brake 1 while so many nodes are silent that none loses its rooms.
# TYPE gavel_control_brake gauge
gavel_control_brake 0
# HELP gavel_control_rooms Rooms that exist.
# TYPE gavel_control_rooms gauge
gavel_control_rooms 0
# HELP gavel_control_assignments_total Rooms given to a node by this process, for the first time or anew.
# TYPE gavel_control_assignments_total counter
gavel_control_assignments_total 9
# HELP gavel_control_moves_total Rooms moved from one living node to another.
# TYPE gavel_control_moves_total counter
gavel_control_moves_total 0
# HELP gavel_control_config_refused_total Documents that a node refused.
# TYPE gavel_control_config_refused_total counter
gavel_control_config_refused_total 0
# HELP gavel_control_rollbacks_total Rollouts of flags that went back because the treatment did worse.
# TYPE gavel_control_rollbacks_total counter
gavel_control_rollbacks_total 0
# HELP gavel_cluster_bids_total gavel_bids of all nodes together.
# TYPE gavel_cluster_bids_total counter
gavel_cluster_bids_total 5
gavel_cluster_bids_total{outcome="accepted"} 2
gavel_cluster_bids_total{outcome="too_low"} 3
# HELP gavel_cluster_bids_x_total gavel_bids_x of all nodes together.
# TYPE gavel_cluster_bids_x_total counter
gavel_cluster_bids_x_total 4
# HELP gavel_cluster_sockets gavel_sockets of all nodes together.
# TYPE gavel_cluster_sockets gauge
gavel_cluster_sockets 7
# HELP gavel_cluster_ack_seconds gavel_ack_seconds of all nodes together.
# TYPE gavel_cluster_ack_seconds histogram
gavel_cluster_ack_seconds_bucket{le="0.001"} 1
gavel_cluster_ack_seconds_bucket{le="0.5"} 3
gavel_cluster_ack_seconds_bucket{le="+Inf"} 6
gavel_cluster_ack_seconds_sum 4.5
gavel_cluster_ack_seconds_count 6
"#;
    assert_eq!(metrics::page(&state, Timestamp::new(10_000)), expected);
}
