//! A node's stored rooms over plain HTTP.

use crate::failure::Failure;
use gavel_rules::{auction::StoredEvent, audit::Stream, id::RoomId, order::Seq};
use gavel_runtime::{net, tasks, tls::Tls};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    Request, StatusCode, Uri,
    client::conn::http1::{self, SendRequest},
    header::{AUTHORIZATION, HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use std::{error::Error, fmt::Display, time::Duration};

/// How long an answer may take; that of a large room is large.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest answer read.
const ANSWER_BYTES_MAX: usize = 1 << 30;

/// One connection to a node.
#[derive(Debug)]
pub(super) struct NodeClient {
    sender: SendRequest<Empty<&'static [u8]>>,
    url: String,
    host: String,
    bearer: Option<HeaderValue>,
}

// === impl NodeClient ===

impl NodeClient {
    /// Connects to a node at `http://host:port`, or `https://`.
    pub(super) async fn connect(
        url: &str,
        token: Option<&str>,
        tls: &Tls,
    ) -> Result<Self, Failure> {
        let wrong = || Failure::Usage(format!("--node: {url:?} is no URL like http://host:port"));
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") if tls.can_call() => true,
            Some("https") => return Err(Failure::Usage("--node: https:// needs --ca".to_owned())),
            Some(_) | None => return Err(wrong()),
        };
        let host = uri.host().ok_or_else(wrong)?;
        let authority = uri.authority().ok_or_else(wrong)?.to_string();
        let bearer = token
            .map(|token| HeaderValue::try_from(format!("Bearer {token}")))
            .transpose()
            .map_err(|_| Failure::Usage("--token holds characters a header cannot".to_owned()))?;

        let connecting = async {
            let stream = net::reach_web(host, uri.port_u16(), secure, tls).await.ok()?;
            http1::handshake(TokioIo::new(stream)).await.ok()
        };
        let connected = tokio::time::timeout(ANSWER_TIMEOUT, connecting).await.ok().flatten();
        let Some((sender, connection)) = connected else {
            return Err(Failure::Unavailable(format!("cannot reach the node at {url}")));
        };
        drop(tasks::spawn("verify.http", async move {
            // What goes wrong here is told by the request that it fails.
            drop(connection.await);
        }));
        Ok(Self { sender, url: url.to_owned(), host: authority, bearer })
    }

    /// Reads a room: its state, then its events page by page.
    pub(super) async fn stream(&mut self, room: &RoomId) -> Result<Stream, Failure> {
        let head = self.get(room, "snapshot").await?;
        let mut stream: Stream =
            serde_json::from_str(&head).map_err(|error| self.unreadable(&error))?;
        loop {
            let after = stream.events.last().map_or(Seq::default(), |last| last.event.seq);
            let page = self.get(room, &format!("events?after={after}")).await?;
            if page.is_empty() {
                return Ok(stream);
            }
            for line in page.lines() {
                let event: StoredEvent =
                    serde_json::from_str(line).map_err(|error| self.unreadable(&error))?;
                stream.events.push(event);
            }
        }
    }

    async fn get(&mut self, room: &RoomId, what: &str) -> Result<String, Failure> {
        let mut request =
            Request::get(format!("/api/rooms/{room}/{what}")).header(HOST, &self.host);
        if let Some(bearer) = &self.bearer {
            request = request.header(AUTHORIZATION, bearer);
        }
        let request = request
            .body(Empty::new())
            .map_err(|error| Failure::internal("cannot ask the node", error))?;
        let url = &self.url;
        let sender = &mut self.sender;
        let answering = async {
            // The connection takes the next request a moment after the last answer.
            sender.ready().await?;
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await?;
            let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
            Ok::<_, Box<dyn Error + Send + Sync>>((status, text))
        };
        let silent = |why: &dyn Display| {
            Failure::Unavailable(format!("the node at {url} did not answer: {why}"))
        };
        let answered = tokio::time::timeout(ANSWER_TIMEOUT, answering).await;
        let (status, text) = answered.map_err(|late| silent(&late))?.map_err(|why| silent(&why))?;
        match status {
            StatusCode::OK => Ok(text),
            StatusCode::UNAUTHORIZED => Err(Failure::Refused(format!(
                "the node at {url} wants another token: give --token or GAVEL_ADMIN_TOKEN"
            ))),
            StatusCode::SERVICE_UNAVAILABLE => {
                Err(Failure::Unavailable(format!("room {room} at {url}: {text}")))
            }
            _ => Err(Failure::Refused(format!("room {room} at {url}: {text}"))),
        }
    }

    fn unreadable(&self, error: &serde_json::Error) -> Failure {
        Failure::Refused(format!("the node at {} sent what cannot be read: {error}", self.url))
    }
}
