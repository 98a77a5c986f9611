//! What an owner does with the outcome of a store call.

use super::*;
use crate::room::{Watch, recent};

impl Room {
    pub(in super::super) fn on_done(&mut self, done: Done) {
        match done {
            Done::Claimed(Ok((Claim::Claimed(loaded), end))) => {
                // One that claims again has decided all along.
                if let Role::Owner(owner) = &mut self.role
                    && owner.decides_since == Timestamp::new(0)
                {
                    owner.decides_since = loaded.now;
                    owner.lost_since = loaded.heard_at;
                }
                self.on_loaded(*loaded, end);
            }
            Done::Claimed(Ok((Claim::Fenced { epoch, .. }, _))) => {
                self.shell.control.claim_refused(&self.id, epoch);
                self.fenced(epoch);
            }
            Done::Loaded(Ok((loaded, end))) => self.on_loaded(*loaded, end),
            Done::Claimed(Err(error)) | Done::Loaded(Err(error)) => self.on_trouble(&error),
            Done::Looked(found) => self.on_looked(found),
            Done::Found(found) => self.on_found(found),
            Done::Appended { events, outcome, sent_at, stamp } => {
                self.on_appended(events, outcome, sent_at, stamp);
            }
            Done::Replayed { events, outcome } => self.on_replayed(events, outcome),
            Done::Raised(outcome) => self.on_raised(outcome),
        }
    }

    fn on_appended(
        &mut self,
        events: Vec<Event>,
        outcome: Result<Appended, StoreError>,
        sent_at: Timestamp,
        stamp: Stamp,
    ) {
        let Role::Owner(owner) = &mut self.role else { return };
        owner.auction.abandon();
        match outcome {
            Ok(Appended::Stored { at, .. }) => {
                self.shell.clock.observe(at, sent_at);
                self.keep(&events, stamp);
                self.stored(&events);
            }
            Ok(Appended::Fenced { epoch, .. }) => self.on_fenced(epoch),
            Ok(Appended::Conflict { .. }) => {
                owner.watch_out(self.shell.now());
                self.reload(Timestamp::new(0));
            }
            // The store's clock decides: with it, the same bids are decided anew.
            Ok(Appended::TooEarly { now } | Appended::TooLate { now }) => {
                self.shell.clock.observe(now, sent_at);
                self.retry_batch();
            }
            Err(error) => self.on_trouble(&error),
        }
    }

    /// Keeps events that a failover of the store could lose.
    fn keep(&mut self, events: &[Event], stamp: Stamp) {
        let Role::Owner(owner) = &mut self.role else { return };
        let mark = self.shell.store.watermark();
        if owner.tail.push(owner.epoch, events, stamp, &mark) {
            tracing::warn!(room.id = %self.id, kept = super::super::tail::EVENTS_MAX,
                "replicas of the store lag: older events are lost if one of them is promoted");
        }
    }

    /// The events are in the stream: now they are true, and everybody is told.
    fn stored(&mut self, events: &[Event]) {
        let Role::Owner(owner) = &mut self.role else { return };
        owner.backoff.reset();
        let answers = std::mem::take(&mut owner.batch);
        let traceparents: Vec<String> =
            answers.iter().filter_map(|(ask, _)| ask.traceparent.clone()).collect();
        let durability = self.shell.store.durability().as_str();
        for (ask, verdict) in answers {
            ask.answer(&self.shell, &self.id, verdict, durability);
        }
        for event in events {
            self.apply(event, &traceparents);
        }
        self.keep_snapshot(events);
        let Role::Owner(owner) = &mut self.role else { return };
        if let Some(done) = owner.command.take() {
            self.command_done(done, None);
        }
    }

    fn apply(&mut self, event: &Event, traceparents: &[String]) {
        let Role::Owner(owner) = &mut self.role else { return };
        if let Err(error) = owner.auction.apply(event) {
            tracing::error!(room.id = %self.id, seq = event.seq.get(), %error, "stored event does not fold");
            return self.reload(self.shell.now().saturating_add(Millis::new(1_000)));
        }
        let (view, epoch, generation) = (owner.auction.view(), owner.epoch, owner.generation);
        self.load.stands(&view, owner.auction.rules());
        if matches!(event.kind, EventKind::Created { .. }) {
            return self.tell_all(view, generation, Vec::new());
        }
        let message = recent::update(&self.id, epoch, view.clone(), traceparents);
        // An edge that cannot keep up loses the room's stream; it comes back
        // for a snapshot when it sees the gap.
        self.edges.retain(|edge| edge.sender.try_send(message.clone()).is_ok());
        self.publish(view, traceparents);
    }

    /// Tells this node's sockets what they missed, and all edges that or what they
    /// asked for.
    fn tell_all(&mut self, view: View, generation: Generation, before: Vec<View>) {
        let told = Watch { since: self.position(), whole: true };
        self.catch_up(view, generation, before);
        for mut edge in std::mem::take(&mut self.edges) {
            if edge.wants == Watch::default() {
                // It got what it asked for, and then what this node knew.
                edge.wants = told;
            }
            self.attach(edge);
        }
    }

