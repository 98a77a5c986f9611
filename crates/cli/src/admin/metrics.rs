//! `gavel metrics`.

use super::target::Target;
use crate::{
    failure::Failure,
    output::{self, Table},
};
use gavel_proto::admin::v1::{
    GetMetricsRequest, GetMetricsResponse, metrics_service_client::MetricsServiceClient,
};
use serde_json::{Map, Value, json};

/// Show metrics of the whole cluster.
#[derive(Debug, clap::Args)]
pub(crate) struct Metrics {
    #[command(flatten)]
    target: Target,
}

// === impl Metrics ===

impl Metrics {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut client = MetricsServiceClient::new(self.target.connect()?);
        let metrics = self.target.answer(client.get_metrics(GetMetricsRequest {})).await?;
        if self.target.json {
            return output::json(&to_json(metrics));
        }
        let mut samples = Table::new(["METRIC", "SUM"]);
        for sample in metrics.samples {
            samples.row([sample.name, sample.value.to_string()]);
        }
        let mut tails = Table::new(["METRIC", "COUNT", "P50 ms", "P90 ms", "P99 ms"]);
        for tail in metrics.percentiles {
            let [p50, p90, p99] = [tail.p50, tail.p90, tail.p99].map(|s| format!("{:.1}", s * 1e3));
            tails.row([tail.name, tail.count.to_string(), p50, p90, p99]);
        }
        output::text(format_args!("{} nodes reporting\n\n{samples}\n{tails}", metrics.nodes))
    }
}

fn to_json(metrics: GetMetricsResponse) -> Value {
    let samples: Map<String, Value> =
        metrics.samples.into_iter().map(|sample| (sample.name, sample.value.into())).collect();
    let percentiles: Map<String, Value> = metrics
        .percentiles
        .into_iter()
        .map(|tail| {
            let about =
                json!({"count": tail.count, "p50": tail.p50, "p90": tail.p90, "p99": tail.p99});
            (tail.name, about)
        })
        .collect();
    json!({"nodes": metrics.nodes, "samples": samples, "percentiles": percentiles})
}
