//! Direct reply-to.

use amq_protocol::protocol::{BasicProperties, basic};
use expect_test::expect;

use super::{
    bench::{A, B, C, Step, check, permit, queue},
    frames::{
        bind, cancel, channel_close, commit, confirm_select, consume, declare, delete, exclusive, get,
        passive, plainly, publish, publish_mandatory, publish_with, purge, rollback, table, tx_select,
        unbind,
    },
};
use crate::vhost::reply_to::REPLY_TO;

fn no_ack(consume: &mut basic::Consume) {
    consume.no_ack = true;
}

fn request() -> BasicProperties {
    BasicProperties::default().with_reply_to(REPLY_TO.into())
}

/// The first peer waits for replies on channel 1, the second one has its request.
fn asked() -> [Step; 3] {
    [
        B.sends(declare(1, "rpc", plainly)),
        A.sends([
            consume(1, REPLY_TO, "mine", no_ack),
            publish_with(1, ("", "rpc", false), b"question", &request()),
        ]),
        B.sends(get(1, "rpc", true)),
    ]
}

#[test]
fn a_reply_goes_to_who_asked() {
    let properties = BasicProperties::default()
        .with_content_type("text/plain".into())
        .with_headers(table(&[("b", "2"), ("a", "1")]))
        .with_delivery_mode(1)
        .with_correlation_id("7".into())
        .with_reply_to(REPLY_TO.into())
        .with_message_id("m".into());
    check(
        [
            B.sends([declare(1, "rpc", plainly), consume(1, "rpc", "server", no_ack)]),
            A.sends([
                consume(1, REPLY_TO, "", no_ack),
                publish_with(1, ("", "rpc", false), b"question", &properties),
            ]),
            B.sends_with_reply_name(|name| [publish(1, "", name, 2), publish(1, "", name, 3)].concat()),
        ],
        &expect![[r#"
            C2: queue.declare 1 queue="rpc"
            C2: basic.consume 1 queue="rpc" consumer="server" no-ack=true
            S2: queue.declare-ok 1 queue="rpc" message-count=0 consumer-count=0
            S2: basic.consume-ok 1 consumer="server"
            C: basic.consume 1 queue="amq.rabbitmq.reply-to" consumer="" no-ack=true
            C: basic.publish 1 exchange="" key="rpc" + body 8 {content-type="text/plain" headers={a="1", b="2"} delivery-mode=1 correlation-id="7" reply-to="amq.rabbitmq.reply-to" message-id="m"}
            S: basic.consume-ok 1 consumer="amq.ctag-*"
            S2: basic.deliver 1 consumer="server" tag=1 redelivered=false exchange="" key="rpc" + body 8 {content-type="text/plain" headers={a="1", b="2"} delivery-mode=1 correlation-id="7" reply-to="amq.rabbitmq.reply-to.*" message-id="m"}
            C2: basic.publish 1 exchange="" key="amq.rabbitmq.reply-to.*" + body 2
            C2: basic.publish 1 exchange="" key="amq.rabbitmq.reply-to.*" + body 3
            S: basic.deliver 1 consumer="amq.ctag-*" tag=1 redelivered=false exchange="" key="amq.rabbitmq.reply-to.*" + body 2
            S: basic.deliver 1 consumer="amq.ctag-*" tag=2 redelivered=false exchange="" key="amq.rabbitmq.reply-to.*" + body 3
        "#]],
    );
}

#[test]
fn a_consumer_of_replies_may_be_the_server_itself() {
    check(
        [
            A.sends([declare(2, "rpc", exclusive), consume(2, "rpc", "server", no_ack)]),
            A.sends([
                consume(1, REPLY_TO, "mine", no_ack),
                publish_with(1, ("", "rpc", false), b"question", &request()),
            ]),
            A.sends_with_reply_name(|name| publish(2, "", name, 2)),
        ],
        &expect![[r#"
            C: queue.declare 2 queue="rpc" exclusive=true
            C: basic.consume 2 queue="rpc" consumer="server" no-ack=true
            S: queue.declare-ok 2 queue="rpc" message-count=0 consumer-count=0
            S: basic.consume-ok 2 consumer="server"
            C: basic.consume 1 queue="amq.rabbitmq.reply-to" consumer="mine" no-ack=true
            C: basic.publish 1 exchange="" key="rpc" + body 8 {reply-to="amq.rabbitmq.reply-to"}
            S: basic.consume-ok 1 consumer="mine"
            S: basic.deliver 2 consumer="server" tag=1 redelivered=false exchange="" key="rpc" + body 8 {reply-to="amq.rabbitmq.reply-to.*"}
            C: basic.publish 2 exchange="" key="amq.rabbitmq.reply-to.*" + body 2
            S: basic.deliver 1 consumer="mine" tag=1 redelivered=false exchange="" key="amq.rabbitmq.reply-to.*" + body 2
        "#]],
    );
}

#[test]
fn one_consumer_on_a_channel_that_acks_nothing() {
    check(
        [
            A.sends(consume(1, REPLY_TO, "mine", plainly)),
            A.reopens(1),
            A.sends([consume(1, REPLY_TO, "mine", no_ack), consume(2, REPLY_TO, "mine", no_ack)]),
            A.sends(consume(1, REPLY_TO, "other", no_ack)),
            A.reopens(1),
            A.sends([declare(1, REPLY_TO, passive), consume(1, "", "mine", no_ack), cancel(1, "mine")]),
            A.sends(consume(1, REPLY_TO, "mine", |consume| {
                (consume.no_ack, consume.exclusive, consume.nowait) = (true, true, true);
            })),
            A.sends(consume(1, REPLY_TO, "mine", no_ack)),
        ],
        &expect![[r#"
            C: basic.consume 1 queue="amq.rabbitmq.reply-to" consumer="mine"
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - reply consumer cannot acknowledge" class=60 method=20
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: basic.consume 1 queue="amq.rabbitmq.reply-to" consumer="mine" no-ack=true
            C: basic.consume 2 queue="amq.rabbitmq.reply-to" consumer="mine" no-ack=true
            S: basic.consume-ok 1 consumer="mine"
            S: basic.consume-ok 2 consumer="mine"
            C: basic.consume 1 queue="amq.rabbitmq.reply-to" consumer="other" no-ack=true
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - reply consumer already set" class=60 method=20
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: queue.declare 1 queue="amq.rabbitmq.reply-to" passive=true
            C: basic.consume 1 queue="" consumer="mine" no-ack=true
            C: basic.cancel 1 consumer="mine"
            S: queue.declare-ok 1 queue="amq.rabbitmq.reply-to" message-count=0 consumer-count=1
            S: basic.consume-ok 1 consumer="mine"
            S: basic.cancel-ok 1 consumer="mine"
            C: basic.consume 1 queue="amq.rabbitmq.reply-to" consumer="mine" no-ack=true exclusive=true no-wait=true
            C: basic.consume 1 queue="amq.rabbitmq.reply-to" consumer="mine" no-ack=true
            S: connection.close 0 code=530 text="NOT_ALLOWED - attempt to reuse consumer tag 'mine'" class=60 method=20
        "#]],
    );
}

#[test]
fn a_tag_names_one_consumer_of_the_channel() {
    check(
        [
            A.sends([declare(1, "q", plainly), consume(1, "q", "t", no_ack)]),
            A.sends(consume(1, REPLY_TO, "t", no_ack)),
            B.sends([consume(1, REPLY_TO, "t", no_ack), consume(1, "q", "t", no_ack)]),
            C.sends([consume(1, "q", "t", no_ack), consume(1, "none", "t", no_ack)]),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            C: basic.consume 1 queue="q" consumer="t" no-ack=true
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: basic.consume-ok 1 consumer="t"
            C: basic.consume 1 queue="amq.rabbitmq.reply-to" consumer="t" no-ack=true
            S: connection.close 0 code=530 text="NOT_ALLOWED - attempt to reuse consumer tag 't'" class=60 method=20
            C2: basic.consume 1 queue="amq.rabbitmq.reply-to" consumer="t" no-ack=true
            C2: basic.consume 1 queue="q" consumer="t" no-ack=true
            S2: basic.consume-ok 1 consumer="t"
            S2: connection.close 0 code=530 text="NOT_ALLOWED - attempt to reuse consumer tag 't'" class=60 method=20
            C3: basic.consume 1 queue="q" consumer="t" no-ack=true
            C3: basic.consume 1 queue="none" consumer="t" no-ack=true
            S3: basic.consume-ok 1 consumer="t"
            S3: connection.close 0 code=530 text="NOT_ALLOWED - attempt to reuse consumer tag 't'" class=60 method=20
        "#]],
    );
}

#[test]
fn nobody_asks_for_replies_without_consuming_them() {
    check(
        [
            A.sends(consume(2, REPLY_TO, "mine", no_ack)),
            A.sends(publish_with(1, ("", "rpc", false), b"question", &request())),
            A.reopens(1),
            A.sends(publish_with(1, ("none", "rpc", false), b"question", &request())),
        ],
        &expect![[r#"
            C: basic.consume 2 queue="amq.rabbitmq.reply-to" consumer="mine" no-ack=true
            S: basic.consume-ok 2 consumer="mine"
            C: basic.publish 1 exchange="" key="rpc" + body 8 {reply-to="amq.rabbitmq.reply-to"}
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - fast reply consumer does not exist" class=60 method=40
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: basic.publish 1 exchange="none" key="rpc" + body 8 {reply-to="amq.rabbitmq.reply-to"}
            S: channel.close 1 code=404 text="NOT_FOUND - no exchange 'none' in vhost '/'" class=60 method=40
        "#]],
    );
}

#[test]
fn what_comes_too_late_is_dropped_or_returned() {
    check(
        asked().into_iter().chain([
            B.sends(confirm_select(1)),
            B.sends_with_reply_name(|name| publish_mandatory(1, "", name, 1)),
            A.sends(cancel(1, "mine")),
            B.sends_with_reply_name(|name| {
                [publish(1, "", name, 2), publish_mandatory(1, "", name, 3)].concat()
            }),
            A.sends(consume(1, REPLY_TO, "again", no_ack)),
            B.sends_with_reply_name(|name| publish_mandatory(1, "", name, 4)),
            B.sends(publish_mandatory(1, "", "amq.rabbitmq.reply-to.abc", 5)),
        ]),
        &expect![[r#"
            C2: queue.declare 1 queue="rpc"
            S2: queue.declare-ok 1 queue="rpc" message-count=0 consumer-count=0
            C: basic.consume 1 queue="amq.rabbitmq.reply-to" consumer="mine" no-ack=true
            C: basic.publish 1 exchange="" key="rpc" + body 8 {reply-to="amq.rabbitmq.reply-to"}
            S: basic.consume-ok 1 consumer="mine"
            C2: basic.get 1 queue="rpc" no-ack=true
            S2: basic.get-ok 1 tag=1 redelivered=false exchange="" key="rpc" message-count=0 + body 8 {reply-to="amq.rabbitmq.reply-to.*"}
            C2: confirm.select 1
            S2: confirm.select-ok 1
            C2: basic.publish 1 exchange="" key="amq.rabbitmq.reply-to.*" mandatory=true + body 1
            S: basic.deliver 1 consumer="mine" tag=1 redelivered=false exchange="" key="amq.rabbitmq.reply-to.*" + body 1
            S2: basic.ack 1 tag=1
            C: basic.cancel 1 consumer="mine"
            S: basic.cancel-ok 1 consumer="mine"
            C2: basic.publish 1 exchange="" key="amq.rabbitmq.reply-to.*" + body 2
            C2: basic.publish 1 exchange="" key="amq.rabbitmq.reply-to.*" mandatory=true + body 3
            S2: basic.return 1 code=312 text="NO_ROUTE" exchange="" key="amq.rabbitmq.reply-to.*" + body 3
            S2: basic.ack 1 tag=3 multiple=true
            C: basic.consume 1 queue="amq.rabbitmq.reply-to" consumer="again" no-ack=true
            S: basic.consume-ok 1 consumer="again"
            C2: basic.publish 1 exchange="" key="amq.rabbitmq.reply-to.*" mandatory=true + body 4
            S2: basic.return 1 code=312 text="NO_ROUTE" exchange="" key="amq.rabbitmq.reply-to.*" + body 4
            S2: basic.ack 1 tag=4
            C2: basic.publish 1 exchange="" key="amq.rabbitmq.reply-to.abc" mandatory=true + body 5
            S2: basic.return 1 code=312 text="NO_ROUTE" exchange="" key="amq.rabbitmq.reply-to.abc" + body 5
            S2: basic.ack 1 tag=5
        "#]],
    );
}

#[test]
fn a_channel_takes_its_consumer_of_replies_along() {
    for ends in [A.sends(channel_close(1)), A.vanishes(), A.is_forced_to_close("bye")] {
        let said = super::bench::transcript(
            asked()
                .into_iter()
                .chain([ends, B.sends_with_reply_name(|name| publish_mandatory(1, "", name, 1))]),
        );
        let returned = "S2: basic.return 1 code=312 text=\"NO_ROUTE\" exchange=\"\" \
                        key=\"amq.rabbitmq.reply-to.*\" + body 1\n";
        assert!(said.ends_with(returned), "{said}");
    }
}

#[test]
fn only_the_default_exchange_knows_consumers_of_replies() {
    check(
        asked().into_iter().chain([
            B.sends_with_reply_name(|name| publish_mandatory(1, "amq.direct", name, 1)),
            B.sends_with_reply_name(|name| {
                let copies = super::demands::copies(&[("CC", &[name, "rpc", name])]);
                publish_with(1, ("", "nobody", true), b"copied", &copies)
            }),
            queue("rpc"),
        ]),
        &expect![[r#"
            C2: queue.declare 1 queue="rpc"
            S2: queue.declare-ok 1 queue="rpc" message-count=0 consumer-count=0
            C: basic.consume 1 queue="amq.rabbitmq.reply-to" consumer="mine" no-ack=true
            C: basic.publish 1 exchange="" key="rpc" + body 8 {reply-to="amq.rabbitmq.reply-to"}
            S: basic.consume-ok 1 consumer="mine"
            C2: basic.get 1 queue="rpc" no-ack=true
            S2: basic.get-ok 1 tag=1 redelivered=false exchange="" key="rpc" message-count=0 + body 8 {reply-to="amq.rabbitmq.reply-to.*"}
            C2: basic.publish 1 exchange="amq.direct" key="amq.rabbitmq.reply-to.*" mandatory=true + body 1
            S2: basic.return 1 code=312 text="NO_ROUTE" exchange="amq.direct" key="amq.rabbitmq.reply-to.*" + body 1
            C2: basic.publish 1 exchange="" key="nobody" mandatory=true + body 6 {headers={CC=["amq.rabbitmq.reply-to.*", "rpc", "amq.rabbitmq.reply-to.*"]}}
            S: basic.deliver 1 consumer="mine" tag=1 redelivered=false exchange="" key="nobody" + body 6 {headers={CC=["amq.rabbitmq.reply-to.*", "rpc", "amq.rabbitmq.reply-to.*"]}}
               queue rpc: ready 1, unsettled 0
        "#]],
    );
}

#[test]
fn a_declare_says_whether_somebody_waits_for_replies() {
    check(
        asked().into_iter().chain([
            B.sends([declare(1, REPLY_TO, passive), declare(1, REPLY_TO, plainly)]),
            B.sends_with_reply_name(|name| [declare(1, name, passive), declare(1, name, plainly)].concat()),
            A.sends(channel_close(1)),
            B.sends_with_reply_name(|name| declare(1, name, passive)),
            B.reopens(1),
            B.sends(declare(1, "amq.rabbitmq.reply-to.abc", plainly)),
            B.reopens(1),
            B.sends(declare(1, "amq.rabbitmq.reply-tox", plainly)),
        ]),
        &expect![[r#"
            C2: queue.declare 1 queue="rpc"
            S2: queue.declare-ok 1 queue="rpc" message-count=0 consumer-count=0
            C: basic.consume 1 queue="amq.rabbitmq.reply-to" consumer="mine" no-ack=true
            C: basic.publish 1 exchange="" key="rpc" + body 8 {reply-to="amq.rabbitmq.reply-to"}
            S: basic.consume-ok 1 consumer="mine"
            C2: basic.get 1 queue="rpc" no-ack=true
            S2: basic.get-ok 1 tag=1 redelivered=false exchange="" key="rpc" message-count=0 + body 8 {reply-to="amq.rabbitmq.reply-to.*"}
            C2: queue.declare 1 queue="amq.rabbitmq.reply-to" passive=true
            C2: queue.declare 1 queue="amq.rabbitmq.reply-to"
            S2: queue.declare-ok 1 queue="amq.rabbitmq.reply-to" message-count=0 consumer-count=1
            S2: queue.declare-ok 1 queue="amq.rabbitmq.reply-to" message-count=0 consumer-count=1
            C2: queue.declare 1 queue="amq.rabbitmq.reply-to.*" passive=true
            C2: queue.declare 1 queue="amq.rabbitmq.reply-to.*"
            S2: queue.declare-ok 1 queue="amq.rabbitmq.reply-to.*" message-count=0 consumer-count=1
            S2: queue.declare-ok 1 queue="amq.rabbitmq.reply-to.*" message-count=0 consumer-count=1
            C: channel.close 1 code=200 text="" class=0 method=0
            S: channel.close-ok 1
            C2: queue.declare 1 queue="amq.rabbitmq.reply-to.*" passive=true
            S2: channel.close 1 code=404 text="NOT_FOUND - no queue 'amq.rabbitmq.reply-to.*' in vhost '/'" class=50 method=10
            C2: channel.close-ok 1
            C2: channel.open 1
            S2: channel.open-ok 1
            C2: queue.declare 1 queue="amq.rabbitmq.reply-to.abc"
            S2: channel.close 1 code=404 text="NOT_FOUND - no queue 'amq.rabbitmq.reply-to.abc' in vhost '/'" class=50 method=10
            C2: channel.close-ok 1
            C2: channel.open 1
            S2: channel.open-ok 1
            C2: queue.declare 1 queue="amq.rabbitmq.reply-tox"
            S2: channel.close 1 code=404 text="NOT_FOUND - no queue 'amq.rabbitmq.reply-tox' in vhost '/'" class=50 method=10
        "#]],
    );
}

#[test]
fn a_consumer_of_replies_is_no_queue() {
    let refused: [fn(&str) -> Vec<u8>; 6] = [
        |name| get(1, name, true),
        |name| purge(1, name),
        |name| consume(1, name, "", no_ack),
        |name| bind(1, [name, "amq.direct", "key"], plainly),
        |name| unbind(1, [name, "amq.direct", "key"]),
        |name| delete(1, name, plainly),
    ];
    let steps = refused.into_iter().flat_map(|act| [B.sends_with_reply_name(act), B.reopens(1)]);
    check(
        asked().into_iter().chain(steps),
        &expect![[r#"
        C2: queue.declare 1 queue="rpc"
        S2: queue.declare-ok 1 queue="rpc" message-count=0 consumer-count=0
        C: basic.consume 1 queue="amq.rabbitmq.reply-to" consumer="mine" no-ack=true
        C: basic.publish 1 exchange="" key="rpc" + body 8 {reply-to="amq.rabbitmq.reply-to"}
        S: basic.consume-ok 1 consumer="mine"
        C2: basic.get 1 queue="rpc" no-ack=true
        S2: basic.get-ok 1 tag=1 redelivered=false exchange="" key="rpc" message-count=0 + body 8 {reply-to="amq.rabbitmq.reply-to.*"}
        C2: basic.get 1 queue="amq.rabbitmq.reply-to.*" no-ack=true
        S2: channel.close 1 code=404 text="NOT_FOUND - no queue 'amq.rabbitmq.reply-to.*' in vhost '/'" class=60 method=70
        C2: channel.close-ok 1
        C2: channel.open 1
        S2: channel.open-ok 1
        C2: queue.purge 1 queue="amq.rabbitmq.reply-to.*"
        S2: channel.close 1 code=404 text="NOT_FOUND - no queue 'amq.rabbitmq.reply-to.*' in vhost '/'" class=50 method=30
        C2: channel.close-ok 1
        C2: channel.open 1
        S2: channel.open-ok 1
        C2: basic.consume 1 queue="amq.rabbitmq.reply-to.*" consumer="" no-ack=true
        S2: channel.close 1 code=404 text="NOT_FOUND - no queue 'amq.rabbitmq.reply-to.*' in vhost '/'" class=60 method=20
        C2: channel.close-ok 1
        C2: channel.open 1
        S2: channel.open-ok 1
        C2: queue.bind 1 queue="amq.rabbitmq.reply-to.*" exchange="amq.direct" key="key"
        S2: channel.close 1 code=403 text="ACCESS_REFUSED - cannot bind or unbind to a volatile (direct reply-to) queue" class=50 method=20
        C2: channel.close-ok 1
        C2: channel.open 1
        S2: channel.open-ok 1
        C2: queue.unbind 1 queue="amq.rabbitmq.reply-to.*" exchange="amq.direct" key="key"
        S2: channel.close 1 code=403 text="ACCESS_REFUSED - cannot bind or unbind to a volatile (direct reply-to) queue" class=50 method=50
        C2: channel.close-ok 1
        C2: channel.open 1
        S2: channel.open-ok 1
        C2: queue.delete 1 queue="amq.rabbitmq.reply-to.*"
        S2: queue.delete-ok 1 message-count=0
        C2: channel.close-ok 1
        C2: channel.open 1
        S2: connection.close 0 code=503 text="COMMAND_INVALID - unimplemented method" class=20 method=41
    "#]],
    );
}

#[test]
fn consuming_replies_needs_no_permission_but_publishing_does() {
    check(
        [
            permit("ana", ["^$", "^$", "^$"]),
            C.logs_in("ana", "secret"),
            C.sends([consume(1, REPLY_TO, "mine", no_ack), declare(1, REPLY_TO, passive)]),
            C.sends(publish_with(1, ("", "rpc", false), b"question", &request())),
        ],
        &expect![[r#"
               ana may configure "^$", write "^$", read "^$"
            C3: basic.consume 1 queue="amq.rabbitmq.reply-to" consumer="mine" no-ack=true
            C3: queue.declare 1 queue="amq.rabbitmq.reply-to" passive=true
            S3: basic.consume-ok 1 consumer="mine"
            S3: queue.declare-ok 1 queue="amq.rabbitmq.reply-to" message-count=0 consumer-count=1
            C3: basic.publish 1 exchange="" key="rpc" + body 8 {reply-to="amq.rabbitmq.reply-to"}
            S3: channel.close 1 code=403 text="ACCESS_REFUSED - write access to exchange 'amq.default' in vhost '/' refused for user 'ana'" class=60 method=40
        "#]],
    );
}

#[test]
fn replies_of_a_transaction_are_sent_when_it_is_committed() {
    check(
        asked().into_iter().chain([
            B.sends(tx_select(1)),
            B.sends_with_reply_name(|name| publish(1, "", name, 1)),
            B.sends(rollback(1)),
            B.sends_with_reply_name(|name| publish_mandatory(1, "", name, 2)),
            B.sends(commit(1)),
            B.sends_with_reply_name(|name| {
                [publish(1, "", name, 3), publish_mandatory(1, "", name, 4)].concat()
            }),
            A.sends(cancel(1, "mine")),
            B.sends(commit(1)),
        ]),
        &expect![[r#"
            C2: queue.declare 1 queue="rpc"
            S2: queue.declare-ok 1 queue="rpc" message-count=0 consumer-count=0
            C: basic.consume 1 queue="amq.rabbitmq.reply-to" consumer="mine" no-ack=true
            C: basic.publish 1 exchange="" key="rpc" + body 8 {reply-to="amq.rabbitmq.reply-to"}
            S: basic.consume-ok 1 consumer="mine"
            C2: basic.get 1 queue="rpc" no-ack=true
            S2: basic.get-ok 1 tag=1 redelivered=false exchange="" key="rpc" message-count=0 + body 8 {reply-to="amq.rabbitmq.reply-to.*"}
            C2: tx.select 1
            S2: tx.select-ok 1
            C2: basic.publish 1 exchange="" key="amq.rabbitmq.reply-to.*" + body 1
            C2: tx.rollback 1
            S2: tx.rollback-ok 1
            C2: basic.publish 1 exchange="" key="amq.rabbitmq.reply-to.*" mandatory=true + body 2
            C2: tx.commit 1
            S: basic.deliver 1 consumer="mine" tag=1 redelivered=false exchange="" key="amq.rabbitmq.reply-to.*" + body 2
            S2: tx.commit-ok 1
            C2: basic.publish 1 exchange="" key="amq.rabbitmq.reply-to.*" + body 3
            C2: basic.publish 1 exchange="" key="amq.rabbitmq.reply-to.*" mandatory=true + body 4
            C: basic.cancel 1 consumer="mine"
            S: basic.cancel-ok 1 consumer="mine"
            C2: tx.commit 1
            S2: basic.return 1 code=312 text="NO_ROUTE" exchange="" key="amq.rabbitmq.reply-to.*" + body 4
            S2: tx.commit-ok 1
        "#]],
    );
}

#[test]
fn replies_to_who_does_not_read_are_dropped_in_the_end() {
    const PIECE: usize = 16 << 20;
    let reply = || B.sends_with_reply_name(|name| publish_mandatory(1, "", name, PIECE));
    check(
        asked().into_iter().chain([
            A.stops_reading(),
            reply(),
            reply(),
            reply(),
            reply(),
            reply(),
            A.reads_again(),
            reply(),
        ]),
        &expect![[r#"
            C2: queue.declare 1 queue="rpc"
            S2: queue.declare-ok 1 queue="rpc" message-count=0 consumer-count=0
            C: basic.consume 1 queue="amq.rabbitmq.reply-to" consumer="mine" no-ack=true
            C: basic.publish 1 exchange="" key="rpc" + body 8 {reply-to="amq.rabbitmq.reply-to"}
            S: basic.consume-ok 1 consumer="mine"
            C2: basic.get 1 queue="rpc" no-ack=true
            S2: basic.get-ok 1 tag=1 redelivered=false exchange="" key="rpc" message-count=0 + body 8 {reply-to="amq.rabbitmq.reply-to.*"}
            C2: basic.publish 1 exchange="" key="amq.rabbitmq.reply-to.*" mandatory=true + body 16777216
            C2: basic.publish 1 exchange="" key="amq.rabbitmq.reply-to.*" mandatory=true + body 16777216
            C2: basic.publish 1 exchange="" key="amq.rabbitmq.reply-to.*" mandatory=true + body 16777216
            C2: basic.publish 1 exchange="" key="amq.rabbitmq.reply-to.*" mandatory=true + body 16777216
            C2: basic.publish 1 exchange="" key="amq.rabbitmq.reply-to.*" mandatory=true + body 16777216
            S2: basic.return 1 code=312 text="NO_ROUTE" exchange="" key="amq.rabbitmq.reply-to.*" + body 16777216
            S: basic.deliver 1 consumer="mine" tag=1 redelivered=false exchange="" key="amq.rabbitmq.reply-to.*" + body 16777216
            S: basic.deliver 1 consumer="mine" tag=2 redelivered=false exchange="" key="amq.rabbitmq.reply-to.*" + body 16777216
            S: basic.deliver 1 consumer="mine" tag=3 redelivered=false exchange="" key="amq.rabbitmq.reply-to.*" + body 16777216
            S: basic.deliver 1 consumer="mine" tag=4 redelivered=false exchange="" key="amq.rabbitmq.reply-to.*" + body 16777216
            C2: basic.publish 1 exchange="" key="amq.rabbitmq.reply-to.*" mandatory=true + body 16777216
            S: basic.deliver 1 consumer="mine" tag=5 redelivered=false exchange="" key="amq.rabbitmq.reply-to.*" + body 16777216
        "#]],
    );
}
