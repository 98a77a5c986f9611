//! `gavel smoke`: one small auction on a running cluster, from its creation to
//! the check of its stream. What goes wrong names the step that it went wrong in.

mod bidder;

use crate::{
    admin::{Target, present},
    failure::Failure,
    output, units, verify,
};
use bidder::Bidder;
use gavel_proto::{
    admin::v1::{
        CloseRoomRequest, CreateRoomRequest, GetRoomRequest, ListNodesRequest, MoveRoomRequest,
        Room, node_service_client::NodeServiceClient, room_service_client::RoomServiceClient,
    },
    common::v1::AuctionState,
};
use gavel_rules::{
    amount::Amount,
    auction::{AuctionRules, Band, GuestAccess, IncrementTable},
    id::RoomId,
    time::{Millis, Timestamp},
};
use gavel_runtime::{clock, tls::Tls};
use serde_json::json;
use std::time::Duration;

/// How often the control plane is asked for what is awaited.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// The auction is closed by hand long before.
const OPEN_FOR: Millis = Millis::new(600_000);
/// What is bid, in minor units.
const BIDS: [u64; 2] = [1_000, 1_100];

/// Run one small auction on a cluster, and check it.
#[derive(Debug, clap::Args)]
pub(crate) struct SmokeArgs {
    /// Where two nodes take WebSockets; by default the public URLs of the nodes.
    #[arg(long, value_delimiter = ',', value_name = "URL")]
    url: Vec<String>,
    /// Tokens of two users, where guests are not let in.
    #[arg(long, value_delimiter = ',', value_name = "TOKEN", hide_env_values = true)]
    #[arg(env = "GAVEL_USER_TOKENS")]
    user_tokens: Vec<String>,
    /// Read the stream from this node; by default the first of --url.
    #[arg(long, value_name = "URL")]
    node: Option<String>,
    /// How long each step may take.
    #[arg(long, default_value = "10s", value_parser = units::duration)]
    patience: Millis,
    #[command(flatten)]
    target: Target,
}

/// A run, as far as it has come.
struct Smoke<'a> {
    args: &'a SmokeArgs,
    tls: Tls,
    room: RoomId,
    trace_id: String,
}

/// Runs the auction; the first step that fails is a refusal.
pub(crate) async fn run(args: SmokeArgs) -> Result<(), Failure> {
    let room = format!("smoke-{:08x}", rand::random::<u32>());
    let smoke = Smoke {
        tls: args.target.tls()?,
        room: room.parse().map_err(|error| Failure::internal("no room id", error))?,
        trace_id: format!("{:032x}", rand::random::<u128>() | 1),
        args: &args,
    };
    let urls = smoke.urls().await?;
    smoke.create().await?;
    let mut bidders = smoke.join(&urls).await?;
    smoke.bid(&mut bidders, 0).await?;
    let moved = smoke.move_room().await?;
    smoke.bid(&mut bidders, 1).await?;
    smoke.close(&mut bidders).await?;
    let events = smoke.check(&urls).await?;
    if args.target.json {
        return output::json(&json!({"room": smoke.room.to_string(), "traceId": smoke.trace_id,
            "moved": moved, "events": events}));
    }
    output::text(format_args!("ok: room {}, trace {}\n", smoke.room, smoke.trace_id))
}

// === impl Smoke ===

