//! Users, vhosts and permissions.

use std::sync::atomic::Ordering::Relaxed;

use expect_test::expect;
use serde_json::Value;

use super::bench::Bench;

#[tokio::test]
async fn users_that_cannot_be_are_refused() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            guest PUT /users/u {}
            guest PUT /users/u {bad
            guest PUT /users/u {"tags":7}
            guest PUT /users/u {"tags":"","password":"a","password_hash":""}
            guest PUT /users/u {"tags":"","password_hash":"x"}
            guest PUT /users/u {"tags":"","password_hash":"","hashing_algorithm":"rot13"}
            "#,
            &expect![[r#"
                guest PUT /users/u {}
                  400 {"error":"bad_request","reason":"tags_not_present"}
                guest PUT /users/u {bad
                  400 {"error":"bad_request","reason":"not_json"}
                guest PUT /users/u {"tags":7}
                  400 {"error":"bad_request","reason":["not_a_list_of_strings",7]}
                guest PUT /users/u {"tags":"","password":"a","password_hash":""}
                  400 {"error":"bad_request","reason":"both_password_and_password_hash_are_provided"}
                guest PUT /users/u {"tags":"","password_hash":"x"}
                  400 {"error":"bad_request","reason":"password_hash is not base64 of a salt and a hash"}
                guest PUT /users/u {"tags":"","password_hash":"","hashing_algorithm":"rot13"}
                  400 {"error":"bad_request","reason":"unknown hashing algorithm 'rot13'"}
            "#]],
        )
        .await;
    let many: Vec<String> = (0..33).map(|number| format!("t{number}")).collect();
    let (status, _) = bench.send(&format!(r#"guest PUT /users/u {{"tags":"{}"}}"#, many.join(","))).await;
    assert_eq!(status, 400);
    let (status, _) = bench.send(&format!(r#"guest PUT /users/{} {{"tags":""}}"#, "n".repeat(256))).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn users_are_replaced_as_a_whole() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            guest PUT /users/u {"tags":" management , own,","password":"p"}
            u:p GET /whoami
            guest PUT /users/u {"tags":["management"],"password_hash":"2lmoth8l4H0DViLaK9Fxi6l9ds8="}
            guest PUT /users/u {"tags":["management"],"password_hash":"kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"}
            guest GET /users/u
            u:test12 GET /whoami
            guest PUT /users/u {"tags":["management"],"password_hash":"kI3GChuNuIYf8lRbCCxZjgjKwsY19ns6+uFO0zcXRBGA/XGJPYD8OWMy7EB8TaOmAzjP2azv84GbINYwX2cDWb4DHnc="}
            u:test12 GET /whoami
            guest GET /users?page=2&page_size=1&columns=name
            guest PUT /users/u {"tags":"management","password":""}
            guest GET /users/u
            u: GET /whoami
            guest PUT /users/u {"tags":"management"}
            u: GET /whoami
            guest DELETE /users/u
            guest DELETE /users/u
            guest GET /users/u
            guest GET /users/u/permissions
            guest PUT /users/ {"tags":""}
            "#,
            &expect![[r#"
                guest PUT /users/u {"tags":" management , own,","password":"p"}
                  201 
                u:p GET /whoami
                  200 {"name":"u","tags":["management","own"]}
                guest PUT /users/u {"tags":["management"],"password_hash":"2lmoth8l4H0DViLaK9Fxi6l9ds8="}
                  400 {"error":"bad_request","reason":"password_hash is not base64 of a salt and a hash"}
                guest PUT /users/u {"tags":["management"],"password_hash":"kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"}
                  204 
                guest GET /users/u
                  200 {"name":"u","password_hash":"kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR","hashing_algorithm":"rabbit_password_hashing_sha256","tags":["management"],"limits":{}}
                u:test12 GET /whoami
                  200 {"name":"u","tags":["management"]}
                guest PUT /users/u {"tags":["management"],"password_hash":"kI3GChuNuIYf8lRbCCxZjgjKwsY19ns6+uFO0zcXRBGA/XGJPYD8OWMy7EB8TaOmAzjP2azv84GbINYwX2cDWb4DHnc="}
                  204 
                u:test12 GET /whoami
                  200 {"name":"u","tags":["management"]}
                guest GET /users?page=2&page_size=1&columns=name
                  200 {"total_count":5,"item_count":1,"filtered_count":5,"page":2,"page_size":1,"page_count":5,"items":[{"name":"manager"}]}
                guest PUT /users/u {"tags":"management","password":""}
                  204 
                guest GET /users/u
                  200 {"name":"u","password_hash":"","hashing_algorithm":"rabbit_password_hashing_sha256","tags":["management"],"limits":{}}
                u: GET /whoami
                  401 {"error":"not_authorized","reason":"Not_Authorized"}
                guest PUT /users/u {"tags":"management"}
                  204 
                u: GET /whoami
                  401 {"error":"not_authorized","reason":"Not_Authorized"}
                guest DELETE /users/u
                  204 
                guest DELETE /users/u
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest GET /users/u
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest GET /users/u/permissions
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest PUT /users/ {"tags":""}
                  405 
            "#]],
        )
        .await;
}

#[tokio::test]
async fn vhosts_keep_what_a_change_does_not_name() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            guest PUT /vhosts/v
            guest PUT /vhosts/v {"description":"of v","tags":"a, b","default_queue_type":"quorum"}
            guest PUT /vhosts/v {"tags":["c"]}
            guest GET /vhosts/v
            guest GET /permissions/v/guest
            guest PUT /vhosts/v {"default_queue_type":"undefined"}
            guest GET /vhosts/v?columns=default_queue_type
            guest PUT /vhosts/v {"default_queue_type":"fifo"}
            guest GET /vhosts/v/permissions
            guest DELETE /vhosts/v
            guest DELETE /vhosts/v
            guest GET /vhosts/v
            guest GET /vhosts/v/permissions
            guest GET /permissions/v/guest
            "#,
            &expect![[r#"
                guest PUT /vhosts/v
                  201 
                guest PUT /vhosts/v {"description":"of v","tags":"a, b","default_queue_type":"quorum"}
                  204 
                guest PUT /vhosts/v {"tags":["c"]}
                  204 
                guest GET /vhosts/v
                  200 {"name":"v","description":"of v","tags":["c"],"default_queue_type":"quorum","protected_from_deletion":false,"metadata":{"description":"of v","tags":["c"],"default_queue_type":"quorum"},"tracing":false,"cluster_state":{"rabbit@test":"running"},"messages":0,"messages_details":{"rate":0.0},"messages_ready":0,"messages_ready_details":{"rate":0.0},"messages_unacknowledged":0,"messages_unacknowledged_details":{"rate":0.0},"recv_oct":0,"recv_oct_details":{"rate":0.0},"send_oct":0,"send_oct_details":{"rate":0.0}}
                guest GET /permissions/v/guest
                  200 {"user":"guest","vhost":"v","configure":".*","write":".*","read":".*"}
                guest PUT /vhosts/v {"default_queue_type":"undefined"}
                  204 
                guest GET /vhosts/v?columns=default_queue_type
                  200 {"default_queue_type":"classic"}
                guest PUT /vhosts/v {"default_queue_type":"fifo"}
                  400 {"error":"bad_request","reason":"unsupported queue type 'fifo'"}
                guest GET /vhosts/v/permissions
                  200 [{"user":"guest","vhost":"v","configure":".*","write":".*","read":".*"}]
                guest DELETE /vhosts/v
                  204 
                guest DELETE /vhosts/v
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest GET /vhosts/v
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest GET /vhosts/v/permissions
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest GET /permissions/v/guest
                  404 {"error":"Object Not Found","reason":"Not Found"}
            "#]],
        )
        .await;
}

#[tokio::test]
async fn permissions_need_a_user_and_a_vhost() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            guest PUT /permissions/%2F/watcher {"configure":"","write":".*"}
            guest PUT /permissions/%2F/watcher {"configure":"(","write":"","read":""}
            guest PUT /permissions/nope/watcher {"configure":"","write":"","read":""}
            guest PUT /permissions/%2F/nope {"configure":"","write":"","read":""}
            guest PUT /permissions/%2F/watcher {"configure":"","write":"","read":"^q"}
            guest PUT /permissions/%2F/watcher {"configure":"","write":"^q","read":"^q"}
            guest GET /permissions/%2F/watcher
            guest GET /users/watcher/permissions
            guest GET /permissions?columns=user,read&sort=user&sort_reverse=true
            guest DELETE /permissions/%2F/watcher
            guest DELETE /permissions/%2F/watcher
            guest GET /permissions/%2F/watcher
            "#,
            &expect![[r#"
                guest PUT /permissions/%2F/watcher {"configure":"","write":".*"}
                  400 {"error":"bad_request","reason":"[{key_missing,read}]"}
                guest PUT /permissions/%2F/watcher {"configure":"(","write":"","read":""}
                  400 {"error":"bad_request","reason":["invalid_regexp","(","Parsing error at position 1: Opening parenthesis without closing parenthesis"]}
                guest PUT /permissions/nope/watcher {"configure":"","write":"","read":""}
                  400 {"error":"bad_request","reason":"vhost_or_user_not_found"}
                guest PUT /permissions/%2F/nope {"configure":"","write":"","read":""}
                  400 {"error":"bad_request","reason":"vhost_or_user_not_found"}
                guest PUT /permissions/%2F/watcher {"configure":"","write":"","read":"^q"}
                  201 
                guest PUT /permissions/%2F/watcher {"configure":"","write":"^q","read":"^q"}
                  204 
                guest GET /permissions/%2F/watcher
                  200 {"user":"watcher","vhost":"/","configure":"","write":"^q","read":"^q"}
                guest GET /users/watcher/permissions
                  200 [{"user":"watcher","vhost":"/","configure":"","write":"^q","read":"^q"}]
                guest GET /permissions?columns=user,read&sort=user&sort_reverse=true
                  200 [{"user":"watcher","read":"^q"},{"user":"manager","read":"^my"},{"user":"guest","read":".*"}]
                guest DELETE /permissions/%2F/watcher
                  204 
                guest DELETE /permissions/%2F/watcher
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest GET /permissions/%2F/watcher
                  404 {"error":"Object Not Found","reason":"Not Found"}
            "#]],
        )
        .await;
}

#[tokio::test]
async fn names_may_be_odd() {
    let bench = Bench::new().await;
    for name in ["/", "%2F", "a b", "ñandú 🐇", "a+b", "..", "?&=#", "a/b/c", "'\"<>"] {
        let quoted: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let expect_name = |(status, body): (u16, String), field: &str| {
            let object: Value = serde_json::from_str(&body).unwrap();
            assert_eq!((status, &object[field]), (200, &Value::from(name)), "{body}");
        };
        bench.send(&format!("guest PUT /vhosts/{quoted} {{}}")).await;
        bench.send(&format!(r#"guest PUT /users/{quoted} {{"tags":""}}"#)).await;
        bench.send(&format!("guest PUT /queues/{quoted}/{quoted} {{}}")).await;
        bench.send(&format!("guest PUT /exchanges/{quoted}/{quoted} {{}}")).await;
        expect_name(bench.send(&format!("guest GET /vhosts/{quoted}")).await, "name");
        expect_name(bench.send(&format!("guest GET /users/{quoted}")).await, "name");
        expect_name(bench.send(&format!("guest GET /queues/{quoted}/{quoted}")).await, "name");
        expect_name(bench.send(&format!("guest GET /queues/{quoted}/{quoted}")).await, "vhost");
        expect_name(bench.send(&format!("guest GET /exchanges/{quoted}/{quoted}")).await, "name");
        for place in ["queues", "exchanges"] {
            assert_eq!(bench.send(&format!("guest DELETE /{place}/{quoted}/{quoted}")).await.0, 204);
        }
        assert_eq!(bench.send(&format!("guest DELETE /users/{quoted}")).await.0, 204);
        if name != "/" {
            assert_eq!(bench.send(&format!("guest DELETE /vhosts/{quoted}")).await.0, 204);
        }
    }
}

#[tokio::test]
async fn what_is_not_durable_is_not_answered_as_done() {
    let bench = Bench::new().await;
    bench.store.is_broken.store(true, Relaxed);
    for request in [
        r#"PUT /users/u {"tags":""}"#,
        "PUT /vhosts/v {}",
        r#"PUT /permissions/%2F/watcher {"configure":"","write":"","read":""}"#,
        r#"PUT /queues/%2F/q {"durable":true}"#,
        r#"PUT /exchanges/%2F/x {"durable":true}"#,
        "POST /bindings/%2F/e/x/q/q {}",
        "DELETE /exchanges/%2F/x",
        "DELETE /queues/%2F/q",
        "DELETE /permissions/%2F/watcher",
        "DELETE /users/u",
        "DELETE /vhosts/v",
    ] {
        let (status, body) = bench.send(&format!("guest {request}")).await;
        assert_eq!(status, 500, "{request}: {body}");
    }
}

#[tokio::test]
async fn topic_permissions_are_kept_by_exchange() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            guest PUT /topic-permissions/%2F/manager {"exchange":"amq.topic","write":"^{username}","read":"^r"}
            guest PUT /topic-permissions/%2F/manager {"exchange":"a b/c","write":"","read":""}
            guest PUT /topic-permissions/%2F/manager {"exchange":"","write":"w","read":"r"}
            guest GET /topic-permissions
            guest GET /topic-permissions/%2F/manager/x?columns=exchange
            guest GET /users/manager/topic-permissions?columns=exchange
            guest GET /vhosts/%2F/topic-permissions?columns=exchange
            guest DELETE /topic-permissions/%2F/manager/x
            guest DELETE /topic-permissions/%2F/manager//
            guest GET /topic-permissions?columns=exchange
            guest DELETE /topic-permissions/%2F/manager
            guest DELETE /topic-permissions/%2F/manager
            guest GET /topic-permissions
            "#,
            &expect![[r#"
                guest PUT /topic-permissions/%2F/manager {"exchange":"amq.topic","write":"^{username}","read":"^r"}
                  201 
                guest PUT /topic-permissions/%2F/manager {"exchange":"a b/c","write":"","read":""}
                  204 
                guest PUT /topic-permissions/%2F/manager {"exchange":"","write":"w","read":"r"}
                  204 
                guest GET /topic-permissions
                  200 [{"user":"manager","vhost":"/","exchange":"","write":"w","read":"r"},{"user":"manager","vhost":"/","exchange":"a b/c","write":"","read":""},{"user":"manager","vhost":"/","exchange":"amq.topic","write":"^{username}","read":"^r"}]
                guest GET /topic-permissions/%2F/manager/x?columns=exchange
                  200 [{"exchange":""},{"exchange":"a b/c"},{"exchange":"amq.topic"}]
                guest GET /users/manager/topic-permissions?columns=exchange
                  200 [{"exchange":""},{"exchange":"a b/c"},{"exchange":"amq.topic"}]
                guest GET /vhosts/%2F/topic-permissions?columns=exchange
                  200 [{"exchange":""},{"exchange":"a b/c"},{"exchange":"amq.topic"}]
                guest DELETE /topic-permissions/%2F/manager/x
                  204 
                guest DELETE /topic-permissions/%2F/manager//
                  204 
                guest GET /topic-permissions?columns=exchange
                  200 [{"exchange":"a b/c"},{"exchange":"amq.topic"}]
                guest DELETE /topic-permissions/%2F/manager
                  204 
                guest DELETE /topic-permissions/%2F/manager
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest GET /topic-permissions
                  200 []
            "#]],
        )
        .await;
}

#[tokio::test]
async fn topic_permissions_that_cannot_be_are_refused() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            guest PUT /topic-permissions/%2F/manager {"write":"w"}
            guest PUT /topic-permissions/%2F/manager {"exchange":"x","write":"(","read":""}
            guest PUT /topic-permissions/%2F/manager {"exchange":"x","write":"","read":"(?=a"}
            guest PUT /topic-permissions/%2F/manager {"exchange":"x","write":5,"read":""}
            guest PUT /topic-permissions/%2F/manager {"exchange":5,"write":"","read":""}
            guest PUT /topic-permissions/%2F/stranger {"exchange":"x","write":"","read":""}
            guest PUT /topic-permissions/nope/manager {"exchange":"x","write":"","read":""}
            guest POST /topic-permissions/%2F/manager {}
            guest GET /topic-permissions/%2F/manager
            guest GET /users/stranger/topic-permissions
            guest GET /vhosts/nope/topic-permissions
            guest GET /topic-permissions/%2F
            "#,
            &expect![[r#"
                guest PUT /topic-permissions/%2F/manager {"write":"w"}
                  400 {"error":"bad_request","reason":"[{key_missing,exchange},{key_missing,read}]"}
                guest PUT /topic-permissions/%2F/manager {"exchange":"x","write":"(","read":""}
                  400 {"error":"bad_request","reason":["invalid_regexp","(","Parsing error at position 1: Opening parenthesis without closing parenthesis"]}
                guest PUT /topic-permissions/%2F/manager {"exchange":"x","write":"","read":"(?=a"}
                  400 {"error":"bad_request","reason":["invalid_regexp","(?=a","Parsing error at position 4: Opening parenthesis without closing parenthesis"]}
                guest PUT /topic-permissions/%2F/manager {"exchange":"x","write":5,"read":""}
                  400 {"error":"bad_request","reason":["not_string",5]}
                guest PUT /topic-permissions/%2F/manager {"exchange":5,"write":"","read":""}
                  400 {"error":"bad_request","reason":["not_string",5]}
                guest PUT /topic-permissions/%2F/stranger {"exchange":"x","write":"","read":""}
                  400 {"error":"bad_request","reason":"vhost_or_user_not_found"}
                guest PUT /topic-permissions/nope/manager {"exchange":"x","write":"","read":""}
                  400 {"error":"bad_request","reason":"vhost_or_user_not_found"}
                guest POST /topic-permissions/%2F/manager {}
                  405 
                guest GET /topic-permissions/%2F/manager
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest GET /users/stranger/topic-permissions
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest GET /vhosts/nope/topic-permissions
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest GET /topic-permissions/%2F
                  404 {"error":"Object Not Found","reason":"Not Found"}
            "#]],
        )
        .await;
    let long = "x".repeat(1025);
    let body = format!(r#"{{"exchange":"x","write":"{long}","read":""}}"#);
    let (status, _) = bench.send(&format!("guest PUT /topic-permissions/%2F/manager {body}")).await;
    assert_eq!(status, 400);
}
