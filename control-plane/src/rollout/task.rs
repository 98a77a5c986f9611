//! The loop around [`Watch`].

use super::watch::Watch;
use crate::{
    grpc::Services,
    store::{Document, DocumentName},
};
use gavel_flags::{EditError, Flags, Rollout, RolloutState};
use gavel_runtime::clock;
use std::{sync::atomic::Ordering, time::Duration};

/// Time between two looks; nodes report as often.
const INTERVAL: Duration = Duration::from_secs(1);

/// Why the document could not be changed.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the flags cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Edit(#[from] EditError),
    #[error(transparent)]
    Put(#[from] crate::grpc::CallError),
}

/// Watches the rollouts while this replica leads, until it stops.
pub(crate) async fn run(services: Services) {
    let mut watch = Watch::default();
    let mut tick = tokio::time::interval(INTERVAL);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = services.stop.cancelled() => return,
        }
        if services.leading().is_err() {
            watch = Watch::default();
            continue;
        }
        if let Err(error) = look(&services, &mut watch).await {
            tracing::warn!(%error, "a rollout could not go on; trying again");
        }
    }
}

async fn look(services: &Services, watch: &mut Watch) -> Result<(), Fault> {
    let document = services.documents.newest().flags;
    // What is stored was checked before; a fault of it is told where nodes refuse it.
    let Ok(flags) = Flags::parse(&document.body) else { return Ok(()) };
    let groups = services.rollup.lock().trials();
    let changes = watch.step(flags.rollouts(), &groups, clock::now_ms());
    if changes.is_empty() {
        return Ok(());
    }
    put(services, &document, &changes).await?;
    for (flag, rollout) in &changes {
        if rollout.state == RolloutState::RolledBack {
            services.state.rollbacks.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(flag, reason = rollout.reason, "a rollout went back");
        } else {
            let (percent, state) = (rollout.percent(), rollout.state.as_str());
            tracing::info!(flag, percent, state, "a rollout goes on");
        }
    }
    Ok(())
}

/// Changes the document that the changes were decided from, and no other.
async fn put(
    services: &Services,
    document: &Document,
    changes: &[(String, Rollout)],
) -> Result<(), Fault> {
    let mut edited = serde_json::from_str(&document.body)?;
    for (flag, rollout) in changes {
        rollout.replace(&mut edited, flag)?;
    }
    let body = format!("{edited:#}\n");
    services.put(DocumentName::Flags, document.version.get(), body).await?;
    Ok(())
}
