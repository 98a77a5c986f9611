//! The node's metrics on their way to the control plane.

use crate::node::Shell;
use gavel_proto::telemetry::v1::telemetry_service_client::TelemetryServiceClient;
use gavel_runtime::{backoff::Backoff, grpc};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Time between two reports.
const INTERVAL: Duration = Duration::from_secs(1);

/// Reports for as long as the node runs.
pub(super) async fn run(shell: Arc<Shell>) {
    let mut backoff = Backoff::standard();
    let mut turn = shell.control.endpoints.turn();
    loop {
        let endpoint = shell.control.endpoints.leader_or_any(&mut turn);
        let stream = stream(&shell, &endpoint, &mut backoff);
        if let Some(Err(error)) = shell.stop.run_until_cancelled(stream).await {
            tracing::debug!(%error, "no report stream");
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next_delay()) => {}
            () = shell.stop.cancelled() => return,
        }
    }
}

async fn stream(shell: &Arc<Shell>, endpoint: &str, backoff: &mut Backoff) -> anyhow::Result<()> {
    let mut client = TelemetryServiceClient::new(grpc::channel(endpoint, &shell.tls)?);
    let (sender, receiver) = mpsc::channel(4);
    let reports = async {
        let mut tick = tokio::time::interval(INTERVAL);
        loop {
            tick.tick().await;
            shell.take_stock();
            let mut report = shell.metrics.report(&shell.id, shell.incarnation, shell.now());
            report.trials = shell.live.get().trials.report();
            // The stream's end shows on its other side.
            if sender.send(report).await.is_err() {
                return std::future::pending::<()>().await;
            }
        }
    };
    let call = client.stream_reports(ReceiverStream::new(receiver));
    tokio::select! {
        ended = call => { ended?; }
        () = reports => {}
    }
    backoff.reset();
    Ok(())
}
