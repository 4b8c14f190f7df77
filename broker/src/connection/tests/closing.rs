//! The end of a connection: its own wish, an exception, or somebody else's wish.

use std::time::Duration;

use expect_test::expect;

use super::{
    bench::{A, B, LOOPBACK, after, check, connections, meanwhile, queue},
    frames::{
        channel_open, confirm_select, connection_close, connection_close_ok, consume, declare, plainly,
        protocol_header, publish,
    },
};

#[test]
fn its_own_wish() {
    check(
        [
            A.sends([declare(1, "q", plainly), confirm_select(1)]),
            A.sends([publish(1, "", "q", 1), connection_close(), publish(1, "", "q", 2)]),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: confirm.select 1
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: confirm.select-ok 1
            C: basic.publish 1 exchange="" key="q" + body 1
            C: connection.close 0 code=200 text="bye" class=0 method=0
            C: basic.publish 1 exchange="" key="q" + body 2
            S: basic.ack 1 tag=1
            S: connection.close-ok 0
            S: (end)
               queue q: ready 1, unsettled 0
        "#]],
    );
}

#[test]
fn after_our_close_only_close_and_close_ok_count() {
    check(
        [
            A.sends(declare(1, "q", plainly)),
            A.sends([channel_open(1), publish(2, "", "q", 1), declare(2, "p", plainly)]),
            A.sends(b"no frames at all".to_vec()),
            queue("q"),
            queue("p"),
            A.sends(connection_close_ok()),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C: channel.open 1
            C: basic.publish 2 exchange="" key="q" + body 1
            C: queue.declare 2 queue="p"
            S: connection.close 0 code=504 text="CHANNEL_ERROR - second 'channel.open' seen" class=20 method=10
            C: no frame: type 110, all octets = <<>>: {frame_too_large,1718772077,16777216}
               queue q: ready 0, unsettled 0
               queue p: none
            C: connection.close-ok 0
            S: (end)
        "#]],
    );
}

#[test]
fn two_closes_that_cross() {
    check(
        [A.sends(channel_open(1)), A.sends(connection_close())],
        &expect![[r#"
        C: channel.open 1
        S: connection.close 0 code=504 text="CHANNEL_ERROR - second 'channel.open' seen" class=20 method=10
        C: connection.close 0 code=200 text="bye" class=0 method=0
        S: connection.close-ok 0
        S: (end)
    "#]],
    );
}

#[test]
fn a_peer_that_never_answers_our_close_is_dropped() {
    check(
        [
            A.sends(channel_open(1)),
            after(Duration::from_secs(29)),
            after(Duration::from_secs(1)),
            connections(),
        ],
        &expect![[r#"
            C: channel.open 1
            S: connection.close 0 code=504 text="CHANNEL_ERROR - second 'channel.open' seen" class=20 method=10
               after 29s
               after 1s
            S: (end)
               connections: 
        "#]],
    );
}

#[test]
fn forced_by_an_operator() {
    check(
        [
            A.sends([declare(1, "q", plainly), publish(1, "", "q", 1), consume(1, "q", "c1", plainly)]),
            B.sends(consume(1, "q", "c2", plainly)),
            A.is_forced_to_close("Closed via management plugin"),
            A.sends(connection_close_ok()),
            connections(),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.publish 1 exchange="" key="q" + body 1
            C: basic.consume 1 queue="q" consumer="c1"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.consume-ok 1 consumer="c1"
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
            C2: basic.consume 1 queue="q" consumer="c2"
            S2: basic.consume-ok 1 consumer="c2"
            S: connection.close 0 code=320 text="CONNECTION_FORCED - Closed via management plugin" class=0 method=0
            S2: basic.deliver 1 consumer="c2" tag=1 redelivered=true exchange="" key="q" + body 1
            C: connection.close-ok 0
            S: (end)
               connections: running
        "#]],
    );
}

#[test]
fn forced_during_the_handshake() {
    check(
        [
            A.connects_from(LOOPBACK),
            A.is_forced_to_close("going down"),
            A.connects_from(LOOPBACK),
            A.sends(protocol_header()),
            A.is_forced_to_close("going down"),
        ],
        &expect![[r#"
            S: (end)
            C: protocol-header 0-0-9-1
            S: connection.start 0 version-major=0 version-minor=9 server-properties={..} mechanisms="PLAIN AMQPLAIN" locales="en_US"
            S: connection.close 0 code=320 text="CONNECTION_FORCED - going down" class=0 method=0
        "#]],
    );
}

#[test]
fn all_of_a_users_connections() {
    check(
        [
            A.sends(declare(1, "q", plainly)),
            B.sends(declare(1, "q", plainly)),
            meanwhile("guest is deleted", |node| {
                node.close_connections("user 'guest' is deleted", |facts| {
                    facts.user.as_ref().is_some_and(|user| user.as_str() == "guest")
                });
            }),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C2: queue.declare 1 queue="q"
            S2: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
               guest is deleted
            S: connection.close 0 code=320 text="CONNECTION_FORCED - user 'guest' is deleted" class=0 method=0
            S2: connection.close 0 code=320 text="CONNECTION_FORCED - user 'guest' is deleted" class=0 method=0
        "#]],
    );
}

#[test]
fn bytes_that_are_no_frames() {
    check(
        [A.sends(vec![1, 0, 1, 0, 0, 0, 4, 0, 20, 0, 10, 0xFF])],
        &expect![[r#"
        C: no frame: type 1, all octets = <<0,20,0,10>>: {invalid_frame_end_marker,255}
        S: connection.close 0 code=501 text="FRAME_ERROR - type 1, all octets = <<0,20,0,10>>: {invalid_frame_end_marker,255}" class=0 method=0
    "#]],
    );
    check(
        [A.sends(vec![9, 0, 1, 0, 0, 0, 0, 0xCE])],
        &expect![[r#"
        C: no frame: type 9, all octets = <<>>: unknown_frame
        S: connection.close 0 code=501 text="FRAME_ERROR - type 9, all octets = <<>>: unknown_frame" class=0 method=0
    "#]],
    );
    check(
        [A.sends(vec![1, 0, 1, 0xFF, 0, 0, 0])],
        &expect![[r#"
        C: no frame: type 1, all octets = <<>>: {frame_too_large,4278190080,16777216}
        S: connection.close 0 code=501 text="FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,4278190080,131064}" class=0 method=0
    "#]],
    );
    check(
        [A.sends(vec![1, 0, 1, 0, 0, 0, 4, 0, 77, 0, 1, 0xCE])],
        &expect![[r#"
            C: unknown method 77.1 1
            S: connection.close 0 code=503 text="COMMAND_INVALID - unimplemented method" class=77 method=1
        "#]],
    );
    check(
        [A.sends(vec![1, 0, 1, 0, 0, 0, 5, 0, 60, 0, 80, 9, 0xCE])],
        &expect![[r#"
        C: basic.ack 1 (truncated)
        S: connection.close 0 code=501 text="FRAME_ERROR - cannot decode <<9>>" class=60 method=80
    "#]],
    );
}
