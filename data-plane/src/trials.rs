//! The rollouts under way, and what became of their two groups on this node.
//! The control plane compares them, see its `rollout::guard`.

use crate::metrics::{BID_BOUNDS, Closed, Histogram};
use gavel_flags::{Flags, Rollout, Subject, own::Whom};
use gavel_proto::telemetry::v1 as wire;
use gavel_rules::{
    auction::{RejectReason, Verdict},
    id::{NodeId, RoomId, SessionId, UserId},
    time::Millis,
};
use prometheus_client::metrics::counter::Counter;
use std::{sync::Arc, time::Duration};

/// Rollouts that are counted; those of later flags in the document are not, and
/// so do not go on.
const TRIALS_MAX: usize = 16;

/// One rollout under way.
#[derive(Debug)]
struct Trial {
    flag: String,
    plan: Rollout,
    treatment: Group,
    control: Group,
}

/// What happened to one group.
#[derive(Debug)]
struct Group {
    bids: Counter,
    refused: Counter,
    disconnects: Counter,
    fenced: Counter,
    answers: Histogram,
}

/// All rollouts under way, with the flags that tell who is in which group.
#[derive(Debug, Clone, Default)]
pub struct Trials {
    flags: Flags,
    trials: Vec<Arc<Trial>>,
}

// === impl Trials ===

impl Trials {
    /// Those of new flags. The counts of a rollout that goes on are kept.
    pub(crate) fn next(&self, flags: &Flags) -> Self {
        let under_way = flags.rollouts().filter(|(_, plan)| plan.state.is_under_way());
        let trials = under_way.take(TRIALS_MAX).map(|(flag, plan)| {
            let known = self.trials.iter().find(|trial| trial.is(flag, plan));
            known.cloned().unwrap_or_else(|| Arc::new(Trial::new(flag, plan)))
        });
        Self { flags: flags.clone(), trials: trials.collect() }
    }

    /// A bid of this session was answered, so long after it arrived.
    pub(crate) fn bid_answered(&self, whom: Whom<'_>, verdict: &Verdict, after: Millis) {
        for trial in &self.trials {
            let group = trial.group(&self.flags, whom);
            group.bids.inc();
            if is_refusal(verdict) {
                group.refused.inc();
            }
            group.answers.observe_duration(Duration::from_millis(after.get()));
        }
    }

    /// A socket ended with this close code; 1006 if there was none.
    pub(crate) fn socket_closed(
        &self,
        user: &UserId,
        session: &SessionId,
        node: &NodeId,
        rooms: &[RoomId],
        code: u16,
    ) {
        let is_fault = match Closed::of(Some(code)) {
            Closed::Protocol | Closed::Slow | Closed::Lost | Closed::Other => true,
            Closed::Normal
            | Closed::GoingAway
            | Closed::Policy
            | Closed::Overloaded
            | Closed::Unauthenticated
            | Closed::Rate => false,
        };
        let whom = Whom { node: node.as_ref(), ..Whom::default() };
        for trial in self.trials.iter().filter(|_| is_fault) {
            if trial.plan.by == Subject::Room {
                for room in rooms {
                    let whom = Whom { room: room.as_ref(), ..whom };
                    trial.group(&self.flags, whom).disconnects.inc();
                }
            } else {
                let whom = Whom { user: user.as_ref(), session: session.as_ref(), ..whom };
                trial.group(&self.flags, whom).disconnects.inc();
            }
        }
    }

    /// A room turned out to have another owner. Nobody's session or user is to
    /// blame for that.
    pub(crate) fn fenced(&self, room: &RoomId, node: &NodeId) {
        let whom = Whom { room: room.as_ref(), node: node.as_ref(), ..Whom::default() };
        for trial in &self.trials {
            if matches!(trial.plan.by, Subject::Room | Subject::Node) {
                trial.group(&self.flags, whom).fenced.inc();
            }
        }
    }

    /// What the control plane is told.
    pub(crate) fn report(&self) -> Vec<wire::Trial> {
        let report = |trial: &Arc<Trial>| wire::Trial {
            flag: trial.flag.clone(),
            started_ms: trial.plan.started_ms,
            treatment: Some(trial.treatment.report()),
            control: Some(trial.control.report()),
        };
        self.trials.iter().map(report).collect()
    }
}

/// Whether a bid was refused for a reason that the state of its auction does
/// not explain.
fn is_refusal(verdict: &Verdict) -> bool {
    let Verdict::Rejected(rejected) = verdict else { return false };
    match rejected.reason {
        RejectReason::InvalidAmount
        | RejectReason::RateLimited
        | RejectReason::Forbidden
        | RejectReason::UnknownRoom
        | RejectReason::Unavailable => true,
        RejectReason::TooLow
        | RejectReason::Closed
        | RejectReason::Paused
        | RejectReason::NotOpen
        | RejectReason::OwnBid
        | RejectReason::Seller
        | RejectReason::TooManyBids => false,
    }
}

