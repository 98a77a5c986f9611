//! A directory that cannot be used is refused with a word on why.

use crate::process::{Server, gavel, overwrite};
use std::{path::Path, process::Output};

fn serve(directory: &Path) -> Output {
    let ports = "serve --http-listen 127.0.0.1:0 --grpc-listen 127.0.0.1:0 \
                 --set control_plane.http.listen=127.0.0.1:0";
    gavel(ports).arg("--data").arg(directory).output().expect("the binary runs")
}

#[track_caller]
fn assert_refused(output: &Output, status: i32, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "{word:?} is not in {stderr}");
    }
}

#[test]
fn a_directory_in_use_is_69() {
    let server = Server::new();
    let mut process = server.start();
    let data = server.data();
    let name = data.to_str().expect("text");
    assert_refused(&serve(&data), 69, &[name, "in use by another process"]);
    let dev = gavel("dev --node-ports 0 --control-ports 0,0").arg("--data").arg(&data).output();
    assert_refused(&dev.expect("the binary runs"), 69, &[name, "in use by another process"]);
    assert!(process.stop().success());
}

#[test]
fn a_damaged_file_is_refused_and_not_replaced() {
    let server = Server::new();
    server.start().kill();
    let file = server.data().join("gavel.redb");
    let name = file.to_str().expect("text").to_owned();
    let whole = std::fs::read(&file).expect("the store");

    for length in [0, 100, whole.len() / 2] {
        std::fs::write(&file, whole.get(..length).expect("a part")).expect("it can be written");
        assert_refused(&serve(&server.data()), 1, &[&name, "damaged"]);
        assert_eq!(std::fs::read(&file).expect("the store").len(), length);
    }
    std::fs::write(&file, &whole).expect("it can be written");
    for page in (4096..whole.len()).step_by(4096) {
        overwrite(&file, page as u64, &[0xa5; 4096]);
    }
    assert_refused(&serve(&server.data()), 1, &[&name, "damaged"]);
    std::fs::write(&file, &whole).expect("it can be written");
    assert!(server.start().stop().success());
}

#[test]
fn wrong_usage_is_64_and_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("it can be written");
    assert_refused(&serve(&file), 64, &["--data", "file"]);
    let missing = gavel("serve").output().expect("the binary runs");
    assert_refused(&missing, 64, &["--data"]);
    let redis = gavel("serve --data d --set data_plane.redis.url=redis://h").output();
    assert_refused(&redis.expect("the binary runs"), 64, &["data_plane.redis.url"]);
    let both = gavel("dev --data d --redis-url redis://h").output().expect("the binary runs");
    assert_refused(&both, 64, &["--redis-url"]);
}
