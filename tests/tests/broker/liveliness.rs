//! Peers that are gone without a word: they are noticed, what they held goes back, and what was theirs goes.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use liebre_tests::{
    broker::Broker,
    codec::{Frame, HEARTBEAT},
    method::{self, Say, consume, queue},
    raw::{FRAME_MAX, Raw},
    unique, wait,
};

/// The shortest there is.
const HEARTBEAT_SECS: u16 = 1;

/// RabbitMQ looks once an interval, and gives up at the second look that finds nothing new.
const DEATH: std::ops::Range<Duration> = Duration::from_millis(1_900)..Duration::from_secs(8);

/// An open connection with channel 1 and heartbeats.
fn open_with_heartbeats() -> Raw {
    let broker = Broker::shared();
    let mut raw = Raw::tuned(broker, "guest");
    raw.say(&[method::tune_ok(2_047, FRAME_MAX, HEARTBEAT_SECS), method::open(&broker.vhost)]);
    raw.expect("connection.open-ok");
    raw.open_channel(1);
    raw
}

fn heartbeat() -> Say {
    Frame { kind: HEARTBEAT, channel: 0, payload: Vec::new() }
}

fn message(queue: &str, body: &[u8]) -> [Say; 3] {
    [method::basic_publish("", queue, 0), method::header(body.len() as u64), method::body(body)]
}

/// Declares a queue that outlives its connection, with messages in it.
fn fill(owner: &mut Raw, queue: &str, bodies: &[&[u8]]) {
    owner.ask(method::queue_declare(queue, 0, &[]), "queue.declare-ok");
    for body in bodies {
        owner.say(&message(queue, body));
    }
    let count = u32::try_from(bodies.len()).unwrap();
    wait::until("the messages", || (owner.queue_counts(queue).0 == count).then_some(()));
}

/// The queues of one peer: what is in the first goes back, the others go.
struct Belongings {
    shared: String,
    exclusive: String,
    auto_delete: String,
}

impl Belongings {
    /// Makes `peer` their owner, with consumers on all and everything in the first one unsettled.
    fn give(peer: &mut Raw, owner: &mut Raw) -> Self {
        let [shared, exclusive, auto_delete] = ["shared", "exclusive", "auto-delete"].map(unique);
        fill(owner, &shared, &[b"1", b"2"]);
        peer.ask(method::queue_declare(&exclusive, queue::EXCLUSIVE, &[]), "queue.declare-ok");
        peer.ask(method::queue_declare(&auto_delete, queue::AUTO_DELETE, &[]), "queue.declare-ok");
        peer.ask(method::basic_consume(&exclusive, "exclusive", 0), "basic.consume-ok");
        peer.ask(method::basic_consume(&auto_delete, "auto-delete", 0), "basic.consume-ok");
        peer.ask(method::basic_consume(&shared, "shared", 0), "basic.consume-ok");
        wait::until("the deliveries", || (owner.queue_counts(&shared) == (0, 1)).then_some(()));
        Self { shared, exclusive, auto_delete }
    }

    /// Waits until nothing is the dead peer's any more, and tidies up.
    fn check_released(&self, owner: &mut Raw) {
        wait::until("messages going back", || (owner.queue_counts(&self.shared) == (2, 0)).then_some(()));
        owner.ask(method::basic_get(&self.shared), "basic.get-ok 1 redelivered=true");
        for part in ["header", "body \"1\""] {
            owner.expect(part);
        }
        owner.ask(method::queue_delete(&self.shared, 0), "queue.delete-ok");
        for name in [&self.exclusive, &self.auto_delete] {
            wait::until("the end of a queue", || {
                owner.say(&[method::queue_declare(name, queue::PASSIVE, &[])]);
                let answer = owner.hear();
                if answer != "queue.declare-ok" {
                    owner.say(&[method::channel_close_ok()]);
                    owner.open_channel(1);
                }
                answer.starts_with("channel.close 404").then_some(())
            });
        }
    }
}

#[test]
fn a_silent_peer_is_given_up_after_two_heartbeats() {
    let mut owner = Raw::with_channel(Broker::shared());
    let mut silent = open_with_heartbeats();
    let belongings = Belongings::give(&mut silent, &mut owner);
    let mut lively = open_with_heartbeats();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let lively = scope.spawn(|| {
            while !is_over.load(Relaxed) {
                let frame = lively.read().expect("who sends heartbeats is not given up");
                assert_eq!(frame.kind, HEARTBEAT);
                lively.say(&[heartbeat()]);
            }
            lively.is_alive(1)
        });
        silent.say(&[heartbeat()]);
        let begin = Instant::now();
        let heard = silent.rest();
        let took = begin.elapsed();
        is_over.store(true, Relaxed);
        assert!(DEATH.contains(&took), "given up after {took:?}");
        let heartbeats = heard.windows(8).filter(|bytes| *bytes == heartbeat().encode()).count();
        assert!(heartbeats >= 2, "{heartbeats} heartbeats in {took:?}");
        assert!(!heard.ends_with(&method::connection_close().encode()), "nobody is there to hear of a close");
        assert!(lively.join().unwrap(), "who sends heartbeats is served");
    });
    belongings.check_released(&mut owner);
}

#[test]
fn a_peer_that_stops_reading_is_given_up_too() {
    let mut owner = Raw::with_channel(Broker::shared());
    let name = unique("much");
    let body = vec![b'x'; 100_000];
    fill(&mut owner, &name, &vec![&body[..]; 200]);
    let mut stuck = open_with_heartbeats();
    stuck.say(&[method::basic_consume(&name, "stuck", 0)]);
    wait::until("deliveries", || (owner.queue_counts(&name).0 < 200).then_some(()));
    // Both buffers between the two are full now, and the peer says nothing and reads nothing.
    wait::until("the peer's end", || (owner.queue_counts(&name) == (200, 0)).then_some(()));
    owner.ask(method::queue_delete(&name, 0), "queue.delete-ok 200");
}

#[test]
fn a_peer_that_is_reset_leaves_nothing() {
    let mut owner = Raw::with_channel(Broker::shared());
    let mut gone = Raw::with_channel(Broker::shared());
    let belongings = Belongings::give(&mut gone, &mut owner);
    // Its deliveries are not read: the system resets the connection.
    drop(gone);
    belongings.check_released(&mut owner);
}

#[test]
fn what_was_not_whole_is_not_published() {
    let mut owner = Raw::with_channel(Broker::shared());
    let name = unique("half");
    fill(&mut owner, &name, &[]);
    let mut gone = Raw::with_channel(Broker::shared());
    gone.ask(method::basic_consume(&name, "c", consume::NO_ACK), "basic.consume-ok");
    let [publish, header, body] = message(&name, b"half a message");
    gone.say(&[publish, header]);
    let body = body.encode();
    gone.write(&body[..body.len() / 2]);
    drop(gone);
    wait::until("the peer's end", || (owner.queue_counts(&name).1 == 0).then_some(()));
    assert_eq!(owner.queue_counts(&name), (0, 0));
    owner.ask(method::queue_delete(&name, 0), "queue.delete-ok 0");
}
