//! Nobody waits for somebody else's flood: one client's round trips while others publish as fast as they can.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use liebre_tests::{
    broker::Broker,
    codec::{Frame, Value},
    method::{self, Say, consume, queue},
    raw::Raw,
    unique,
};

/// The longest of 99 % of round trips.
const P99_MAX: Duration = Duration::from_millis(5);

/// Round trips of one try.
const ROUND_TRIPS: usize = 300;

/// Other tests want the processor, too: where connections are starved, no try succeeds.
const TRIES: usize = 10;

/// Publishers that never stop.
const FLOODS: usize = 2;

/// Messages in one write of a flood.
const FLOOD_BATCH: usize = 1_000;

#[test]
fn a_flood_of_messages_starves_nobody() {
    let Some(broker) = Broker::own() else { return };
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..FLOODS {
            scope.spawn(|| flood(&broker, &is_over));
        }
        let mut tries = (0..TRIES).map(|_| p99_of_round_trips(&broker));
        let p99 = tries.find(|p99| *p99 < P99_MAX);
        is_over.store(true, Relaxed);
        assert!(p99.is_some(), "99 % of round trips within {P99_MAX:?} in none of {TRIES} tries");
    });
}

/// Publishes to a queue of bounded length until the test is over.
fn flood(broker: &Broker, is_over: &AtomicBool) {
    let mut raw = Raw::with_channel(broker);
    let queue = unique("flood");
    let bounded = [("x-max-length", Value::Long(1_000))];
    raw.ask(method::queue_declare(&queue, queue::EXCLUSIVE, &bounded), "queue.declare-ok");
    let one: Vec<u8> = message(&queue).iter().flat_map(Frame::encode).collect();
    let batch = one.repeat(FLOOD_BATCH);
    while !is_over.load(Relaxed) {
        raw.write(&batch);
    }
}

/// Of messages that a client sends to itself, one after the other.
fn p99_of_round_trips(broker: &Broker) -> Duration {
    let mut raw = Raw::with_channel(broker);
    let queue = unique("round-trip");
    raw.ask(method::queue_declare(&queue, queue::EXCLUSIVE, &[]), "queue.declare-ok");
    raw.ask(method::basic_consume(&queue, "", consume::NO_ACK), "basic.consume-ok");
    let mut took: Vec<Duration> = (0..ROUND_TRIPS)
        .map(|_| {
            let begin = Instant::now();
            raw.say(&message(&queue));
            for part in ["basic.deliver", "header", "body"] {
                raw.expect(part);
            }
            begin.elapsed()
        })
        .collect();
    took.sort_unstable();
    took[ROUND_TRIPS * 99 / 100]
}

fn message(queue: &str) -> [Say; 3] {
    [method::basic_publish("", queue, 0), method::header(16), method::body(b"0123456789abcdef")]
}
