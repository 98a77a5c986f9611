//! A browser's end of a WebSocket on the simulated network.

use super::Lost;
use crate::hosts::WEB_PORT;
use futures::{SinkExt as _, StreamExt as _};
use gavel_runtime::net::TcpStream;
use serde_json::Value;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest as _, http::HeaderValue},
};

/// An open socket.
#[derive(Debug)]
pub(crate) struct Socket(WebSocketStream<TcpStream>);

// === impl Socket ===

impl Socket {
    pub(crate) async fn open(node: &str, token: &str) -> Result<Self, Lost> {
        let stream = TcpStream::connect((node, WEB_PORT)).await.map_err(|_| Lost)?;
        let request = format!("ws://{node}:{WEB_PORT}/ws").into_client_request();
        let mut request = request.map_err(|_| Lost)?;
        let offered = HeaderValue::try_from(format!("gavel.v1.json, bearer.{token}"));
        request.headers_mut().insert("Sec-WebSocket-Protocol", offered.map_err(|_| Lost)?);
        client_async(request, stream).await.map(|(stream, _)| Self(stream)).map_err(|_| Lost)
    }

    pub(crate) async fn say(&mut self, message: &Value) -> Result<(), Lost> {
        self.0.send(Message::text(message.to_string())).await.map_err(|_| Lost)
    }

    /// The next message; none when the socket has ended.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            match self.0.next().await?.ok()? {
                Message::Text(text) => return serde_json::from_str(&text).ok(),
                Message::Close(_) => return None,
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }
}
