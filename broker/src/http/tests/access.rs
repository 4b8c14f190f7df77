//! Who gets in, and which tag opens which route.

use axum::{body::Body, http::header};
use expect_test::expect;

use super::bench::Bench;
use crate::limits::HTTP_FIELDS_MAX;

#[tokio::test]
async fn callers_over_tcp_log_in() {
    let bench = Bench::new().await;
    bench
        .check(
            "
            anonymous GET /whoami
            guest:wrong GET /whoami
            stranger GET /whoami
            nobody GET /whoami
            remote GET /whoami
            guest GET /whoami
            manager GET /whoami
            control GET /whoami
            anonymous GET /nope
            guest GET /nope
            ",
            &expect![[r#"
                anonymous GET /whoami
                  401 
                guest:wrong GET /whoami
                  401 {"error":"not_authorized","reason":"Not_Authorized"}
                stranger GET /whoami
                  401 {"error":"not_authorized","reason":"Not_Authorized"}
                nobody GET /whoami
                  401 {"error":"not_authorised","reason":"Not management user"}
                remote GET /whoami
                  401 {"error":"not_authorised","reason":"User can only log in via localhost"}
                guest GET /whoami
                  200 {"name":"guest","tags":["administrator"]}
                manager GET /whoami
                  200 {"name":"manager","tags":["management"]}
                control GET /whoami
                  200 {"name":"","tags":["administrator"]}
                anonymous GET /nope
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest GET /nope
                  404 {"error":"Object Not Found","reason":"Not Found"}
            "#]],
        )
        .await;
    for (line, has_challenge) in
        [("anonymous GET /whoami", true), ("guest:no GET /whoami", true), ("nobody GET /whoami", false)]
    {
        let response = bench.respond(line).await;
        assert_eq!(response.headers().contains_key(header::WWW_AUTHENTICATE), has_challenge, "{line}");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-cache");
    }
}

/// Each route with the status for the management, monitoring and administrator user, and at the control socket.
const RIGHTS: &[(&str, [u16; 4])] = &[
    ("GET /overview", [200, 200, 200, 200]),
    ("GET /whoami", [200, 200, 200, 200]),
    ("GET /cluster-name", [200, 200, 200, 200]),
    ("GET /version", [200, 200, 200, 200]),
    ("GET /extensions", [200, 200, 200, 200]),
    ("GET /nodes", [401, 200, 200, 200]),
    ("GET /nodes/rabbit@test", [401, 200, 200, 200]),
    ("GET /nodes/rabbit@elsewhere", [401, 404, 404, 404]),
    ("GET /users", [401, 401, 200, 200]),
    ("GET /users/guest", [401, 401, 200, 200]),
    ("GET /users/guest/permissions", [401, 401, 200, 200]),
    ("GET /permissions", [401, 401, 200, 200]),
    ("GET /permissions/%2F/guest", [401, 401, 200, 200]),
    ("GET /users/guest/topic-permissions", [401, 401, 200, 200]),
    ("GET /vhosts/%2F/topic-permissions", [401, 401, 200, 200]),
    ("GET /topic-permissions", [401, 401, 200, 200]),
    ("GET /topic-permissions/%2F/guest", [401, 401, 404, 404]),
    ("GET /vhost-limits", [200, 200, 200, 200]),
    ("GET /vhost-limits/%2F", [200, 200, 200, 200]),
    ("GET /vhost-limits/nope", [404, 404, 404, 404]),
    ("GET /user-limits", [200, 200, 200, 200]),
    ("GET /user-limits/manager", [200, 200, 200, 200]),
    ("GET /user-limits/guest", [404, 200, 200, 200]),
    (r#"PUT /vhost-limits/%2F/max-queues {"value":-1}"#, [401, 401, 204, 204]),
    ("DELETE /vhost-limits/%2F/max-queues", [401, 401, 204, 204]),
    (r#"PUT /user-limits/manager/max-channels {"value":-1}"#, [401, 401, 204, 204]),
    ("DELETE /user-limits/manager/max-channels", [401, 401, 204, 204]),
    ("GET /vhosts", [200, 200, 200, 200]),
    ("GET /vhosts/%2F", [401, 401, 200, 200]),
    ("GET /vhosts/%2F/permissions", [401, 401, 200, 200]),
    ("GET /vhosts/%2F/connections", [200, 401, 200, 200]),
    ("GET /vhosts/%2F/channels", [200, 401, 200, 200]),
    ("GET /queues", [200, 200, 200, 200]),
    ("GET /queues/%2F", [200, 401, 200, 200]),
    ("GET /queues/nope", [404, 404, 404, 404]),
    ("GET /exchanges/%2F", [200, 401, 200, 200]),
    ("GET /exchanges/%2F/amq.default", [200, 401, 200, 200]),
    ("GET /bindings/%2F", [200, 401, 200, 200]),
    ("GET /consumers/%2F", [200, 401, 200, 200]),
    ("GET /consumers", [200, 200, 200, 200]),
    ("GET /connections", [200, 200, 200, 200]),
    ("GET /channels", [200, 200, 200, 200]),
    ("GET /aliveness-test/%2F", [401, 401, 200, 200]),
    ("GET /health/checks/alarms", [200, 200, 200, 200]),
    ("GET /liebre/status", [401, 200, 200, 200]),
    ("GET /liebre/environment", [401, 401, 200, 200]),
    (r#"POST /liebre/authenticate {"username":"guest","password":"pw"}"#, [401, 401, 200, 200]),
    (r#"PUT /users/x {"tags":""}"#, [401, 401, 201, 204]),
    (r#"PUT /vhosts/x {}"#, [401, 401, 201, 204]),
    (r#"PUT /permissions/x/x {"configure":"","write":"","read":""}"#, [401, 401, 201, 204]),
    (r#"PUT /topic-permissions/x/x {"exchange":"t","write":"","read":""}"#, [401, 401, 201, 204]),
    (r#"DELETE /topic-permissions/x/x/t"#, [401, 401, 204, 404]),
    ("PUT /queues/x/mine {}", [401, 401, 201, 204]),
    ("PUT /queues/%2F/mine {}", [401, 401, 201, 204]),
    ("PUT /queues/%2F/my-own {}", [201, 401, 204, 204]),
    ("DELETE /queues/%2F/my-own/contents", [204, 401, 204, 204]),
    ("DELETE /queues/%2F/mine/contents", [401, 401, 204, 204]),
    ("DELETE /queues/%2F/mine", [401, 401, 204, 404]),
    ("PUT /exchanges/%2F/mine {}", [401, 401, 201, 204]),
    ("DELETE /exchanges/%2F/mine", [401, 401, 204, 404]),
    ("PUT /exchanges/%2F/my-own {}", [201, 401, 204, 204]),
    ("POST /bindings/%2F/e/my-own/q/my-own {}", [201, 401, 201, 201]),
    ("POST /bindings/%2F/e/amq.topic/q/my-own {}", [401, 401, 201, 201]),
    ("DELETE /bindings/%2F/e/my-own/q/my-own/~", [204, 401, 404, 404]),
    ("DELETE /permissions/x/x", [401, 401, 204, 404]),
    ("DELETE /vhosts/x", [401, 401, 204, 404]),
    ("DELETE /users/x", [401, 401, 204, 404]),
    ("DELETE /connections/nope", [404, 404, 404, 404]),
];

#[tokio::test]
async fn tags_and_permissions_open_routes() {
    let bench = Bench::new().await;
    for (request, statuses) in RIGHTS {
        for (caller, expected) in ["manager", "watcher", "guest", "control"].into_iter().zip(statuses) {
            let (status, body) = bench.send(&format!("{caller} {request}")).await;
            assert_eq!(status, *expected, "{caller} {request}: {body}");
        }
    }
}

#[tokio::test]
async fn an_administrator_sees_all_vhosts_but_needs_permissions_to_change_them() {
    let bench = Bench::new().await;
    bench
        .check(
            "
            control PUT /vhosts/foreign {}
            guest GET /queues/foreign
            guest PUT /queues/foreign/q {}
            control PUT /queues/foreign/q {}
            guest GET /queues?columns=name,vhost
            guest DELETE /queues/foreign/q
            manager GET /vhosts?columns=name
            watcher GET /vhosts?columns=name
            watcher GET /queues
            ",
            &expect![[r#"
                control PUT /vhosts/foreign {}
                  201 
                guest GET /queues/foreign
                  200 []
                guest PUT /queues/foreign/q {}
                  401 {"error":"not_authorised","reason":"Access refused."}
                control PUT /queues/foreign/q {}
                  201 
                guest GET /queues?columns=name,vhost
                  200 [{"name":"q","vhost":"foreign"}]
                guest DELETE /queues/foreign/q
                  401 {"error":"not_authorised","reason":"Access refused."}
                manager GET /vhosts?columns=name
                  200 [{"name":"/"}]
                watcher GET /vhosts?columns=name
                  200 [{"name":"/"},{"name":"foreign"}]
                watcher GET /queues
                  200 []
            "#]],
        )
        .await;
}

#[tokio::test]
async fn methods_that_a_path_lacks_are_named() {
    let bench = Bench::new().await;
    for (request, status, allow) in [
        ("guest PATCH /users/guest", 405, "HEAD, GET, PUT, DELETE, OPTIONS"),
        ("guest POST /queues", 405, "HEAD, GET, OPTIONS"),
        ("guest GET /queues/%2F/q/contents", 405, "DELETE, OPTIONS"),
        ("guest GET /liebre/stop", 405, "POST, OPTIONS"),
        ("guest OPTIONS /bindings/%2F/e/amq.topic/e/amq.direct", 200, "HEAD, GET, POST, OPTIONS"),
    ] {
        let response = bench.respond(request).await;
        let allowed = response.headers().get(header::ALLOW).and_then(|allow| allow.to_str().ok());
        assert_eq!((response.status().as_u16(), allowed), (status, Some(allow)), "{request}");
    }
    assert_eq!(bench.send("guest HEAD /whoami").await.0, 200);
}

#[tokio::test]
async fn a_body_is_as_long_as_its_limit_at_most() {
    let bench = Bench::new().await;
    let blanks = |count| Body::from(" ".repeat(count));
    let response = bench.request("guest", "PUT", "/users/u", blanks(HTTP_FIELDS_MAX)).await;
    assert_eq!(response.status(), 400);
    let response = bench.request("guest", "PUT", "/users/u", blanks(HTTP_FIELDS_MAX + 1)).await;
    assert_eq!(response.status(), 413);
    // What nobody may send is not read.
    let response = bench.request("nobody", "PUT", "/users/u", blanks(HTTP_FIELDS_MAX + 1)).await;
    assert_eq!(response.status(), 401);
}
