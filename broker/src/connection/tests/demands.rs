//! What the properties of a message want from the broker.

use amq_protocol::{
    protocol::BasicProperties,
    types::{AMQPValue, FieldTable},
};
use expect_test::expect;

use super::{
    bench::{A, B, check, meanwhile, permit, transcript},
    frames::{
        bind, commit, declare, declare_exchange, get, plainly, publish_method, publish_with, table, tx_select,
    },
};
use crate::model::{name::Name, user::User};

fn bare() -> BasicProperties {
    BasicProperties::default()
}

/// Headers with these lists of texts.
pub(super) fn copies(lists: &[(&str, &[&str])]) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, keys) in lists {
        let keys: Vec<_> = keys.iter().map(|key| AMQPValue::LongString((*key).into())).collect();
        headers.insert((*name).into(), AMQPValue::FieldArray(keys.into()));
    }
    bare().with_headers(headers)
}

fn publish(properties: &BasicProperties) -> Vec<u8> {
    publish_with(1, ("", "nobody", false), b"x", properties)
}

/// What a publish with these properties is told.
fn refusal(properties: &BasicProperties) -> String {
    let said = transcript([A.sends(publish(properties))]);
    said.lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn a_user_speaks_for_itself() {
    check(
        [
            A.sends(publish(&bare().with_user_id("guest".into()))),
            A.sends(publish(&bare().with_user_id("ana".into()))),
            A.reopens(1),
            A.sends(publish(&bare().with_user_id("".into()))),
        ],
        &expect![[r#"
            C: basic.publish 1 exchange="" key="nobody" + body 1 {user-id="guest"}
            C: basic.publish 1 exchange="" key="nobody" + body 1 {user-id="ana"}
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - user_id property set to 'ana' but authenticated user was 'guest'" class=60 method=40
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: basic.publish 1 exchange="" key="nobody" + body 1 {user-id=""}
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - user_id property set to '' but authenticated user was 'guest'" class=60 method=40
        "#]],
    );
}

#[test]
fn an_impersonator_speaks_for_others() {
    let tags = |tags: &'static [&'static str]| {
        meanwhile("the tags of ana change", move |node| {
            let user = node.broker.access().user("ana").cloned().unwrap();
            let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
            let _ = node.broker.put_user(User { tags, name: Name::literal("ana"), ..user });
        })
    };
    check(
        [
            permit("ana", [".*"; 3]),
            tags(&["monitoring", "impersonator"]),
            B.logs_in("ana", "secret"),
            B.sends(publish(&bare().with_user_id("guest".into()))),
            tags(&["monitoring"]),
            B.sends(publish(&bare().with_user_id("guest".into()))),
        ],
        &expect![[r#"
               ana may configure ".*", write ".*", read ".*"
               the tags of ana change
            C2: basic.publish 1 exchange="" key="nobody" + body 1 {user-id="guest"}
               the tags of ana change
            C2: basic.publish 1 exchange="" key="nobody" + body 1 {user-id="guest"}
            S2: channel.close 1 code=406 text="PRECONDITION_FAILED - user_id property set to 'guest' but authenticated user was 'ana'" class=60 method=40
        "#]],
    );
}

#[test]
fn an_expiration_is_milliseconds() {
    for good in ["0", "60000", "315360000000"] {
        assert_eq!(refusal(&bare().with_expiration(good.into())), "", "{good}");
    }
    check(
        [
            A.sends(publish(&bare().with_expiration("soon".into()))),
            A.reopens(1),
            A.sends(publish(&bare().with_expiration("-1".into()))),
        ],
        &expect![[r#"
            C: basic.publish 1 exchange="" key="nobody" + body 1 {expiration="soon"}
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - invalid expiration 'soon': no_integer" class=60 method=40
            C: channel.close-ok 1
            C: channel.open 1
            S: channel.open-ok 1
            C: basic.publish 1 exchange="" key="nobody" + body 1 {expiration="-1"}
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - invalid expiration '-1': {value_negative,-1}" class=60 method=40
        "#]],
    );
}

#[test]
fn copies_go_wherever_a_key_leads_and_blind_ones_are_not_shown() {
    let mut lists = copies(&[("CC", &["b", "b", "a"]), ("BCC", &["c"])]);
    lists = lists.with_content_type("t".into()).with_message_id("m".into());
    check(
        [
            A.sends(["a", "b", "c", "d"].map(|name| declare(1, name, plainly))),
            A.sends(publish_with(1, ("", "a", true), b"x", &lists)),
            A.sends(publish_with(1, ("", "nobody", true), b"xy", &copies(&[("BCC", &["c"])]))),
            A.sends(publish_with(1, ("", "nobody", true), b"xyz", &copies(&[("CC", &["nobody", "either"])]))),
            A.sends(["a", "b", "c", "c", "a", "d"].map(|name| get(1, name, true))),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="a"
            C: queue.declare 1 queue="b"
            C: queue.declare 1 queue="c"
            C: queue.declare 1 queue="d"
            S: queue.declare-ok 1 queue="a" message-count=0 consumer-count=0
            S: queue.declare-ok 1 queue="b" message-count=0 consumer-count=0
            S: queue.declare-ok 1 queue="c" message-count=0 consumer-count=0
            S: queue.declare-ok 1 queue="d" message-count=0 consumer-count=0
            C: basic.publish 1 exchange="" key="a" mandatory=true + body 1 {content-type="t" headers={BCC=["c"], CC=["b", "b", "a"]} message-id="m"}
            C: basic.publish 1 exchange="" key="nobody" mandatory=true + body 2 {headers={BCC=["c"]}}
            C: basic.publish 1 exchange="" key="nobody" mandatory=true + body 3 {headers={CC=["nobody", "either"]}}
            S: basic.return 1 code=312 text="NO_ROUTE" exchange="" key="nobody" + body 3 {headers={CC=["nobody", "either"]}}
            C: basic.get 1 queue="a" no-ack=true
            C: basic.get 1 queue="b" no-ack=true
            C: basic.get 1 queue="c" no-ack=true
            C: basic.get 1 queue="c" no-ack=true
            C: basic.get 1 queue="a" no-ack=true
            C: basic.get 1 queue="d" no-ack=true
            S: basic.get-ok 1 tag=1 redelivered=false exchange="" key="a" message-count=0 + body 1 {content-type="t" headers={CC=["b", "b", "a"]} message-id="m"}
            S: basic.get-ok 1 tag=2 redelivered=false exchange="" key="a" message-count=0 + body 1 {content-type="t" headers={CC=["b", "b", "a"]} message-id="m"}
            S: basic.get-ok 1 tag=3 redelivered=false exchange="" key="a" message-count=1 + body 1 {content-type="t" headers={CC=["b", "b", "a"]} message-id="m"}
            S: basic.get-ok 1 tag=4 redelivered=false exchange="" key="nobody" message-count=0 + body 2 {headers={}}
            S: basic.get-empty 1
            S: basic.get-empty 1
        "#]],
    );
}

#[test]
fn copies_of_every_exchange_kind() {
    check(
        [
            A.sends(["one", "two", "three"].map(|name| declare(1, name, plainly))),
            A.sends(bind(1, ["one", "amq.topic", "a.*"], plainly)),
            A.sends(bind(1, ["two", "amq.topic", "b.#"], plainly)),
            A.sends(publish_with(1, ("amq.topic", "c", false), b"t", &copies(&[("CC", &["b.1.2", "a.1"])]))),
            A.sends(bind(1, ["one", "amq.fanout", ""], plainly)),
            A.sends(publish_with(1, ("amq.fanout", "c", false), b"fa", &copies(&[("BCC", &["x", "y"])]))),
            A.sends(declare_exchange(1, "mine", "direct", |declare| {
                declare.arguments = table(&[("alternate-exchange", "amq.fanout")]);
            })),
            A.sends(bind(1, ["three", "mine", "known"], plainly)),
            A.sends(publish_with(1, ("mine", "unknown", false), b"alt", &copies(&[("CC", &["known"])]))),
            A.sends(["one", "one", "one", "two", "three"].map(|name| get(1, name, true))),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="one"
            C: queue.declare 1 queue="two"
            C: queue.declare 1 queue="three"
            S: queue.declare-ok 1 queue="one" message-count=0 consumer-count=0
            S: queue.declare-ok 1 queue="two" message-count=0 consumer-count=0
            S: queue.declare-ok 1 queue="three" message-count=0 consumer-count=0
            C: queue.bind 1 queue="one" exchange="amq.topic" key="a.*"
            S: queue.bind-ok 1
            C: queue.bind 1 queue="two" exchange="amq.topic" key="b.#"
            S: queue.bind-ok 1
            C: basic.publish 1 exchange="amq.topic" key="c" + body 1 {headers={CC=["b.1.2", "a.1"]}}
            C: queue.bind 1 queue="one" exchange="amq.fanout" key=""
            S: queue.bind-ok 1
            C: basic.publish 1 exchange="amq.fanout" key="c" + body 2 {headers={BCC=["x", "y"]}}
            C: exchange.declare 1 exchange="mine" type="direct" arguments={alternate-exchange="amq.fanout"}
            S: exchange.declare-ok 1
            C: queue.bind 1 queue="three" exchange="mine" key="known"
            S: queue.bind-ok 1
            C: basic.publish 1 exchange="mine" key="unknown" + body 3 {headers={CC=["known"]}}
            C: basic.get 1 queue="one" no-ack=true
            C: basic.get 1 queue="one" no-ack=true
            C: basic.get 1 queue="one" no-ack=true
            C: basic.get 1 queue="two" no-ack=true
            C: basic.get 1 queue="three" no-ack=true
            S: basic.get-ok 1 tag=1 redelivered=false exchange="amq.topic" key="c" message-count=1 + body 1 {headers={CC=["b.1.2", "a.1"]}}
            S: basic.get-ok 1 tag=2 redelivered=false exchange="amq.fanout" key="c" message-count=0 + body 2 {headers={}}
            S: basic.get-empty 1
            S: basic.get-ok 1 tag=3 redelivered=false exchange="amq.topic" key="c" message-count=0 + body 1 {headers={CC=["b.1.2", "a.1"]}}
            S: basic.get-ok 1 tag=4 redelivered=false exchange="mine" key="unknown" message-count=0 + body 3 {headers={CC=["known"]}}
        "#]],
    );
}

#[test]
fn copies_are_for_one_message() {
    check(
        [
            A.sends(["a", "b"].map(|name| declare(1, name, plainly))),
            A.sends([
                publish_with(1, ("", "a", false), b"1", &bare()),
                publish_with(1, ("", "a", false), b"22", &copies(&[("CC", &["b"])])),
                publish_with(1, ("", "a", false), b"333", &bare()),
            ]),
            A.sends([get(1, "b", true), get(1, "b", true)]),
        ],
        &expect![[r#"
            C: queue.declare 1 queue="a"
            C: queue.declare 1 queue="b"
            S: queue.declare-ok 1 queue="a" message-count=0 consumer-count=0
            S: queue.declare-ok 1 queue="b" message-count=0 consumer-count=0
            C: basic.publish 1 exchange="" key="a" + body 1
            C: basic.publish 1 exchange="" key="a" + body 2 {headers={CC=["b"]}}
            C: basic.publish 1 exchange="" key="a" + body 3
            C: basic.get 1 queue="b" no-ack=true
            C: basic.get 1 queue="b" no-ack=true
            S: basic.get-ok 1 tag=1 redelivered=false exchange="" key="a" message-count=0 + body 2 {headers={CC=["b"]}}
            S: basic.get-empty 1
        "#]],
    );
}

#[test]
fn copies_are_lists() {
    let with = |name: &str, value: AMQPValue| {
        let mut headers = FieldTable::default();
        headers.insert(name.into(), value);
        refusal(&bare().with_headers(headers))
    };
    let text = |name: &str, kind: &str| {
        format!(
            "S: channel.close 1 code=406 text=\"PRECONDITION_FAILED - invalid message: \
             {{unacceptable_type_in_header,\\\"{name}\\\",{kind}}}\" class=60 method=40"
        )
    };
    for (value, kind) in [
        (AMQPValue::LongString("b".into()), "longstr"),
        (AMQPValue::LongInt(1), "signedint"),
        (AMQPValue::Boolean(true), "bool"),
        (AMQPValue::FieldTable(table(&[("a", "b")])), "table"),
        (AMQPValue::Void, "void"),
        (AMQPValue::Timestamp(1), "timestamp"),
        (AMQPValue::LongLongInt(1), "long"),
        (AMQPValue::ByteArray(b"b"[..].into()), "binary"),
    ] {
        assert_eq!(with("CC", value.clone()), text("CC", kind));
        assert_eq!(with("BCC", value.clone()), text("BCC", kind));
        assert_eq!(with("cc", value), "");
    }
    for values in [vec![], vec![AMQPValue::LongInt(1), AMQPValue::FieldArray(Vec::new().into())]] {
        assert_eq!(with("CC", AMQPValue::FieldArray(values.into())), "");
    }
}

#[test]
fn faults_are_told_in_order() {
    let all = bare()
        .with_reply_to("amq.rabbitmq.reply-to".into())
        .with_user_id("ana".into())
        .with_expiration("abc".into())
        .with_headers(table(&[("BCC", "x"), ("CC", "x")]));
    let without_reply = all.clone().with_reply_to("q".into());
    let without_user = without_reply.clone().with_user_id("guest".into());
    let without_expiration = without_user.clone().with_expiration("1".into());
    let steps = [&all, &without_reply, &without_user, &without_expiration]
        .into_iter()
        .flat_map(|properties| [A.sends(publish(properties)), A.reopens(1)]);
    let nowhere = A.sends(publish_with(1, ("none", "", false), b"x", &all));
    check(
        steps.chain([nowhere]),
        &expect![[r#"
        C: basic.publish 1 exchange="" key="nobody" + body 1 {headers={BCC="x", CC="x"} reply-to="amq.rabbitmq.reply-to" expiration="abc" user-id="ana"}
        S: channel.close 1 code=406 text="PRECONDITION_FAILED - fast reply consumer does not exist" class=60 method=40
        C: channel.close-ok 1
        C: channel.open 1
        S: channel.open-ok 1
        C: basic.publish 1 exchange="" key="nobody" + body 1 {headers={BCC="x", CC="x"} reply-to="q" expiration="abc" user-id="ana"}
        S: channel.close 1 code=406 text="PRECONDITION_FAILED - user_id property set to 'ana' but authenticated user was 'guest'" class=60 method=40
        C: channel.close-ok 1
        C: channel.open 1
        S: channel.open-ok 1
        C: basic.publish 1 exchange="" key="nobody" + body 1 {headers={BCC="x", CC="x"} reply-to="q" expiration="abc" user-id="guest"}
        S: channel.close 1 code=406 text="PRECONDITION_FAILED - invalid expiration 'abc': no_integer" class=60 method=40
        C: channel.close-ok 1
        C: channel.open 1
        S: channel.open-ok 1
        C: basic.publish 1 exchange="" key="nobody" + body 1 {headers={BCC="x", CC="x"} reply-to="q" expiration="1" user-id="guest"}
        S: channel.close 1 code=406 text="PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,\"CC\",longstr}" class=60 method=40
        C: channel.close-ok 1
        C: channel.open 1
        S: channel.open-ok 1
        C: basic.publish 1 exchange="none" key="" + body 1 {headers={BCC="x", CC="x"} reply-to="amq.rabbitmq.reply-to" expiration="abc" user-id="ana"}
        S: channel.close 1 code=404 text="NOT_FOUND - no exchange 'none' in vhost '/'" class=60 method=40
    "#]],
    );
}

#[test]
fn faults_are_told_in_transactions_too() {
    check(
        [
            A.sends([tx_select(1), declare(1, "q", plainly), declare(1, "copy", plainly)]),
            A.sends(publish_with(1, ("", "q", false), b"x", &copies(&[("CC", &["copy"])]))),
            A.sends([commit(1), get(1, "copy", true)]),
            A.sends(publish(&bare().with_expiration("abc".into()))),
        ],
        &expect![[r#"
            C: tx.select 1
            C: queue.declare 1 queue="q"
            C: queue.declare 1 queue="copy"
            S: tx.select-ok 1
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
            S: queue.declare-ok 1 queue="copy" message-count=0 consumer-count=0
            C: basic.publish 1 exchange="" key="q" + body 1 {headers={CC=["copy"]}}
            C: tx.commit 1
            C: basic.get 1 queue="copy" no-ack=true
            S: tx.commit-ok 1
            S: basic.get-ok 1 tag=1 redelivered=false exchange="" key="q" message-count=0 + body 1 {headers={CC=["copy"]}}
            C: basic.publish 1 exchange="" key="nobody" + body 1 {expiration="abc"}
            S: channel.close 1 code=406 text="PRECONDITION_FAILED - invalid expiration 'abc': no_integer" class=60 method=40
        "#]],
    );
}

#[test]
fn immediate_is_not_implemented() {
    let mut immediate = publish_method(1, "", "q", false);
    // The bits are the last octet before the frame's end.
    let bits = immediate.len() - 2;
    immediate[bits] |= 2;
    check(
        [A.sends(immediate)],
        &expect![[r#"
        C: basic.publish 1 exchange="" key="q" immediate=true
        S: connection.close 0 code=540 text="NOT_IMPLEMENTED - immediate=true" class=60 method=40
    "#]],
    );
}

#[test]
fn unknown_delivery_modes_are_transient() {
    for mode in [0, 3, 255] {
        let said = transcript([
            A.sends(declare(1, "q", plainly)),
            A.sends(publish_with(1, ("", "q", false), b"x", &bare().with_delivery_mode(mode))),
            A.sends(get(1, "q", true)),
        ]);
        assert!(said.ends_with(&format!("+ body 1 {{delivery-mode={mode}}}\n")), "{said}");
    }
}
