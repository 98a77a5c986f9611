//! Metrics that nodes report.

use super::Services;
use gavel_proto::telemetry::v1::{self as wire, telemetry_service_server::TelemetryService};
use gavel_rules::time::Timestamp;
use gavel_runtime::clock;
use tonic::{Request, Response, Status, Streaming};

#[tonic::async_trait]
impl TelemetryService for Services {
    async fn stream_reports(
        &self,
        request: Request<Streaming<wire::StreamReportsRequest>>,
    ) -> Result<Response<wire::StreamReportsResponse>, Status> {
        let mut reports = request.into_inner();
        loop {
            let report = tokio::select! {
                report = reports.message() => report?,
                () = self.stop.cancelled() => None,
            };
            let Some(report) = report else { break };
            self.rollup.lock().report(report, Timestamp::new(clock::now_ms()));
        }
        Ok(Response::new(wire::StreamReportsResponse {}))
    }
}
