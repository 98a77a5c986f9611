//! Limits and flags from the control plane: put in force, or refused with a
//! reason while the last good ones stay.

use crate::{node::Shell, settings::Limits};
use gavel_flags::Flags;
use gavel_proto::config::v1::{
    self as wire, config_service_client::ConfigServiceClient, resource::Kind,
};
use gavel_rules::order::Version;
use gavel_runtime::{backoff::Backoff, grpc};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Keeps the node's settings the newest.
pub(super) async fn run(shell: Arc<Shell>) {
    let mut backoff = Backoff::standard();
    loop {
        let stream = stream(&shell, &mut backoff);
        if let Some(Err(error)) = shell.stop.run_until_cancelled(stream).await {
            tracing::debug!(%error, "no configuration stream");
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next_delay()) => {}
            () = shell.stop.cancelled() => return,
        }
    }
}

async fn stream(shell: &Arc<Shell>, backoff: &mut Backoff) -> anyhow::Result<()> {
    let mut client = ConfigServiceClient::new(grpc::channel(&shell.config.control.endpoint)?);
    let (sender, receiver) = mpsc::channel(16);
    sender.try_send(answer(shell, 0, Vec::new()))?;
    let mut stream = client.stream_config(ReceiverStream::new(receiver)).await?.into_inner();
    while let Some(push) = stream.message().await? {
        backoff.reset();
        let refused = push.resources.into_iter().filter_map(|one| put(shell, one)).collect();
        sender.send(answer(shell, push.nonce, refused)).await?;
    }
    Ok(())
}

/// What is in force now, and what was refused.
fn answer(shell: &Shell, nonce: u64, refused: Vec<wire::Refusal>) -> wire::StreamConfigRequest {
    let settings = shell.live.get();
    let held =
        |name: &str, version: Version| wire::Held { name: name.to_owned(), version: version.get() };
    wire::StreamConfigRequest {
        node_id: shell.id.to_string(),
        nonce,
        held: vec![held("limits", settings.limits_version), held("flags", settings.flags_version)],
        refused,
    }
}

/// Puts a document in force; returns why not.
fn put(shell: &Shell, resource: wire::Resource) -> Option<wire::Refusal> {
    let version = Version::new(resource.version);
    let (name, outcome) = match resource.kind? {
        Kind::Limits(limits) => {
            let limits = Limits::try_from(limits).map_err(|error| error.to_string());
            ("limits", limits.map(|limits| shell.live.set_limits(limits, version)))
        }
        Kind::Flags(document) => {
            let flags = Flags::parse(&document).map_err(|error| error.to_string());
            ("flags", flags.map(|flags| shell.live.set_flags(flags, version)))
        }
    };
    let error = outcome.err()?;
    shell.metrics.config_refused.inc();
    tracing::warn!(name, version = resource.version, error, "a document is refused");
    Some(wire::Refusal { name: name.to_owned(), version: resource.version, error })
}
