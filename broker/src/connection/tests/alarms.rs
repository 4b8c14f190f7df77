//! Connections while an alarm is on: who publishes is blocked, nobody else is.

use std::time::Duration;

use expect_test::expect;

use super::{
    bench::{A, B, after, alarm, check, clears, connections, queue},
    frames::{
        ack, body, confirm_select, connection_close_ok, consume, declare, header, plainly, publish,
        publish_method,
    },
};
use crate::connection::alarm::Alarm::{Disk, Memory};

#[test]
fn a_publisher_is_blocked_once_and_goes_on_when_the_alarm_clears() {
    check(
        [
            A.hears_of_alarms(),
            A.sends([declare(1, "q", plainly), confirm_select(1), publish(1, "", "q", 1)]),
            alarm(Disk),
            connections(),
            A.sends([publish(1, "", "q", 2), publish(1, "", "q", 3)]),
            A.sends(publish(1, "", "q", 4)),
            queue("q"),
            connections(),
            alarm(Memory),
            clears(Disk),
            queue("q"),
            clears(Memory),
            queue("q"),
            connections(),
            A.sends(publish(1, "", "q", 5)),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: confirm.select 1
            C: basic.publish 1 exchange="" key="q" + body 1
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: confirm.select-ok 1
            S: basic.ack 1 tag=1
               Disk alarm set
               connections: running
            C: basic.publish 1 exchange="" key="q" + body 2
            C: basic.publish 1 exchange="" key="q" + body 3
            S: connection.blocked 0 reason="low on disk"
            C: basic.publish 1 exchange="" key="q" + body 4
               queue q: ready 1, unsettled 0
               connections: blocked
               Memory alarm set
               Disk alarm cleared
               queue q: ready 1, unsettled 0
               Memory alarm cleared
            S: connection.unblocked 0
            S: basic.ack 1 tag=4 multiple=true
               queue q: ready 4, unsettled 0
               connections: running
            C: basic.publish 1 exchange="" key="q" + body 5
            S: basic.ack 1 tag=5
        "#]],
    );
}

#[test]
fn who_did_not_announce_it_is_blocked_without_a_word() {
    check(
        [
            A.sends(declare(1, "q", plainly)),
            alarm(Memory),
            A.sends(publish(1, "", "q", 1)),
            connections(),
            queue("q"),
            clears(Memory),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
               Memory alarm set
            C: basic.publish 1 exchange="" key="q" + body 1
               connections: blocked
               queue q: ready 0, unsettled 0
               Memory alarm cleared
               queue q: ready 1, unsettled 0
        "#]],
    );
}

#[test]
fn a_new_connection_is_blocked_likewise() {
    check(
        [
            alarm(Disk),
            A.hears_of_alarms(),
            A.sends(declare(1, "q", plainly)),
            A.sends([publish(1, "", "q", 1), publish(1, "", "q", 2)].concat()),
            clears(Disk),
            queue("q"),
        ],
        &expect![[r#"
               Disk alarm set
            C: queue.declare 1 queue="q"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C: basic.publish 1 exchange="" key="q" + body 1
            C: basic.publish 1 exchange="" key="q" + body 2
            S: connection.blocked 0 reason="low on disk"
               Disk alarm cleared
            S: connection.unblocked 0
               queue q: ready 2, unsettled 0
        "#]],
    );
}

#[test]
fn consumers_on_other_connections_go_on() {
    check(
        [
            A.hears_of_alarms(),
            B.hears_of_alarms(),
            A.sends([declare(1, "q", plainly), publish(1, "", "q", 1), publish(1, "", "q", 2)]),
            alarm(Disk),
            A.sends(publish(1, "", "q", 3)),
            B.sends(consume(1, "q", "worker", plainly)),
            B.sends(ack(1, 2, true)),
            queue("q"),
            clears(Disk),
            B.sends(ack(1, 3, true)),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.publish 1 exchange="" key="q" + body 1
            C: basic.publish 1 exchange="" key="q" + body 2
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
               Disk alarm set
            C: basic.publish 1 exchange="" key="q" + body 3
            S: connection.blocked 0 reason="low on disk"
            C2: basic.consume 1 queue="q" consumer="worker"
            S2: basic.consume-ok 1 consumer="worker"
            S2: basic.deliver 1 consumer="worker" tag=1 redelivered=false exchange="" key="q" + body 1
            S2: basic.deliver 1 consumer="worker" tag=2 redelivered=false exchange="" key="q" + body 2
            C2: basic.ack 1 tag=2 multiple=true
               queue q: ready 0, unsettled 0
               Disk alarm cleared
            S: connection.unblocked 0
            S2: basic.deliver 1 consumer="worker" tag=3 redelivered=false exchange="" key="q" + body 3
            C2: basic.ack 1 tag=3 multiple=true
               queue q: ready 0, unsettled 0
        "#]],
    );
}

#[test]
fn a_blocked_connection_is_sent_to_but_not_listened_to() {
    check(
        [
            A.hears_of_alarms(),
            A.sends([declare(1, "q", plainly), consume(1, "q", "own", plainly), publish(1, "", "q", 1)]),
            alarm(Disk),
            A.sends(publish(1, "", "q", 2)),
            A.sends(ack(1, 1, false)),
            queue("q"),
            clears(Disk),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.consume 1 queue="q" consumer="own"
            C: basic.publish 1 exchange="" key="q" + body 1
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.consume-ok 1 consumer="own"
            S: basic.deliver 1 consumer="own" tag=1 redelivered=false exchange="" key="q" + body 1
               Disk alarm set
            C: basic.publish 1 exchange="" key="q" + body 2
            S: connection.blocked 0 reason="low on disk"
            C: basic.ack 1 tag=1
               queue q: ready 0, unsettled 1
               Disk alarm cleared
            S: connection.unblocked 0
            S: basic.deliver 1 consumer="own" tag=2 redelivered=false exchange="" key="q" + body 2
               queue q: ready 0, unsettled 1
        "#]],
    );
}

#[test]
fn an_alarm_may_come_in_the_middle_of_a_message() {
    let half_way = header(1, 2, &Default::default());
    check(
        [
            A.hears_of_alarms(),
            A.sends(declare(1, "q", plainly)),
            A.sends([publish_method(1, "", "q", false), half_way]),
            alarm(Disk),
            A.sends([body(1, b"xy"), publish(1, "", "q", 3)]),
            queue("q"),
            clears(Disk),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C: basic.publish 1 exchange="" key="q" + body 0 of 2
               Disk alarm set
            C: body frame 1 2
            C: basic.publish 1 exchange="" key="q" + body 3
            S: connection.blocked 0 reason="low on disk"
               queue q: ready 1, unsettled 0
               Disk alarm cleared
            S: connection.unblocked 0
               queue q: ready 2, unsettled 0
        "#]],
    );
}

#[test]
fn the_heartbeats_of_a_blocked_peer_are_not_missed() {
    check(
        [
            A.hears_of_alarms(),
            alarm(Disk),
            A.sends(publish(1, "", "nowhere", 1)),
            after(Duration::from_secs(41)),
            clears(Disk),
            after(Duration::from_secs(19)),
            connections(),
            after(Duration::from_secs(1)),
            connections(),
        ],
        &expect![[r#"
               Disk alarm set
            C: basic.publish 1 exchange="" key="nowhere" + body 1
            S: connection.blocked 0 reason="low on disk"
               after 41s
            S: heartbeat
            S: heartbeat
            S: heartbeat
            S: heartbeat
            S: heartbeat
            S: heartbeat
            S: heartbeat
            S: heartbeat
               Disk alarm cleared
            S: connection.unblocked 0
               after 19s
            S: heartbeat
            S: heartbeat
            S: heartbeat
               connections: running
               after 1s
            S: (end)
               connections: 
        "#]],
    );
}

#[test]
fn a_blocked_connection_can_be_closed() {
    check(
        [
            A.hears_of_alarms(),
            A.sends(declare(1, "q", plainly)),
            alarm(Disk),
            A.sends([publish(1, "", "q", 1), publish(1, "", "q", 2)]),
            A.is_forced_to_close("bye"),
            connections(),
            A.sends(connection_close_ok()),
            connections(),
            clears(Disk),
            queue("q"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
               Disk alarm set
            C: basic.publish 1 exchange="" key="q" + body 1
            C: basic.publish 1 exchange="" key="q" + body 2
            S: connection.blocked 0 reason="low on disk"
            S: connection.close 0 code=320 text="CONNECTION_FORCED - bye" class=0 method=0
               connections: closing
            C: connection.close-ok 0
            S: (end)
               connections: 
               Disk alarm cleared
               queue q: ready 0, unsettled 0
        "#]],
    );
}
