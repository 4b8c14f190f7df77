//! The whole tool against a broker that lives in this process.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, its helpers included")]

mod fake_broker;
mod starts;

use std::net::TcpListener;
use std::process::{Command, Output};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use fake_broker::{FakeBroker, Habit};
use liebre_perf::cli::Target;
use liebre_perf::clock::now;
use liebre_perf::error::PerfError;
use liebre_perf::load::{Load, Patience};
use liebre_perf::run::{Figures, Watcher, run};
use liebre_perf::work::Work;

/// The load that `options` describe, with a patience that suits tests.
fn load(options: &str) -> Load {
    let patience = Patience {
        setup: Duration::from_secs(2),
        teardown: Duration::from_millis(500),
        stall: Duration::from_millis(600),
        each: Duration::ZERO,
    };
    let Work::Load(load) = Work::parse(options).unwrap() else { panic!("{options} is no load") };
    Load { patience, ..*load }
}

fn run_against(broker: &FakeBroker, options: &str) -> Result<Figures, PerfError> {
    run(&Target { url: broker.url(), pid: None }, &load(options), &mut Watcher::nobody())
}

/// Those that are left.
fn queues(broker: &FakeBroker) -> Vec<String> {
    broker.queues.lock().unwrap().iter().cloned().collect()
}

fn run_binary(arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_liebre-perf")).args(arguments.split_whitespace()).output().unwrap()
}

#[test]
fn every_message_is_confirmed_received_and_acked() {
    let broker = FakeBroker::start(Habit::Good);
    let figures = run_against(&broker, "--messages 5000 --confirm 100 --prefetch 50 --ack-every 7").unwrap();
    assert_eq!((figures.sent, figures.confirmed, figures.nacked), (5_000, 5_000, 0));
    assert!(figures.received == 5_000 && figures.is_complete && figures.is_taken_down);
    assert!(figures.latency.unwrap().samples >= 5_000 / 64);
    assert_eq!(broker.acked_up_to.load(SeqCst), 5_000);
    assert!(broker.is_deleted.load(SeqCst));
    assert_eq!(broker.goodbyes.load(SeqCst), 3);
}

#[test]
fn bodies_larger_than_a_frame_get_through() {
    let broker = FakeBroker::start(Habit::Good);
    let figures = run_against(&broker, "--messages 20 --size 300000").unwrap();
    assert_eq!((figures.received, figures.is_complete), (20, true));
}

#[test]
fn a_run_without_a_number_ends_with_its_duration() {
    let broker = FakeBroker::start(Habit::Good);
    let figures = run_against(&broker, "--duration 0.3 --warmup 0.05").unwrap();
    assert!(figures.is_complete && figures.seconds >= 0.3);
    assert!(figures.sent > 0 && figures.received > 0);
}

#[test]
fn a_rate_is_kept_and_every_latency_sampled() {
    let broker = FakeBroker::start(Habit::Good);
    let figures = run_against(&broker, "--messages 400 --rate 2000").unwrap();
    assert_eq!((figures.sent, figures.received), (400, 400));
    assert!(figures.seconds >= 399.0 / 2_000.0);
    assert_eq!(figures.latency.unwrap().samples, 400);
}

#[test]
fn publish_only_leaves_the_queue() {
    let broker = FakeBroker::start(Habit::Good);
    let figures = run_against(&broker, "--messages 900 --publish-only").unwrap();
    assert_eq!((figures.sent, figures.received, figures.is_complete), (900, 0, true));
    assert!(!broker.is_deleted.load(SeqCst));
}

#[test]
fn refused_messages_are_counted() {
    let broker = FakeBroker::start(Habit::Refuses);
    let figures = run_against(&broker, "--messages 100 --publish-only --confirm 10").unwrap();
    assert_eq!((figures.nacked, figures.confirmed, figures.is_complete), (100, 0, false));
}

#[test]
fn a_close_is_shown_with_code_and_text() {
    let broker = FakeBroker::start(Habit::ClosesChannel);
    let error = run_against(&broker, "--messages 10").unwrap_err();
    assert_eq!(error.to_string(), "the broker closed the channel: 404 NOT_FOUND - no exchange");
}

