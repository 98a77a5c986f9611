//! Spans reach a collector over OTLP, and the last ones leave when the guard
//! of telemetry goes; logs reach standard error in either format.
//!
//! Variables cannot be changed safely in a running process, so the test starts
//! itself again as the process that is traced.

#![expect(
    clippy::unwrap_used,
    reason = "clippy knows tests by their attribute and not by their directory"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use gavel_runtime::{config, grpc, tasks, telemetry};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

const CHILD: &str = "GAVEL_TEST_TRACED_BY";
const REMOTE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const REMOTE_TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[derive(Clone, Default)]
struct Collector {
    received: Arc<parking_lot::Mutex<Vec<ResourceSpans>>>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let spans = request.into_inner().resource_spans;
        self.received.lock().extend(spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = TraceServiceServer::new(self.clone());
        let serving = grpc::server()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener));
        drop(tasks::spawn("test.collector", async move {
            serving.await.unwrap();
        }));
        address
    }

    /// Trace, name and number of links of each span.
    fn spans(&self) -> Vec<(String, String, usize)> {
        let received = self.received.lock();
        let scopes = received.iter().flat_map(|r| &r.scope_spans);
        scopes
            .flat_map(|scope| &scope.spans)
            .map(|span| {
                let trace = span.trace_id.iter().map(|b| format!("{b:02x}")).collect();
                (trace, span.name.clone(), span.links.len())
            })
            .collect()
    }

    fn resource(&self, key: &str) -> Option<String> {
        let received = self.received.lock();
        let attributes = &received.first()?.resource.as_ref()?.attributes;
        let found = attributes.iter().find(|a| a.key == key)?;
        let value = found.value.as_ref()?.value.clone()?;
        let Value::StringValue(text) = value else {
            return None;
        };
        Some(text)
    }
}

/// How the traced process ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Flush,
    Drop,
}

async fn be_traced(end: &str) {
    let guard = telemetry::init("gavel-test", "run-1");
    let bid = tracing::info_span!("room.bid");
    telemetry::parent_of(&bid, REMOTE);
    let sent = bid.in_scope(telemetry::inject);
    tracing::info!(seq = 7, "told");
    tracing::debug!("not told");
    let fanout = tracing::info_span!("room.fanout");
    telemetry::link_all(&fanout, sent.as_deref().into_iter());
    drop((bid, fanout));
    if end == "Flush" {
        guard.flush().await;
    } else {
        drop(guard);
    }
}

/// Runs one traced process; gives what it sent and what it logged.
async fn trace_one(end: End, switches: &[(&str, &str)]) -> (Collector, String) {
    let collector = Collector::default();
    let endpoint = format!("http://{}", collector.listen().await);
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "spans_reach_the_collector"])
        .env(CHILD, format!("{end:?}"))
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .env_remove("RUST_LOG")
        .envs(switches.iter().copied())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    let ending = tokio::time::timeout(Duration::from_secs(30), command.output());
    let output = ending.await.unwrap().unwrap();
    assert!(output.status.success());
    (collector, String::from_utf8(output.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_reach_the_collector() {
    if let Some(end) = config::variable(CHILD) {
        return be_traced(&end).await;
    }
    let off = [("OTEL_SDK_DISABLED", "true"), ("GAVEL_LOG_FORMAT", "json")];
    let (silent, log) = trace_one(End::Drop, &off).await;
    assert_eq!(silent.spans(), []);
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(log.starts_with('{') && log.contains(r#""seq":7"#), "{log}");

    for end in [End::Flush, End::Drop] {
        let (collector, log) = trace_one(end, &[("RUST_LOG", "warn")]).await;
        assert_eq!(log, "", "a quiet log does not thin out traces");
        let spans = collector.spans();
        let bid = (REMOTE_TRACE.to_owned(), "room.bid".to_owned(), 0);
        assert!(spans.contains(&bid), "{end:?}: {spans:?}");
        let linked = spans.iter().any(|(trace, name, links)| {
            name == "room.fanout" && *links == 1 && trace != REMOTE_TRACE
        });
        assert!(linked, "{end:?}: {spans:?}");
        let resource = |key| collector.resource(key).unwrap();
        assert_eq!(resource("service.name"), "gavel-test");
        assert_eq!(resource("service.instance.id"), "run-1");
    }
}
