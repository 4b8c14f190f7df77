//! Bytes that are no AMQP, or AMQP in the wrong order: refused, and nobody else notices.

use std::{
    thread,
    time::{Duration, Instant},
};

use liebre_tests::{
    broker::Broker,
    codec::{BODY, Frame, HEADER, HEARTBEAT, METHOD, Value, Writer},
    method::{self, queue},
    raw::{FRAME_MAX, PROTOCOL_HEADER, Raw},
};

use crate::verdict::{after_frames, check, finish};

/// A table inside a table, so many times.
fn nested_tables(depth: usize) -> Value {
    (0..depth).fold(Value::Bool(true), |inner, _| Value::Table(vec![("a", inner)]))
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Frame {
    Frame { kind, channel, payload: payload.to_owned() }
}

fn after_bytes(bytes: &[u8]) -> String {
    let mut raw = Raw::with_channel(Broker::shared());
    raw.write(bytes);
    finish(&mut raw)
}

#[test]
fn protocol_headers() {
    let answer = |header: &&[u8]| {
        let mut raw = Raw::connect(Broker::shared());
        raw.write(header);
        raw.finish_writing();
        raw.rest().escape_ascii().to_string()
    };
    let ours = r"AMQP\x00\x00\t\x01";
    check(
        &[
            ("AMQP 0-9-2", &b"AMQP\x00\x00\x09\x02"[..], ours),
            ("AMQP 0-10", b"AMQP\x00\x00\x0a\x00", ours),
            ("AMQP of no version", b"AMQP\x07\x01\x02\x03", ours),
            ("HTTP", b"GET / HTTP/1.1\r\nhost: broker\r\n\r\n", ours),
            ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", ours),
            ("zeros", &[0; 64], ours),
            ("half a header, then the end", b"AMQP", ""),
            ("nothing, then the end", b"", ""),
        ],
        answer,
    );
}

#[test]
fn before_the_connection_is_open() {
    let start = |frames: &Vec<Frame>| {
        let mut raw = Raw::started(Broker::shared());
        raw.say(frames);
        finish(&mut raw)
    };
    let refused = "closed | connection.close 50…";
    let declare = || method::queue_declare("", 0, &[]);
    check(
        &[
            ("method on a channel", vec![declare()], refused),
            ("publish", vec![method::basic_publish("", "k", 0), method::header(0)], refused),
            ("tune-ok before start-ok", vec![method::tune_ok(0, 0, 0)], refused),
            ("open before start-ok", vec![method::open("/")], refused),
            ("a frame larger than 8192 bytes", vec![frame(METHOD, 0, &[0; 9_000])], refused),
            (
                "method on a channel before tune-ok",
                vec![method::start_ok("PLAIN", b"\0guest\0guest"), declare()],
                refused,
            ),
        ],
        start,
    );
}

#[test]
fn frames_out_of_order() {
    const METHOD_EXPECTED: &str =
        "connection.close 505 UNEXPECTED_FRAME - expected method frame, got non method frame instead [0.0]";
    const HEADER_EXPECTED: &str = "connection.close 505 UNEXPECTED_FRAME - expected content header for class 60, \
                                   got non content header frame instead [60.40]";
    const BODY_EXPECTED: &str = "connection.close 505 UNEXPECTED_FRAME - expected content body, got non content body frame instead [60.40]";
    let publish = || method::basic_publish("", "k", 0);
    let other_class = frame(HEADER, 1, &Writer::default().u16(61).u16(0).u64(1).u16(0).0);
    check(
        &[
            ("header without a method", vec![method::header(1)], METHOD_EXPECTED),
            ("body without a method", vec![method::body(b"m")], METHOD_EXPECTED),
            (
                "body after an empty message",
                vec![publish(), method::header(0), method::body(b"m")],
                METHOD_EXPECTED,
            ),
            ("body without a header", vec![publish(), method::body(b"m")], HEADER_EXPECTED),
            ("method instead of a header", vec![publish(), method::basic_get("q")], HEADER_EXPECTED),
            (
                "header of another class",
                vec![publish(), other_class],
                "connection.close 505 UNEXPECTED_FRAME - expected content header for class 60, got one for class 61 instead \
                 [60.40]",
            ),
            (
                "method instead of a body",
                vec![publish(), method::header(1), method::basic_get("q")],
                BODY_EXPECTED,
            ),
            ("header twice", vec![publish(), method::header(1), method::header(1)], BODY_EXPECTED),
            (
                // RabbitMQ notices at the next frame.
                "body longer than declared",
                vec![publish(), method::header(3), method::body(b"too long"), method::basic_get("q")],
                "connection.close 505 UNEXPECTED_FRAME - … | connection.close 501 FRAME_ERROR - …",
            ),
            (
                "heartbeat on channel 1",
                vec![frame(HEARTBEAT, 1, b"")],
                "connection.close 505 UNEXPECTED_FRAME - …",
            ),
            (
                "header on channel 0",
                vec![frame(HEADER, 0, &method::header(1).payload)],
                "connection.close 505 UNEXPECTED_FRAME - …",
            ),
            ("body on channel 0", vec![frame(BODY, 0, b"m")], "connection.close 505 UNEXPECTED_FRAME - …"),
        ],
        |frames| after_frames(frames),
    );
}

#[test]
fn malformed_frames() {
    let refused = "connection.close 501 FRAME_ERROR - …";
    let mut wrong_end = method::basic_get("q").encode();
    *wrong_end.last_mut().unwrap() = 0xAA;
    let mut too_large = vec![BODY, 0, 1];
    too_large.extend((FRAME_MAX + 1).to_be_bytes());
    let mut huge = vec![METHOD, 0, 1];
    huge.extend(u32::MAX.to_be_bytes());
    let empty_header = [method::basic_publish("", "k", 0).encode(), frame(HEADER, 1, b"").encode()].concat();
    check(
        &[
            ("wrong frame end", wrong_end, refused),
            (
                "unknown kind",
                frame(7, 1, b"shoe").encode(),
                "connection.close 501 FRAME_ERROR - type 7, all octets = …",
            ),
            ("kind 0", frame(0, 0, b"").encode(), refused),
            ("larger than frame_max", too_large, refused),
            ("as large as can be said", huge, refused),
            ("empty method", frame(METHOD, 1, b"").encode(), refused),
            ("half a method id", frame(METHOD, 1, &[0, 50, 0]).encode(), refused),
            ("empty header", empty_header, refused),
        ],
        |bytes| after_bytes(bytes),
    );
}

#[test]
fn malformed_tables_and_properties() {
    let table = |bytes: &[u8]| {
        let arguments = Writer::default().u16(0).short("").u8(queue::EXCLUSIVE).long(bytes);
        vec![method::method(50, 10, arguments)]
    };
    let properties = |flags: &[u8]| {
        let mut payload = Writer::default().u16(60).u16(0).u64(0).0;
        payload.extend(flags);
        vec![method::basic_publish("", "k", 0), frame(HEADER, 1, &payload)]
    };
    let refused = "connection.close 501 FRAME_ERROR - … | connection.close 502 SYNTAX_ERROR - …";
    check(
        &[
            ("value of unknown type", table(b"\x01a?"), refused),
            ("value longer than its table", table(b"\x01aS\0\0\0\x99abc"), refused),
            ("name longer than its table", table(b"\x99a"), refused),
            (
                "table longer than its method",
                vec![method::method(50, 10, Writer(b"\0\0\0\0\xff\xff\xff\xff".into()))],
                refused,
            ),
            ("all property flags and no properties", properties(&[0xFF, 0xFE]), refused),
            ("property cut short", properties(&[0x80, 0, 9, b'a']), refused),
            ("property flags cut short", properties(&[0]), refused),
        ],
        |frames| after_frames(frames),
    );
}

/// A parser that calls itself for each level dies of the second of these.
#[test]
fn tables_too_deep() {
    let refused = "channel.close 502… | connection.close 501… | connection.close 502… | basic.qos-ok";
    let arrays = (0..20_000).fold(Writer::default().long(b""), |inner, _| {
        Writer::default().long(&[&b"A"[..], &inner.0].concat())
    });
    check(
        &[("33 tables", nested_tables(33), refused), ("20,000 arrays", Value::Raw(b'A', arrays.0), refused)],
        |value| {
            let mut raw = Raw::with_channel(Broker::shared());
            raw.say(&[method::queue_declare("", queue::EXCLUSIVE, &[("a", value.clone())])]);
            match raw.verdict().as_str() {
                "accepted" => "basic.qos-ok".to_owned(),
                exception => exception.to_owned(),
            }
        },
    );
}

/// Refused at the header, before any memory is taken. RabbitMQ waits for the bodies first.
#[test]
fn bodies_too_large() {
    let broker = Broker::shared();
    if broker.is_external() {
        eprintln!("skipped: RabbitMQ wants to see the bodies first");
        return;
    }
    check(
        &[
            (
                "larger than a message may be",
                (128 << 20) + 1,
                "channel.close 406 PRECONDITION_FAILED - message size 134217729 is larger than configured max size 134217728…",
            ),
            (
                "larger than any message",
                1 << 40,
                "connection.close 501 FRAME_ERROR - content body size 1099511627776 exceeds maximum allowed size…",
            ),
            (
                "as large as can be said",
                u64::MAX,
                "connection.close 501 FRAME_ERROR - content body size 18446744073709551615 exceeds maximum allowed size…",
            ),
        ],
        |&size| after_frames(&[method::basic_publish("", "k", 0), method::header(size)]),
    );
}

#[test]
fn a_message_in_the_smallest_pieces() {
    let mut raw = Raw::with_channel(Broker::shared());
    raw.ask(method::queue_declare("", queue::EXCLUSIVE, &[]), "queue.declare-ok");
    raw.ask(method::queue_bind("", "amq.fanout", ""), "queue.bind-ok");
    let frames = [
        method::basic_publish("amq.fanout", "k", 0),
        method::header(3),
        method::body(b"a"),
        method::body(b""),
        method::body(b"bc"),
    ];
    for byte in frames.iter().flat_map(Frame::encode) {
        raw.write(&[byte]);
    }
    raw.ask(method::basic_get(""), "basic.get-ok 1");
    raw.expect("header");
    raw.expect("body \"abc\"");
}

/// The one slow test: a handshake may take 10 seconds and no longer, however busy the peer looks.
#[test]
fn handshake_takes_too_long() {
    let behaviours: [(&str, Behaviour); 4] = [
        ("says nothing", |_| {}),
        ("says half a protocol header", |raw| raw.write(&PROTOCOL_HEADER[..4])),
        ("says half of start-ok", |raw| {
            begin(raw);
            raw.write(&method::start_ok("PLAIN", b"\0guest\0guest").encode()[..20]);
        }),
        ("says start-ok a byte at a time", |raw| {
            begin(raw);
            raw.drip(&method::start_ok("PLAIN", b"\0guest\0guest").encode());
        }),
    ];
    let broker = Broker::shared();
    let mut witness = Raw::with_channel(broker);
    let peers = behaviours.map(|(what, behave)| {
        thread::spawn(move || {
            let begun = Instant::now();
            let mut raw = Raw::connect(broker);
            behave(&mut raw);
            raw.rest();
            (what, begun.elapsed())
        })
    });
    for peer in peers {
        let (what, lasted) = peer.join().expect("the peer was let go");
        let allowed = Duration::from_secs(8)..Duration::from_secs(16);
        assert!(allowed.contains(&lasted), "a peer that {what} was let go after {lasted:?}");
    }
    assert!(witness.is_alive(1));
}

/// What a slow peer does before it says nothing more.
type Behaviour = fn(&mut Raw);

fn begin(raw: &mut Raw) {
    raw.write(&PROTOCOL_HEADER);
    raw.expect("connection.start");
}
