//! `basic.publish`: content in frames, returns, confirms.

use amq_protocol::protocol::{AMQPClass, BasicProperties, basic};
use expect_test::expect;

use super::{
    bench::{A, B, Bench, check, queue},
    frames::{
        ack, bodies, body, channel_close_ok, channel_open, confirm_select, consume, declare,
        declare_exchange, get, header, method, plainly, publish, publish_mandatory, publish_method,
        publish_with, table, tune_ok,
    },
};
use crate::limits::{BODY_SIZE_CEILING, MESSAGE_SIZE_MAX};

fn bare() -> BasicProperties {
    BasicProperties::default()
}

#[test]
fn properties_come_back_as_they_went_in() {
    let properties = bare()
        .with_content_type("text/plain".into())
        .with_delivery_mode(2)
        .with_headers(table(&[("b", "2"), ("a", "1")]))
        .with_priority(9)
        .with_message_id("m".into())
        .with_timestamp(7);
    check(
        [
            A.sends(declare(1, "q", plainly)),
            A.sends(publish_with(1, ("", "q", false), b"hello", &properties)),
            A.sends(get(1, "q", true)),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C: basic.publish 1 exchange="" key="q" + body 5 {content-type="text/plain" headers={a="1", b="2"} delivery-mode=2 priority=9 message-id="m" timestamp=7}
            C: basic.get 1 queue="q" no-ack=true
            S: basic.get-ok 1 tag=1 redelivered=false exchange="" key="q" message-count=0 + body 5 {content-type="text/plain" headers={a="1", b="2"} delivery-mode=2 priority=9 message-id="m" timestamp=7}
        "#]],
    );
}

#[test]
fn an_empty_body_has_no_frame() {
    check(
        [A.sends(declare(1, "q", plainly)), A.sends([publish(1, "", "q", 0), get(1, "q", true)])],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C: basic.publish 1 exchange="" key="q" + body 0
            C: basic.get 1 queue="q" no-ack=true
            S: basic.get-ok 1 tag=1 redelivered=false exchange="" key="q" message-count=0 + body 0
        "#]],
    );
}

#[test]
fn unroutable_messages_are_dropped_or_returned() {
    check(
        [
            A.sends([publish(1, "", "nowhere", 1), publish_mandatory(1, "", "nowhere", 2)]),
            A.sends([declare(1, "q", plainly), publish_mandatory(1, "", "q", 3)]),
            queue("q"),
        ],
        &expect![[r#"
            C: basic.publish 1 exchange="" key="nowhere" + body 1
            C: basic.publish 1 exchange="" key="nowhere" mandatory=true + body 2
            S: basic.return 1 code=312 text="NO_ROUTE" exchange="" key="nowhere" + body 2
            C: queue.declare 1 queue="q"
            C: basic.publish 1 exchange="" key="q" mandatory=true + body 3
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
               queue q: ready 1, unsettled 0
        "#]],
    );
}

#[test]
fn a_return_comes_before_its_confirm() {
    check(
        [
            A.sends(confirm_select(1)),
            A.sends([publish_mandatory(1, "", "nowhere", 1), publish(1, "", "nowhere", 2)]),
            A.sends(publish_mandatory(1, "amq.direct", "nowhere", 3)),
        ],
        &expect![[r#"
            C: confirm.select 1
            S: confirm.select-ok 1
            C: basic.publish 1 exchange="" key="nowhere" mandatory=true + body 1
            C: basic.publish 1 exchange="" key="nowhere" + body 2
            S: basic.return 1 code=312 text="NO_ROUTE" exchange="" key="nowhere" + body 1
            S: basic.ack 1 tag=2 multiple=true
            C: basic.publish 1 exchange="amq.direct" key="nowhere" mandatory=true + body 3
            S: basic.return 1 code=312 text="NO_ROUTE" exchange="amq.direct" key="nowhere" + body 3
            S: basic.ack 1 tag=3
        "#]],
    );
}

#[test]
fn confirms_of_one_read_are_joined() {
    check(
        [
            A.sends([declare(1, "q", plainly), confirm_select(1), confirm_select(2)]),
            A.sends(publish(1, "", "q", 1)),
            A.sends([publish(1, "", "q", 2), publish(1, "", "q", 3), publish(1, "", "nowhere", 4)]),
            A.sends([publish(1, "", "q", 5), publish(2, "", "q", 6), publish(1, "", "q", 7)]),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: confirm.select 1
            C: confirm.select 2
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: confirm.select-ok 1
            S: confirm.select-ok 2
            C: basic.publish 1 exchange="" key="q" + body 1
            S: basic.ack 1 tag=1
            C: basic.publish 1 exchange="" key="q" + body 2
            C: basic.publish 1 exchange="" key="q" + body 3
            C: basic.publish 1 exchange="" key="nowhere" + body 4
            S: basic.ack 1 tag=4 multiple=true
            C: basic.publish 1 exchange="" key="q" + body 5
            C: basic.publish 2 exchange="" key="q" + body 6
            C: basic.publish 1 exchange="" key="q" + body 7
            S: basic.ack 1 tag=6 multiple=true
            S: basic.ack 2 tag=1
               queue q: ready 6, unsettled 0
        "#]],
    );
}

#[test]
fn confirms_count_from_select_and_once() {
    check(
        [
            A.sends([declare(1, "q", plainly), publish(1, "", "q", 1), confirm_select(1)]),
            A.sends(publish(1, "", "q", 2)),
            A.sends(confirm_select(1)),
            A.sends(publish(1, "", "q", 3)),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.publish 1 exchange="" key="q" + body 1
            C: confirm.select 1
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: confirm.select-ok 1
            C: basic.publish 1 exchange="" key="q" + body 2
            S: basic.ack 1 tag=1
            C: confirm.select 1
            S: confirm.select-ok 1
            C: basic.publish 1 exchange="" key="q" + body 3
            S: basic.ack 1 tag=2
        "#]],
    );
}

#[test]
fn confirms_come_before_the_exception_behind_them() {
    check(
        [
            A.sends([declare(1, "q", plainly), confirm_select(1)]),
            A.sends([publish(1, "", "q", 1), publish(1, "missing", "q", 2), publish(1, "", "q", 3)]),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: confirm.select 1
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: confirm.select-ok 1
            C: basic.publish 1 exchange="" key="q" + body 1
            C: basic.publish 1 exchange="missing" key="q" + body 2
            C: basic.publish 1 exchange="" key="q" + body 3
            S: basic.ack 1 tag=1
            S: channel.close 1 code=404 text="NOT_FOUND - no exchange 'missing' in vhost '/'" class=60 method=40
               queue q: ready 1, unsettled 0
        "#]],
    );
}

#[test]
fn exchanges_one_cannot_publish_to() {
    check(
        [
            A.sends(declare_exchange(1, "inner", "direct", |it| it.internal = true)),
            A.sends(publish(1, "missing", "k", 1)),
            A.sends([channel_close_ok(1), channel_open(1)]),
            A.sends(publish(1, "inner", "k", 1)),
        ],
        &expect![[r#"
            C: exchange.declare 1 exchange="inner" type="direct" internal=true
            S: exchange.declare-ok 1
            C: basic.publish 1 exchange="missing" key="k" + body 1
            S: channel.close 1 code=404 text="NOT_FOUND - no exchange 'missing' in vhost '/'" class=60 method=40
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: basic.publish 1 exchange="inner" key="k" + body 1
            S: channel.close 1 code=403 text="ACCESS_REFUSED - cannot publish to internal exchange 'inner' in vhost '/'" class=60 method=40
        "#]],
    );
}

#[test]
fn immediate_is_not_implemented() {
    let publish = basic::Publish { immediate: true, ..basic::Publish::default() };
    check(
        [A.sends(method(1, AMQPClass::Basic(basic::AMQPMethod::Publish(publish))))],
        &expect![[r#"
            C: basic.publish 1 exchange="" key="" immediate=true
            S: connection.close 0 code=540 text="NOT_IMPLEMENTED - immediate=true" class=60 method=40
        "#]],
    );
}

#[test]
fn a_header_without_its_method() {
    check(
        [A.sends(header(1, 1, &bare()))],
        &expect![[r#"
        C: content header 1 + body 0 of 1
        S: connection.close 0 code=505 text="UNEXPECTED_FRAME - expected method frame, got non method frame instead" class=0 method=0
    "#]],
    );
    check(
        [A.sends(body(1, b"x"))],
        &expect![[r#"
        C: body frame 1 1
        S: connection.close 0 code=505 text="UNEXPECTED_FRAME - expected method frame, got non method frame instead" class=0 method=0
    "#]],
    );
}

#[test]
fn frames_out_of_turn() {
    check(
        [A.sends([publish_method(1, "", "q", false), body(1, b"x")])],
        &expect![[r#"
        C: basic.publish 1 exchange="" key="q"
        C: body frame 1 1
        S: connection.close 0 code=505 text="UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead" class=60 method=40
    "#]],
    );
    check(
        [A.sends([publish_method(1, "", "q", false), declare(1, "q", plainly)])],
        &expect![[r#"
            C: basic.publish 1 exchange="" key="q"
            C: queue.declare 1 queue="q"
            S: connection.close 0 code=505 text="UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead" class=60 method=40
        "#]],
    );
    check(
        [A.sends([publish_method(1, "", "q", false), header(1, 2, &bare()), ack(1, 1, false)])],
        &expect![[r#"
            C: basic.publish 1 exchange="" key="q" + body 0 of 2
            C: basic.ack 1 tag=1
            S: connection.close 0 code=505 text="UNEXPECTED_FRAME - expected content body, got non content body frame instead" class=60 method=40
        "#]],
    );
}

#[test]
fn a_body_longer_than_announced() {
    check(
        [
            A.sends(declare(1, "q", plainly)),
            A.sends([publish_method(1, "", "q", false), header(1, 2, &bare()), body(1, b"three")]),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C: basic.publish 1 exchange="" key="q" + body 5 of 2
            S: connection.close 0 code=505 text="UNEXPECTED_FRAME - expected content body, got non content body frame instead" class=60 method=40
               queue q: ready 0, unsettled 0
        "#]],
    );
}

#[test]
fn channels_take_turns_within_their_contents() {
    check(
        [
            A.sends([declare(1, "q", plainly), confirm_select(1)]),
            A.sends([
                publish_method(1, "", "q", false),
                publish_method(2, "", "q", false),
                header(2, 4, &bare()),
                header(1, 3, &bare()),
                body(2, b"ab"),
                body(1, b"abc"),
                body(2, b"cd"),
            ]),
            A.sends([get(2, "q", true), get(2, "q", true)]),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: confirm.select 1
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: confirm.select-ok 1
            C: basic.publish 1 exchange="" key="q" + body 3
            C: basic.publish 2 exchange="" key="q" + body 4
            S: basic.ack 1 tag=1
            C: basic.get 2 queue="q" no-ack=true
            C: basic.get 2 queue="q" no-ack=true
            S: basic.get-ok 2 tag=1 redelivered=false exchange="" key="q" message-count=1 + body 3
            S: basic.get-ok 2 tag=2 redelivered=false exchange="" key="q" message-count=0 + body 4
        "#]],
    );
}

#[test]
fn a_message_too_large_is_refused_at_its_header() {
    check(
        [
            A.sends([declare(1, "q", plainly), confirm_select(2)]),
            A.sends([
                publish_method(1, "", "q", false),
                header(1, MESSAGE_SIZE_MAX + 1, &bare()),
                body(1, b"its"),
                body(1, b"body"),
                publish(2, "", "q", 1),
            ]),
            A.sends([channel_close_ok(1), channel_open(1), publish(1, "", "q", 2)]),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: confirm.select 2
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: confirm.select-ok 2
            C: basic.publish 1 exchange="" key="q" + body 7 of 134217729
            C: basic.publish 2 exchange="" key="q" + body 1
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - message size 134217729 is larger than configured max size 134217728" class=60 method=40
            S: basic.ack 2 tag=1
            C: channel.close-ok 1
            C: channel.open 1
            C: basic.publish 1 exchange="" key="q" + body 2
            S: channel.open-ok 1
               queue q: ready 2, unsettled 0
        "#]],
    );
    check(
        [A.sends([publish_method(1, "", "q", false), header(1, BODY_SIZE_CEILING + 1, &bare())])],
        &expect![[r#"
            C: basic.publish 1 exchange="" key="q" + body 0 of 536870913
            S: connection.close 0 code=501 text="FRAME_ERROR - content body size 536870913 exceeds maximum allowed size" class=60 method=40
        "#]],
    );
}

#[test]
fn content_is_cut_to_each_peers_frames() {
    check(
        [
            A.tunes(tune_ok(2_047, 4_096, 0)),
            A.sends(declare(1, "q", plainly)),
            B.sends([publish(1, "", "q", 10_000), publish(1, "", "q", 100_000)]),
            A.sends([get(1, "q", true), get(1, "q", true)]),
            A.sends([publish_method(1, "", "q", false), header(1, 8_000, &bare())]),
            A.sends([body(1, &[b'x'; 4_000]), body(1, &[b'x'; 4_000])]),
            B.sends(get(1, "q", true)),
            A.sends([publish_method(1, "", "q", false), header(1, 8_000, &bare()), body(1, &[b'x'; 4_097])]),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C2: basic.publish 1 exchange="" key="q" + body 10000
            C2: basic.publish 1 exchange="" key="q" + body 100000
            C: basic.get 1 queue="q" no-ack=true
            C: basic.get 1 queue="q" no-ack=true
            S: basic.get-ok 1 tag=1 redelivered=false exchange="" key="q" message-count=1 + body 10000
            S: basic.get-ok 1 tag=2 redelivered=false exchange="" key="q" message-count=0 + body 100000
            C: basic.publish 1 exchange="" key="q" + body 0 of 8000
            C: body frame 1 4000
            C: body frame 1 4000
            C2: basic.get 1 queue="q" no-ack=true
            S2: basic.get-ok 1 tag=1 redelivered=false exchange="" key="q" message-count=0 + body 8000
            C: basic.publish 1 exchange="" key="q" + body 4097 of 8000
            S: connection.close 0 code=501 text="FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,4097,4088}" class=0 method=0
        "#]],
    );
}

#[test]
fn bodies_arrive_whole_whatever_their_size() {
    for size in [1, 4_088, 4_089, 16_383, 16_384, 65_536, 300_000] {
        let content: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
        let mut bench = Bench::new();
        bench.exchange(A, &[declare(1, "q", plainly), consume(1, "q", "c1", plainly)].concat());
        let frames = publish_with(2, ("", "q", false), &content, &bare());
        let mut received = Vec::new();
        for (_, bytes) in bench.exchange(A, &frames) {
            received.extend(bodies(&bytes));
        }
        assert_eq!(received, content, "a body of {size} bytes");
    }
}

#[test]
fn what_was_published_before_a_declare_is_there_after_it() {
    check(
        [A.sends([
            declare(1, "q", plainly),
            publish(1, "", "q", 1),
            publish(1, "", "later", 2),
            declare(1, "later", plainly),
            publish(1, "", "later", 3),
            declare(1, "q", |it| it.passive = true),
            declare(1, "later", |it| it.passive = true),
        ])],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.publish 1 exchange="" key="q" + body 1
            C: basic.publish 1 exchange="" key="later" + body 2
            C: queue.declare 1 queue="later"
            C: basic.publish 1 exchange="" key="later" + body 3
            C: queue.declare 1 queue="q" passive=true
            C: queue.declare 1 queue="later" passive=true
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: queue.declare-ok 1 queue="later" message-count=0 consumer-count=0
            S: queue.declare-ok 1 queue="q" message-count=1 consumer-count=0
            S: queue.declare-ok 1 queue="later" message-count=1 consumer-count=0
        "#]],
    );
}
