//! Metrics of nodes, summed.

use crate::world::{channel, start, until};
use gavel_control_plane::ControlPlane;
use gavel_proto::{
    admin::v1::{GetMetricsRequest, metrics_service_client::MetricsServiceClient},
    telemetry::v1::{
        Counter, Histogram, StreamReportsRequest, telemetry_service_client::TelemetryServiceClient,
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// What Prometheus gets.
pub(crate) async fn page(control: &ControlPlane) -> String {
    let mut socket = TcpStream::connect(control.http_addr()).await.expect("HTTP");
    let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    socket.write_all(request).await.expect("a request");
    let mut page = String::new();
    socket.read_to_string(&mut page).await.expect("an answer");
    page
}

fn report(node: &str, bids: u64) -> StreamReportsRequest {
    let histogram = Histogram {
        name: "gavel_ack_seconds".to_owned(),
        bounds: vec![0.01, 0.1],
        counts: vec![bids, 1, 0],
        sum: 0.5,
    };
    StreamReportsRequest {
        node_id: node.to_owned(),
        incarnation: 1,
        at: 0,
        counters: vec![Counter { name: "gavel_bids".to_owned(), value: bids }],
        gauges: Vec::new(),
        histograms: vec![histogram],
        trials: Vec::new(),
    }
}

#[tokio::test]
async fn what_nodes_report_comes_together() {
    let control = start(3_000).await;
    for (node, bids) in [("n1", 50), ("n2", 60)] {
        let reports = tokio_stream::iter([report(node, 1), report(node, bids)]);
        let mut client = TelemetryServiceClient::new(channel(&control));
        client.stream_reports(reports).await.unwrap();
    }
    let mut client = MetricsServiceClient::new(channel(&control));
    let sums = until("both reports", async || {
        let sums = client.get_metrics(GetMetricsRequest {}).await.unwrap().into_inner();
        sums.samples.iter().any(|sample| sample.value == 110).then_some(sums)
    })
    .await;
    let acks = &sums.percentiles[0];
    assert_eq!((acks.name.as_str(), acks.count), ("gavel_ack_seconds", 112));
    assert_eq!((acks.p50, acks.p99), (0.01, 0.1));
    assert!(page(&control).await.contains("\ngavel_cluster_bids_total 110\n"));
    control.stop().await;
}