#[test]
fn a_broker_that_vanishes_ends_the_run() {
    let broker = FakeBroker::start(Habit::Vanishes);
    let error = run_against(&broker, "--duration 30 --confirm 10").unwrap_err();
    assert!(matches!(error, PerfError::EndOfStream { .. } | PerfError::Io { .. }), "{error}");
}

#[test]
fn a_mute_broker_is_given_up() {
    let broker = FakeBroker::start(Habit::Mute);
    let error = run_against(&broker, "").unwrap_err();
    assert_eq!(error.to_string(), "connection.start: the broker did not answer in time");
}

#[test]
fn a_stuck_broker_does_not_hold_the_run() {
    for options in ["--duration 0.2 --warmup 0", "--messages 1000000", "--messages 10 --confirm 5"] {
        let broker = FakeBroker::start(Habit::Stuck);
        let start = now();
        let figures = run_against(&broker, options).unwrap();
        assert!(!figures.is_complete && !figures.is_taken_down, "{options}");
        assert!(now().since(start) < Duration::from_secs(10), "{options}");
    }
}

#[test]
fn a_queue_in_use_is_left_alone() {
    let broker = FakeBroker::start(Habit::HasBacklog);
    let error = run_against(&broker, "").unwrap_err();
    assert!(matches!(error, PerfError::QueueInUse { message_count: 1, .. }), "{error}");
    assert!(!broker.is_deleted.load(SeqCst));
}

#[test]
fn a_queue_that_stays_does_not_keep_the_others() {
    let broker = FakeBroker::start(Habit::KeepsFirst);
    let figures = run_against(&broker, "--queue-pattern q-%d --queue-pattern-to 3 --messages 10").unwrap();
    assert_eq!((figures.is_complete, figures.is_taken_down), (true, false));
    assert_eq!(queues(&broker), ["q-1"]);
}

#[test]
fn a_declaration_that_fails_leaves_no_queue() {
    let broker = FakeBroker::start(Habit::HasOneQueue);
    let error = run_against(&broker, "--queue-pattern q-%d --queue-pattern-to 3").unwrap_err();
    assert!(matches!(error, PerfError::ChannelClosed(_)), "{error}");
    assert!(broker.is_deleted.load(SeqCst) && queues(&broker).is_empty());
}

#[test]
fn a_backlog_that_cannot_be_built_does_not_stay() {
    let broker = FakeBroker::start(Habit::ClosesChannel);
    let work = Work::parse("backlog --messages 10").unwrap();
    let error = work.measure(&Target { url: broker.url(), pid: None }).unwrap_err();
    assert!(matches!(error, PerfError::ChannelClosed(_)), "{error}");
    assert!(broker.is_deleted.load(SeqCst) && queues(&broker).is_empty());
}

#[test]
fn queues_that_come_and_go_are_gone_at_the_end() {
    let broker = FakeBroker::start(Habit::Good);
    let work = Work::parse("churn queues --at-once 16 -z 0.1").unwrap();
    work.measure(&Target { url: broker.url(), pid: None }).unwrap();
    assert!(broker.is_deleted.load(SeqCst));
    assert_eq!(queues(&broker), [""; 0]);
}

#[test]
fn connections_that_come_and_go_say_goodbye() {
    let broker = FakeBroker::start(Habit::Good);
    let work = Work::parse("churn connections --at-once 4 -z 0.2").unwrap();
    let outcome = work.measure(&Target { url: broker.url(), pid: None }).unwrap();
    let value = |key: &str| outcome.values.iter().find(|value| value.key == key).unwrap().value.unwrap();
    // Each connection that counts has ended with a whole handshake, and so have those of the warm-up.
    let counted = value("per_second") * 0.2;
    assert!(counted >= 1.0 && broker.goodbyes.load(SeqCst) as f64 >= counted, "{counted}");
    assert!(value("latency_p50_us") > 0.0);
    // Nobody listens there.
    let url = format!("amqp://{}/", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let error = work.measure(&Target { url: url.parse().unwrap(), pid: None }).unwrap_err();
    assert!(matches!(error, PerfError::Connect { .. }), "{error}");
}

#[test]
fn idle_queues_that_are_not_there_in_time_are_deleted() {
    let broker = FakeBroker::start(Habit::Good);
    let work = Work::parse("idle queues 1000000 --patience 0.2").unwrap();
    let error = work.measure(&Target { url: broker.url(), pid: None }).unwrap_err();
    assert!(matches!(error, PerfError::NotReached { wanted: 1_000_000, count: 1.., .. }), "{error}");
    assert!(broker.is_deleted.load(SeqCst) && queues(&broker).is_empty());
}

#[test]
fn a_process_that_cannot_be_measured_is_refused_at_once() {
    let broker = FakeBroker::start(Habit::Good);
    let url = format!("amqp://{}/", broker.address);
    // The kernel gives no such number to a process.
    let pid = u32::MAX;
    for line in [
        format!("--url {url} --pid {pid} --messages 1"),
        format!("--url {url} --pid {pid} churn queues -z 0.1"),
        format!("compare --a {url} --b {url},{pid} --messages 1"),
    ] {
        let output = run_binary(&line);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}: {told}");
        assert!(told.contains(&format!("process {pid} cannot be measured")), "{line}: {told}");
    }
    assert_eq!(broker.goodbyes.load(SeqCst), 0);
}

