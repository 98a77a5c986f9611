//! The loop around [`Watch`].

use super::watch::Watch;
use crate::{grpc::Services, store::Document};
use gavel_flags::{EditError, Flags, Rollout, RolloutState};
use gavel_runtime::clock;
use std::{sync::atomic::Ordering, time::Duration};

/// Time between two looks; nodes report as often.
const INTERVAL: Duration = Duration::from_secs(1);

/// What becomes of one rollout.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    pub(crate) flag: &'a str,
    pub(crate) from: &'a Rollout,
    pub(crate) to: &'a Rollout,
}

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
    let steps = changes.iter().filter_map(|(flag, to)| {
        let (_, from) = flags.rollouts().find(|(key, _)| key == flag)?;
        Some(Step { flag, from, to })
    });
    put(services, &document, &steps.collect::<Vec<_>>()).await?;
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

/// Changes the document that the steps were decided from, and no other.
async fn put(services: &Services, document: &Document, steps: &[Step<'_>]) -> Result<(), Fault> {
    let mut edited = serde_json::from_str(&document.body)?;
    for step in steps {
        step.to.replace(&mut edited, step.flag)?;
    }
    let body = format!("{edited:#}\n");
    Ok(services.step_rollouts(document.version.get(), body, steps).await?)
}
