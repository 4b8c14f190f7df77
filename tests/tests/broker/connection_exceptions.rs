//! Hard errors: they close the connection, with RabbitMQ's codes and texts, and no other connection.

use liebre_tests::{
    broker::Broker,
    codec::{Frame, Writer},
    method::{self, Say, publish, queue},
    raw::{FRAME_MAX, Raw},
    unique,
};

use crate::verdict::{after_frames, check, finish};

#[test]
fn not_implemented() {
    let q = unique("q");
    let consume_twice = vec![
        method::queue_declare(&q, queue::EXCLUSIVE, &[]),
        method::basic_consume(&q, "t", 0),
        method::basic_consume(&q, "t", 0),
    ];
    check(
        &[
            (
                "publish immediate",
                vec![method::basic_publish("", "k", publish::IMMEDIATE), method::header(0)],
                "connection.close 540 NOT_IMPLEMENTED - immediate=true [60.40]",
            ),
            (
                "prefetch size",
                vec![method::qos(7, 1, false)],
                "connection.close 540 NOT_IMPLEMENTED - prefetch_size!=0 (7) [60.10]",
            ),
            (
                "flow off",
                vec![method::channel_flow(false)],
                "connection.close 540 NOT_IMPLEMENTED - active=false [20.20]",
            ),
            (
                "recover without requeue",
                vec![method::basic_recover(false)],
                "connection.close 540 NOT_IMPLEMENTED - requeue=false [60.110]",
            ),
            (
                "a consumer tag twice",
                consume_twice,
                "connection.close 530 NOT_ALLOWED - attempt to reuse consumer tag 't' [60.20]",
            ),
        ],
        |frames| after_frames(frames),
    );
}

#[test]
fn channel_states() {
    let on = |channel: u16, frame: Say| Frame { channel, ..frame };
    check(
        &[
            (
                "open twice",
                on(1, method::channel_open()),
                "connection.close 504 CHANNEL_ERROR - second 'channel.open' seen [20.10]",
            ),
            (
                "declare on a channel that is not open",
                on(5, method::queue_declare("", 0, &[])),
                "connection.close 504 CHANNEL_ERROR - expected 'channel.open' [50.10]",
            ),
            (
                "close of a channel that is not open",
                on(5, method::channel_close()),
                "connection.close 504 CHANNEL_ERROR - expected 'channel.open' [20.40]",
            ),
            (
                "channel.open on channel 0",
                on(0, method::channel_open()),
                "connection.close 504 CHANNEL_ERROR - unexpected method in connection state running [20.10]",
            ),
            (
                "queue.declare on channel 0",
                on(0, method::queue_declare("", 0, &[])),
                "connection.close 504 CHANNEL_ERROR - unexpected method in connection state running [50.10]",
            ),
            (
                "connection.open on channel 1",
                on(1, method::open("/")),
                "connection.close 503 COMMAND_INVALID - unimplemented method [10.40]",
            ),
            (
                "connection.open twice",
                on(0, method::open("/")),
                "connection.close 504 CHANNEL_ERROR - unexpected method in connection state running [10.40]",
            ),
            (
                "tune-ok once more",
                on(0, method::tune_ok(0, 0, 0)),
                "connection.close 504 CHANNEL_ERROR - unexpected method in connection state running [10.31]",
            ),
        ],
        |frame| after_frames(std::slice::from_ref(frame)),
    );
}

#[test]
fn methods_nobody_knows() {
    check(
        &[
            (
                "unknown class",
                method::method(999, 10, Writer::default()),
                "connection.close 503 COMMAND_INVALID - unimplemented method [999.10]",
            ),
            (
                "unknown method",
                method::method(60, 999, Writer::default()),
                "connection.close 503 COMMAND_INVALID - unimplemented method [60.999]",
            ),
            (
                "method that only a broker says",
                method::method(60, 72, Writer::default().short("")),
                "connection.close 503 COMMAND_INVALID - unimplemented method [60.72]",
            ),
            (
                "queue.declare cut short",
                method::method(50, 10, Writer::default().u16(0)),
                "connection.close 501 FRAME_ERROR - … | connection.close 502 SYNTAX_ERROR - …",
            ),
            (
                "basic.qos with something behind it",
                method::method(60, 10, Writer::default().u32(0).u16(0).u8(0).u16(0)),
                "connection.close 501 FRAME_ERROR - … | connection.close 502 SYNTAX_ERROR - …",
            ),
        ],
        |frame| after_frames(std::slice::from_ref(frame)),
    );
}

