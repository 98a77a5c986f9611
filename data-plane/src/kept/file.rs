//! The file: a line that says what it is and what its content hashes to, and
//! the content as JSON.

use super::Content;
use sha2::{Digest as _, Sha256};
use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write as _},
    path::Path,
};

/// What the first line begins with. Another number is another format.
const HEAD: &str = "gavel-node 1 ";
/// A longer file is none of ours: it is not read.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it has another format than this release writes")]
    Format,
    #[error("it is damaged")]
    Damaged,
}

/// What is in the file; nothing where there is none, or none of use.
pub(super) fn read(path: &Path) -> Content {
    match try_read(path) {
        Ok(content) => content,
        Err(Unusable::Io(error)) if error.kind() == ErrorKind::NotFound => Content::default(),
        Err(error) => {
            let path = path.display();
            tracing::warn!(%path, %error, "what the node kept cannot be used, and is left out");
            Content::default()
        }
    }
}

/// Replaces the file: whoever reads it finds the old content or the new one,
/// also after a power cut.
pub(super) fn write(path: &Path, content: &Content) -> io::Result<()> {
    let body = serde_json::to_string(content)?;
    let unfinished = path.with_extension("new");
    let mut file = File::create(&unfinished)?;
    writeln!(file, "{HEAD}{}", hash(&body))?;
    file.write_all(body.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

fn try_read(path: &Path) -> Result<Content, Unusable> {
    if fs::metadata(path)?.len() > BYTES_MAX {
        return Err(Unusable::Format);
    }
    let bytes = fs::read(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Unusable::Damaged)?;
    let (head, body) = text.split_once('\n').ok_or(Unusable::Damaged)?;
    let told = head.strip_prefix(HEAD).ok_or(Unusable::Format)?;
    if told != hash(body) {
        return Err(Unusable::Damaged);
    }
    serde_json::from_str(body).map_err(|_| Unusable::Format)
}

fn hash(body: &str) -> String {
    format!("{:x}", Sha256::digest(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_byte_may_differ_and_no_end_be_missing() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.node");
        let mut content = Content::default();
        content.owned.insert("vase".parse().expect("an id"));
        write(&path, &content).expect("written");
        assert_eq!(read(&path), content);
        let good = fs::read(&path).expect("a file");
        for place in 0..good.len() {
            let mut bad = good.clone();
            bad[place] ^= 1;
            fs::write(&path, &bad).expect("written");
            assert_eq!(read(&path), Content::default(), "byte {place}");
            fs::write(&path, &good[..place]).expect("written");
            assert_eq!(read(&path), Content::default(), "{place} bytes");
        }
        let other = String::from_utf8(good).expect("text").replacen("node 1 ", "node 0 ", 1);
        fs::write(&path, other).expect("written");
        assert!(matches!(try_read(&path), Err(Unusable::Format)));
        write(&path, &content).expect("written over it");
        assert_eq!(read(&path), content);
    }
}
