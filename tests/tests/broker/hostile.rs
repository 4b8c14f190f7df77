//! Peers that mean harm, in small: the attacks of `campaign hostile`, and sockets beyond the file limit.

use std::fs;

use liebre_tests::{
    campaign::process::{Launch, Process},
    codec::{Frame, HEADER},
    hostile::{
        crowd::{Stage, gather},
        peer::Peer,
        siege::{self, Orders},
        witness::Witness,
    },
    method,
};

use crate::environment::{START_PATIENCE, launch_after};

#[test]
fn a_small_siege_breaks_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let orders = Orders { seed: 1, frames: 2_000, sockets: 200, held: 200, rounds: 1, has_slow: false };
    let launch = launch_after(":", dir.path());
    let report = siege::run(&launch, &dir.path().join("data"), orders).unwrap();
    assert_eq!(report.violation_count, 0, "{report}");
    assert!(report.count >= 2_000 && report.totals.confirmed > 10, "{report}");
}

fn log(launch: &Launch) -> String {
    fs::read_to_string(&launch.log).unwrap()
}

#[test]
fn sockets_beyond_the_file_limit_wait_and_harm_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let launch = launch_after("ulimit -n 100", dir.path());
    let broker: Process = launch.start(&dir.path().join("data")).unwrap();
    let amqp = broker.wait_ready(START_PATIENCE).unwrap().amqp;
    let mut publisher = Peer::open(amqp, "/", 0).unwrap();
    let witness = Witness::start(amqp);
    let served = Peer::open(amqp, "/", 0).unwrap();
    let crowd = gather(amqp, "/", 200, Stage::Greeting).unwrap();
    // More than a file of the message log holds, so that the next one has to be opened.
    publish_persistent(&mut publisher, 40 << 20);
    assert!(log(&launch).contains("are all that the limit of open files allows"), "{}", log(&launch));
    assert!(!log(&launch).contains("cannot accept a connection"), "{}", log(&launch));
    drop((crowd, served));
    Peer::open(amqp, "/", 0).expect("there is room again");
    let served = witness.end().unwrap();
    assert!(served.count() > 0);
}

/// Publishes persistent messages of 128 KiB to a durable queue, each confirmed before the next.
fn publish_persistent(peer: &mut Peer, bytes: usize) {
    const SIZE: usize = 128 << 10;
    let body = vec![b'x'; SIZE / 2];
    peer.say(&[method::queue_declare("files", method::queue::DURABLE, &[]), method::confirm_select()])
        .unwrap();
    peer.hear_until((85, 11)).unwrap();
    let payload = [&[0, 60, 0, 0][..], &(SIZE as u64).to_be_bytes(), &[0x10, 0, 2]].concat();
    let header = Frame { kind: HEADER, channel: 1, payload };
    for _ in 0..bytes / SIZE {
        let parts = [method::body(&body), method::body(&body)];
        let [first, second] = parts;
        peer.say(&[method::basic_publish("", "files", 0), header.clone(), first, second]).unwrap();
        peer.hear_until((60, 80)).unwrap();
    }
}
