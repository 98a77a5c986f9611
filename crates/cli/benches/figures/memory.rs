//! Memory of an idle socket that has joined a room.

use super::{
    baseline::{Baseline, Kind},
    gavel::Gavel,
    process::Process,
    report::{Report, Section},
    viewers::Viewers,
};
use crate::Outcome;
use std::{net::SocketAddr, time::Duration};
use tokio::time::sleep;

const SOCKETS: usize = 10_000;
const BYTES_MAX: f64 = 2.5 * 1024.0;
/// For buffers of the handshake to be given back, as the allocator does in its own time.
const REST: Duration = Duration::from_secs(15);

/// Measures Gavel and the baselines.
pub(crate) async fn measure(report: &mut Report) -> Outcome<()> {
    let title = format!("Resident memory for each of {SOCKETS} idle sockets");
    let mut section = Section::new(&title, "bytes a socket");
    let gavel = Gavel::start(
        1,
        &[],
        "sockets_per_ip_max=0 handshakes_per_ip_rate=0 sockets_per_node_max=0",
    )?;
    let join = r#"{"type":"joinAuction","auctionId":1}"#;
    let bytes = idle(&gavel.process, gavel.address()?, join, 2).await?;
    section.row("Gavel, joined to a room", bytes, Some(BYTES_MAX));
    drop(gavel);
    for kind in [Kind::SmallBuffers, Kind::DefaultBuffers] {
        let baseline = Baseline::start(kind)?;
        let bytes = idle(&baseline.process, baseline.address, "", 1).await?;
        section.row(kind.name(), bytes, None);
    }
    report.add(section);
    Ok(())
}

/// What one of many sockets costs after each got so many messages.
async fn idle(server: &Process, at: SocketAddr, say: &str, messages: u64) -> Outcome<f64> {
    let before = server.resident_bytes()?;
    let viewers = Viewers::open(at, SOCKETS, say).await?;
    viewers.until(messages * u64::try_from(SOCKETS)?).await?;
    sleep(REST).await;
    let after = server.resident_bytes()?;
    Ok((after - before) / f64::from(u32::try_from(SOCKETS)?))
}
