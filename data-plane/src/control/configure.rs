//! Limits, flags and denials from the control plane: put in force, or refused with a
//! reason while the last good ones stay.

use crate::{node::Shell, settings::Limits};
use gavel_flags::own;
use gavel_proto::{
    config::v1::{self as wire, config_service_client::ConfigServiceClient, resource::Kind},
    denials::Denials,
};
use gavel_rules::order::Version;
use gavel_runtime::{backoff::Backoff, grpc};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

#[cfg(test)]
mod tests;

/// What was refused last of each name, until one of that name is good. It
/// outlives the stream: the next one begins with it, so that nothing of it is
/// sent again.
#[derive(Debug, Default)]
struct Refused(BTreeMap<&'static str, wire::Refusal>);

/// Keeps the node's settings the newest.
pub(super) async fn run(shell: Arc<Shell>) {
    let mut backoff = Backoff::standard();
    let mut refused = Refused::default();
    let mut turn = shell.control.endpoints.turn();
    loop {
        // Every replica serves documents; they need not all come from the leader.
        let endpoint = shell.control.endpoints.any(&mut turn);
        let stream = stream(&shell, &endpoint, &mut backoff, &mut refused);
        if let Some(Err(error)) = shell.stop.run_until_cancelled(stream).await {
            tracing::debug!(%error, "no configuration stream");
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next_delay()) => {}
            () = shell.stop.cancelled() => return,
        }
    }
}

async fn stream(
    shell: &Arc<Shell>,
    endpoint: &str,
    backoff: &mut Backoff,
    refused: &mut Refused,
) -> anyhow::Result<()> {
    let mut client = ConfigServiceClient::new(grpc::channel(endpoint, &shell.tls)?);
    let (sender, receiver) = mpsc::channel(16);
    sender.try_send(answer(shell, 0, refused.0.values().cloned().collect()))?;
    let mut stream = client.stream_config(ReceiverStream::new(receiver)).await?.into_inner();
    while let Some(push) = stream.message().await? {
        backoff.reset();
        let resources = push.resources.into_iter();
        let newly = resources.filter_map(|one| refused.put(shell, one)).collect();
        sender.send(answer(shell, push.nonce, newly)).await?;
    }
    Ok(())
}

// === impl Refused ===

impl Refused {
    /// Puts a document in force; returns why not.
    fn put(&mut self, shell: &Shell, resource: wire::Resource) -> Option<wire::Refusal> {
        let version = Version::new(resource.version);
        let (name, outcome) = match resource.kind? {
            Kind::Limits(limits) => {
                let good = Limits::try_from(limits).map_err(|error| error.to_string());
                let put = good.map(|good| {
                    shell.live.set_limits(good, version);
                    shell.kept.limits(&limits, version);
                });
                ("limits", put)
            }
            Kind::Flags(document) => {
                let good = own::load(&document).map_err(|error| error.to_string());
                let put = good.map(|good| {
                    shell.live.set_flags(good, version);
                    shell.kept.flags(&document, version);
                });
                ("flags", put)
            }
            Kind::Denials(denials) => {
                let good = Denials::try_from(denials).map_err(|error| error.to_string());
                let put = good.map(|good| {
                    shell.kept.denials(&good, version);
                    shell.live.set_denials(good, version);
                });
                ("denials", put)
            }
        };
        let Err(error) = outcome else {
            self.0.remove(name);
            return None;
        };
        shell.metrics.config_refused.inc();
        tracing::warn!(name, version = resource.version, error, "a document is refused");
        let refusal = wire::Refusal { name: name.to_owned(), version: resource.version, error };
        self.0.insert(name, refusal.clone());
        Some(refusal)
    }
}

/// What is in force now, and what was refused.
fn answer(shell: &Shell, nonce: u64, refused: Vec<wire::Refusal>) -> wire::StreamConfigRequest {
    let settings = shell.live.get();
    let held =
        |name: &str, version: Version| wire::Held { name: name.to_owned(), version: version.get() };
    wire::StreamConfigRequest {
        node_id: shell.id.to_string(),
        nonce,
        held: vec![
            held("limits", settings.limits_version),
            held("flags", settings.flags_version),
            held("denials", settings.denials_version),
        ],
        refused,
    }
}