#[test]
fn the_queue_is_shown_by_its_real_name() {
    let broker = FakeBroker::start(Habit::Good);
    let output = run_binary(&format!("--url amqp://{}/ --messages 5 --quiet", broker.address));
    let table = String::from_utf8(output.stdout).unwrap();
    let name = table.split_once("queue liebre-perf-").unwrap().1.split_once(',').unwrap().0;
    assert!(name.parse::<u64>().is_ok(), "{table}");
}

#[test]
fn where_messages_gather_there_is_no_latency() {
    let broker = FakeBroker::start(Habit::Good);
    let figures = run_against(&broker, "--messages 2000 --confirm 1000 --prefetch 1000").unwrap();
    assert_eq!((figures.received, figures.latency, figures.confirm_latency), (2_000, None, None));
    let broker = FakeBroker::start(Habit::Good);
    let output = run_binary(&format!("--url amqp://{}/ --messages 2000 --quiet", broker.address));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("no latency  of deliveries: ") && !table.contains("p99"), "{table}");
}

#[test]
fn the_binary_prints_json_and_exits_with_zero() {
    let broker = FakeBroker::start(Habit::Good);
    let url = format!("amqp://{}/", broker.address);
    let output = run_binary(&format!("--url {url} --pid {} --messages 1000 --json", std::process::id()));
    assert_eq!(output.status.code(), Some(0));
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(figures["received"], 1_000);
    assert!(figures["broker"]["rss_bytes_max"].as_u64().unwrap() > 0);
}

#[test]
fn the_binary_compares_two_brokers() {
    let [a, b] = [Habit::Good, Habit::Good].map(FakeBroker::start);
    let output = run_binary(&format!(
        "compare --a amqp://{}/ --b amqp://{}/,{} --rounds 1 --messages 500 --confirm 100",
        a.address,
        b.address,
        std::process::id()
    ));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("received msg/s") && text.contains("A better"), "{text}");
}

#[test]
fn a_broker_that_fails_does_not_spoil_the_table() {
    let [good, bad] = [Habit::Good, Habit::ClosesChannel].map(FakeBroker::start);
    let words = format!(
        "table --a amqp://{}/ --b amqp://{}/ --b-name Bad --rounds 1 -z 0.1",
        good.address, bad.address
    );
    let words = words.split(' ').chain(["--only", "16 B, transient"]);
    let output = Command::new(env!("CARGO_BIN_EXE_liebre-perf")).args(words).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3), "{table}");
    assert!(table.contains("Bad: the broker closed the channel: 404 NOT_FOUND"), "{table}");
    let rate = table.lines().find(|line| line.contains("received msg/s")).unwrap();
    assert!(rate.ends_with("| - | - |") && !rate.contains("| - | - | - |"), "{rate}");
}

#[test]
fn exit_codes_tell_what_happened() {
    let broker = FakeBroker::start(Habit::Refuses);
    let url = format!("amqp://{}/", broker.address);
    let code = |arguments: &str| run_binary(arguments).status.code();
    assert_eq!(code(&format!("--url {url} --publish-only --messages 5 --confirm 5")), Some(3));
    assert_eq!(code("--prefetch 1 --ack-every 2"), Some(2));
    let broker = FakeBroker::start(Habit::ClosesChannel);
    assert_eq!(code(&format!("--url amqp://{}/ --messages 5", broker.address)), Some(1));
}
