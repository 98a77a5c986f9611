//! What `gavel dev` prints: everything to open or paste.

use super::DevArgs;
use crate::{
    cluster::Cluster,
    failure::Failure,
    output::{self, Table},
};
use serde_json::{Value, json};

/// Prints the addresses of everything that runs.
pub(super) fn print(cluster: &Cluster, args: &DevArgs) -> Result<(), Failure> {
    if args.print_json {
        return output::json(&to_json(cluster, args));
    }
    let (http, grpc) = (cluster.control.http_addr(), cluster.control.grpc_addr());
    let mut table = Table::plain();
    let mut line = |what: &str, at: String| table.row([format!("  {what}"), at]);
    for (id, node) in &cluster.nodes {
        line(&format!("demo page on {id}"), format!("http://{}/", node.http_addr()));
    }
    for (id, node) in &cluster.nodes {
        line(&format!("websocket of {id}"), format!("ws://{}/ws", node.http_addr()));
    }
    for (id, node) in &cluster.nodes {
        line(&format!("metrics of {id}"), format!("http://{}/metrics", node.http_addr()));
    }
    line("control plane HTTP", format!("http://{http}/"));
    line("control plane metrics", format!("http://{http}/metrics"));
    line("control plane gRPC", format!("http://{grpc}"));
    line("admin token", args.admin_token.clone());
    let store = match (&args.data, &args.redis_url) {
        (Some(directory), _) => format!("{}: the next run goes on with it", directory.display()),
        (None, Some(_)) => "Redis".to_owned(),
        (None, None) => "memory: everything is gone when this stops".to_owned(),
    };
    line("store", store);
    output::text(format_args!(
        "\ngavel {} is running, with demo auctions 1 to {}\n\n{table}\n  try: gavel rooms list\n  \
         stop: Ctrl-C\n\n",
        env!("CARGO_PKG_VERSION"),
        super::rooms::COUNT,
    ))
}

fn to_json(cluster: &Cluster, args: &DevArgs) -> Value {
    let nodes: Vec<Value> = cluster
        .nodes
        .iter()
        .map(|(id, node)| {
            let at = node.http_addr();
            json!({"id": id, "http": format!("http://{at}"), "ws": format!("ws://{at}/ws")})
        })
        .collect();
    json!({
        "nodes": nodes,
        "control": {
            "http": format!("http://{}", cluster.control.http_addr()),
            "grpc": format!("http://{}", cluster.control.grpc_addr()),
        },
        "adminToken": args.admin_token,
    })
}
