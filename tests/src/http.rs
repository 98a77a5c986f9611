//! Plain HTTP, one request a connection.

use serde_json::Value;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Gets a page: its status and body.
///
/// # Panics
/// If there is no answer, or one that is not HTTP.
pub async fn get(addr: SocketAddr, path: &str, bearer: Option<&str>) -> (u16, String) {
    let bearer = bearer.map(|token| format!("Authorization: Bearer {token}"));
    let lines: Vec<&str> = bearer.as_deref().into_iter().collect();
    let answer = ask(addr, &format!("GET {path}"), &lines).await;
    (answer.status, answer.body)
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The head, with the status line, as it came.
    pub head: String,
    /// The body.
    pub body: String,
}

// === impl Answer ===

impl Answer {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Asks for something, as `GET /livez`, with these lines of headers.
///
/// # Panics
/// If there is no answer, or one that is not HTTP.
pub async fn ask(addr: SocketAddr, what: &str, headers: &[&str]) -> Answer {
    let mut stream = TcpStream::connect(addr).await.expect("the node listens");
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let request = format!("{what} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("the request leaves");
    let mut answer = Vec::new();
    let read = tokio::time::timeout(crate::PATIENCE, stream.read_to_end(&mut answer));
    read.await.expect("an answer in time").expect("an answer");
    let answer = String::from_utf8(answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Answer { status: status.expect("a status"), head: head.to_owned(), body: body.to_owned() }
}

/// The seed's metrics of a node.
///
/// # Panics
/// If the node refuses them.
pub async fn metrics(addr: SocketAddr) -> Value {
    let path = "/api/websocket/metrics";
    let (status, body) = get(addr, path, Some(crate::world::ADMIN_TOKEN)).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

/// Waits until a node holds nothing of any socket.
///
/// # Panics
/// If something stays.
pub async fn until_released(addr: SocketAddr) {
    until_sockets(addr, 0).await;
    crate::until("the seats' release", async || {
        let metrics = metrics(addr).await;
        let counts = [
            metrics.pointer("/connections/byUser"),
            metrics.pointer("/connections/byIP"),
            metrics.pointer("/rooms/totalConnections"),
        ];
        counts.iter().all(|count| count.and_then(Value::as_u64) == Some(0)).then_some(())
    })
    .await;
}

/// Waits until a node has so many open sockets.
///
/// # Panics
/// If it does not come to that.
pub async fn until_sockets(addr: SocketAddr, count: u64) {
    crate::until(&format!("{count} open sockets"), async || {
        let metrics = metrics(addr).await;
        let active = metrics.pointer("/connections/active").and_then(Value::as_u64);
        (active == Some(count)).then_some(())
    })
    .await;
}
