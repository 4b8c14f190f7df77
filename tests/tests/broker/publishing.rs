//! What a publisher is told: returns and confirms.

use liebre_tests::{
    broker::Broker,
    method::{self, Say, exchange, publish, queue},
    raw::Raw,
    unique,
};

/// An open channel with confirms on.
fn confirming() -> Raw {
    let mut raw = Raw::with_channel(Broker::shared());
    raw.ask(method::confirm_select(), "confirm.select-ok");
    raw
}

fn message(exchange: &str, key: &str, bits: u8) -> [Say; 3] {
    [method::basic_publish(exchange, key, bits), method::header(1), method::body(b"m")]
}

/// Reads acks until `last` is confirmed; every number once.
fn confirmed_up_to(raw: &mut Raw, last: u64) {
    let mut open: Vec<u64> = (1..=last).collect();
    while !open.is_empty() {
        let said = raw.expect("basic.ack ");
        let mut words = said.trim_start_matches("basic.ack ").split(' ');
        let number: u64 = words.next().and_then(|word| word.parse().ok()).expect("a number");
        let is_multiple = words.next() == Some("multiple=true");
        let before = open.len();
        open.retain(|&one| if is_multiple { one > number } else { one != number });
        assert!(open.len() < before, "{said} confirms nothing new");
    }
}

#[test]
fn return_comes_before_the_confirm() {
    let mut raw = confirming();
    let x = unique("x");
    raw.ask(method::exchange_declare(&x, "direct", exchange::AUTO_DELETE, &[]), "exchange.declare-ok");
    for (number, exchange) in [(1, ""), (2, &x)] {
        raw.say(&message(exchange, "nobody", publish::MANDATORY));
        let exchange = liebre_tests::plain(exchange);
        raw.expect(&format!("basic.return 312 NO_ROUTE exchange={exchange:?} key=\"nobody\""));
        raw.expect("header");
        raw.expect("body \"m\"");
        raw.expect(&format!("basic.ack {number} multiple=false"));
    }
    raw.ask(method::exchange_delete(&x, false), "exchange.delete-ok");
}

#[test]
fn unroutable_without_mandatory_is_dropped_and_confirmed() {
    let mut raw = confirming();
    raw.say(&message("", "nobody", 0));
    raw.expect("basic.ack 1 multiple=false");
}

#[test]
fn routed_mandatory_is_not_returned() {
    let mut raw = confirming();
    raw.ask(method::queue_declare("", queue::EXCLUSIVE, &[]), "queue.declare-ok");
    raw.ask(method::queue_bind("", "amq.direct", "here"), "queue.bind-ok");
    raw.say(&message("amq.direct", "here", publish::MANDATORY));
    raw.expect("basic.ack 1");
}

#[test]
fn every_message_is_confirmed_once() {
    let mut raw = confirming();
    let q = unique("q");
    raw.ask(method::queue_declare(&q, queue::DURABLE, &[]), "queue.declare-ok");
    let mut persistent = method::header(1);
    // Flags: delivery-mode alone; its value.
    persistent.payload.truncate(12);
    persistent.payload.extend([0x10, 0, 2]);
    let frames: Vec<Say> = (0..200)
        .flat_map(|index| {
            let header = if index % 2 == 0 { persistent.clone() } else { method::header(1) };
            [method::basic_publish("", &q, 0), header, method::body(b"m")]
        })
        .collect();
    raw.say(&frames);
    confirmed_up_to(&mut raw, 200);
    raw.ask(method::queue_delete(&q, 0), "queue.delete-ok 200");
}

#[test]
fn numbers_begin_with_confirm_select() {
    let mut raw = Raw::with_channel(Broker::shared());
    raw.say(&message("", "nobody", 0));
    raw.ask(method::confirm_select(), "confirm.select-ok");
    raw.ask(method::confirm_select(), "confirm.select-ok");
    raw.say(&message("", "nobody", 0));
    raw.expect("basic.ack 1");
}
