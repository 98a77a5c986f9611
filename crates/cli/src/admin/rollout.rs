//! `gavel flags rollout`.

use super::target::{Target, present};
use crate::{
    failure::Failure,
    output::{self, Table},
    units::duration,
};
use gavel_flags::Subject;
use gavel_proto::admin::v1::{
    AbortRolloutRequest, ListRolloutsRequest, PauseRolloutRequest, ResumeRolloutRequest, Rollout,
    RolloutGroup, StartRolloutRequest, rollout_service_client::RolloutServiceClient,
};
use gavel_rules::time::Millis;
use gavel_runtime::clock;
use serde_json::{Value, json};
use std::time::Duration;

/// How often a rollout is looked at.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Give a variant of a flag to more and more subjects.
#[derive(Debug, clap::Subcommand)]
pub(super) enum RolloutVerb {
    /// Begin with the first share; it goes on by itself, and back where the
    /// treatment does worse than the others.
    Start {
        /// The flag.
        flag: String,
        /// The variant to give.
        variant: String,
        /// What counts as a subject: user, room, session or node.
        #[arg(long, default_value = "user")]
        by: Subject,
        /// Shares in percent, rising.
        #[arg(long, value_delimiter = ',', default_value = "1,10,50,100",
              value_parser = clap::value_parser!(u8).range(1..=100))]
        steps: Vec<u8>,
        /// How long each step is held at least.
        #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10m")]
        hold: Millis,
        /// Bids that the treatment must have had in a step before the next; 0
        /// goes by the time alone.
        #[arg(long, default_value_t = 100)]
        bids_min: u64,
        /// How many times the others' rate of refusals, disconnects, fenced
        /// appends or slow answers is too much.
        #[arg(long, default_value_t = 2.0)]
        ratio_max: f64,
    },
    /// How far rollouts have come, and what both groups met.
    Status {
        /// Of this flag alone.
        flag: Option<String>,
        /// Show each change, until it has ended.
        #[arg(long, requires = "flag")]
        watch: bool,
    },
    /// Stay at the present step.
    Pause {
        /// The flag.
        flag: String,
    },
    /// Go on; the present step is held anew.
    Resume {
        /// The flag.
        flag: String,
    },
    /// End it: the flag is as it was before.
    Abort {
        /// The flag.
        flag: String,
        /// Kept with it.
        #[arg(long, default_value = "")]
        reason: String,
    },
}

// === impl RolloutVerb ===

impl RolloutVerb {
    pub(super) async fn run(self, target: &Target) -> Result<(), Failure> {
        let mut client = RolloutServiceClient::new(target.connect()?);
        let rollout = match self {
            Self::Start { flag, variant: treatment, by, steps, hold, bids_min, ratio_max } => {
                let request = StartRolloutRequest {
                    flag,
                    treatment,
                    by: by.to_string(),
                    steps: steps.into_iter().map(u32::from).collect(),
                    hold_ms: hold.get(),
                    bids_min: Some(bids_min),
                    ratio_max,
                };
                target.answer(client.start_rollout(request)).await?.rollout
            }
            Self::Status { flag: Some(flag), watch: true } => return watch(target, &flag).await,
            Self::Status { flag, .. } => {
                let mut rollouts = list(target).await?;
                rollouts.retain(|rollout| flag.as_ref().is_none_or(|flag| *flag == rollout.flag));
                return show(target, &rollouts);
            }
            Self::Pause { flag } => {
                target.answer(client.pause_rollout(PauseRolloutRequest { flag })).await?.rollout
            }
            Self::Resume { flag } => {
                target.answer(client.resume_rollout(ResumeRolloutRequest { flag })).await?.rollout
            }
            Self::Abort { flag, reason } => {
                let request = AbortRolloutRequest { flag, reason };
                target.answer(client.abort_rollout(request)).await?.rollout
            }
        };
        show(target, &[present("rollout", rollout)?])
    }
}

