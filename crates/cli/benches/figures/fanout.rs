//! Processor time to bring updates of one large room to its viewers.

use super::{
    baseline::{Baseline, Kind},
    gavel::Gavel,
    process::Process,
    report::{Report, Section},
    viewers::{Client, Viewers},
};
use crate::Outcome;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

const VIEWERS: usize = 1_000;
const UPDATES: u64 = 500;
/// Fifty a second, and none before all have the last one: nothing may be merged.
const UPDATE_INTERVAL: Duration = Duration::from_millis(20);
/// What seconds are worth depends on the machine: the bars are ratios of one run.
const TO_FLOOR_MAX: f64 = 1.25;
const TO_AXUM_MAX: f64 = 1.0;

/// Measures Gavel and the baselines.
pub(crate) async fn measure(report: &mut Report) -> Outcome<()> {
    let title = format!("Processor time of the server, one room of {VIEWERS}, no batching window");
    let mut section = Section::new(&title, "s a million deliveries");
    let (gavel, message_bytes) = gavel().await?;
    section.row("Gavel, bids decided and stored", gavel, None);
    for kind in Kind::ALL {
        let seconds = baseline(kind, message_bytes).await?;
        section.row(kind.name(), seconds, None);
        let bar = match kind {
            Kind::BareWrites => TO_FLOOR_MAX,
            Kind::SmallBuffers | Kind::DefaultBuffers => TO_AXUM_MAX,
        };
        section.row(&format!("Gavel to {}", kind.name()), gavel / seconds, Some(bar));
    }
    report.add(section);
    Ok(())
}

/// Seconds a million, and the bytes of a message.
async fn gavel() -> Outcome<(f64, usize)> {
    let limits = "sockets_per_ip_max=0 handshakes_per_ip_rate=0 bids_per_user_max=0 messages_per_session_rate=0 \
                  batch_window_ms=0";
    let gavel = Gavel::start(1, &[], limits)?;
    gavel.ask(
        "rooms create hall --title Hall --opening-price 1.00 --increment 0.01 --closes-in 1h \
         --guests bid --json",
    )?;
    let at = gavel.address()?;
    let join = r#"{"type":"joinAuction","auctionId":"hall"}"#;
    let viewers = Viewers::open(at, VIEWERS, join).await?;
    // A welcome and the state.
    let count = u64::try_from(VIEWERS)?;
    let greeted = 2 * count;
    viewers.until(greeted).await?;
    let mut bidders = [Client::connect(at).await?, Client::connect(at).await?];

    let (used, bytes) = (gavel.process.processor_time()?, viewers.bytes());
    let mut tick = ticks();
    for n in 0..UPDATES {
        tick.tick().await;
        // Nobody may outbid himself.
        let bidder = bidders.get_mut(usize::from(n % 2 == 0)).ok_or("no bidder")?;
        let bid = format!(r#"{{"type":"bid","auctionId":"hall","amount":{}}}"#, n + 1);
        bidder.say(&bid).await?;
        viewers.until(greeted + (n + 1) * count).await?;
    }
    let delivered = UPDATES * count;
    let seconds = per_million(&gavel.process, used, delivered)?;
    let message_bytes = usize::try_from((viewers.bytes() - bytes) / delivered)?;
    Ok((seconds, message_bytes))
}

async fn baseline(kind: Kind, message_bytes: usize) -> Outcome<f64> {
    let server = Baseline::start(kind)?;
    let viewers = Viewers::open(server.address, VIEWERS, "").await?;
    let count = u64::try_from(VIEWERS)?;
    viewers.until(count).await?;
    let mut bidder = Client::connect(server.address).await?;

    let used = server.process.processor_time()?;
    let text = "x".repeat(message_bytes);
    let mut tick = ticks();
    for n in 0..UPDATES {
        tick.tick().await;
        bidder.say(&text).await?;
        viewers.until((n + 2) * count).await?;
    }
    per_million(&server.process, used, UPDATES * count)
}

fn ticks() -> tokio::time::Interval {
    let mut tick = interval(UPDATE_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}

fn per_million(server: &Process, used: Duration, delivered: u64) -> Outcome<f64> {
    let used = server.processor_time()? - used;
    Ok(used.as_secs_f64() * 1e6 / f64::from(u32::try_from(delivered)?))
}
