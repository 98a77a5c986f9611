//! One document over HTTP, from a server that need not be ours.

use crate::{net, tasks, tls::Tls};
use http::{
    Request, StatusCode, Uri,
    header::{ACCEPT, HOST},
};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::{io, time::Duration};

/// Gets what is at a URL, `http://` or `https://`. It takes no more than so many bytes and so much
/// time, and follows no redirect: who answers must be who was asked.
///
/// # Errors
/// If there is no answer, or it is another than 200, too long or too late.
pub async fn get(url: &Uri, tls: &Tls, bytes_max: usize, timeout: Duration) -> io::Result<Vec<u8>> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the answer took too long");
    tokio::time::timeout(timeout, answered(url, tls, bytes_max)).await.map_err(late)?
}

async fn answered(url: &Uri, tls: &Tls, bytes_max: usize) -> io::Result<Vec<u8>> {
    let no_url = || io::Error::new(io::ErrorKind::InvalidInput, "no URL like http://host/path");
    let (host, authority) = url.host().zip(url.authority()).ok_or_else(no_url)?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(HOST, authority.as_str())
        .header(ACCEPT, "application/json")
        .body(Empty::<&[u8]>::new())
        .map_err(io::Error::other)?;

    let secure = url.scheme_str() == Some("https");
    let stream = net::reach_web(host, url.port_u16(), secure, tls).await?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    drop(tasks::spawn("http.fetch", async move {
        // What goes wrong here is told by the request that it fails.
        drop(connection.await);
    }));
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    if response.status() != StatusCode::OK {
        return Err(io::Error::other(format!("it answered {}", response.status())));
    }
    let body = Limited::new(response.into_body(), bytes_max).collect().await;
    Ok(body.map_err(io::Error::other)?.to_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{net::Ipv4Addr, sync::Arc};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// What comes of a fetch from a server that says this, and what it was asked.
    async fn fetched(answer: &'static str) -> (io::Result<Vec<u8>>, String) {
        let listener = net::listen((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let url = format!("http://{}/a/b?c=d", listener.local_addr().unwrap()).parse().unwrap();
        let asked = Arc::<parking_lot::Mutex<String>>::default();
        let asking = Arc::clone(&asked);
        let serving = async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1_024];
            let length = stream.read(&mut request).await.unwrap();
            *asking.lock() = String::from_utf8_lossy(&request[..length]).into_owned();
            stream.write_all(answer.as_bytes()).await.unwrap();
            // It stays open: an answer that is not whole is waited for.
            std::future::pending::<()>().await;
        };
        let tls = Tls::default();
        let fetching = get(&url, &tls, 10, Duration::from_millis(500));
        let fetched = tokio::select! {
            fetched = fetching => fetched,
            () = serving => unreachable!("it does not end"),
        };
        let asked = asked.lock().clone();
        (fetched, asked)
    }

    #[tokio::test]
    async fn a_document_is_asked_for_by_its_path_and_host() {
        let (document, asked) = fetched("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n[1]").await;
        assert_eq!(document.unwrap(), b"[1]");
        let asked = asked.to_lowercase();
        assert!(asked.starts_with("get /a/b?c=d http/1.1\r\n"), "{asked}");
        assert!(asked.contains("host: 127.0.0.1:"), "{asked}");
    }

    #[tokio::test]
    async fn what_is_no_short_document_in_time_is_an_error() {
        for (answer, kind) in [
            ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", io::ErrorKind::Other),
            ("HTTP/1.1 204 No Content\r\n\r\n", io::ErrorKind::Other),
            ("HTTP/1.1 302 Found\r\nlocation: /x\r\n\r\n", io::ErrorKind::Other),
            ("HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n01234567890", io::ErrorKind::Other),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nb\r\n01234567890\r\n",
                io::ErrorKind::Other,
            ),
            ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n0123", io::ErrorKind::TimedOut),
            ("HTTP/1.1 200 OK\r\nx: ", io::ErrorKind::TimedOut),
            ("", io::ErrorKind::TimedOut),
            ("no HTTP\r\n\r\n", io::ErrorKind::Other),
        ] {
            assert_eq!(fetched(answer).await.0.unwrap_err().kind(), kind, "{answer}");
        }
        let (nowhere, tls) = ("/path".parse().unwrap(), Tls::default());
        let nowhere = get(&nowhere, &tls, 1, Duration::from_secs(1));
        assert_eq!(nowhere.await.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
