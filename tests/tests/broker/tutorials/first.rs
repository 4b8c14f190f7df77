//! Lessons 1 to 3: hello world, the work queue, publish/subscribe.

use liebre_tests::{
    broker::Broker,
    method::{self, exchange},
    raw::Raw,
    wait,
};

use super::{
    Language::{self, Python, Rust},
    WAITING, subscribed, turn,
};

fn hello_world(sender: Language, receiver: Language) {
    let _turn = turn();
    let mut first = subscribed(receiver.run("receive", &[]), "hello", 1);
    let mut sent = sender.run("send", &[]);
    sent.expect_line(r#" [x] Sent "Hello World!""#);
    sent.finish();
    first.expect_line(" [x] Received Hello World!");

    // Two receivers take turns.
    let mut second = subscribed(receiver.run("receive", &[]), "hello", 2);
    for _ in 0..2 {
        sender.run("send", &[]).finish();
    }
    first.expect_line(" [x] Received Hello World!");
    second.expect_line(" [x] Received Hello World!");
    drop((first, second));

    // The staged run: the receiver comes later.
    let mut raw = Raw::with_channel(Broker::shared());
    wait::until("no receivers", || (raw.queue_counts("hello").1 == 0).then_some(()));
    for _ in 0..3 {
        sender.run("send", &[]).finish();
    }
    wait::until("three ready messages", || (raw.queue_counts("hello").0 == 3).then_some(()));
    let mut late = receiver.run("receive", &[]);
    for _ in 0..3 {
        late.expect_line(" [x] Received Hello World!");
    }
}

/// The worker is killed between receipt and ack: the other one gets its job at once, and then the later one.
fn worker_killed(sender: Language, worker: Language) {
    let _turn = turn();
    let mut doomed = subscribed(worker.run("worker", &[]), "task_queue", 1);
    let long = ".".repeat(60);
    sender.run("new_task", &["Precious", &long]).finish();
    doomed.expect_line(&format!(" [x] Received Precious {long}"));
    let mut other = subscribed(worker.run("worker", &[]), "task_queue", 2);
    sender.run("new_task", &["busy."]).finish();
    other.expect_line(" [x] Received busy.");
    sender.run("new_task", &["later"]).finish();
    // Both have a job in hand and asked for no more than one.
    let mut raw = Raw::with_channel(Broker::shared());
    wait::until("one ready job", || (raw.queue_counts("task_queue").0 == 1).then_some(()));
    doomed.kill9();
    other.expect_line(" [x] Done");
    assert_eq!(other.next_line(), format!(" [x] Received Precious {long} (redelivered)"));
    other.kill9();
    wait::until("both jobs ready", || (raw.queue_counts("task_queue") == (2, 0)).then_some(()));
    raw.ask(method::queue_purge("task_queue"), "queue.purge-ok 2");
}

fn publish_subscribe(publisher: Language, subscribers: [Language; 2]) {
    let _turn = turn();
    publisher.run("emit_log", &["nobody", "listens"]).finish();
    let mut subscribers = subscribers.map(|language| language.run("receive_logs", &[]));
    for subscriber in &mut subscribers {
        subscriber.expect_line(WAITING);
    }
    let mut emitted = publisher.run("emit_log", &["El", "tanque", "está", "lleno"]);
    emitted.expect_line(r#" [x] Sent "El tanque está lleno""#);
    emitted.finish();
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.next_line(), " [x] El tanque está lleno");
    }
    drop(subscribers);
    // Their queues were exclusive: soon the exchange feeds nobody.
    wait::until("the end of the subscribers' queues", || {
        let mut raw = Raw::with_channel(Broker::shared());
        raw.say(&[method::exchange_delete("logs", true)]);
        (raw.verdict() == "accepted").then_some(())
    });
    let mut raw = Raw::with_channel(Broker::shared());
    raw.say(&[method::exchange_declare("logs", "fanout", exchange::PASSIVE, &[])]);
    assert_eq!(raw.outcome(), "channel.close 404 NOT_FOUND - no exchange 'logs' in vhost '/' [40.10]");
}

#[test]
fn hello_world_in_rust() {
    hello_world(Rust, Rust);
}

#[test]
fn hello_world_in_python() {
    hello_world(Python, Python);
}

#[test]
fn worker_killed_in_rust() {
    worker_killed(Rust, Rust);
}

#[test]
fn worker_killed_in_python() {
    worker_killed(Python, Python);
}

#[test]
fn publish_subscribe_in_rust() {
    publish_subscribe(Rust, [Rust, Rust]);
}

#[test]
fn publish_subscribe_in_both_languages() {
    publish_subscribe(Python, [Rust, Python]);
}