#[test]
fn login_refused() {
    const REFUSED: &str = "connection.close 403 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. \
                           For details see the broker logfile.…";
    let login = |(mechanism, response): &(&str, &[u8])| {
        let mut raw = Raw::started(Broker::shared());
        raw.say(&[method::start_ok(mechanism, response)]);
        finish(&mut raw)
    };
    check(
        &[
            ("wrong password", ("PLAIN", &b"\0guest\0wrong"[..]), REFUSED),
            ("unknown user", ("PLAIN", b"\0nobody\0guest"), REFUSED),
            ("no password", ("PLAIN", b"\0guest\0"), REFUSED),
            ("not a PLAIN response", ("PLAIN", b"guest"), "connection.close …"),
            (
                "unknown mechanism",
                ("SHOE", b""),
                "connection.close 503 COMMAND_INVALID - unknown authentication mechanism 'SHOE' [10.11]",
            ),
        ],
        login,
    );
}

#[test]
fn vhost_refused() {
    let broker = Broker::shared();
    let open = |(user, vhost): &(&str, &str)| {
        let mut raw = Raw::tuned(broker, user);
        raw.say(&[method::tune_ok(2_047, FRAME_MAX, 0), method::open(vhost)]);
        finish(&mut raw)
    };
    let missing =
        ("missing", ("guest", "shoe"), "connection.close 530 NOT_ALLOWED - vhost shoe not found [10.40]");
    check(&[missing], open);

    if broker.management().is_none() {
        return;
    }
    let user = unique("stranger");
    broker.add_user(&user, None);
    let text = "connection.close 530 NOT_ALLOWED - access to vhost '/' refused for user 'stranger' [10.40]";
    check(&[("no permissions", (user.as_str(), broker.vhost.as_str()), text)], open);
    broker.delete_user(&user);
}

#[test]
fn tune_refused() {
    let tune = |&(channel_max, frame_max): &(u16, u32)| {
        let mut raw = Raw::tuned(Broker::shared(), "guest");
        raw.say(&[method::tune_ok(channel_max, frame_max, 0)]);
        finish(&mut raw)
    };
    check(
        &[
            (
                "frame_max too small",
                (2_047, 4_095),
                "connection.close 530 NOT_ALLOWED - negotiated frame_max = 4095 is lower than the minimum allowed value (4096)…",
            ),
            (
                "frame_max too large",
                (2_047, 131_073),
                "connection.close 530 NOT_ALLOWED - negotiated frame_max = 131073 is higher than the maximum allowed value \
                 (131072)…",
            ),
            (
                "channel_max too large",
                (2_048, 131_072),
                "connection.close 530 NOT_ALLOWED - negotiated channel_max = 2048 is higher than the maximum allowed value \
                 (2047)…",
            ),
            (
                "channel_max without limit",
                (0, 131_072),
                "connection.close 530 NOT_ALLOWED - negotiated channel_max = 0 (no limit) is higher than the maximum allowed \
                 value (2047)…",
            ),
        ],
        tune,
    );
}

#[test]
fn tune_agreed() {
    let broker = Broker::shared();
    for (channel_max, frame_max) in [(2_047, 131_072), (1, 4_096), (7, 8_192)] {
        let mut raw = Raw::tuned(broker, "guest");
        raw.say(&[method::tune_ok(channel_max, frame_max, 0), method::open(&broker.vhost)]);
        raw.expect("connection.open-ok");
    }
}

#[test]
fn more_channels_than_agreed() {
    let broker = Broker::shared();
    let open = |&channel_max: &u16| {
        let mut raw = Raw::tuned(broker, "guest");
        raw.say(&[method::tune_ok(channel_max, FRAME_MAX, 0), method::open(&broker.vhost)]);
        raw.expect("connection.open-ok");
        for channel in 1..=channel_max {
            raw.open_channel(channel);
        }
        raw.say_on(channel_max + 1, &[method::channel_open()]);
        finish(&mut raw)
    };
    let text = "connection.close 530 NOT_ALLOWED - number of channels opened (3) has reached the negotiated channel_max (3)…";
    check(&[("fourth channel", 3, text)], open);
}

#[test]
fn closing_in_order() {
    let mut raw = Raw::with_channel(Broker::shared());
    raw.say(&[method::channel_close()]);
    raw.expect("channel.close-ok");
    raw.open_channel(1);
    raw.say(&[method::connection_close()]);
    raw.expect("connection.close-ok");
    assert!(raw.is_silent(), "who asked for the close closes the socket first");
}
