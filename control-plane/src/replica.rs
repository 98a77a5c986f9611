//! The shell around [`Election`]: one task that asks the store for the lease,
//! runs a [`Driver`] while this replica leads, and keeps its documents the
//! newest whoever does.

use crate::{
    driver::{Clock, Driver, Known, Start},
    grpc::Documents,
    http::HttpState,
    leader::{Action, Election, Event, Leads},
    store::{Candidate, ClusterStore, Leadership, StoreError},
};
use futures::{
    FutureExt as _,
    future::{BoxFuture, OptionFuture},
};
use gavel_rules::{
    order::Term,
    time::{Millis, Timestamp},
};
use gavel_runtime::{grpc, tasks, tls::Tls};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::sync::{Notify, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Channel;

/// The part that this replica plays, as its services see it.
#[derive(Debug, Clone)]
pub(crate) enum Standing {
    /// It leads. While it is not `acting` it may have a successor: what it
    /// knows may be told, but it decides nothing.
    Leads { term: Term, driver: Driver, acting: bool },
    /// It does not lead.
    Follows(Option<Leader>),
}

/// Another replica that leads.
#[derive(Debug, Clone)]
pub(crate) struct Leader {
    pub(crate) endpoint: String,
    pub(crate) term: Term,
    pub(crate) channel: Channel,
}

/// What the services know of the replica.
#[derive(Debug, Clone)]
pub(crate) struct Replica {
    pub(crate) id: Arc<str>,
    standing: watch::Receiver<Standing>,
    fenced: Arc<Notify>,
}

/// What a leader needs for its work.
#[derive(Debug, Clone)]
pub(crate) struct Office {
    pub(crate) store: Arc<dyn ClusterStore>,
    pub(crate) state: Arc<HttpState>,
    pub(crate) documents: Documents,
    /// How other replicas are called.
    pub(crate) tls: Tls,
    pub(crate) lease: Millis,
    pub(crate) heartbeat: Millis,
}

/// What there is to lead under a term.
type TakenOver = (Term, Result<Vec<Known>, StoreError>);

/// The task.
pub(crate) struct Task {
    office: Office,
    candidate: Candidate,
    election: Election,
    clock: Clock,
    wake_at: Option<Timestamp>,
    standing: watch::Sender<Standing>,
    fenced: Arc<Notify>,
    asked: Option<BoxFuture<'static, Result<Leadership, StoreError>>>,
    /// What is read before this replica leads under a term.
    taking_over: Option<BoxFuture<'static, TakenOver>>,
    resigned: Option<Term>,
    /// Ends the driver when dropped.
    driver: Option<DropGuard>,
}

// === impl Replica ===

impl Replica {
    /// The part that it plays now.
    pub(crate) fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// The term that it leads under; zero if it does not.
    pub(crate) fn term(&self) -> u64 {
        match &*self.standing.borrow() {
            Standing::Leads { term, .. } => term.get(),
            Standing::Follows(_) => 0,
        }
    }

    /// Told of each change of part.
    pub(crate) fn watch(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Notes that the store knows a later leader.
    pub(crate) fn fenced(&self) {
        self.fenced.notify_one();
    }
}

// === impl Task ===

impl Task {
    /// Asks for the lease a first time. If it is free, this replica leads when
    /// this returns.
    ///
    /// # Errors
    /// If the store does not answer.
    pub(crate) async fn start(
        office: Office,
        candidate: Candidate,
    ) -> Result<(Self, Replica), StoreError> {
        let (standing, watched) = watch::channel(Standing::Follows(None));
        let (fenced, clock) = (Arc::new(Notify::new()), Clock::start());
        let id = candidate.replica.as_str().into();
        let replica = Replica { id, standing: watched, fenced: Arc::clone(&fenced) };
        let mut task = Self {
            office,
            candidate,
            election: Election::new(clock.now()),
            clock,
            wake_at: None,
            standing,
            fenced,
            asked: None,
            taking_over: None,
            resigned: None,
            driver: None,
        };
        task.step(Event::Tick);
        if let Some(asked) = task.asked.take() {
            let told = asked.await?;
            task.answered(Ok(told)).await;
        }
        if let Some(taking_over) = task.taking_over.take() {
            let (term, known) = taking_over.await;
            task.took_over(term, Ok(known?));
        }
        Ok((task, replica))
    }

    /// Runs until told to stop, and then gives the lease back.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let fenced = Arc::clone(&self.fenced);
        loop {
            let pause = self.wake_at.map(|at| at.since(self.clock.now()).get());
            let pause = Duration::from_millis(pause.unwrap_or_default());
            tokio::select! {
                Some(told) = OptionFuture::from(self.asked.as_mut()) => {
                    self.asked = None;
                    self.answered(told).await;
                }
                Some((term, known)) = OptionFuture::from(self.taking_over.as_mut()) => {
                    self.taking_over = None;
                    self.took_over(term, known);
                }
                () = fenced.notified() => self.step(Event::Fenced),
                () = tokio::time::sleep(pause), if self.wake_at.is_some() => {
                    self.step(Event::Tick);
                }
                () = stop.cancelled() => break,
            }
            self.resign().await;
        }
        self.step(Event::Stop);
        self.resign().await;
    }

    /// Takes the store's word for who leads, and reads what changed meanwhile.
    async fn answered(&mut self, told: Result<Leadership, StoreError>) {
        let Leadership { leader, term, changes } = match told {
            Ok(told) => told,
            Err(error) => {
                tracing::debug!(%error, "nobody can say who leads");
                return self.step(Event::NoAnswer);
            }
        };
        self.step(if leader.replica == self.candidate.replica {
            Event::Mine(term)
        } else {
            Event::Anothers(Leads { leader, term })
        });
        if self.office.documents.changes() != changes
            && let Err(error) = self.office.documents.refresh(&*self.office.store).await
        {
            tracing::debug!(%error, "the documents cannot be read; trying again");
        }
    }

    fn step(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.wake_at = self.election.step(event, self.clock.now(), &mut actions);
        for action in actions {
            match action {
                Action::Ask { term } => {
                    let (store, me) = (Arc::clone(&self.office.store), self.candidate.clone());
                    self.asked = Some(async move { store.lead(&me, term).await }.boxed());
                }
                Action::Lead { term } => {
                    self.follow(None);
                    self.taking_over = Some(self.office.clone().take_over(term).boxed());
                }
                Action::Pause => self.act(false),
                Action::Resume => self.act(true),
                Action::Follow(leads) => self.follow(leads),
                Action::Resign { term } => {
                    self.follow(None);
                    self.resigned = Some(term);
                }
            }
        }
    }

    fn took_over(&mut self, term: Term, known: Result<Vec<Known>, StoreError>) {
        let known = match known {
            Ok(known) => known,
            Err(StoreError::Fenced { .. }) => return self.step(Event::Fenced),
            Err(error) => {
                tracing::warn!(%error, "this replica cannot take over");
                return self.step(Event::Failed);
            }
        };
        tracing::info!(replica = self.candidate.replica, %term, rooms = known.len(), "leads");
        let Office { store, state, lease, heartbeat, .. } = self.office.clone();
        let fenced = Arc::clone(&self.fenced);
        let (driver, run) =
            Driver::start(Start { term, store, state, lease, heartbeat, fenced }, known);
        self.driver = Some(driver.over().drop_guard());
        drop(tasks::spawn("driver", run));
        self.show(Standing::Leads { term, driver, acting: true });
    }

    fn act(&self, acts: bool) {
        if acts {
            tracing::info!("goes on as leader: nobody led meanwhile");
        } else {
            tracing::warn!("decides nothing more: the lease of this leader is in doubt");
        }
        self.standing.send_modify(|standing| {
            if let Standing::Leads { acting, .. } = standing {
                *acting = acts;
            }
        });
    }

    /// Drops what was known as a leader.
    fn follow(&mut self, leads: Option<Leads>) {
        self.taking_over = None;
        if let Some(driver) = self.driver.take() {
            tracing::info!(replica = self.candidate.replica, "no longer leads");
            drop(driver);
            self.office.state.no_longer_leads();
        }
        let leader = leads.and_then(|Leads { leader, term }| {
            tracing::info!(replica = leader.replica, endpoint = leader.endpoint, %term, "follows");
            let channel = grpc::channel(&leader.endpoint, &self.office.tls)
                .inspect_err(|error| tracing::warn!(%error, "the leader cannot be called"))
                .ok()?;
            Some(Leader { endpoint: leader.endpoint, term, channel })
        });
        self.show(Standing::Follows(leader));
    }

    fn show(&self, standing: Standing) {
        let term = match &standing {
            Standing::Leads { term, .. } => Some(*term),
            Standing::Follows(_) => None,
        };
        let state = &self.office.state;
        state.leading_term.store(term.unwrap_or_default().get(), Ordering::Relaxed);
        self.standing.send_replace(standing);
    }

    /// Gives the lease back, if that is to be done.
    async fn resign(&mut self) {
        let Some(term) = self.resigned.take() else { return };
        match self.office.store.resign(&self.candidate, term).await {
            Ok(()) => tracing::info!(%term, "gave the lease back"),
            Err(error) => tracing::warn!(%error, "the lease is left to run out"),
        }
    }
}

// === impl Office ===

impl Office {
    /// Reads what a leader must know, and stores documents where none are.
    async fn take_over(self, term: Term) -> TakenOver {
        let known = async {
            self.documents.seed(&*self.store, term).await?;
            let rooms = self.store.rooms().await?;
            Ok(rooms.into_iter().map(Known::from).collect())
        };
        (term, known.await)
    }
}
