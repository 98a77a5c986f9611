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
use gavel_runtime::clock;
use std::{
    net::SocketAddr,
    process::Command,
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
    time::{interval, sleep, timeout},
};

const BIDS_PER_SECOND: u32 = 500;
/// Few: what it takes to hear a thousand updates is no part of what an attack does.
const SOCKETS: u32 = 50;
/// Of its own address an attacker gets nowhere; many addresses are meant. Every other limit is on.
const LIMITS: &str = "sockets_per_ip_max=0 handshakes_per_ip_rate=0 bids_per_user_max=0";
/// How often each is measured without and with an attack; the middle one counts, for a p99 is
/// made of what a small machine happens to do as well.
const ROUNDS: usize = 3;
/// Times what bidders wait without an attack.
const TIMES_MAX: f64 = 2.0;
/// Below this, a machine that does other things as well decides on the ratio.
const MEASURABLE_MS: f64 = 1.0;
const KIB: f64 = 1024.0;
/// How long an attack may take to come to its size.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a server that reads at all leaves nothing unread.
const STUCK_AFTER: Duration = Duration::from_secs(3);
/// Something to say that is answered.
const PING: &str = r#"{"type":"ping"}"#;
/// How often one that talks too much does it, and how much.
const CHATTER: (Duration, u32) = (Duration::from_millis(10), 100);
/// Before an attacker that was refused comes again.
const AGAIN: Duration = Duration::from_millis(10);

/// What strangers do.
#[derive(Debug, Clone, Copy)]
enum Attack {
    HalfHeads,
    NeverRead,
    Messages,
    Chatter,
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

/// Measures each attack against the same load without it, on the same server.
pub(crate) fn measure(report: &mut Report) -> Outcome<()> {
    let title =
        format!("From bid to answer at {BIDS_PER_SECOND} bids a second on one node, under attack");
    let mut waits = Section::new(&title, "p99 in ms");
    let mut cores = Section::new("What an attack makes the server do", "processors");
    let mut memory = Section::new("Resident memory that an attack takes", "KiB");
    let crowd = crowd()?;
    for attack in Attack::ALL {
        let gavel = Gavel::start(1, &[], &format!("{LIMITS} {}", attack.limits()))?;
        let first = Load::on(&gavel)?;
        let (mut before, mut during) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            before.push(Load::on(&gavel)?);
            let attackers = crowd.block_on(attack.begin(Victim::of(&gavel)?))?;
            during.push(Load::on(&gavel)?);
            drop(attackers);
        }
        let p99 = |loads| Load::median(loads, |load| load.p99_ms);
        let busy = |loads| Load::median(loads, |load| load.cores);
        waits.row(&format!("before {}", attack.name()), p99(&before), None);
        let bar = p99(&before).max(MEASURABLE_MS) * TIMES_MAX;
        waits.row(attack.name(), p99(&during), Some(bar));
        cores.row(attack.name(), (busy(&during) - busy(&before)).max(0.0), None);
        // What it took once a server may keep, and each load leaves bids behind.
        let (Some(calm), Some(attacked)) = (before.first(), during.first()) else { continue };
        let left_behind = calm.bytes - first.bytes;
        let taken = (attacked.bytes - calm.bytes - left_behind).max(0.0) / KIB;
        memory.row(attack.name(), taken, None);
        if let Some(most) = attack.kib_max() {
            let each = taken / f64::from(u32::try_from(attack.attackers())?);
            memory.row("for each of them", each, Some(most));
        }
    }
    report.add(waits);
    report.add(cores);
    report.add(memory);
    Ok(())
}

/// The runtime of the attackers.
fn crowd() -> Outcome<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.worker_threads(2).enable_all().on_thread_start(step_back).build()?)
}

/// Leaves this thread only what no other thread of the machine wants. A nice one would still make
/// others wait for its turn to end, which alone doubles what bidders wait.
fn step_back() {
    let stepped = std::fs::read_link("/proc/thread-self").is_ok_and(|thread| {
        let id = thread.file_name().unwrap_or_default();
        let idle = Command::new("chrt").args(["--idle", "--pid", "0"]).arg(id).status();
        idle.is_ok_and(|status| status.success())
    });
    assert!(stepped, "Linux, and chrt of util-linux");
}

/// What the honest notice, and what the server does and takes meanwhile.
struct Load {
    p99_ms: f64,
    /// Processors that it keeps busy.
    cores: f64,
    /// The most of its resident memory.
    bytes: f64,
}

// === impl Load ===

impl Load {
    fn on(gavel: &Gavel) -> Outcome<Self> {
        let (began, worked) = (clock::monotonic(), gavel.process.processor_time()?);
        let mut bytes = 0_f64;
        let acks = Acks::under_load(gavel, SOCKETS, BIDS_PER_SECOND, || {
            bytes = bytes.max(gavel.process.resident_bytes()?);
            Ok(())
        })?;
        let worked = gavel.process.processor_time()?.saturating_sub(worked);
        Ok(Self { p99_ms: acks.p99, cores: worked.div_duration_f64(began.elapsed()), bytes })
    }

    /// The middle one of a figure.
    fn median(loads: &[Self], figure: fn(&Self) -> f64) -> f64 {
        let mut figures: Vec<f64> = loads.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied().unwrap_or_default()
    }
}

// === impl Attack ===

impl Attack {
    const ALL: [Self; 5] =
        [Self::HalfHeads, Self::NeverRead, Self::Messages, Self::Chatter, Self::Resets];

    const fn name(self) -> &'static str {
        match self {
            Self::HalfHeads => "5000 heads that never end",
            Self::NeverRead => "50 sockets that never read",
            Self::Messages => "4 sockets that flood messages, closed and back at once",
            Self::Chatter => "1 socket that says 10000 messages a second, as if it might",
            Self::Resets => "2 connections that reset streams, by gRPC",
        }
    }

    const fn attackers(self) -> usize {
        match self {
            Self::HalfHeads => 5_000,
            Self::NeverRead => 50,
            Self::Messages => 4,
            Self::Chatter => 1,
            Self::Resets => 2,
        }
    }

    /// What has to be lifted for it to be one.
    const fn limits(self) -> &'static str {
        match self {
            Self::NeverRead | Self::Chatter => "messages_per_session_rate=0",
            Self::HalfHeads | Self::Messages | Self::Resets => "",
        }
    }

    /// What one attacker may take, where there are enough of them to tell.
    const fn kib_max(self) -> Option<f64> {
        match self {
            Self::HalfHeads | Self::NeverRead => Some(64.0),
            Self::Messages | Self::Chatter | Self::Resets => None,
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
            Self::Chatter => victim.chatter().await,
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

    /// Says more than it may, as fast as it is taken, until it is closed.
    async fn flood(&self) -> Outcome<()> {
        let mut client = Client::connect(self.web).await?;
        self.arrive();
        while !client.has_ended() {
            client.say(PING).await?;
        }
        Ok(())
    }

    /// Says much, evenly.
    async fn chatter(&self) -> Outcome<()> {
        let mut client = Client::connect(self.web).await?;
        self.arrive();
        let mut tick = interval(CHATTER.0);
        while !client.has_ended() {
            tick.tick().await;
            for _ in 0..CHATTER.1 {
                client.say(PING).await?;
            }
        }
        Ok(())
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