impl Smoke<'_> {
    /// Where the two bidders connect: on two nodes, if there are two.
    async fn urls(&self) -> Result<[String; 2], Failure> {
        let mut client = NodeServiceClient::new(self.args.target.connect()?);
        let listed = self.args.target.answer(client.list_nodes(ListNodesRequest {})).await?;
        let live: Vec<_> = listed.nodes.into_iter().filter(|node| node.live).collect();
        if live.is_empty() {
            return Err(Failure::Refused("nodes: none is live".to_owned()));
        }
        let own = || live.iter().map(|node| socket_url(&node.public_url)).collect();
        let urls: Vec<String> =
            if self.args.url.is_empty() { own() } else { self.args.url.clone() };
        let (Some(first), Some(last)) = (urls.first(), urls.last()) else {
            return Err(Failure::Usage("--url: give one or two".to_owned()));
        };
        self.say(format_args!("nodes: {} live, sockets go to {first} and {last}", live.len()))?;
        Ok([first.clone(), last.clone()])
    }

    async fn create(&self) -> Result<(), Failure> {
        let now = Timestamp::new(clock::now_ms());
        let amount =
            |minor| Amount::new(minor).map_err(|error| Failure::internal("no amount", error));
        let step = Band { from: amount(0)?, step: amount(100)? };
        let increments = IncrementTable::new(vec![step])
            .map_err(|error| Failure::internal("no increments", error))?;
        let rules = AuctionRules {
            title: "A smoke test".to_owned(),
            currency: "EUR".to_owned(),
            opening_price: amount(BIDS[0])?,
            increments,
            reserve: None,
            opens_at: now,
            closes_at: now.saturating_add(OPEN_FOR),
            extension: None,
            guests: GuestAccess::Bid,
            seller: None,
            reopen_after: None,
            outage_credit: None,
        };
        let target = &self.args.target;
        let mut client = RoomServiceClient::new(target.connect()?);
        let request = CreateRoomRequest { id: self.room.to_string(), rules: Some(rules.into()) };
        target.answer(client.create_room(request)).await?;
        let open = self.until("create", |room| {
            room.view.as_ref().is_some_and(|view| view.state() == AuctionState::Open)
        });
        let owner = open.await?.owner;
        self.say(format_args!("create: {} is open on {owner}", self.room))
    }

    async fn join(&self, urls: &[String; 2]) -> Result<[Bidder; 2], Failure> {
        let tokens = &self.args.user_tokens;
        let [first, second] = urls;
        let join = async |url: &str, token: Option<&String>| {
            let joining = Bidder::join(url, &self.room, token.map(String::as_str), &self.tls);
            self.step("join", joining).await
        };
        let bidders = [join(first, tokens.first()).await?, join(second, tokens.get(1)).await?];
        self.say("join: both bidders are in the room")?;
        Ok(bidders)
    }

    /// One bids, and both see it.
    async fn bid(&self, bidders: &mut [Bidder; 2], who: usize) -> Result<(), Failure> {
        let [first, second] = bidders;
        let (bidder, viewer) = if who == 0 { (first, second) } else { (second, first) };
        let amount = if who == 0 { BIDS[0] } else { BIDS[1] };
        let seq = self.step("bid", bidder.bid(amount, &self.trace_id)).await?;
        self.step("update", viewer.see(seq, amount)).await?;
        self.say(format_args!("bid: {} accepted and seen on both sockets", units::show(amount)))
    }

    /// Gives the room to another node, if there is one.
    async fn move_room(&self) -> Result<bool, Failure> {
        let target = &self.args.target;
        let before = self.until("move", |room| !room.owner.is_empty()).await?.owner;
        let mut nodes = NodeServiceClient::new(target.connect()?);
        let listed = target.answer(nodes.list_nodes(ListNodesRequest {})).await?.nodes;
        let other = listed.into_iter().find(|node| node.live && node.id != before);
        let Some(other) = other else {
            self.say("move: there is no other node")?;
            return Ok(false);
        };
        let mut rooms = RoomServiceClient::new(target.connect()?);
        let request = MoveRoomRequest { id: self.room.to_string(), node_id: other.id.clone() };
        target.answer(rooms.move_room(request)).await?;
        self.until("move", |room| room.owner == other.id && room.view.is_some()).await?;
        self.say(format_args!("move: from {before} to {}", other.id))?;
        Ok(true)
    }

    async fn close(&self, bidders: &mut [Bidder; 2]) -> Result<(), Failure> {
        let target = &self.args.target;
        let mut client = RoomServiceClient::new(target.connect()?);
        let request = CloseRoomRequest { id: self.room.to_string() };
        target.answer(client.close_room(request)).await?;
        let [first, second] = bidders;
        let winner = second.user().clone();
        for bidder in [first, second] {
            self.step("close", bidder.see_close(&winner, BIDS[1])).await?;
        }
        self.say(format_args!("close: sold to {winner} at {}", units::show(BIDS[1])))
    }

    /// Reads the stream back and audits it; tells how many events it has.
    async fn check(&self, urls: &[String; 2]) -> Result<u64, Failure> {
        let [first, _] = urls;
        let node = self.args.node.clone().unwrap_or_else(|| web_url(first));
        let checking = verify::audited(&node, &self.room, self.args.target.token(), &self.tls);
        let events = self.step("verify", checking).await?;
        self.say(format_args!("verify: {events} events, and nothing is wrong with them"))?;
        Ok(events)
    }

    /// Asks for the room until something holds of it.
    async fn until(&self, step: &str, holds: impl Fn(&Room) -> bool) -> Result<Room, Failure> {
        let target = &self.args.target;
        let asking = async {
            let mut client = RoomServiceClient::new(target.connect()?);
            loop {
                let request = GetRoomRequest { id: self.room.to_string() };
                let room = target.answer(client.get_room(request)).await?.room;
                let room = present("room", room)?;
                if holds(&room) {
                    return Ok(room);
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        self.step(step, asking).await
    }

    /// Takes a step, which has to end in time.
    async fn step<T>(
        &self,
        name: &str,
        step: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let patience = Duration::from_millis(self.args.patience.get());
        match tokio::time::timeout(patience, step).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(failure)) => Err(Failure::Refused(format!("{name}: {failure}"))),
            Err(_) => Err(Failure::Refused(format!(
                "{name}: nothing came of it in {} s",
                patience.as_secs_f64()
            ))),
        }
    }

    fn say(&self, line: impl std::fmt::Display) -> Result<(), Failure> {
        if self.args.target.json { Ok(()) } else { output::text(format_args!("{line}\n")) }
    }
}

/// Where a node whose public URL this is takes sockets.
fn socket_url(public_url: &str) -> String {
    let url = public_url.trim_end_matches('/');
    format!("{}/ws", url.replacen("http", "ws", 1))
}

/// The node of a socket's URL.
fn web_url(socket_url: &str) -> String {
    socket_url.trim_end_matches("/ws").replacen("ws", "http", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lead_to_the_same_node() {
        for (public, socket) in [
            ("http://127.0.0.1:3000", "ws://127.0.0.1:3000/ws"),
            ("https://bids.example/", "wss://bids.example/ws"),
        ] {
            assert_eq!(socket_url(public), socket);
            assert_eq!(web_url(socket), public.trim_end_matches('/'));
        }
    }
}
