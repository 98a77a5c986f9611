//! The binary's exit statuses and its words, as a shell sees them.

use std::process::{Command, Output};

fn gavel(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gavel"));
    // Whatever the machine has set must not reach the test.
    command.env_clear().args(args).output().expect("the binary runs")
}

fn status(output: &Output) -> Option<i32> {
    output.status.code()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn help_and_version_go_well() {
    for args in
        [&["--help"][..], &["--version"], &["rooms", "create", "--help"], &["verify", "--help"]]
    {
        let output = gavel(args);
        assert_eq!(status(&output), Some(0), "{args:?}: {}", stderr(&output));
        assert!(!output.stdout.is_empty());
    }
}

#[test]
fn wrong_usage_is_64_and_named() {
    for (args, name) in [
        (&["no-such-verb"][..], "no-such-verb"),
        (&["rooms", "create", "a b", "--opening-price", "1", "--closes-in", "5m"], "a b"),
        (&["rooms", "create", "r", "--opening-price", "1e3", "--closes-in", "5m"], "1e3"),
        (&["limits", "set", "sockets=1"], "sockets"),
        (&["flags", "set", "no-such-file.json"], "no-such-file.json"),
        (&["flags", "set", "batching", "--percent", "101"], "101"),
        (&["load", "--duration", "soon"], "soon"),
        (&["nodes", "list", "--endpoint", "not an endpoint"], "not an endpoint"),
        (&["load", "--record", "no-such-folder/run.jsonl"], "no-such-folder"),
        (&["verify", "vase", "--node", "https://localhost"], "--node"),
        (&["verify", "vase", "--redis-url", "nonsense"], "--redis-url"),
        (&["verify", "a b"], "a b"),
        (&["verify", "vase", "--complete"], "--history"),
        (&["verify", "--stream", "s.jsonl", "--save", "s.jsonl"], "--save"),
        (&["dev", "--control-ports", "7000"], "--control-ports"),
        (&["dev", "--redis-url", "nonsense"], "--redis-url"),
    ] {
        let output = gavel(args);
        assert_eq!(status(&output), Some(64), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(name), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn wrong_settings_are_64_and_named() {
    for plane in ["control-plane", "data-plane"] {
        for (set, name) in [
            ("http.no_such=1", "no_such"),
            ("http.listen=x", "http.listen"),
            ("redis.url=nonsense", "redis.url"),
        ] {
            let output = gavel(&["config", "check", plane, "--set", set]);
            assert_eq!(status(&output), Some(64), "{plane} {set}: {}", stderr(&output));
            assert!(stderr(&output).contains(name), "{plane} {set}: {}", stderr(&output));
        }
        let output = gavel(&["config", "check", plane, "--config", "no-such-file.toml"]);
        assert_eq!(status(&output), Some(64));
        assert!(stderr(&output).contains("no-such-file.toml"));
    }
}

#[test]
fn what_is_printed_can_be_checked() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for plane in ["control-plane", "data-plane"] {
        let printed = gavel(&["config", "print", plane]);
        assert_eq!(status(&printed), Some(0), "{}", stderr(&printed));
        let file = dir.path().join(format!("{plane}.toml"));
        std::fs::write(&file, &printed.stdout).expect("the file can be written");
        let file = file.to_str().expect("the path is text");
        let checked = gavel(&["config", "check", plane, "--config", file]);
        assert_eq!(status(&checked), Some(0), "{}", stderr(&checked));
    }
}

#[test]
fn a_peer_that_is_away_is_69() {
    // Nothing listens on the port that was just free.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("it has an address");
    drop(listener);
    let output = gavel(&["rooms", "list", "--endpoint", &format!("http://{addr}")]);
    assert_eq!(status(&output), Some(69), "{}", stderr(&output));
    assert!(stderr(&output).contains("cannot reach"), "{}", stderr(&output));

    let node = format!("http://{addr}");
    let output = gavel(&["verify", "vase", "--node", &node]);
    assert_eq!(status(&output), Some(69), "{}", stderr(&output));
    assert!(stderr(&output).contains("cannot reach"), "{}", stderr(&output));
    let redis = format!("redis://{addr}");
    let output = gavel(&["verify", "vase", "--redis-url", &redis]);
    assert_eq!(status(&output), Some(69), "{}", stderr(&output));

    let url = format!("ws://{addr}/ws");
    let output = gavel(&["load", "--url", &url, "--sockets", "2", "--duration", "1s"]);
    assert_eq!(status(&output), Some(69), "{}", stderr(&output));
    assert!(stderr(&output).contains("no socket could join"), "{}", stderr(&output));
}
