//! Metrics of the whole cluster.

use super::Services;
use gavel_proto::admin::v1::{self as wire, metrics_service_server::MetricsService};
use gavel_rules::time::Timestamp;
use gavel_runtime::clock;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl MetricsService for Services {
    #[tracing::instrument(name = "metrics.get", skip_all)]
    async fn get_metrics(
        &self,
        _: Request<wire::GetMetricsRequest>,
    ) -> Result<Response<wire::GetMetricsResponse>, Status> {
        let now = Timestamp::new(clock::now_ms());
        let rollup = self.rollup.lock();
        Ok(Response::new(wire::GetMetricsResponse {
            samples: rollup.samples(now, self.lease),
            percentiles: rollup.percentiles(),
            nodes: rollup.nodes(now, self.lease),
        }))
    }
}
