//! Peers of the gRPC port that do too much of something.

use crate::world::{channel, create, list, rules, start};
use gavel_control_plane::ControlPlane;
use gavel_proto::admin::v1::{UpdateFlagsRequest, flag_service_client::FlagServiceClient};
use gavel_runtime::grpc;
use gavel_testkit::PATIENCE;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::{Code, Request};

const LEASE_MS: u64 = 3_000;

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
/// The reason of a GOAWAY to a peer that does too much.
const ENHANCE_YOUR_CALM: u32 = 11;
/// POST, http and /, as indices of the table that everybody has.
const REQUEST: [u8; 3] = [0x83, 0x86, 0x84];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    let head = [&length[..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// Says all of this to the port and tells the reason of the GOAWAY that comes,
/// or none where the connection just ends.
async fn reason_of(control: &ControlPlane, said: Vec<u8>) -> Option<u32> {
    let stream = TcpStream::connect(control.grpc_addr()).await.expect("the port");
    let (mut down, mut up) = stream.into_split();
    let said = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &[]), said];
    let saying = async {
        // It is cut short where the server has heard enough.
        drop(up.write_all(&said.concat()).await);
    };
    let hearing = async {
        let mut head = [0; 9];
        while down.read_exact(&mut head).await.is_ok() {
            let [_, high, low, kind, ..] = head;
            let mut payload = vec![0; usize::from(high) << 8 | usize::from(low)];
            down.read_exact(&mut payload).await.ok()?;
            if let (GOAWAY, [_, _, _, _, a, b, c, d, ..]) = (kind, payload.as_slice()) {
                return Some(u32::from_be_bytes([*a, *b, *c, *d]));
            }
        }
        None
    };
    let both = async { tokio::join!(saying, hearing).1 };
    tokio::time::timeout(PATIENCE, both).await.expect("the server cuts it")
}

#[tokio::test]
async fn streams_that_are_reset_at_once_end_their_connection() {
    let control = start(LEASE_MS).await;
    let streams = (0..20_000).map(|n| 2 * n + 1);
    let resets = streams.flat_map(|stream| {
        let opened = frame(HEADERS, END_HEADERS, stream, &REQUEST);
        [opened, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    });
    assert_eq!(reason_of(&control, resets.collect()).await, Some(ENHANCE_YOUR_CALM));
    assert!(list(&control).await.is_empty(), "others are answered");
    control.stop().await;
}

#[tokio::test]
async fn headers_without_an_end_are_not_collected() {
    let control = start(LEASE_MS).await;
    let mut said = frame(HEADERS, 0, 1, &REQUEST);
    // A header of 100 bytes, not to be kept in the table, over and over.
    let header = [&[0, 1, b'x', 99][..], &[b'y'; 99]].concat();
    let continuation = frame(CONTINUATION, 0, 1, &header.repeat(100));
    for _ in 0..1_000 {
        said.extend_from_slice(&continuation);
    }
    assert!(reason_of(&control, said).await.is_some());
    assert!(list(&control).await.is_empty(), "others are answered");
    control.stop().await;
}

#[tokio::test]
async fn a_request_that_is_too_long_is_refused_before_it_is_read() {
    let control = start(LEASE_MS).await;
    let long = rules(&" ".repeat(grpc::REQUEST_BYTES_MAX));
    assert_eq!(create(&control, "a", long).await.unwrap_err().code(), Code::OutOfRange);
    let mut flags = FlagServiceClient::new(channel(&control));
    let document = " ".repeat(2 * 1_024 * 1_024);
    let refused = flags.update_flags(UpdateFlagsRequest { document, version: 0 }).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    let mut request = Request::new(UpdateFlagsRequest::default());
    let long = "x".repeat(usize::try_from(grpc::HEADER_BYTES_MAX).unwrap());
    request.metadata_mut().insert("x-request-id", long.parse().unwrap());
    assert!(flags.update_flags(request).await.is_err());
    assert!(list(&control).await.is_empty(), "others are answered");
    control.stop().await;
}