// === impl Trial ===

impl Trial {
    fn new(flag: &str, plan: &Rollout) -> Self {
        let (treatment, control) = (Group::new(), Group::new());
        Self { flag: flag.to_owned(), plan: plan.clone(), treatment, control }
    }

    fn is(&self, flag: &str, plan: &Rollout) -> bool {
        self.flag == flag && self.plan.started_ms == plan.started_ms
    }

    fn group(&self, flags: &Flags, whom: Whom<'_>) -> &Group {
        let treated = flags.variant(&self.flag, &whom.context()) == Some(&self.plan.treatment);
        if treated { &self.treatment } else { &self.control }
    }
}

// === impl Group ===

impl Group {
    fn new() -> Self {
        Self {
            bids: Counter::default(),
            refused: Counter::default(),
            disconnects: Counter::default(),
            fenced: Counter::default(),
            answers: Histogram::new(BID_BOUNDS),
        }
    }

    fn report(&self) -> wire::Group {
        let answers = self.answers.report("");
        wire::Group {
            bids: self.bids.get(),
            refused: self.refused.get(),
            disconnects: self.disconnects.get(),
            fenced: self.fenced.get(),
            answer_counts: answers.counts,
            answer_bounds: answers.bounds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn flags(started_ms: u64, by: Subject) -> Flags {
        let mut document = json!({"flags": {"batching": {
            "state": "ENABLED", "defaultVariant": "on", "variants": {"on": true, "off": false},
        }}});
        let plan = json!({
            "treatment": "off", "control": "", "by": by, "steps": "50", "step": 0, "holdMs": 1,
            "bidsMin": 1, "ratioMax": 2.0, "startedMs": started_ms, "sinceMs": 1,
            "state": "running", "reason": "", "before": "",
        });
        let plan: Rollout = serde_json::from_value(plan).unwrap();
        plan.start(&mut document, "batching").unwrap();
        Flags::parse(&document.to_string()).unwrap()
    }

    fn disconnects(trials: &Trials) -> (u64, u64) {
        let report = trials.report().remove(0);
        (report.treatment.unwrap().disconnects, report.control.unwrap().disconnects)
    }

    #[test]
    fn what_happens_counts_for_the_group_of_whom_it_happened_to() {
        let node: NodeId = "node-1".parse().unwrap();
        let flags = flags(1, Subject::User);
        let trials = Trials::default().next(&flags);
        for n in 0..100 {
            let user: UserId = format!("user-{n}").parse().unwrap();
            let session: SessionId = format!("s-{n}").parse().unwrap();
            let whom = Whom { user: user.as_ref(), ..Whom::default() };
            let treated = flags.variant("batching", &whom.context()) == Some("off");
            let before = disconnects(&trials);
            trials.socket_closed(&user, &session, &node, &[], 1006);
            trials.socket_closed(&user, &session, &node, &[], 1000);
            let after = disconnects(&trials);
            let rose = (after.0 - before.0, after.1 - before.1);
            assert_eq!(rose, if treated { (1, 0) } else { (0, 1) }, "user-{n}");
        }
        let (treatment, control) = disconnects(&trials);
        assert!(treatment > 20 && control > 20, "{treatment} and {control}");
    }

    #[test]
    fn a_rollout_by_room_counts_each_room_of_a_lost_socket() {
        let trials = Trials::default().next(&flags(1, Subject::Room));
        let [node, other]: [NodeId; 2] = ["node-1", "node-2"].map(|id| id.parse().unwrap());
        let rooms: Vec<RoomId> = (0..40).map(|n| format!("room-{n}").parse().unwrap()).collect();
        let (user, session) = ("ada".parse().unwrap(), "s".parse().unwrap());
        trials.socket_closed(&user, &session, &node, &rooms, 4408);
        let (treatment, control) = disconnects(&trials);
        assert_eq!(treatment + control, 40);
        assert!(treatment > 5 && control > 5, "{treatment} and {control}");
        trials.fenced(&rooms[0], &other);
        let report = trials.report().remove(0);
        assert_eq!(report.treatment.unwrap().fenced + report.control.unwrap().fenced, 1);
    }

    #[test]
    fn counts_outlast_a_change_of_flags_and_not_the_rollout() {
        let node: NodeId = "node-1".parse().unwrap();
        let (user, session) = ("ada".parse().unwrap(), "s".parse().unwrap());
        let trials = Trials::default().next(&flags(1, Subject::User));
        trials.socket_closed(&user, &session, &node, &[], 1006);
        let same = trials.next(&flags(1, Subject::User));
        let (treatment, control) = disconnects(&same);
        assert_eq!(treatment + control, 1);
        assert_eq!(disconnects(&same.next(&flags(2, Subject::User))), (0, 0));
        assert_eq!(same.next(&Flags::empty()).report(), []);
    }
}
