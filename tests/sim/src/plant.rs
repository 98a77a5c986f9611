//! Faults put in on purpose: a simulation that finds none of them proves
//! nothing.

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// An append under an epoch of the past is stored.
    FenceOff,
    /// An append is stored wherever it believes the stream to end.
    SeqOff,
    /// An append is stored whatever the guard says.
    GuardOff,
    /// The count of events is raised before they are stored, which may then fail.
    CountFirst,
    /// An append is answered before it is stored, and may then be lost.
    AnswerFirst,
    /// Of a batch some events are stored when the rest fails.
    HalfBatch,
    /// A room may be claimed under an epoch of the past.
    ClaimAny,
    /// A load does not see the newest event.
    StaleLoad,
    /// A load forgets the ids of bids.
    ForgetsIds,
    /// A leader that has a successor may still change what is stored.
    TermOff,
    /// A lease is given while another replica has it.
    LeaseOff,
}

impl Plant {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::FenceOff,
        Self::SeqOff,
        Self::GuardOff,
        Self::CountFirst,
        Self::AnswerFirst,
        Self::HalfBatch,
        Self::ClaimAny,
        Self::StaleLoad,
        Self::ForgetsIds,
        Self::TermOff,
        Self::LeaseOff,
    ];
}

impl std::str::FromStr for Plant {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|plant| format!("{plant:?}") == name);
        found.ok_or_else(|| format!("no such fault: {name}; there are {:?}", Self::ALL))
    }
}