async fn list(target: &Target) -> Result<Vec<Rollout>, Failure> {
    let mut client = RolloutServiceClient::new(target.connect()?);
    Ok(target.answer(client.list_rollouts(ListRolloutsRequest {})).await?.rollouts)
}

/// Shows a rollout at each change of its step or state, until it has ended.
async fn watch(target: &Target, flag: &str) -> Result<(), Failure> {
    let mut shown = None;
    loop {
        let found = list(target).await?.into_iter().find(|rollout| rollout.flag == flag);
        let none = || Failure::Refused(format!("no rollout of {flag} was started"));
        let rollout = found.ok_or_else(none)?;
        let now = (rollout.state.clone(), rollout.percent, rollout.started_ms);
        if shown.as_ref() != Some(&now) {
            shown = Some(now);
            show(target, std::slice::from_ref(&rollout))?;
        }
        match rollout.state.as_str() {
            "running" | "paused" => tokio::time::sleep(WATCH_INTERVAL).await,
            "completed" => return Ok(()),
            state => {
                let reason = &rollout.reason;
                return Err(Failure::Refused(format!(
                    "the rollout of {flag} is {state}: {reason}"
                )));
            }
        }
    }
}

fn show(target: &Target, rollouts: &[Rollout]) -> Result<(), Failure> {
    if target.json {
        return output::json(&rollouts.iter().map(to_json).collect());
    }
    let mut table = Table::new([
        "FLAG", "VARIANT", "BY", "STATE", "SHARE", "OF", "FOR", "GROUP", "BIDS", "REFUSED", "LOST",
        "FENCED",
    ]);
    for rollout in rollouts {
        let steps: Vec<String> = rollout.steps.iter().map(u32::to_string).collect();
        let seconds = clock::now_ms().saturating_sub(rollout.since_ms) / 1_000;
        let about = [
            rollout.flag.clone(),
            rollout.treatment.clone(),
            rollout.by.clone(),
            rollout.state.clone(),
            format!("{} %", rollout.percent),
            steps.join(","),
            format!("{seconds} s"),
        ];
        let groups = [("treatment", rollout.treatment_group), ("control", rollout.control_group)];
        for (place, (name, group)) in groups.into_iter().enumerate() {
            let [flag, variant, by, state, share, of, since] =
                if place == 0 { about.clone() } else { Default::default() };
            let RolloutGroup { bids, refused, disconnects, fenced } = group.unwrap_or_default();
            let [bids, refused, lost, fenced] =
                [bids, refused, disconnects, fenced].map(|count| count.to_string());
            let name = name.to_owned();
            table.row([
                flag, variant, by, state, share, of, since, name, bids, refused, lost, fenced,
            ]);
        }
    }
    output::text(&table)?;
    for rollout in rollouts.iter().filter(|rollout| !rollout.reason.is_empty()) {
        let Rollout { flag, state, reason, .. } = rollout;
        output::text(format_args!("{flag} is {state}: {reason}\n"))?;
    }
    Ok(())
}

fn to_json(rollout: &Rollout) -> Value {
    let group = |group: Option<RolloutGroup>| {
        let RolloutGroup { bids, refused, disconnects, fenced } = group.unwrap_or_default();
        json!({"bids": bids, "refused": refused, "disconnects": disconnects, "fenced": fenced})
    };
    json!({
        "flag": rollout.flag,
        "treatment": rollout.treatment,
        "control": rollout.control,
        "by": rollout.by,
        "steps": rollout.steps,
        "percent": rollout.percent,
        "holdMs": rollout.hold_ms,
        "bidsMin": rollout.bids_min,
        "ratioMax": rollout.ratio_max,
        "state": rollout.state,
        "reason": rollout.reason,
        "startedMs": rollout.started_ms,
        "sinceMs": rollout.since_ms,
        "treatmentGroup": group(rollout.treatment_group),
        "controlGroup": group(rollout.control_group),
    })
}
