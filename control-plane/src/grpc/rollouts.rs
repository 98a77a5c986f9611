//! Rollouts of flags, as operators start, see and end them.

use super::{
    Services,
    audited::{Change, Entry},
    status::CallError,
};
use crate::{
    rollout::{Group, Groups, Step},
    store::DocumentName,
};
use gavel_flags::{Flags, Rollout, RolloutState, Subject};
use gavel_proto::admin::v1::{self as wire, rollout_service_server::RolloutService};
use gavel_runtime::clock;
use serde_json::{Value, json};
use tonic::{Request, Response, Status};

const STEPS: [u8; 4] = [1, 10, 50, 100];
const HOLD_MS: u64 = 10 * 60 * 1000;
const BIDS_MIN: u64 = 100;
const RATIO_MAX: f64 = 2.0;
/// The longest reason that is kept, in characters.
const REASON_CHARS_MAX: usize = 200;

impl Services {
    /// Changes the flags document as `edit` does, unless it has changed
    /// meanwhile; the rollout of `flag` after it.
    async fn edit_rollout(
        &self,
        flag: &str,
        change: &Change,
        edit: impl FnOnce(&mut Value, Option<&Rollout>) -> Result<(), CallError>,
    ) -> Result<wire::Rollout, CallError> {
        let document = self.documents.newest().flags;
        let unreadable = |error: &dyn std::fmt::Display| CallError::Unavailable(error.to_string());
        let flags = Flags::parse(&document.body).map_err(|error| unreadable(&error))?;
        let held = flags.rollouts().find(|(key, _)| *key == flag).map(|(_, rollout)| rollout);
        change.old(held.map(told).unwrap_or_default());
        let mut edited =
            serde_json::from_str(&document.body).map_err(|error| unreadable(&error))?;
        edit(&mut edited, held)?;
        let body = format!("{edited:#}\n");
        let flags = Flags::parse(&body).map_err(|error| CallError::Refused(error.to_string()))?;
        self.put(DocumentName::Flags, document.version.get(), body).await?;
        let now = flags.rollouts().find(|(key, _)| *key == flag);
        change.new_is(now.map(|(_, rollout)| told(rollout)).unwrap_or_default());
        let rollouts = self.rollouts(&flags).into_iter();
        let mut of_flag = rollouts.filter(|rollout| rollout.flag == flag);
        of_flag.next().ok_or_else(|| no_rollout(flag))
    }

    /// Brings a rollout that is under way into another state.
    async fn bring(
        &self,
        flag: &str,
        state: RolloutState,
        reason: String,
        change: &Change,
    ) -> Result<wire::Rollout, CallError> {
        let edit = |document: &mut Value, held: Option<&Rollout>| {
            let held = held.ok_or_else(|| no_rollout(flag))?;
            if !held.state.is_under_way() {
                let message = format!("the rollout of {flag} is {}", held.state.as_str());
                return Err(CallError::Refused(message));
            }
            let since_ms = clock::now_ms();
            let next = Rollout { state, reason, since_ms, ..held.clone() };
            next.replace(document, flag).map_err(|error| CallError::Refused(error.to_string()))
        };
        self.edit_rollout(flag, change, edit).await
    }

    /// Stores the flags in which rollouts went on by themselves, and writes
    /// down each as it does what operators do.
    pub(crate) async fn step_rollouts(
        &self,
        edited_from: u64,
        body: String,
        steps: &[Step<'_>],
    ) -> Result<(), CallError> {
        let entry = |step: &Step<'_>| {
            let resource = format!("rollouts/{}", step.flag);
            Entry::own("rollout", "rollout/step", resource, told(step.from), told(step.to))
        };
        let put = self.put(DocumentName::Flags, edited_from, body);
        self.auditor().own(steps.iter().map(entry).collect(), put).await.map(drop)
    }

    fn rollouts(&self, flags: &Flags) -> Vec<wire::Rollout> {
        let trials = self.rollup.lock().trials();
        let described = flags.rollouts().map(|(flag, rollout)| {
            let groups = trials.get(&(flag.to_owned(), rollout.started_ms));
            described(flag, rollout, groups)
        });
        described.collect()
    }
}

/// A rollout as the audit log tells of it.
fn told(rollout: &Rollout) -> Value {
    let (state, percent) = (rollout.state.as_str(), rollout.percent());
    let Rollout { treatment, reason, .. } = rollout;
    json!({ "treatment": treatment, "state": state, "percent": percent, "reason": reason })
}

fn no_rollout(flag: &str) -> CallError {
    CallError::Refused(format!("no rollout of {flag} was started"))
}

