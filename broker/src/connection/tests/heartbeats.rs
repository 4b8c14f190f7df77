//! Heartbeats, both ways.

use std::time::Duration;

use expect_test::expect;

use super::{
    bench::{A, B, after, check, connections, queue},
    frames::{consume, declare, heartbeat, plainly, publish, tune_ok},
};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn a_silent_server_sends_heartbeats() {
    check(
        [
            A.tunes(tune_ok(2_047, 131_072, 10)),
            after(secs(4)),
            after(secs(1)),
            A.sends(heartbeat()),
            after(secs(4)),
            after(secs(1)),
        ],
        &expect![[r#"
               after 4s
               after 1s
            S: heartbeat
            C: heartbeat
               after 4s
               after 1s
            S: heartbeat
        "#]],
    );
}

#[test]
fn what_is_sent_counts_as_a_heartbeat() {
    check(
        [
            A.tunes(tune_ok(2_047, 131_072, 10)),
            after(secs(3)),
            A.sends(declare(1, "q", plainly)),
            after(secs(4)),
            after(secs(1)),
        ],
        &expect![[r#"
               after 3s
            C: queue.declare 1 queue="q"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
               after 4s
               after 1s
            S: heartbeat
        "#]],
    );
}

#[test]
fn a_silent_peer_is_given_up_after_two_intervals() {
    check(
        [
            A.tunes(tune_ok(2_047, 131_072, 10)),
            A.sends([
                declare(1, "q", plainly),
                declare(1, "own", |it| it.exclusive = true),
                publish(1, "", "q", 1),
                consume(1, "q", "c1", plainly),
            ]),
            queue("q"),
            after(secs(19)),
            after(secs(1)),
            connections(),
            queue("q"),
            queue("own"),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: queue.declare 1 queue="own" exclusive=true
            C: basic.publish 1 exchange="" key="q" + body 1
            C: basic.consume 1 queue="q" consumer="c1"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: queue.declare-ok 1 queue="own" message-count=0 consumer-count=0
            S: basic.consume-ok 1 consumer="c1"
            S: basic.deliver 1 consumer="c1" tag=1 redelivered=false exchange="" key="q" + body 1
               queue q: ready 0, unsettled 1
               after 19s
            S: heartbeat
            S: heartbeat
            S: heartbeat
               after 1s
            S: (end)
               connections: 
               queue q: ready 1, unsettled 0
               queue own: none
        "#]],
    );
}

#[test]
fn anything_from_the_peer_counts_as_a_heartbeat() {
    check(
        [
            A.tunes(tune_ok(2_047, 131_072, 10)),
            after(secs(15)),
            A.sends(publish(1, "", "nowhere", 1)),
            after(secs(19)),
            A.sends(heartbeat()),
            after(secs(19)),
            after(secs(1)),
        ],
        &expect![[r#"
               after 15s
            S: heartbeat
            S: heartbeat
            S: heartbeat
            C: basic.publish 1 exchange="" key="nowhere" + body 1
               after 19s
            S: heartbeat
            S: heartbeat
            S: heartbeat
            C: heartbeat
               after 19s
            S: heartbeat
            S: heartbeat
            S: heartbeat
            S: heartbeat
               after 1s
            S: (end)
        "#]],
    );
}

#[test]
fn who_wants_none_gets_none() {
    check(
        [A.tunes(tune_ok(2_047, 131_072, 0)), B.sends(heartbeat()), after(secs(1_000)), connections()],
        &expect![[r#"
            C2: heartbeat
               after 1000s
               connections: running, running
        "#]],
    );
}

#[test]
fn a_heartbeat_belongs_to_channel_0() {
    check(
        [A.sends(vec![8, 0, 1, 0, 0, 0, 0, 0xCE])],
        &expect![[r#"
        C: no frame: type 8, all octets = <<>>
        S: connection.close 0 code=505 text="UNEXPECTED_FRAME - type 8, all octets = <<>>" class=0 method=0
    "#]],
    );
}
