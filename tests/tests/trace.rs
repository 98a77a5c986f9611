//! One trace follows a bid from its socket over the relay and the append to
//! the fan-out on both nodes.
//!
//! Variables cannot be changed safely in a running process, so the test starts
//! itself again as the cluster that is traced.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy knows tests by their attribute and not by their directory"
)]

use gavel_runtime::{config, grpc, tasks, telemetry};
use gavel_tests::{Client, Protocol, World, world::rules};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value,
    trace::v1::Span,
};
use serde_json::json;
use std::{
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

const CHILD: &str = "GAVEL_TEST_TRACED";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        let spans = resources.flat_map(|r| r.scope_spans).flat_map(|scope| scope.spans);
        self.spans.lock().unwrap().extend(spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    fn all(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }
}

/// The traced cluster: one bid from the edge, seen on both nodes.
async fn be_traced() {
    let guard = telemetry::init("gavel-test", "trace");
    let world = World::start().await;
    let room = world.room("chair", rules()).await;
    let mut at_owner = Client::connect(room.owner, Protocol::V1).await;
    let mut at_edge = Client::connect(room.edge, Protocol::V1).await;
    at_owner.join(&room.id).await;
    at_edge.join(&room.id).await;
    let tp = format!("00-{TRACE}-{PARENT}-01");
    at_edge
        .send(&json!({"type": "bid", "auctionId": "chair", "amount": 100, "bidId": "b",
            "tp": tp}))
        .await;
    let ack = at_edge.expect("ack", |m| m["type"] == "bidAccepted").await;
    for client in [&mut at_owner, &mut at_edge] {
        client.update(ack["seq"].as_u64().unwrap()).await;
    }
    world.stop().await;
    guard.flush().await;
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn number(span: &Span, key: &str) -> Option<i64> {
    let attribute = span.attributes.iter().find(|attribute| attribute.key == key)?;
    let value = attribute.value.as_ref()?.value.as_ref()?;
    if let any_value::Value::StringValue(text) = value {
        return text.parse().ok();
    }
    let any_value::Value::IntValue(number) = value else { return None };
    Some(*number)
}

/// What the cluster that is this test, run anew, sends of itself.
async fn spans_of(test: &str, sampler: Option<&str>) -> Vec<Span> {
    let collector = Collector::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let serve = grpc::server()
        .add_service(TraceServiceServer::new(collector.clone()))
        .serve_with_incoming(TcpListenerStream::new(listener));
    drop(tasks::spawn("collector", serve));
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test])
        .env(CHILD, "1")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .env_remove("OTEL_TRACES_SAMPLER")
        .envs(sampler.map(|sampler| ("OTEL_TRACES_SAMPLER", sampler)))
        .stdout(Stdio::null())
        .kill_on_drop(true);
    let ending = tokio::time::timeout(Duration::from_secs(60), command.output());
    let output = ending.await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    collector.all()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_trace_follows_a_bid() {
    if config::variable(CHILD).is_some() {
        return be_traced().await;
    }
    let spans = spans_of("one_trace_follows_a_bid", Some("always_on")).await;
    let names: Vec<_> =
        spans.iter().map(|span| (&span.name, hex(&span.trace_id), hex(&span.span_id))).collect();
    let named = |name: &str| {
        let in_trace = |span: &&Span| span.name == name && hex(&span.trace_id) == TRACE;
        let found: Vec<_> = spans.iter().filter(in_trace).collect();
        assert_eq!(found.len(), 1, "{name}: {names:#?}");
        found[0]
    };
    let message = named("socket.message");
    assert_eq!(hex(&message.parent_span_id), PARENT, "the client's span is the parent");
    let bid = named("room.bid");
    assert_eq!(bid.parent_span_id, message.span_id, "over the relay");
    let append = named("store.append");
    assert_eq!(append.parent_span_id, bid.span_id);
    let fanouts: Vec<_> = spans
        .iter()
        .filter(|span| {
            let linked = |span: &Span| span.links.iter().any(|link| link.span_id == bid.span_id);
            span.name == "room.fanout" && linked(span)
        })
        .collect();
    assert_eq!(fanouts.len(), 2, "one on each node: {names:#?}");
    let seqs: Vec<_> = fanouts.iter().map(|span| number(span, "seq")).collect();
    assert_eq!(seqs[0], seqs[1]);
    assert!(seqs[0].is_some(), "{:#?}", fanouts[0].attributes);
    assert!(fanouts.iter().all(|span| number(span, "recipients") == Some(1)));
    let ids: std::collections::BTreeSet<_> = spans.iter().map(|span| hex(&span.span_id)).collect();
    assert_eq!(ids.len(), spans.len(), "no span is sent twice");
}

/// Bids of each share, and how many there are.
const SHARES: [(&str, f64, u64); 4] =
    [("none", 0.0, 20), ("all", 1.0, 20), ("half", 0.5, 100), ("again", 0.0, 20)];

/// A cluster in which the share of traced bids is switched while bids flow.
async fn be_sampled() {
    let guard = telemetry::init("gavel-test", "sampled");
    let world = World::start().await;
    let room = world.room("chair", rules()).await;
    let mut bidders = [
        Client::connect(room.owner, Protocol::V1).await,
        Client::connect(room.edge, Protocol::V1).await,
    ];
    for bidder in &mut bidders {
        bidder.join(&room.id).await;
    }
    let mut amount = 0;
    for (name, share, bids) in SHARES {
        let flag = json!({"state": "ENABLED", "variants": {"x": share}, "defaultVariant": "x"});
        world.flags(&json!({"flags": {"room-trace-sampling": flag}})).await;
        for n in 0..bids {
            amount += 100;
            let bidder = &mut bidders[usize::try_from(amount / 100 % 2).unwrap()];
            bidder.accepted(&room.id, amount, &format!("{name}-{n}")).await;
        }
    }
    let tp = format!("00-{TRACE}-{PARENT}-01");
    let bid = json!({"type": "bid", "auctionId": "chair", "amount": amount + 100,
        "bidId": "led-0", "tp": tp});
    bidders[1].send(&bid).await;
    bidders[1].expect("ack", |m| m["type"] == "bidAccepted" && m["bidId"] == "led-0").await;
    world.stop().await;
    guard.flush().await;
}

fn text(span: &Span, key: &str) -> Option<String> {
    let attribute = span.attributes.iter().find(|attribute| attribute.key == key)?;
    let value = attribute.value.as_ref()?.value.as_ref()?;
    let any_value::Value::StringValue(text) = value else { return None };
    Some(text.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_s_bids_are_traced_by_the_share_of_its_flag() {
    if config::variable(CHILD).is_some() {
        return be_sampled().await;
    }
    let spans = spans_of("a_room_s_bids_are_traced_by_the_share_of_its_flag", None).await;
    let of = |name: &str, phase: &str| {
        let mine = |span: &&Span| {
            span.name == name && text(span, "bid.id").is_some_and(|id| id.starts_with(phase))
        };
        spans.iter().filter(mine).count()
    };
    for name in ["socket.message", "room.bid"] {
        assert_eq!((of(name, "none-"), of(name, "all-"), of(name, "again-")), (0, 20, 0), "{name}");
        assert!((20..=80).contains(&of(name, "half-")), "{name}: {}", of(name, "half-"));
        assert_eq!(of(name, "led-"), 1, "a client's own trace goes on");
    }
    // Seqs 1 and 2 are of no bid; then one event for each bid, one after the other.
    let seen = |name: &str, from: i64, to: i64| {
        let within = |span: &&Span| {
            span.name == name && number(span, "seq").is_some_and(|seq| (from..to).contains(&seq))
        };
        spans.iter().filter(within).count()
    };
    // An append tells the seq before it, a fan-out its own.
    assert_eq!((seen("store.append", 2, 22), seen("room.fanout", 3, 23)), (0, 0));
    assert_eq!((seen("store.append", 22, 42), seen("room.fanout", 23, 43)), (20, 40));
    assert_eq!((seen("store.append", 142, 162), seen("room.fanout", 143, 163)), (0, 0));
}
