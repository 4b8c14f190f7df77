//! What a user may do, and what it is told when it may not.

use expect_test::expect;

use super::{
    bench::{A, Step, check, meanwhile, permit, transcript},
    frames::{
        bind, bind_exchange, channel_close_ok, channel_open, consume, declare, declare_exchange, delete,
        delete_exchange, get, passive, plainly, publish, purge, unbind,
    },
};
use crate::model::name::Name;

fn login(permissions: [&'static str; 3]) -> [Step; 2] {
    [permit("ana", permissions), A.logs_in("ana", "secret")]
}

/// What every one of these is answered, each on a fresh channel.
fn refusals(permissions: [&'static str; 3], frames: &[Vec<u8>]) -> String {
    let mut steps: Vec<Step> = login(permissions).into();
    for frame in frames {
        steps.push(A.sends(frame.clone()));
        steps.push(A.reopens(1));
    }
    let said = transcript(steps);
    said.lines()
        .filter(|line| !line.contains("channel.open") && !line.contains("channel.close-ok"))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn nothing_may_be_done_without_permission() {
    let said = refusals(
        ["", "", ""],
        &[
            declare(1, "q", plainly),
            declare(1, "q", passive),
            delete(1, "q", plainly),
            purge(1, "q"),
            bind(1, ["q", "amq.direct", "k"], plainly),
            unbind(1, ["q", "amq.direct", "k"]),
            declare_exchange(1, "x", "direct", plainly),
            delete_exchange(1, "x", plainly),
            bind_exchange(1, ["x", "amq.direct", "k"]),
            publish(1, "amq.direct", "k", 1),
            publish(1, "", "q", 1),
            get(1, "q", false),
            consume(1, "q", "c1", plainly),
        ],
    );
    expect![[r#"
           ana may configure "", write "", read ""
        C: queue.declare 1 queue="q"
        S: channel.close 1 code=403 text="ACCESS_REFUSED - configure access to queue 'q' in vhost '/' refused for user 'ana'" class=50 method=10
        C: queue.declare 1 queue="q" passive=true
        S: channel.close 1 code=403 text="ACCESS_REFUSED - configure access to queue 'q' in vhost '/' refused for user 'ana'" class=50 method=10
        C: queue.delete 1 queue="q"
        S: channel.close 1 code=403 text="ACCESS_REFUSED - configure access to queue 'q' in vhost '/' refused for user 'ana'" class=50 method=40
        C: queue.purge 1 queue="q"
        S: channel.close 1 code=403 text="ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user 'ana'" class=50 method=30
        C: queue.bind 1 queue="q" exchange="amq.direct" key="k"
        S: channel.close 1 code=403 text="ACCESS_REFUSED - write access to queue 'q' in vhost '/' refused for user 'ana'" class=50 method=20
        C: queue.unbind 1 queue="q" exchange="amq.direct" key="k"
        S: channel.close 1 code=403 text="ACCESS_REFUSED - write access to queue 'q' in vhost '/' refused for user 'ana'" class=50 method=50
        C: exchange.declare 1 exchange="x" type="direct"
        S: channel.close 1 code=403 text="ACCESS_REFUSED - configure access to exchange 'x' in vhost '/' refused for user 'ana'" class=40 method=10
        C: exchange.delete 1 exchange="x"
        S: channel.close 1 code=403 text="ACCESS_REFUSED - configure access to exchange 'x' in vhost '/' refused for user 'ana'" class=40 method=20
        C: exchange.bind 1 destination="x" source="amq.direct" key="k"
        S: channel.close 1 code=403 text="ACCESS_REFUSED - write access to exchange 'x' in vhost '/' refused for user 'ana'" class=40 method=30
        C: basic.publish 1 exchange="amq.direct" key="k" + body 1
        S: channel.close 1 code=403 text="ACCESS_REFUSED - write access to exchange 'amq.direct' in vhost '/' refused for user 'ana'" class=60 method=40
        C: basic.publish 1 exchange="" key="q" + body 1
        S: channel.close 1 code=403 text="ACCESS_REFUSED - write access to exchange 'amq.default' in vhost '/' refused for user 'ana'" class=60 method=40
        C: basic.get 1 queue="q"
        S: channel.close 1 code=403 text="ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user 'ana'" class=60 method=70
        C: basic.consume 1 queue="q" consumer="c1"
        S: channel.close 1 code=403 text="ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user 'ana'" class=60 method=20
    "#]].assert_eq(&said);
}

#[test]
fn each_pattern_is_for_its_own_access() {
    check(
        login(["^own-", "^(own-|amq\\.default)", "^own-"]).into_iter().chain([
            A.sends([
                declare(1, "own-q", plainly),
                publish(1, "", "own-q", 1),
                get(1, "own-q", true),
                consume(1, "own-q", "c1", plainly),
            ]),
            A.sends(declare(1, "others", plainly)),
            A.sends(declare(2, "", plainly)),
        ]),
        &expect![[r#"
               ana may configure "^own-", write "^(own-|amq\\.default)", read "^own-"
            C: queue.declare 1 queue="own-q"
            C: basic.publish 1 exchange="" key="own-q" + body 1
            C: basic.get 1 queue="own-q" no-ack=true
            C: basic.consume 1 queue="own-q" consumer="c1"
            S: queue.declare-ok 1 queue="own-q" message-count=0 consumer-count=0
            S: basic.get-ok 1 tag=1 redelivered=false exchange="" key="own-q" message-count=0 + body 1
            S: basic.consume-ok 1 consumer="c1"
            C: queue.declare 1 queue="others"
            S: channel.close 1 code=403 text="ACCESS_REFUSED - configure access to queue 'others' in vhost '/' refused for user 'ana'" class=50 method=10
            C: queue.declare 2 queue=""
            S: channel.close 2 code=403 text="ACCESS_REFUSED - configure access to queue 'amq.gen-*' in vhost '/' refused for user 'ana'" class=50 method=10
        "#]],
    );
}

#[test]
fn a_bind_needs_write_on_the_queue_and_read_on_the_exchange() {
    check(
        login([".*", "^q$", "^x$"]).into_iter().chain([
            A.sends([
                declare(1, "q", plainly),
                declare(1, "p", plainly),
                declare_exchange(1, "x", "direct", plainly),
                declare_exchange(1, "y", "direct", plainly),
                bind(1, ["q", "x", "k"], plainly),
            ]),
            A.sends(bind(1, ["q", "y", "k"], plainly)),
            A.sends(bind(2, ["p", "x", "k"], plainly)),
        ]),
        &expect![[r#"
               ana may configure ".*", write "^q$", read "^x$"
            C: queue.declare 1 queue="q"
            C: queue.declare 1 queue="p"
            C: exchange.declare 1 exchange="x" type="direct"
            C: exchange.declare 1 exchange="y" type="direct"
            C: queue.bind 1 queue="q" exchange="x" key="k"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: queue.declare-ok 1 queue="p" message-count=0 consumer-count=0
            S: exchange.declare-ok 1
            S: exchange.declare-ok 1
            S: queue.bind-ok 1
            C: queue.bind 1 queue="q" exchange="y" key="k"
            S: channel.close 1 code=403 text="ACCESS_REFUSED - read access to exchange 'y' in vhost '/' refused for user 'ana'" class=50 method=20
            C: queue.bind 2 queue="p" exchange="x" key="k"
            S: channel.close 2 code=403 text="ACCESS_REFUSED - write access to queue 'p' in vhost '/' refused for user 'ana'" class=50 method=20
        "#]],
    );
}

#[test]
fn changes_act_at_once() {
    check(
        login([".*", ".*", ".*"]).into_iter().chain([
            A.sends([declare(1, "q", plainly), publish(1, "", "q", 1)]),
            permit("ana", [".*", "^$", ".*"]),
            A.sends(publish(1, "", "q", 2)),
            permit("ana", [".*", ".*", ".*"]),
            A.sends([channel_close_ok(1), channel_open(1), publish(1, "", "q", 3)]),
            meanwhile("ana may do nothing any more", |node| {
                let _ = node.broker.delete_permission(&Name::literal("ana"), &Name::literal("/"));
            }),
            A.sends(get(1, "q", true)),
        ]),
        &expect![[r#"
               ana may configure ".*", write ".*", read ".*"
            C: queue.declare 1 queue="q"
            C: basic.publish 1 exchange="" key="q" + body 1
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
               ana may configure ".*", write "^$", read ".*"
            C: basic.publish 1 exchange="" key="q" + body 2
            S: channel.close 1 code=403 text="ACCESS_REFUSED - write access to exchange 'amq.default' in vhost '/' refused for user 'ana'" class=60 method=40
               ana may configure ".*", write ".*", read ".*"
            C: channel.close-ok 1
            C: channel.open 1
            C: basic.publish 1 exchange="" key="q" + body 3
            S: channel.open-ok 1
               ana may do nothing any more
            C: basic.get 1 queue="q" no-ack=true
            S: channel.close 1 code=403 text="ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user 'ana'" class=60 method=70
        "#]],
    );
}
