//! The tutorials do what their README says, in Rust and in Python, and mixed.

use std::{
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
};

use liebre_tests::{
    binaries::binary,
    broker::Broker,
    method::{self, exchange},
    program::Program,
    python,
    raw::Raw,
    wait,
};

/// Runs one tutorial program against the tests' broker.
type Run = fn(&str, &[&str]) -> Program;

fn rust(name: &str, words: &[&str]) -> Program {
    run(Command::new(binary("liebre-tutorials", name)), words)
}

fn python(name: &str, words: &[&str]) -> Program {
    run(python::tutorial(&format!("{name}.py")), words)
}

fn run(mut command: Command, words: &[&str]) -> Program {
    command.args(words).env("AMQP_URL", Broker::shared().url()).env_remove("AMQP_ADDR");
    Program::spawn(command)
}

/// The tutorials' names are fixed, so their tests go one after the other, each with a clean broker.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let guard = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut raw = Raw::with_channel(Broker::shared());
    raw.ask(method::queue_delete("hello", 0), "queue.delete-ok");
    raw.ask(method::queue_delete("task_queue", 0), "queue.delete-ok");
    raw.ask(method::exchange_delete("logs", false), "exchange.delete-ok");
    guard
}

const WAITING: &str = "[*] Waiting for";

/// A program that has subscribed; `queue` has `consumers` consumers then.
fn subscribed(program: Program, queue: &str, consumers: u32) -> Program {
    let mut program = program;
    program.expect_line(WAITING);
    let mut raw = Raw::with_channel(Broker::shared());
    let what = format!("{consumers} consumers of {queue}");
    wait::until(&what, || (raw.queue_counts(queue).1 == consumers).then_some(()));
    program
}

fn hello_world(sender: Run, receiver: Run) {
    let _turn = turn();
    let mut first = subscribed(receiver("receive", &[]), "hello", 1);
    let mut sent = sender("send", &[]);
    sent.expect_line(r#" [x] Sent "Hello World!""#);
    sent.finish();
    first.expect_line(" [x] Received Hello World!");

    // Two receivers take turns.
    let mut second = subscribed(receiver("receive", &[]), "hello", 2);
    for _ in 0..2 {
        sender("send", &[]).finish();
    }
    first.expect_line(" [x] Received Hello World!");
    second.expect_line(" [x] Received Hello World!");
    drop((first, second));

    // The staged run: the receiver comes later.
    let mut raw = Raw::with_channel(Broker::shared());
    wait::until("no receivers", || (raw.queue_counts("hello").1 == 0).then_some(()));
    for _ in 0..3 {
        sender("send", &[]).finish();
    }
    wait::until("three ready messages", || (raw.queue_counts("hello").0 == 3).then_some(()));
    let mut late = receiver("receive", &[]);
    for _ in 0..3 {
        late.expect_line(" [x] Received Hello World!");
    }
}

/// The worker is killed between receipt and ack: the other one gets its job at once, and then the later one.
fn worker_killed(sender: Run, worker: Run) {
    let _turn = turn();
    let mut doomed = subscribed(worker("worker", &[]), "task_queue", 1);
    let long = ".".repeat(60);
    sender("new_task", &["Precious", &long]).finish();
    doomed.expect_line(&format!(" [x] Received Precious {long}"));
    let mut other = subscribed(worker("worker", &[]), "task_queue", 2);
    sender("new_task", &["busy."]).finish();
    other.expect_line(" [x] Received busy.");
    sender("new_task", &["later"]).finish();
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

fn publish_subscribe(publisher: Run, subscribers: [Run; 2]) {
    let _turn = turn();
    publisher("emit_log", &["nobody", "listens"]).finish();
    let mut subscribers = subscribers.map(|run| run("receive_logs", &[]));
    for subscriber in &mut subscribers {
        subscriber.expect_line(WAITING);
    }
    let mut emitted = publisher("emit_log", &["El", "tanque", "está", "lleno"]);
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
    hello_world(rust, rust);
}

#[test]
fn hello_world_in_python() {
    hello_world(python, python);
}

#[test]
fn worker_killed_in_rust() {
    worker_killed(rust, rust);
}

#[test]
fn worker_killed_in_python() {
    worker_killed(python, python);
}

#[test]
fn publish_subscribe_in_rust() {
    publish_subscribe(rust, [rust, rust]);
}

#[test]
fn publish_subscribe_in_both_languages() {
    publish_subscribe(python, [rust, python]);
}
