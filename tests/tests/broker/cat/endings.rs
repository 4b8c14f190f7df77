//! How `liebre-cat` ends: in order at a signal, and with an exit code that says what was wrong.

use liebre_tests::{amqp, broker::Broker, raw::Raw, unique, wait};
use rustix::process::Signal;

use super::running::{Cat, Ended, cat, cat_with_input};

fn check(ended: &Ended, code: i32, said: &str) {
    assert_eq!(ended.code, Some(code), "{}", ended.err);
    assert!(ended.err.contains(said), "{said:?} is not in:\n{}", ended.err);
}

/// A consumer of `queue` that is ready for messages.
fn consumer(queue: &str, words: &[&str]) -> Cat {
    let cat = Cat::start(&[&["consume", "-q", queue], words].concat());
    cat.err.expect("waiting for messages");
    cat
}

#[test]
fn ctrl_c_ends_a_consumer_with_its_count() {
    let queue = unique("counted");
    let consumer = consumer(&queue, &[]);
    cat_with_input(&["produce", "-q", &queue], "1\n2\n3\n");
    consumer.out.expect_lines(3);
    consumer.signal(Signal::INT);
    check(&consumer.finish(), 0, "3 messages received: 3 acked");
    check(&cat(&["get", "-q", &queue]), 66, "is empty");
}

/// The first is printed and never acked; the others never left the broker's hands, as far as anybody knows.
#[test]
fn what_is_in_hand_goes_back() {
    let queue = unique("in-hand");
    cat_with_input(&["produce", "-q", &queue], "1\n2\n3\n");
    let consumer = consumer(&queue, &["--ack-delay", "600000", "--prefetch", "1"]);
    consumer.out.expect("1\n");
    consumer.signal(Signal::TERM);
    let ended = consumer.finish();
    check(&ended, 0, "goes back to the queue");
    assert_eq!(ended.out, "1\n");
    let redelivered: Vec<bool> = cat(&["get", "-q", &queue, "-n", "9", "--json"])
        .out
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["redelivered"] == true)
        .collect();
    assert_eq!(redelivered, [true, false, false]);
}

#[test]
fn ctrl_c_ends_a_producer_with_its_count() {
    let queue = unique("endless");
    let producer = Cat::start(&["produce", "-q", &queue, "-i", "20"]);
    producer.err.expect("accepted: message 3");
    producer.signal(Signal::INT);
    let ended = producer.finish();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let taken = cat(&["get", "-q", &queue, "-n", "1000"]).out.lines().count();
    check(&ended, 0, &format!("{taken} messages sent: {taken} accepted"));
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let queue = unique("head");
    cat_with_input(&["produce", "-q", &queue], "1\n2\n");
    let ended = Cat::stop_listening(&["consume", "-q", &queue]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(!ended.err.to_lowercase().contains("pipe"), "{}", ended.err);
    wait::until("return of what could not be printed", || {
        (Raw::with_channel(Broker::shared()).queue_counts(&queue) == (2, 0)).then_some(())
    });
}

#[tokio::test]
async fn a_deleted_queue_ends_the_subscription() {
    let queue = unique("deleted");
    let consumer = consumer(&queue, &[]);
    let (_connection, channel) = amqp::connect_channel(Broker::shared()).await;
    channel.queue_delete(queue.as_str().into(), Default::default()).await.unwrap();
    check(&consumer.finish(), 69, "was deleted");
}

#[test]
fn wrong_credentials() {
    let refused = cat(&["produce", "-q", "any", "-t", "x", "--password", "wrong"]);
    check(&refused, 77, "ACCESS_REFUSED");
    check(&refused, 77, "--password");
    check(
        &cat(&["consume", "-q", "any", "--vhost", "no-such-vhost"]),
        65,
        "there is no virtual host 'no-such-vhost'",
    );
}

#[test]
fn nobody_listens() {
    // Bound and never listened on: connections are refused.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    drop(listener);
    let words = ["--host", "127.0.0.1", "--port", &port];
    for command in [&["get", "-q", "q"][..], &["consume", "-q", "q"], &["produce", "-q", "q", "-t", "x"]] {
        check(&cat(&[command, &words].concat()), 69, "Is the broker running?");
    }
    let patient = cat(&["get", "-q", "q", "--reconnect-for", "0.5", words[0], words[1], words[2], words[3]]);
    check(&patient, 69, "next try in");
}

#[test]
fn what_is_not_there() {
    let name = unique("absent");
    check(&cat(&["consume", "-q", &name, "--no-declare"]), 65, "NOT_FOUND - no queue");
    let got = cat(&["get", "-q", &name]);
    check(&got, 65, "NOT_FOUND - no queue");
    assert!(!got.err.contains("--no-declare"), "get has no such option: {}", got.err);
    let produced = cat(&["produce", "-e", &name, "-t", "x"]);
    check(&produced, 65, "NOT_FOUND - no exchange");
    check(&produced, 65, "1 message sent: 1 not accepted");
    assert!(!produced.err.contains("nobody knows"), "{}", produced.err);
    check(&cat(&["produce", "-q", &name, "--no-declare", "-t", "x"]), 75, "1 returned");
}

#[test]
fn wrong_command_lines() {
    for words in
        [&["produce"][..], &["consume", "-q", "q", "--reject=0"], &["get", "-q", "q", "--url", "amqps://mq"]]
    {
        assert_eq!(cat(words).code, Some(64), "{words:?}");
    }
    let help = cat(&["produce", "--help"]);
    assert_eq!(help.code, Some(0));
    assert!(help.out.contains("Exit codes:"), "{}", help.out);
}