    /// Keeps a snapshot each time the stream has grown by an interval.
    fn keep_snapshot(&self, events: &[Event]) {
        let Role::Owner(owner) = &self.role else { return };
        let crosses = |seq: Seq| seq.get().is_multiple_of(SNAPSHOT_INTERVAL_EVENTS);
        if !events.iter().any(|event| crosses(event.seq)) {
            return;
        }
        let (shell, id, epoch) = (Arc::clone(&self.shell), self.id.clone(), owner.epoch);
        let snapshot = owner.auction.to_snapshot();
        drop(tasks::spawn("room.snapshot", async move {
            // Without a snapshot the next load only reads more events.
            if let Err(error) = shell.store.snapshot(&id, epoch, &snapshot).await {
                tracing::debug!(room.id = %id, %error, "no snapshot kept");
            }
        }));
    }

    fn on_loaded(&mut self, loaded: Loaded, end: StreamEnd) {
        let Role::Owner(owner) = &mut self.role else { return };
        if owner.stands_in_for().is_some() {
            if owner.epoch() < loaded.epoch {
                self.unnamed.look_soon();
            }
            owner.adopt(loaded.epoch);
            self.epoch = self.epoch.max(loaded.epoch);
        } else if loaded.epoch != owner.epoch {
            return self.on_fenced(loaded.epoch);
        }
        self.shell.clock.observe(loaded.now, loaded.now);
        owner.backoff.reset();
        if !self.is_as_told(&loaded, end) {
            return;
        }
        let Role::Owner(owner) = &mut self.role else { return };
        owner.auction = loaded.auction;
        owner.generation = loaded.generation;
        owner.phase = Phase::Ready;
        owner.fresh_for = owner.asked_for;
        if owner.stands_in_for().is_none() {
            self.shell.rooms.own(&self.id, owner.epoch, &self.load);
        }
        if owner.auction.rules().is_some() {
            let (view, generation) = (owner.auction.view(), owner.generation);
            self.load.stands(&view, owner.auction.rules());
            self.tell_all(view, generation, loaded.before);
        } else {
            self.create();
        }
        self.retry_batch();
    }

    /// Writes the first event of a room that has none.
    fn create(&mut self) {
        let now = self.shell.now();
        let Role::Owner(owner) = &mut self.role else { return };
        let created = owner.rules.clone().map(|rules| Auction::create(rules, now));
        match created {
            Some(Ok((auction, event))) => {
                owner.auction = auction;
                self.append(vec![event], now);
            }
            Some(Err(error)) => {
                tracing::error!(room.id = %self.id, %error, "the room's rules are refused");
                self.reload(now.saturating_add(Millis::new(5_000)));
            }
            None => self.reload(now.saturating_add(Millis::new(1_000))),
        }
    }

    /// The store gave no answer, or could not: nothing in memory is trusted
    /// until it has been read again.
    pub(in super::super) fn on_trouble(&mut self, error: &StoreError) {
        self.shell.metrics.store_error(error);
        let Role::Owner(owner) = &mut self.role else { return };
        tracing::warn!(room.id = %self.id, %error, "the store cannot be used; bids are refused");
        let delay = owner.backoff.next_delay();
        let at = self
            .shell
            .now()
            .saturating_add(Millis::new(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)));
        owner.phase = match owner.phase {
            Phase::Claim(_) => Phase::Claim(at),
            Phase::Load(_) | Phase::Ready => Phase::Load(at),
        };
        self.abandon_batch();
    }

    pub(in super::super) fn reload(&mut self, at: Timestamp) {
        if let Role::Owner(owner) = &mut self.role {
            owner.phase = Phase::Load(at);
        }
        self.retry_batch();
    }

    /// Puts the bids of the last append in front again, to be settled by
    /// their ids; a bid that has been tried often enough is let go.
    fn retry_batch(&mut self) {
        let Role::Owner(owner) = &mut self.role else { return };
        let command = owner.command.take();
        for (mut ask, _) in std::mem::take(&mut owner.batch).into_iter().rev() {
            ask.attempts += 1;
            if ask.attempts < ATTEMPTS_MAX {
                self.bids.push_front(ask);
            } else {
                ask.unavailable(&self.shell, &self.id, self.hub.view());
            }
        }
        if let Some(done) = command {
            self.command_done(
                done,
                Some(NotDone::unavailable("the store did not take it; try again")),
            );
        }
    }

    /// Tells the bids of the last append that their outcome is not known.
    pub(in super::super) fn abandon_batch(&mut self) {
        let Role::Owner(owner) = &mut self.role else { return };
        let command = owner.command.take();
        for (ask, _) in std::mem::take(&mut owner.batch) {
            ask.unavailable(&self.shell, &self.id, self.hub.view());
        }
        if let Some(done) = command {
            self.command_done(done, Some(NotDone::unavailable("the store cannot be reached")));
        }
    }

    /// The store has the room under another epoch.
    pub(in super::super) fn on_fenced(&mut self, epoch: Epoch) {
        let Role::Owner(owner) = &self.role else { return };
        if owner.stands_in_for().is_some() {
            // The room has another owner: under its epoch we stand in on.
            self.count_fenced();
            self.reload(Timestamp::new(0));
        } else if epoch < owner.epoch {
            self.reclaim(epoch);
            self.retry_batch();
        } else {
            self.count_fenced();
            self.fenced(epoch);
        }
    }

    fn count_fenced(&self) {
        self.shell.metrics.fenced();
        self.shell.live.get().trials.fenced(&self.id, &self.shell.id);
    }

    /// Somebody else owns the room: nothing more is decided here.
    fn fenced(&mut self, epoch: Epoch) {
        tracing::info!(room.id = %self.id, epoch = epoch.get(), "another node owns the room");
        self.become_nobody();
        self.shell.control.interested(&self.id);
    }
}
