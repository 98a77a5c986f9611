//! `gavel dev`: a whole cluster in one process, with demo auctions.

mod banner;
mod ready;
mod rooms;
mod seed;

use crate::{cluster::Cluster, failure::Failure, files, serve, stores::Stores};
use gavel_runtime::telemetry;
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// Run a whole cluster in this process, with ten demo auctions.
#[derive(Debug, clap::Args)]
pub(crate) struct DevArgs {
    /// Ports of the nodes' HTTP and WebSocket, one node for each; 0 picks a free one.
    #[arg(long, value_delimiter = ',', default_value = "3000,3001")]
    node_ports: Vec<u16>,
    /// Ports of the control plane's HTTP and gRPC.
    #[arg(long, value_delimiter = ',', default_value = "7000,7001")]
    control_ports: Vec<u16>,
    /// Ports of the nodes' relays; 0 picks a free one.
    #[arg(long, value_delimiter = ',', default_value = "0,0")]
    relay_ports: Vec<u16>,
    /// Keep state in Redis or Valkey instead of memory.
    #[arg(long, value_name = "URL")]
    redis_url: Option<String>,
    /// Keep state in a file of this directory; the next run goes on with it.
    #[arg(long, value_name = "DIR", conflicts_with = "redis_url")]
    data: Option<PathBuf>,
    /// Token for the nodes' `/api/websocket/metrics` and `/api/rooms`.
    #[arg(long, default_value = "gavel-dev")]
    admin_token: String,
    /// Print the addresses as one line of JSON.
    #[arg(long)]
    print_json: bool,
}

/// A little longer than a control plane leads without renewing.
const LEASE_MAX: Duration = Duration::from_secs(4);

/// Runs the cluster until a signal.
pub(crate) async fn run(args: DevArgs) -> Result<(), Failure> {
    let &[http_port, grpc_port] = args.control_ports.as_slice() else {
        return Err(Failure::Usage("--control-ports: give two, HTTP and gRPC".to_owned()));
    };
    args.redis_url.as_deref().map_or(Ok(()), serve::redis_url)?;
    let _telemetry = telemetry::init("gavel-dev", "dev");
    let shutdown = serve::signals()?;
    files::raise_limit();

    let stores = match &args.data {
        Some(directory) => Stores::on_disk(directory)?,
        None => Stores::open(args.redis_url.as_deref())?,
    };
    let is_new = stores.is_new;
    let mut cluster = Cluster::start(control(http_port, grpc_port), stores).await?;
    // Redis may still hold the lease of a run that was killed; where another
    // control plane really leads, ours passes on what comes to it.
    drop(tokio::time::timeout(LEASE_MAX, cluster.control.leads()).await);
    let endpoint = cluster.endpoint();
    if is_new {
        seed::limits(&endpoint).await?;
    }
    let ready = async {
        nodes(&args, &mut cluster).await?;
        let ids: Vec<&str> = cluster.nodes.iter().map(|(id, _)| id.as_str()).collect();
        ready::nodes(&endpoint, &ids, ready::PATIENCE).await?;
        seed::rooms(&endpoint).await
    };
    let started = tokio::select! {
        started = ready => started,
        () = shutdown.wait() => Ok(()),
    };
    if started.is_ok() && !shutdown.is_triggered() {
        banner::print(&cluster, &args)?;
        shutdown.wait().await;
    }
    cluster.stop().await;
    started
}

fn control(http_port: u16, grpc_port: u16) -> gavel_control_plane::Config {
    let mut config = gavel_control_plane::Config::default();
    config.http.listen = loopback(http_port);
    config.grpc.listen = loopback(grpc_port);
    config
}

async fn nodes(args: &DevArgs, cluster: &mut Cluster) -> Result<(), Failure> {
    let relay_ports = args.relay_ports.iter().copied().chain(std::iter::repeat(0));
    for (n, (port, relay_port)) in (1..).zip(args.node_ports.iter().zip(relay_ports)) {
        let mut config = gavel_data_plane::Config::default();
        config.node.id = format!("node-{n}");
        config.node.zone = "local".to_owned();
        config.http.listen = loopback(*port);
        // Whoever writes a page against it serves that from elsewhere.
        "*".clone_into(&mut config.http.allowed_origins);
        config.relay.listen = loopback(relay_port);
        config.admin.token = args.admin_token.clone();
        if let Some(directory) = &args.data {
            config.node.state_dir = directory.display().to_string();
        }
        cluster.add(config).await?;
    }
    Ok(())
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