fn described(flag: &str, rollout: &Rollout, groups: Option<&Groups>) -> wire::Rollout {
    let group = |group: &Group| wire::RolloutGroup {
        bids: group.bids,
        refused: group.refused,
        disconnects: group.disconnects,
        fenced: group.fenced,
    };
    wire::Rollout {
        flag: flag.to_owned(),
        treatment: rollout.treatment.clone(),
        control: rollout.control.clone(),
        by: rollout.by.as_str().to_owned(),
        steps: rollout.steps.iter().copied().map(u32::from).collect(),
        percent: rollout.percent().into(),
        hold_ms: rollout.hold_ms,
        bids_min: rollout.bids_min,
        ratio_max: rollout.ratio_max,
        state: rollout.state.as_str().to_owned(),
        reason: rollout.reason.clone(),
        started_ms: rollout.started_ms,
        since_ms: rollout.since_ms,
        treatment_group: groups.map(|groups| group(&groups.treatment)),
        control_group: groups.map(|groups| group(&groups.control)),
    }
}

/// The plan that a request asks for, with the defaults of what it leaves out.
fn plan(request: wire::StartRolloutRequest, now_ms: u64) -> Result<Rollout, CallError> {
    let by = match request.by.as_str() {
        "" => Subject::User,
        by => by.parse().map_err(|error| CallError::invalid("by", error))?,
    };
    let steps = request.steps.into_iter().map(u8::try_from).collect::<Result<Vec<_>, _>>();
    let steps = steps.map_err(|_| CallError::invalid("steps", "must be from 1 to 100"))?;
    Ok(Rollout {
        treatment: request.treatment,
        control: String::new(),
        by,
        steps: if steps.is_empty() { STEPS.to_vec() } else { steps },
        step: 0,
        hold_ms: if request.hold_ms == 0 { HOLD_MS } else { request.hold_ms },
        bids_min: request.bids_min.unwrap_or(BIDS_MIN),
        ratio_max: if request.ratio_max == 0.0 { RATIO_MAX } else { request.ratio_max },
        started_ms: now_ms,
        since_ms: now_ms,
        state: RolloutState::Running,
        reason: String::new(),
        before: String::new(),
    })
}

#[tonic::async_trait]
impl RolloutService for Services {
    #[tracing::instrument(name = "rollouts.start", skip_all)]
    async fn start_rollout(
        &self,
        request: Request<wire::StartRolloutRequest>,
    ) -> Result<Response<wire::StartRolloutResponse>, Status> {
        let change = Change::of(&request);
        let request = request.into_inner();
        let flag = request.flag.clone();
        let plan = plan(request, clock::now_ms())?;
        let start = |document: &mut Value, _: Option<&Rollout>| {
            plan.start(document, &flag).map_err(|error| CallError::Refused(error.to_string()))
        };
        let rollout = Some(self.edit_rollout(&flag, &change, start).await?);
        Ok(Response::new(wire::StartRolloutResponse { rollout }))
    }

    #[tracing::instrument(name = "rollouts.list", skip_all)]
    async fn list_rollouts(
        &self,
        _: Request<wire::ListRolloutsRequest>,
    ) -> Result<Response<wire::ListRolloutsResponse>, Status> {
        let document = self.documents.newest().flags;
        let flags = Flags::parse(&document.body)
            .map_err(|error| CallError::Unavailable(error.to_string()))?;
        Ok(Response::new(wire::ListRolloutsResponse { rollouts: self.rollouts(&flags) }))
    }

    #[tracing::instrument(name = "rollouts.pause", skip_all)]
    async fn pause_rollout(
        &self,
        request: Request<wire::PauseRolloutRequest>,
    ) -> Result<Response<wire::PauseRolloutResponse>, Status> {
        let change = Change::of(&request);
        let flag = request.into_inner().flag;
        let rollout = Some(self.bring(&flag, RolloutState::Paused, String::new(), &change).await?);
        Ok(Response::new(wire::PauseRolloutResponse { rollout }))
    }

    #[tracing::instrument(name = "rollouts.resume", skip_all)]
    async fn resume_rollout(
        &self,
        request: Request<wire::ResumeRolloutRequest>,
    ) -> Result<Response<wire::ResumeRolloutResponse>, Status> {
        let change = Change::of(&request);
        let flag = request.into_inner().flag;
        let rollout = Some(self.bring(&flag, RolloutState::Running, String::new(), &change).await?);
        Ok(Response::new(wire::ResumeRolloutResponse { rollout }))
    }

    #[tracing::instrument(name = "rollouts.abort", skip_all)]
    async fn abort_rollout(
        &self,
        request: Request<wire::AbortRolloutRequest>,
    ) -> Result<Response<wire::AbortRolloutResponse>, Status> {
        let change = Change::of(&request);
        let wire::AbortRolloutRequest { flag, reason } = request.into_inner();
        let reason = reason.chars().take(REASON_CHARS_MAX).collect();
        let rollout = Some(self.bring(&flag, RolloutState::Aborted, reason, &change).await?);
        Ok(Response::new(wire::AbortRolloutResponse { rollout }))
    }
}
