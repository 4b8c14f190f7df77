//! Heartbeats, both ways.

use std::time::Duration;

use expect_test::expect;

use super::{
    bench::{A, B, after, check, connections, queue},
    frames::{consume, declare, get, heartbeat, plainly, publish, tune_ok},
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

#[test]
fn who_reads_its_replies_slowly_is_alive_while_it_is_not_listened_to() {
    let gets = [get(1, "q", false), get(1, "q", false), get(1, "q", false)].concat();
    check(
        [
            A.tunes(tune_ok(2_047, 131_072, 10)),
            A.sends([declare(1, "q", plainly), publish(1, "", "q", 600_000), publish(1, "", "q", 600_001)]),
            A.stops_reading(),
            A.sends(gets),
            after(secs(15)),
            A.reads_a_little(),
            after(secs(19)),
            A.reads_a_little(),
            queue("q"),
            connections(),
            after(secs(20)),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.publish 1 exchange="" key="q" + body 600000
            C: basic.publish 1 exchange="" key="q" + body 600001
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            C: basic.get 1 queue="q"
            C: basic.get 1 queue="q"
            C: basic.get 1 queue="q"
               after 15s
               C reads a little
               after 19s
               C reads a little
               queue q: ready 0, unsettled 2
               connections: running
               after 20s
            S: (end)
        "#]],
    );
}
