//! From the protocol header to `connection.open-ok`.

use std::time::Duration;

use amq_protocol::protocol::{AMQPClass, connection};
use expect_test::expect;

use super::{
    bench::{A, B, LOOPBACK, after, check, connections, meanwhile, permit, queue, transcript},
    frames::{
        body, channel_open, connection_close, connection_close_ok, connection_open, declare, method, plain,
        plainly, protocol_header, publish_method, start_ok, tune_ok,
    },
};
use crate::model::{
    name::Name,
    user::{HashingAlgorithm, PasswordHash, User},
};

const ELSEWHERE: &str = "192.0.2.7:50000";

#[test]
fn every_step_in_order() {
    check(
        [
            A.connects_from(LOOPBACK),
            connections(),
            A.sends(protocol_header()),
            A.sends(plain("guest", "guest")),
            connections(),
            A.sends(tune_ok(2_047, 131_072, 60)),
            connections(),
            A.sends(connection_open("/")),
            connections(),
        ],
        &expect![[r#"
               connections: starting
            C: protocol-header 0-0-9-1
            S: connection.start 0 version-major=0 version-minor=9 server-properties={..} mechanisms="PLAIN AMQPLAIN" locales="en_US"
            C: connection.start-ok 0 client-properties={capabilities={authentication_failure_close=true, consumer_cancel_notify=true}} mechanism="PLAIN" response="\0guest\0guest" locale="en_US"
            S: connection.tune 0 channel-max=2047 frame-max=131072 heartbeat=60
               connections: tuning
            C: connection.tune-ok 0 channel-max=2047 frame-max=131072 heartbeat=60
               connections: opening
            C: connection.open 0 virtual-host="/"
            S: connection.open-ok 0
               connections: running
        "#]],
    );
}

#[test]
fn all_of_it_in_one_read() {
    check(
        [
            A.connects_from(LOOPBACK),
            A.sends([
                protocol_header(),
                plain("guest", "guest"),
                tune_ok(10, 4_096, 0),
                connection_open("/"),
                channel_open(1),
            ]),
        ],
        &expect![[r#"
            C: protocol-header 0-0-9-1
            C: connection.start-ok 0 client-properties={capabilities={authentication_failure_close=true, consumer_cancel_notify=true}} mechanism="PLAIN" response="\0guest\0guest" locale="en_US"
            C: connection.tune-ok 0 channel-max=10 frame-max=4096 heartbeat=0
            C: connection.open 0 virtual-host="/"
            C: channel.open 1
            S: connection.start 0 version-major=0 version-minor=9 server-properties={..} mechanisms="PLAIN AMQPLAIN" locales="en_US"
            S: connection.tune 0 channel-max=2047 frame-max=131072 heartbeat=60
            S: connection.open-ok 0
            S: channel.open-ok 1
        "#]],
    );
}

#[test]
fn amqplain() {
    let response =
        |password: &[u8]| [&b"\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x05"[..], password].concat();
    check(
        [
            A.connects_from(LOOPBACK),
            A.sends([protocol_header(), start_ok("AMQPLAIN", &response(b"guest"), &[])]),
            A.connects_from(LOOPBACK),
            A.sends([
                protocol_header(),
                start_ok("AMQPLAIN", &response(b"wrong"), &["authentication_failure_close"]),
            ]),
            A.connects_from(LOOPBACK),
            A.sends([
                protocol_header(),
                start_ok("AMQPLAIN", b"no table", &["authentication_failure_close"]),
            ]),
        ],
        &expect![[r#"
            C: protocol-header 0-0-9-1
            C: connection.start-ok 0 client-properties={capabilities={}} mechanism="AMQPLAIN" response="\u{5}LOGINS\0\0\0\u{5}guest\u{8}PASSWORDS\0\0\0\u{5}guest" locale="en_US"
            S: connection.start 0 version-major=0 version-minor=9 server-properties={..} mechanisms="PLAIN AMQPLAIN" locales="en_US"
            S: connection.tune 0 channel-max=2047 frame-max=131072 heartbeat=60
            C: protocol-header 0-0-9-1
            C: connection.start-ok 0 client-properties={capabilities={authentication_failure_close=true}} mechanism="AMQPLAIN" response="\u{5}LOGINS\0\0\0\u{5}guest\u{8}PASSWORDS\0\0\0\u{5}wrong" locale="en_US"
            S: connection.start 0 version-major=0 version-minor=9 server-properties={..} mechanisms="PLAIN AMQPLAIN" locales="en_US"
            S: connection.close 0 code=403 text="ACCESS_REFUSED - Login was refused using authentication mechanism AMQPLAIN. For details see the broker logfile." class=0 method=0
            C: protocol-header 0-0-9-1
            C: connection.start-ok 0 client-properties={capabilities={authentication_failure_close=true}} mechanism="AMQPLAIN" response="no table" locale="en_US"
            S: connection.start 0 version-major=0 version-minor=9 server-properties={..} mechanisms="PLAIN AMQPLAIN" locales="en_US"
            S: connection.close 0 code=403 text="ACCESS_REFUSED - Login was refused using authentication mechanism AMQPLAIN. For details see the broker logfile." class=0 method=0
        "#]],
    );
}

#[test]
fn what_is_not_amqp_is_told_what_we_speak() {
    for header in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"AMQP\0\x01\0\0", b"\x16\x03\x01\0\xc8\x01\0\0"] {
        let said = transcript([A.connects_from(LOOPBACK), A.sends(header.to_vec())]);
        assert!(said.ends_with("S: protocol-header 0-0-9-1\nS: (end)\n"), "{said}");
    }
}

#[test]
fn a_header_may_come_in_pieces() {
    check(
        [A.connects_from(LOOPBACK), A.sends_in_pieces(3, protocol_header())],
        &expect![[r#"
            C: protocol-header 0-0-9-1
            S: connection.start 0 version-major=0 version-minor=9 server-properties={..} mechanisms="PLAIN AMQPLAIN" locales="en_US"
        "#]],
    );
}

#[test]
fn steps_out_of_order_are_refused() {
    let mut told = String::new();
    for wrong in [
        tune_ok(2_047, 131_072, 60),
        connection_open("/"),
        channel_open(1),
        declare(1, "q", plainly),
        publish_method(1, "", "q", false),
        body(1, b"x"),
        connection_close_ok(),
    ] {
        let said = transcript([A.connects_from(LOOPBACK), A.sends([protocol_header(), wrong])]);
        told.extend(said.lines().rev().take(1).chain(["\n"]));
    }
    expect![[r#"
        S: connection.close 0 code=504 text="CHANNEL_ERROR - unexpected method in connection state starting" class=10 method=31
        S: connection.close 0 code=504 text="CHANNEL_ERROR - unexpected method in connection state starting" class=10 method=40
        S: connection.close 0 code=504 text="CHANNEL_ERROR - unexpected method in connection state starting" class=20 method=10
        S: connection.close 0 code=504 text="CHANNEL_ERROR - unexpected method in connection state starting" class=50 method=10
        S: connection.close 0 code=504 text="CHANNEL_ERROR - unexpected method in connection state starting" class=60 method=40
        S: connection.close 0 code=505 text="UNEXPECTED_FRAME - expected method frame, got non method frame instead" class=0 method=0
        S: connection.close 0 code=504 text="CHANNEL_ERROR - unexpected method in connection state starting" class=10 method=51
    "#]].assert_eq(&told);
}

#[test]
fn each_step_is_taken_once() {
    check(
        [
            A.connects_from(LOOPBACK),
            A.sends([protocol_header(), plain("guest", "guest"), plain("guest", "guest")]),
            A.connects_from(LOOPBACK),
            A.sends([protocol_header(), plain("guest", "guest"), connection_open("/")]),
        ],
        &expect![[r#"
            C: protocol-header 0-0-9-1
            C: connection.start-ok 0 client-properties={capabilities={authentication_failure_close=true, consumer_cancel_notify=true}} mechanism="PLAIN" response="\0guest\0guest" locale="en_US"
            C: connection.start-ok 0 client-properties={capabilities={authentication_failure_close=true, consumer_cancel_notify=true}} mechanism="PLAIN" response="\0guest\0guest" locale="en_US"
            S: connection.start 0 version-major=0 version-minor=9 server-properties={..} mechanisms="PLAIN AMQPLAIN" locales="en_US"
            S: connection.tune 0 channel-max=2047 frame-max=131072 heartbeat=60
            S: connection.close 0 code=504 text="CHANNEL_ERROR - unexpected method in connection state tuning" class=10 method=11
            C: protocol-header 0-0-9-1
            C: connection.start-ok 0 client-properties={capabilities={authentication_failure_close=true, consumer_cancel_notify=true}} mechanism="PLAIN" response="\0guest\0guest" locale="en_US"
            C: connection.open 0 virtual-host="/"
            S: connection.start 0 version-major=0 version-minor=9 server-properties={..} mechanisms="PLAIN AMQPLAIN" locales="en_US"
            S: connection.tune 0 channel-max=2047 frame-max=131072 heartbeat=60
            S: connection.close 0 code=504 text="CHANNEL_ERROR - unexpected method in connection state tuning" class=10 method=40
        "#]],
    );
}

#[test]
fn a_peer_may_change_its_mind() {
    check(
        [A.connects_from(LOOPBACK), A.sends([protocol_header(), connection_close()]), connections()],
        &expect![[r#"
            C: protocol-header 0-0-9-1
            C: connection.close 0 code=200 text="bye" class=0 method=0
            S: connection.start 0 version-major=0 version-minor=9 server-properties={..} mechanisms="PLAIN AMQPLAIN" locales="en_US"
            S: connection.close-ok 0
            S: (end)
               connections: 
        "#]],
    );
}

#[test]
fn an_unknown_mechanism() {
    check(
        [A.connects_from(LOOPBACK), A.sends([protocol_header(), start_ok("EXTERNAL", b"", &[])])],
        &expect![[r#"
            C: protocol-header 0-0-9-1
            C: connection.start-ok 0 client-properties={capabilities={}} mechanism="EXTERNAL" response="" locale="en_US"
            S: connection.start 0 version-major=0 version-minor=9 server-properties={..} mechanisms="PLAIN AMQPLAIN" locales="en_US"
            S: connection.close 0 code=503 text="COMMAND_INVALID - unknown authentication mechanism 'EXTERNAL'" class=10 method=11
        "#]],
    );
}

#[test]
fn a_wrong_password_is_told_to_those_who_understand() {
    check(
        [A.connects_from(LOOPBACK), A.sends([protocol_header(), plain("guest", "wrong")])],
        &expect![[r#"
            C: protocol-header 0-0-9-1
            C: connection.start-ok 0 client-properties={capabilities={authentication_failure_close=true, consumer_cancel_notify=true}} mechanism="PLAIN" response="\0guest\0wrong" locale="en_US"
            S: connection.start 0 version-major=0 version-minor=9 server-properties={..} mechanisms="PLAIN AMQPLAIN" locales="en_US"
            S: connection.close 0 code=403 text="ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile." class=0 method=0
        "#]],
    );
}

#[test]
fn unknown_user_and_malformed_response_are_told_nothing_else() {
    let text = |start_ok| {
        let steps = [A.connects_from(LOOPBACK), A.sends([protocol_header(), start_ok])];
        transcript(steps).lines().last().unwrap().to_owned()
    };
    let wrong_password = text(plain("guest", "wrong"));
    assert_eq!(text(plain("nobody", "guest")), wrong_password);
    assert_eq!(text(start_ok("PLAIN", b"guest", &["authentication_failure_close"])), wrong_password);
}

#[test]
fn a_wrong_password_meets_silence_otherwise() {
    check(
        [
            A.connects_from(LOOPBACK),
            A.sends([protocol_header(), start_ok("PLAIN", b"\0guest\0wrong", &[])]),
            A.sends(tune_ok(2_047, 131_072, 60)),
            after(Duration::from_millis(2_999)),
            after(Duration::from_millis(1)),
            connections(),
        ],
        &expect![[r#"
            C: protocol-header 0-0-9-1
            C: connection.start-ok 0 client-properties={capabilities={}} mechanism="PLAIN" response="\0guest\0wrong" locale="en_US"
            S: connection.start 0 version-major=0 version-minor=9 server-properties={..} mechanisms="PLAIN AMQPLAIN" locales="en_US"
            C: connection.tune-ok 0 channel-max=2047 frame-max=131072 heartbeat=60
               after 2.999s
               after 1ms
            S: (end)
               connections: 
        "#]],
    );
}

#[test]
fn guest_comes_from_this_machine_only() {
    check(
        [
            A.connects_from(ELSEWHERE),
            A.sends([protocol_header(), plain("guest", "guest")]),
            A.connects_from("[::ffff:127.0.0.1]:50000"),
            A.sends([protocol_header(), plain("guest", "guest")]),
            A.connects_from(ELSEWHERE),
            A.sends([protocol_header(), plain("ana", "secret")]),
        ],
        &expect![[r#"
            C: protocol-header 0-0-9-1
            C: connection.start-ok 0 client-properties={capabilities={authentication_failure_close=true, consumer_cancel_notify=true}} mechanism="PLAIN" response="\0guest\0guest" locale="en_US"
            S: connection.start 0 version-major=0 version-minor=9 server-properties={..} mechanisms="PLAIN AMQPLAIN" locales="en_US"
            S: connection.close 0 code=403 text="ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile. (guest may log in from localhost only: rabbitmqctl add_user)" class=0 method=0
            C: protocol-header 0-0-9-1
            C: connection.start-ok 0 client-properties={capabilities={authentication_failure_close=true, consumer_cancel_notify=true}} mechanism="PLAIN" response="\0guest\0guest" locale="en_US"
            S: connection.start 0 version-major=0 version-minor=9 server-properties={..} mechanisms="PLAIN AMQPLAIN" locales="en_US"
            S: connection.tune 0 channel-max=2047 frame-max=131072 heartbeat=60
            C: protocol-header 0-0-9-1
            C: connection.start-ok 0 client-properties={capabilities={authentication_failure_close=true, consumer_cancel_notify=true}} mechanism="PLAIN" response="\0ana\0secret" locale="en_US"
            S: connection.start 0 version-major=0 version-minor=9 server-properties={..} mechanisms="PLAIN AMQPLAIN" locales="en_US"
            S: connection.tune 0 channel-max=2047 frame-max=131072 heartbeat=60
        "#]],
    );
}

#[test]
fn limits_out_of_bounds() {
    let wrong = [(2_047, 4_095, 0), (2_047, 131_073, 0), (2_047, 0, 0), (2_048, 131_072, 0), (0, 131_072, 0)];
    let mut said = String::new();
    for (channel_max, frame_max, heartbeat) in wrong {
        let steps = [
            A.connects_from(LOOPBACK),
            A.sends([protocol_header(), plain("guest", "guest"), tune_ok(channel_max, frame_max, heartbeat)]),
        ];
        let transcript = transcript(steps);
        said.extend(transcript.lines().rev().take(1).chain(["\n"]));
    }
    expect![[r#"
        S: connection.close 0 code=530 text="NOT_ALLOWED - negotiated frame_max = 4095 is lower than the minimum allowed value (4096)" class=10 method=31
        S: connection.close 0 code=530 text="NOT_ALLOWED - negotiated frame_max = 131073 is higher than the maximum allowed value (131072)" class=10 method=31
        S: connection.close 0 code=530 text="NOT_ALLOWED - negotiated frame_max = 0 (no limit) is higher than the maximum allowed value (131072)" class=10 method=31
        S: connection.close 0 code=530 text="NOT_ALLOWED - negotiated channel_max = 2048 is higher than the maximum allowed value (2047)" class=10 method=31
        S: connection.close 0 code=530 text="NOT_ALLOWED - negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (2047)" class=10 method=31
    "#]].assert_eq(&said);
}

#[test]
fn vhosts_there_are_not_and_vhosts_that_are_not_ours() {
    let login = || [protocol_header(), plain("ana", "secret"), tune_ok(2_047, 131_072, 0)].concat();
    check(
        [
            A.connects_from(LOOPBACK),
            A.sends([login(), connection_open("/nowhere")]),
            A.connects_from(LOOPBACK),
            A.sends([login(), connection_open("other")]),
            A.connects_from(LOOPBACK),
            permit("ana", ["", "", ""]),
            A.sends([login(), connection_open("/")]),
        ],
        &expect![[r#"
            C: protocol-header 0-0-9-1
            C: connection.start-ok 0 client-properties={capabilities={authentication_failure_close=true, consumer_cancel_notify=true}} mechanism="PLAIN" response="\0ana\0secret" locale="en_US"
            C: connection.tune-ok 0 channel-max=2047 frame-max=131072 heartbeat=0
            C: connection.open 0 virtual-host="/nowhere"
            S: connection.start 0 version-major=0 version-minor=9 server-properties={..} mechanisms="PLAIN AMQPLAIN" locales="en_US"
            S: connection.tune 0 channel-max=2047 frame-max=131072 heartbeat=60
            S: connection.close 0 code=530 text="NOT_ALLOWED - vhost /nowhere not found" class=10 method=40
            C: protocol-header 0-0-9-1
            C: connection.start-ok 0 client-properties={capabilities={authentication_failure_close=true, consumer_cancel_notify=true}} mechanism="PLAIN" response="\0ana\0secret" locale="en_US"
            C: connection.tune-ok 0 channel-max=2047 frame-max=131072 heartbeat=0
            C: connection.open 0 virtual-host="other"
            S: connection.start 0 version-major=0 version-minor=9 server-properties={..} mechanisms="PLAIN AMQPLAIN" locales="en_US"
            S: connection.tune 0 channel-max=2047 frame-max=131072 heartbeat=60
            S: connection.close 0 code=530 text="NOT_ALLOWED - access to vhost 'other' refused for user 'ana'" class=10 method=40
               ana may configure "", write "", read ""
            C: protocol-header 0-0-9-1
            C: connection.start-ok 0 client-properties={capabilities={authentication_failure_close=true, consumer_cancel_notify=true}} mechanism="PLAIN" response="\0ana\0secret" locale="en_US"
            C: connection.tune-ok 0 channel-max=2047 frame-max=131072 heartbeat=0
            C: connection.open 0 virtual-host="/"
            S: connection.start 0 version-major=0 version-minor=9 server-properties={..} mechanisms="PLAIN AMQPLAIN" locales="en_US"
            S: connection.tune 0 channel-max=2047 frame-max=131072 heartbeat=60
            S: connection.open-ok 0
        "#]],
    );
}

#[test]
fn a_refused_peer_is_waited_for_and_then_forgotten() {
    check(
        [
            A.connects_from(LOOPBACK),
            A.sends([protocol_header(), plain("guest", "wrong")]),
            A.sends(connection_close_ok()),
            connections(),
            A.connects_from(LOOPBACK),
            A.sends([protocol_header(), plain("guest", "wrong")]),
            after(Duration::from_secs(29)),
            after(Duration::from_secs(1)),
            connections(),
        ],
        &expect![[r#"
            C: protocol-header 0-0-9-1
            C: connection.start-ok 0 client-properties={capabilities={authentication_failure_close=true, consumer_cancel_notify=true}} mechanism="PLAIN" response="\0guest\0wrong" locale="en_US"
            S: connection.start 0 version-major=0 version-minor=9 server-properties={..} mechanisms="PLAIN AMQPLAIN" locales="en_US"
            S: connection.close 0 code=403 text="ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile." class=0 method=0
            C: connection.close-ok 0
            S: (end)
               connections: 
            C: protocol-header 0-0-9-1
            C: connection.start-ok 0 client-properties={capabilities={authentication_failure_close=true, consumer_cancel_notify=true}} mechanism="PLAIN" response="\0guest\0wrong" locale="en_US"
            S: connection.start 0 version-major=0 version-minor=9 server-properties={..} mechanisms="PLAIN AMQPLAIN" locales="en_US"
            S: connection.close 0 code=403 text="ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile." class=0 method=0
               after 29s
               after 1s
            S: (end)
               connections: 
        "#]],
    );
}

#[test]
fn a_handshake_takes_ten_seconds_at_most() {
    check(
        [
            A.connects_from(LOOPBACK),
            A.sends(protocol_header()),
            after(Duration::from_secs(9)),
            A.sends([plain("guest", "guest"), tune_ok(2_047, 131_072, 0)]),
            after(Duration::from_secs(1)),
            connections(),
        ],
        &expect![[r#"
            C: protocol-header 0-0-9-1
            S: connection.start 0 version-major=0 version-minor=9 server-properties={..} mechanisms="PLAIN AMQPLAIN" locales="en_US"
               after 9s
            C: connection.start-ok 0 client-properties={capabilities={authentication_failure_close=true, consumer_cancel_notify=true}} mechanism="PLAIN" response="\0guest\0guest" locale="en_US"
            C: connection.tune-ok 0 channel-max=2047 frame-max=131072 heartbeat=0
            S: connection.tune 0 channel-max=2047 frame-max=131072 heartbeat=60
               after 1s
            S: (end)
               connections: 
        "#]],
    );
}

#[test]
fn an_open_connection_has_no_deadline() {
    check(
        [A.sends(declare(1, "q", plainly)), after(Duration::from_secs(100_000)), queue("q"), connections()],
        &expect![[r#"
            C: queue.declare 1 queue="q"
            S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
               after 100000s
               queue q: ready 0, unsettled 0
               connections: running
        "#]],
    );
}

#[test]
fn frames_before_tune_ok_are_small() {
    check(
        [A.connects_from(LOOPBACK), A.sends([protocol_header(), plain("guest", &"x".repeat(8_192))])],
        &expect![[r#"
            C: protocol-header 0-0-9-1
            C: connection.start-ok 0 client-properties={capabilities={authentication_failure_close=true, consumer_cancel_notify=true}} mechanism="PLAIN" response="\0guest\0xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" locale="en_US"
            S: connection.start 0 version-major=0 version-minor=9 server-properties={..} mechanisms="PLAIN AMQPLAIN" locales="en_US"
            S: connection.close 0 code=501 text="FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,8297,8184}" class=0 method=0
        "#]],
    );
}

#[test]
fn a_user_that_is_another_one_by_now_may_not_open() {
    check(
        [
            A.connects_from(LOOPBACK),
            A.sends([protocol_header(), plain("guest", "guest")]),
            meanwhile("guest is deleted, and there is a new one", |node| {
                let name = Name::literal("guest");
                let _ = node.broker.delete_user(&name).unwrap();
                let password = PasswordHash::new(b"other", [1; 4], HashingAlgorithm::Sha256).unwrap();
                let _ = node.broker.put_user(User {
                    name,
                    password,
                    tags: Vec::new(),
                    limits: Default::default(),
                });
            }),
            permit("guest", [".*"; 3]),
            A.sends([tune_ok(10, 4_096, 0), connection_open("/")]),
            B.logs_in("guest", "other"),
        ],
        &expect![[r#"
            C: protocol-header 0-0-9-1
            C: connection.start-ok 0 client-properties={capabilities={authentication_failure_close=true, consumer_cancel_notify=true}} mechanism="PLAIN" response="\0guest\0guest" locale="en_US"
            S: connection.start 0 version-major=0 version-minor=9 server-properties={..} mechanisms="PLAIN AMQPLAIN" locales="en_US"
            S: connection.tune 0 channel-max=2047 frame-max=131072 heartbeat=60
               guest is deleted, and there is a new one
               guest may configure ".*", write ".*", read ".*"
            C: connection.tune-ok 0 channel-max=10 frame-max=4096 heartbeat=0
            C: connection.open 0 virtual-host="/"
            S: connection.close 0 code=530 text="NOT_ALLOWED - access to vhost '/' refused for user 'guest'" class=10 method=40
        "#]],
    );
}

/// It is for tokens that run out: RabbitMQ's own users have none.
#[test]
fn a_new_secret_means_nothing_to_users_with_passwords() {
    let update = |secret: &str| {
        let (new_secret, reason) = (secret.as_bytes().into(), "it is time".into());
        let update = connection::UpdateSecret { new_secret, reason };
        method(0, AMQPClass::Connection(connection::AMQPMethod::UpdateSecret(update)))
    };
    check(
        [A.sends([update("guest"), update("wrong"), declare(1, "q", plainly)])],
        &expect![[r#"
        C: connection.update-secret 0 new-secret="guest" reason="it is time"
        C: connection.update-secret 0 new-secret="wrong" reason="it is time"
        C: queue.declare 1 queue="q"
        S: connection.update-secret-ok 0
        S: connection.update-secret-ok 0
        S: queue.declare-ok 1 queue="q" message-count=0 consumer-count=0
    "#]],
    );
}
