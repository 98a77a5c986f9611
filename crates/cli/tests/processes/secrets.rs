//! Secrets, each of a value that is nowhere else, through a whole run: none of
//! them is in a log at its most talkative, a span, a metric or what is printed.

use crate::{
    target::{Socket, Target},
    verbs::done,
};
use std::{
    io::Read as _,
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

const OPERATOR: &str = "canary-operator-token";
const SIGNS: &str = "canary-secret-that-signs-tokens-0123456789";
const REFUSED: &str = "canary-token-that-nobody-signed";
/// A token of ada's for every room, good until 2100, by the secret above.
const CLAIMS: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhZGEiLCJleHAiOjQxMDI0NDQ4MDAsImdyYW50cyI6eyIqIjpbImJpZCJdfX0";
const SIGNATURE: &str = "88HSFE3mfhkbnt4t8Y0lEc8y13vpoqEmqdudvTFivdA";
/// The hidden reserve, as it is given and as it is kept.
const RESERVE: [&str; 2] = ["7654321.09", "765432109"];

/// Takes down whatever is sent to it, and answers nothing.
struct Sink {
    port: u16,
    taken: Arc<Mutex<Vec<u8>>>,
}

// === impl Sink ===

impl Sink {
    fn open() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let taken = Arc::<Mutex<Vec<u8>>>::default();
        let (into, takes) =
            (Arc::clone(&taken), move |mut stream: TcpStream, into: Arc<Mutex<Vec<u8>>>| {
                let mut some = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut some) {
                    into.lock().expect("nobody panics").extend(some.iter().take(read));
                }
            });
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let into = Arc::clone(&into);
                thread::spawn(move || takes(stream, into));
            }
        });
        Self { port, taken }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.taken.lock().expect("nobody panics")).into_owned()
    }
}

fn guest_token(socket: &mut Socket) -> String {
    let welcome = socket.until("\"serverTime\"");
    let (_, token) = welcome.split_once("\"guestToken\":\"").expect("a token");
    token.split('"').next().expect("its end").to_owned()
}

#[test]
fn no_secret_is_in_what_a_process_tells() {
    let (folder, sink) = (tempfile::tempdir().expect("a folder"), Sink::open());
    let settings = format!("--admin-token {OPERATOR} --set data_plane.auth.secret={SIGNS}");
    let operator = format!("--token {OPERATOR}");
    let mut target =
        Target::start_by(folder.path(), "canary", &settings, &operator, |mut command| {
            command.env("RUST_LOG", "trace").env("OTEL_BSP_SCHEDULE_DELAY", "100");
            command.env("OTEL_EXPORTER_OTLP_TIMEOUT", "1000");
            let collector = format!("http://127.0.0.1:{}", sink.port);
            command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector);
            command
        });
    let create = format!(
        "rooms create vase --title vase --opening-price 1.00 --reserve {} --closes-in 1h --guests bid",
        RESERVE[0]
    );
    done(&format!("{create} {} {operator}", target.endpoint()));
    let shown = done(&format!("rooms list {} {operator}", target.endpoint()));

    let bearer = format!("bearer.{CLAIMS}.{SIGNATURE}");
    let mut ada = target.open_offering(&bearer).expect("a good token");
    ada.until("\"userId\":\"ada\"");
    let refused = target.open_offering(&format!("bearer.{REFUSED}")).err().expect("a bad one");
    assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    let mut guest = target.open().expect("a socket");
    let guest_token = guest_token(&mut guest);
    let mut again = target.open_offering(&format!("guest.{guest_token}")).expect("the same guest");
    again.say(&format!(r#"{{"type":"auth","token":"{CLAIMS}.{SIGNATURE}"}}"#));
    again.until("\"userId\":\"ada\"");
    again.say(&format!(r#"{{"type":"auth","token":"{REFUSED}"}}"#));
    again.until("\"unauthenticated\"");
    ada.say(r#"{"type":"joinAuction","auctionId":"vase"}"#);
    let state = ada.until("\"reserveMet\"");
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    ada.say(&format!(
        r#"{{"type":"bid","auctionId":"vase","amount":100,"bidId":"b1","tp":"{trace}"}}"#
    ));
    ada.until("\"bidAccepted\"");
    let (status, _) = target.get_as(OPERATOR, "/api/rooms/vase/snapshot");
    assert_eq!(status, 200);
    target.until("spans of the bid", |_| sink.text().contains("store.append"));

    let metrics = target.get("/metrics").1;
    let printed = done(&format!("config print serve --data x {settings}"));
    target.process.says("TRACE");
    let log = target.process.stop();
    for (place, text) in [
        ("the log", log),
        ("spans", sink.text()),
        ("metrics", metrics),
        ("the settings", String::from_utf8_lossy(&printed.stdout).into_owned()),
        ("the list of rooms", String::from_utf8_lossy(&shown.stdout).into_owned()),
        ("a viewer's state", state),
    ] {
        for secret in
            [OPERATOR, SIGNS, REFUSED, CLAIMS, SIGNATURE, &guest_token].iter().chain(&RESERVE)
        {
            let found = text.find(*secret).map(|at| at.saturating_sub(300)..at);
            let around = found.and_then(|around| text.get(around));
            assert!(!text.contains(*secret), "{secret} is in {place}: {around:?}");
        }
    }
}
