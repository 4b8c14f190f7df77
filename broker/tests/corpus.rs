//! What the fuzzer once found worth keeping, again: `broker/fuzz/README.md` says where it comes from.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_debug_implementations,
    reason = "a test that cannot go on must panic"
)]

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::{fs, path::Path};

/// Runs all that is kept for a target.
fn replay(name: &str) {
    let (_, target) = fuzz::TARGETS.into_iter().find(|(known, _)| *known == name).expect("a target");
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let inputs = fs::read_dir(&corpus).expect("every target has a corpus").map(|entry| entry.unwrap().path());
    let mut count = 0;
    for path in inputs {
        let input = fs::read(&path).unwrap();
        let outcome = std::panic::catch_unwind(|| target(&input));
        assert!(outcome.is_ok(), "{} breaks the target", path.display());
        count += 1;
    }
    assert!(count > 0, "{} is empty", corpus.display());
}

#[test]
fn frames() {
    replay("frame");
}

#[test]
fn methods() {
    replay("method");
}

#[test]
fn tables() {
    replay("table");
}

#[test]
fn properties() {
    replay("properties");
}

#[test]
fn handshakes() {
    replay("handshake");
}

#[test]
fn connections() {
    replay("connection");
}
