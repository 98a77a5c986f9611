//! Metrics that nodes report.

use super::{Services, caller::Caller, status::CallError};
use gavel_proto::telemetry::v1::{self as wire, telemetry_service_server::TelemetryService};
use gavel_rules::{id::NodeId, time::Timestamp};
use gavel_runtime::clock;
use tonic::{Request, Response, Status, Streaming};

#[tonic::async_trait]
impl TelemetryService for Services {
    async fn stream_reports(
        &self,
        request: Request<Streaming<wire::StreamReportsRequest>>,
    ) -> Result<Response<wire::StreamReportsResponse>, Status> {
        // The next leader must be told, once this one no longer leads.
        let over = self.driver().ok_or(CallError::NoLeader)?.over();
        let caller = Caller::of(&request)?;
        let mut reports = request.into_inner();
        let mut node: Option<NodeId> = None;
        loop {
            let report = tokio::select! {
                report = reports.message() => report.unwrap_or_default(),
                () = over.cancelled() => None,
                () = self.stop.cancelled() => None,
            };
            let Some(report) = report else { break };
            caller.must_be_node(&report.node_id)?;
            node = report.node_id.parse().ok();
            self.rollup.lock().report(report, Timestamp::new(clock::now_ms()));
        }
        if let Some(node) = node {
            self.rollup.lock().forget(&node);
        }
        Ok(Response::new(wire::StreamReportsResponse {}))
    }
}
