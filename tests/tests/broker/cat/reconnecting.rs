//! The broker is killed and comes back: nothing is lost, and what is doubled is said.

use std::collections::HashMap;

use liebre_tests::{broker::Broker, raw::Raw, unique, wait};
use rustix::process::Signal;
use serde_json::Value;

use super::{
    relay::Relay,
    running::{Cat, cat},
};

const MESSAGES: usize = 400;

#[test]
fn a_killed_broker_costs_nothing() {
    let Some(mut broker) = Broker::own() else { return };
    let relay = Relay::start(broker.amqp);
    let consumer = Cat::start_at(&relay.url(), &["consume", "-q", "jobs", "--json"]);
    consumer.err.expect("waiting for messages");
    let count = MESSAGES.to_string();
    let producer = Cat::start_at(&relay.url(), &["produce", "-q", "jobs", "-n", &count, "-i", "5"]);

    for seen in [50, 150] {
        consumer.out.expect_lines(seen);
        relay.lead_to(None);
        broker.kill9();
        producer.err.expect("connection lost");
        consumer.err.expect("connection lost");
        broker.start_again();
        relay.lead_to(Some(broker.amqp));
        consumer.out.expect_lines(seen + 50);
    }
    let sent = producer.finish();
    assert_eq!(sent.code, Some(0), "{}", sent.err);
    assert!(sent.err.contains(&format!("{MESSAGES} messages sent: {MESSAGES} accepted")), "{}", sent.err);
    consumer.out.expect(&format!("\"message {MESSAGES}\""));
    consumer.signal(Signal::INT);
    let received = consumer.finish();
    assert_eq!(received.code, Some(0), "{}", received.err);
    check_history(&received.out, said_again(&sent.err));
    assert_eq!(cat(&["get", "-q", "jobs", "--url", &broker.url()]).code, Some(66), "all were acked");
}

/// The last copy of a message may be a redelivery; other copies are those that the producer sent again.
fn check_history(out: &str, sent_again: usize) {
    let mut copies: HashMap<String, usize> = HashMap::new();
    let mut unflagged = 0;
    for line in out.lines() {
        let message: Value = serde_json::from_str(line).unwrap();
        let copy = copies.entry(message["body"].as_str().unwrap().to_owned()).or_default();
        *copy += 1;
        if *copy > 1 && message["redelivered"] == false {
            unflagged += 1;
        }
    }
    let lost: Vec<usize> =
        (1..=MESSAGES).filter(|number| !copies.contains_key(&format!("message {number}"))).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert_eq!(copies.len(), MESSAGES, "nothing else came");
    assert!(unflagged <= sent_again, "{unflagged} doubled without a word, {sent_again} sent again");
}

/// How many messages the producer says that it sent again.
fn said_again(err: &str) -> usize {
    let (before, _) = err.split_once(" sent again, so perhaps doubled").unwrap_or(("0", ""));
    before.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Somebody sits at the prompt: the line that is typed while the broker is away is sent when it is back.
#[test]
fn a_line_waits_for_the_broker() {
    let Some(mut broker) = Broker::own() else { return };
    let relay = Relay::start(broker.amqp);
    let mut producer = Cat::start_at(&relay.url(), &["produce", "-q", "talk", "--interactive"]);
    producer.say("uno\n");
    producer.err.expect("accepted: uno");
    relay.lead_to(None);
    broker.stop();
    producer.err.expect("connection lost");
    producer.err.expect("next try in");
    producer.say("dos\n");
    broker.start_again();
    relay.lead_to(Some(broker.amqp));
    producer.err.expect("accepted: dos");
    producer.say("q\n");
    assert_eq!(producer.finish().code, Some(0));
    assert_eq!(cat(&["get", "-q", "talk", "-n", "9", "--url", &broker.url()]).out, "uno\ndos\n");
}

/// Whoever ends while lines wait is told what is waited for, and in the end how many were not sent.
#[test]
fn lines_that_were_not_sent_are_counted() {
    let Some(mut broker) = Broker::own() else { return };
    let relay = Relay::start(broker.amqp);
    let words = ["produce", "-q", "talk", "--interactive", "--grace", "0.3"];
    let mut producer = Cat::start_at(&relay.url(), &words);
    producer.say("uno\n");
    producer.err.expect("accepted: uno");
    relay.lead_to(None);
    broker.stop();
    producer.err.expect("connection lost");
    producer.say("dos\ntres\nq\n");
    producer.err.expect("waiting for the broker (2 to be sent, 0 to be confirmed), without a limit");
    producer.signal(Signal::INT);
    let ended = producer.finish();
    assert_eq!(ended.code, Some(75), "{}", ended.err);
    for said in ["0.3 s at most; a second Ctrl-C ends at once", "1 message sent: 1 accepted, 2 not sent"] {
        assert!(ended.err.contains(said), "{said:?} is not in:\n{}", ended.err);
    }
}

/// With a limit it gives up, and says what nobody confirmed.
#[test]
fn patience_ends() {
    let Some(mut broker) = Broker::own() else { return };
    let relay = Relay::start(broker.amqp);
    let words = ["produce", "-q", "talk", "--reconnect-for", "0.5", "-i", "20"];
    let producer = Cat::start_at(&relay.url(), &words);
    producer.err.expect("accepted: message 2");
    relay.lead_to(None);
    broker.kill9();
    let ended = producer.finish();
    assert_eq!(ended.code, Some(69), "{}", ended.err);
    assert!(ended.err.contains("messages sent"), "{}", ended.err);
}

/// Messages arrive and their confirms do not: the producer cannot know, sends them again, and says so.
#[test]
fn what_is_doubled_is_said() {
    let Some(mut broker) = Broker::own() else { return };
    let relay = Relay::start(broker.amqp);
    let producer = Cat::start_at(&relay.url(), &["produce", "-q", "twice", "-n", "60", "-i", "20"]);
    producer.err.expect("accepted: message 2");
    mute(&relay, &broker, "twice");
    relay.lead_to(None);
    broker.kill9();
    producer.err.expect("connection lost");
    broker.start_again();
    relay.mute(false);
    relay.lead_to(Some(broker.amqp));
    let ended = producer.finish();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("60 messages sent: 60 accepted"), "{}", ended.err);
    let queued = cat(&["get", "-q", "twice", "-n", "99", "--url", &broker.url()]).out.lines().count();
    let doubled = queued - 60;
    assert!((1..=said_again(&ended.err)).contains(&doubled), "{queued} in the queue:\n{}", ended.err);
}

/// The confirms never come: after its grace the producer ends, and says how much is uncertain.
#[test]
fn grace_ends() {
    let relay = Relay::start(Broker::shared().amqp);
    let url = Broker::shared().url().replace(&Broker::shared().amqp.to_string(), &relay.address.to_string());
    let queue = unique("grace");
    let producer = Cat::start_at(&url, &["produce", "-q", &queue, "-i", "20", "--grace", "0.3"]);
    producer.err.expect("accepted: message 2");
    mute(&relay, Broker::shared(), &queue);
    producer.signal(Signal::INT);
    let ended = producer.finish();
    assert_eq!(ended.code, Some(75), "{}", ended.err);
    assert!(ended.err.contains("not confirmed"), "{}", ended.err);
}

/// Keeps confirms from the producer, and waits until messages have come to `queue` that miss theirs.
fn mute(relay: &Relay, broker: &Broker, queue: &str) {
    relay.mute(true);
    let mut raw = Raw::with_channel(broker);
    let before = raw.queue_counts(queue).0;
    wait::until("messages without a confirm", || (raw.queue_counts(queue).0 > before + 2).then_some(()));
}
