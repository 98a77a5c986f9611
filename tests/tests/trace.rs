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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_trace_follows_a_bid() {
    if config::variable(CHILD).is_some() {
        return be_traced().await;
    }
    let collector = Collector::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let serve = grpc::server()
        .add_service(TraceServiceServer::new(collector.clone()))
        .serve_with_incoming(TcpListenerStream::new(listener));
    drop(tasks::spawn("collector", serve));
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "one_trace_follows_a_bid"])
        .env(CHILD, "1")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .env("OTEL_TRACES_SAMPLER", "always_on")
        .stdout(Stdio::null())
        .kill_on_drop(true);
    let ending = tokio::time::timeout(Duration::from_secs(60), command.output());
    let output = ending.await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let spans = collector.all();
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
