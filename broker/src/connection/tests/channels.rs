//! Channels: their life, and exceptions that end one of them.

use amq_protocol::protocol::{AMQPClass, BasicProperties, channel, connection};
use expect_test::expect;

use super::{
    bench::{A, B, check, queue, transcript},
    frames::{
        ack, channel_close, channel_close_ok, channel_open, confirm_select, connection_close_ok, consume,
        declare, flow, get, header, method, plainly, publish, publish_method, tune_ok,
    },
};

#[test]
fn opened_closed_and_opened_again() {
    check(
        [
            A.sends(channel_open(3)),
            A.sends(channel_close(3)),
            A.sends(channel_open(3)),
            A.sends(declare(3, "q", plainly)),
        ],
        &expect![[r#"
            C: channel.open 3
            S: channel.open-ok 3
            C: channel.close 3 code=200 text="" class=0 method=0
            S: channel.close-ok 3
            C: channel.open 3
            S: channel.open-ok 3
            C: queue.declare 3 queue="q"
            S: queue.declare-ok 3 queue="q" message-count=0 consumer-count=0
        "#]],
    );
}

#[test]
fn opened_twice() {
    check(
        [A.sends(channel_open(1)), A.sends(connection_close_ok())],
        &expect![[r#"
        C: channel.open 1
        S: connection.close 0 code=504 text="CHANNEL_ERROR - second 'channel.open' seen" class=20 method=10
        C: connection.close-ok 0
        S: (end)
    "#]],
    );
}

#[test]
fn used_without_being_open() {
    for frames in [
        declare(9, "q", plainly),
        publish_method(9, "", "q", false),
        ack(9, 1, false),
        confirm_select(9),
        get(9, "q", false),
        flow(9, true),
        channel_close(9),
    ] {
        let said = transcript([A.sends(frames)]);
        let refusal = "S: connection.close 0 code=504 text=\"CHANNEL_ERROR - expected 'channel.open'\"";
        assert!(said.lines().last().unwrap().starts_with(refusal), "{said}");
    }
    check(
        [A.sends(header(9, 1, &BasicProperties::default()))],
        &expect![[r#"
        C: content header 9 + body 0 of 1
        S: connection.close 0 code=505 text="UNEXPECTED_FRAME - expected method frame, got non method frame instead" class=0 method=0
    "#]],
    );
}

#[test]
fn an_answer_that_nobody_asked_for() {
    check(
        [A.sends(channel_close_ok(1))],
        &expect![[r#"
        C: channel.close-ok 1
        S: connection.close 0 code=503 text="COMMAND_INVALID - unimplemented method" class=20 method=41
    "#]],
    );
}

#[test]
fn an_exception_ends_one_channel_alone() {
    check(
        [
            A.sends([
                declare(1, "q", plainly),
                consume(1, "q", "c1", plainly),
                consume(2, "q", "c2", plainly),
            ]),
            A.sends([publish(2, "", "q", 1), publish(2, "", "q", 2)]),
            A.sends(declare(1, "missing", |it| it.passive = true)),
            A.sends(ack(2, 1, false)),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.consume 1 queue="q" consumer="c1"
            C: basic.consume 2 queue="q" consumer="c2"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.consume-ok 1 consumer="c1"
            S: basic.consume-ok 2 consumer="c2"
            C: basic.publish 2 exchange="" key="q" + body 1
            C: basic.publish 2 exchange="" key="q" + body 2
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
            S: basic.deliver 2 consumer="c2" tag=1 redelivered=false exchange="" key="q" + body 2
            C: queue.declare 1 queue="missing" passive=true
            S: basic.deliver 2 consumer="c2" tag=2 redelivered=true exchange="" key="q" + body 1
            S: channel.close 1 code=404 text="NOT_FOUND - no queue 'missing' in vhost '/'" class=50 method=10
            C: basic.ack 2 tag=1
               queue q: ready 0, unsettled 1
        "#]],
    );
}

#[test]
fn a_channel_that_we_closed_ignores_everything_until_close_ok() {
    check(
        [
            A.sends(declare(1, "q", plainly)),
            A.sends(ack(1, 7, false)),
            A.sends([
                publish(1, "", "q", 1),
                declare(1, "other", plainly),
                ack(1, 1, false),
                get(1, "q", true),
                channel_open(1),
            ]),
            A.sends(channel_close_ok(1)),
            A.sends([channel_open(1), get(1, "q", true)]),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C: basic.ack 1 tag=7
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - unknown delivery tag 7" class=60 method=80
            C: basic.publish 1 exchange="" key="q" + body 1
            C: queue.declare 1 queue="other"
            C: basic.ack 1 tag=1
            C: basic.get 1 queue="q" no-ack=true
            C: channel.open 1
            C: channel.close-ok 1
            C: channel.open 1
            C: basic.get 1 queue="q" no-ack=true
            S: channel.open-ok 1
            S: basic.get-empty 1
        "#]],
    );
}

#[test]
fn two_closes_that_cross() {
    check(
        [A.sends([ack(1, 7, false), channel_close(1)]), A.sends([channel_close_ok(1), channel_open(1)])],
        &expect![[r#"
            C: basic.ack 1 tag=7
            C: channel.close 1 code=200 text="" class=0 method=0
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - unknown delivery tag 7" class=60 method=80
            S: channel.close-ok 1
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
        "#]],
    );
}

#[test]
fn a_new_channel_knows_nothing_of_the_old_one() {
    check(
        [
            A.sends([
                declare(1, "q", plainly),
                confirm_select(1),
                publish(1, "", "q", 1),
                get(1, "q", false),
            ]),
            A.sends([channel_close(1), channel_open(1)]),
            A.sends([publish(1, "", "q", 2), get(1, "", false)]),
            A.sends([channel_close_ok(1), channel_open(1)]),
            A.sends([get(1, "q", false), get(1, "q", false)]),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: confirm.select 1
            C: basic.publish 1 exchange="" key="q" + body 1
            C: basic.get 1 queue="q"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: confirm.select-ok 1
            S: basic.ack 1 tag=1
            S: basic.get-ok 1 tag=1 redelivered=false exchange="" key="q" message-count=0 + body 1
            C: channel.close 1 code=200 text="" class=0 method=0
            C: channel.open 1
            S: channel.close-ok 1
            S: channel.open-ok 1
            C: basic.publish 1 exchange="" key="q" + body 2
            C: basic.get 1 queue=""
            S: channel.close 1 code=404 text="NOT_FOUND - no previously declared queue" class=60 method=70
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: basic.get 1 queue="q"
            C: basic.get 1 queue="q"
            S: basic.get-ok 1 tag=1 redelivered=true exchange="" key="q" message-count=1 + body 1
            S: basic.get-ok 1 tag=2 redelivered=false exchange="" key="q" message-count=0 + body 2
        "#]],
    );
}

#[test]
fn no_more_channels_than_agreed_whatever_their_numbers() {
    check(
        [
            A.tunes(tune_ok(3, 131_072, 0)),
            A.sends([channel_open(7), channel_close(7), channel_open(7)]),
            A.sends(channel_open(3)),
        ],
        &expect![[r#"
            C: channel.open 7
            C: channel.close 7 code=200 text="" class=0 method=0
            C: channel.open 7
            S: channel.open-ok 7
            S: channel.close-ok 7
            S: channel.open-ok 7
            C: channel.open 3
            S: connection.close 0 code=530 text="NOT_ALLOWED - number of channels opened (3) has reached the negotiated channel_max (3)" class=20 method=10
        "#]],
    );
}

#[test]
fn a_peer_may_not_stop_the_flow() {
    check(
        [A.sends(flow(1, true)), A.sends(flow(1, false))],
        &expect![[r#"
            C: channel.flow 1 active=true
            S: channel.flow-ok 1 active=true
            C: channel.flow 1
            S: connection.close 0 code=540 text="NOT_IMPLEMENTED - active=false" class=20 method=20
        "#]],
    );
}

#[test]
fn methods_that_are_ours_to_send() {
    for class in [
        AMQPClass::Channel(channel::AMQPMethod::OpenOk(channel::OpenOk {})),
        AMQPClass::Connection(connection::AMQPMethod::Blocked(connection::Blocked::default())),
    ] {
        let said = transcript([A.sends(method(1, class))]);
        assert!(said.contains("code=503 text=\"COMMAND_INVALID - unimplemented method\""), "{said}");
    }
}

#[test]
fn a_method_on_channel_0() {
    check(
        [A.sends(declare(0, "q", plainly))],
        &expect![[r#"
            C: queue.declare 0 queue="q"
            S: connection.close 0 code=504 text="CHANNEL_ERROR - unexpected method in connection state running" class=50 method=10
        "#]],
    );
    check(
        [A.sends(publish_method(0, "", "q", false))],
        &expect![[r#"
            C: basic.publish 0 exchange="" key="q"
            S: connection.close 0 code=504 text="CHANNEL_ERROR - unexpected method in connection state running" class=60 method=40
        "#]],
    );
}

#[test]
fn one_connections_exception_is_not_anothers() {
    check(
        [
            A.sends(declare(1, "q", plainly)),
            B.sends(consume(1, "q", "c1", plainly)),
            A.sends(channel_open(1)),
            B.sends(publish(2, "", "q", 1)),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C2: basic.consume 1 queue="q" consumer="c1"
            S2: basic.consume-ok 1 consumer="c1"
            C: channel.open 1
            S: connection.close 0 code=504 text="CHANNEL_ERROR - second 'channel.open' seen" class=20 method=10
            C2: basic.publish 2 exchange="" key="q" + body 1
            S2: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
        "#]],
    );
}
