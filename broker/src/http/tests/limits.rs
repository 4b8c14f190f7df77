//! Limits of vhosts and users.

use expect_test::expect;

use super::bench::Bench;

#[tokio::test]
async fn limits_of_vhosts_are_set_shown_and_cleared() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            guest GET /vhost-limits
            guest PUT /vhost-limits/%2F/max-queues {"value":-1}
            guest PUT /vhost-limits/%2F/max-connections {"value":7}
            guest PUT /vhosts/%2F {"description":"other"}
            guest PUT /vhosts/foreign {}
            guest PUT /vhost-limits/foreign/max-queues {"value":0}
            guest GET /vhost-limits
            manager GET /vhost-limits
            manager GET /vhost-limits/foreign
            watcher GET /vhost-limits/foreign
            guest PUT /queues/foreign/q {}
            control PUT /queues/foreign/q {}
            guest DELETE /vhost-limits/%2F/max-queues
            guest DELETE /vhost-limits/%2F/max-queues
            guest GET /vhost-limits/%2F
            guest DELETE /vhosts/foreign
            guest PUT /vhosts/foreign {}
            guest GET /vhost-limits/foreign
            "#,
            &expect![[r#"
                guest GET /vhost-limits
                  200 []
                guest PUT /vhost-limits/%2F/max-queues {"value":-1}
                  204 
                guest PUT /vhost-limits/%2F/max-connections {"value":7}
                  204 
                guest PUT /vhosts/%2F {"description":"other"}
                  204 
                guest PUT /vhosts/foreign {}
                  201 
                guest PUT /vhost-limits/foreign/max-queues {"value":0}
                  204 
                guest GET /vhost-limits
                  200 [{"vhost":"/","value":{"max-connections":7,"max-queues":-1}},{"vhost":"foreign","value":{"max-queues":0}}]
                manager GET /vhost-limits
                  200 [{"vhost":"/","value":{"max-connections":7,"max-queues":-1}}]
                manager GET /vhost-limits/foreign
                  401 {"error":"not_authorised","reason":"User not authorised to access virtual host"}
                watcher GET /vhost-limits/foreign
                  200 [{"vhost":"foreign","value":{"max-queues":0}}]
                guest PUT /queues/foreign/q {}
                  400 {"error":"bad_request","reason":"cannot declare queue 'q': queue limit in vhost 'foreign' (0) is reached"}
                control PUT /queues/foreign/q {}
                  400 {"error":"bad_request","reason":"cannot declare queue 'q': queue limit in vhost 'foreign' (0) is reached"}
                guest DELETE /vhost-limits/%2F/max-queues
                  204 
                guest DELETE /vhost-limits/%2F/max-queues
                  204 
                guest GET /vhost-limits/%2F
                  200 [{"vhost":"/","value":{"max-connections":7}}]
                guest DELETE /vhosts/foreign
                  204 
                guest PUT /vhosts/foreign {}
                  201 
                guest GET /vhost-limits/foreign
                  200 []
            "#]],
        )
        .await;
}

#[tokio::test]
async fn limits_of_users_are_set_shown_and_cleared() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            guest PUT /user-limits/manager/max-channels {"value":2}
            guest PUT /users/manager {"tags":"management","password":"pw","limits":{"max-connections":3}}
            guest GET /users/manager?columns=limits
            guest PUT /user-limits/watcher/max-connections {"value":1}
            guest GET /user-limits
            manager GET /user-limits
            manager GET /user-limits/watcher
            guest GET /user-limits/guest
            guest DELETE /user-limits/manager/max-channels
            guest DELETE /user-limits/manager/max-nonsense
            guest GET /user-limits/manager
            guest DELETE /users/watcher
            guest GET /user-limits/watcher
            "#,
            &expect![[r#"
                guest PUT /user-limits/manager/max-channels {"value":2}
                  204 
                guest PUT /users/manager {"tags":"management","password":"pw","limits":{"max-connections":3}}
                  204 
                guest GET /users/manager?columns=limits
                  200 {"limits":{"max-channels":2,"max-connections":3}}
                guest PUT /user-limits/watcher/max-connections {"value":1}
                  204 
                guest GET /user-limits
                  200 [{"user":"manager","value":{"max-channels":2,"max-connections":3}},{"user":"watcher","value":{"max-connections":1}}]
                manager GET /user-limits
                  200 [{"user":"manager","value":{"max-channels":2,"max-connections":3}}]
                manager GET /user-limits/watcher
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest GET /user-limits/guest
                  200 []
                guest DELETE /user-limits/manager/max-channels
                  204 
                guest DELETE /user-limits/manager/max-nonsense
                  204 
                guest GET /user-limits/manager
                  200 [{"user":"manager","value":{"max-connections":3}}]
                guest DELETE /users/watcher
                  204 
                guest GET /user-limits/watcher
                  404 {"error":"Object Not Found","reason":"Not Found"}
            "#]],
        )
        .await;
}

#[tokio::test]
async fn limits_that_vhosts_cannot_have_are_refused() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            guest PUT /vhost-limits/%2F/max-queues {"value":"2"}
            guest PUT /vhost-limits/%2F/max-queues {"value":1.5}
            guest PUT /vhost-limits/%2F/max-queues {"value":9223372036854775808}
            guest PUT /vhost-limits/%2F/max-queues {"value":null}
            guest PUT /vhost-limits/%2F/max-queues {}
            guest PUT /vhost-limits/%2F/max-queues nojson
            guest PUT /vhost-limits/%2F/max-channels {"value":2}
            guest PUT /vhost-limits/%2F/%C3%B1%22 {"value":2}
            guest PUT /vhost-limits/nope/max-queues {"value":2}
            guest DELETE /vhost-limits/nope/max-queues
            guest GET /vhost-limits/%2F/max-queues
            guest POST /vhost-limits {}
            guest GET /vhost-limits
            "#,
            &expect![[r#"
                guest PUT /vhost-limits/%2F/max-queues {"value":"2"}
                  400 {"error":"bad_request","reason":"Validation failed\n\nmax-queues should be a number, actually was <<\"2\">>\n"}
                guest PUT /vhost-limits/%2F/max-queues {"value":1.5}
                  400 {"error":"bad_request","reason":"Validation failed\n\nmax-queues should be a number, actually was 1.5\n"}
                guest PUT /vhost-limits/%2F/max-queues {"value":9223372036854775808}
                  400 {"error":"bad_request","reason":"Validation failed\n\nmax-queues should be a number, actually was 9223372036854775808\n"}
                guest PUT /vhost-limits/%2F/max-queues {"value":null}
                  400 {"error":"bad_request","reason":"Validation failed\n\nmax-queues should be a number, actually was null\n"}
                guest PUT /vhost-limits/%2F/max-queues {}
                  400 {"error":"bad_request","reason":"[{key_missing,value}]"}
                guest PUT /vhost-limits/%2F/max-queues nojson
                  400 {"error":"bad_request","reason":"not_json"}
                guest PUT /vhost-limits/%2F/max-channels {"value":2}
                  400 {"error":"bad_request","reason":"Validation failed\n\nUnrecognised terms [{<<\"max-channels\">>,2}] in limits\n"}
                guest PUT /vhost-limits/%2F/%C3%B1%22 {"value":2}
                  400 {"error":"bad_request","reason":"Validation failed\n\nUnrecognised terms [{<<\"ñ\"\">>,2}] in limits\n"}
                guest PUT /vhost-limits/nope/max-queues {"value":2}
                  404 {"error":"not_found","reason":"vhost_not_found"}
                guest DELETE /vhost-limits/nope/max-queues
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest GET /vhost-limits/%2F/max-queues
                  405 
                guest POST /vhost-limits {}
                  405 
                guest GET /vhost-limits
                  200 []
            "#]],
        )
        .await;
}

#[tokio::test]
async fn limits_that_users_cannot_have_are_refused() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            guest PUT /user-limits/manager/max-channels {"value":[]}
            guest PUT /user-limits/manager/max-queues {"value":2}
            guest PUT /user-limits/stranger/max-channels {"value":2}
            guest DELETE /user-limits/stranger/max-channels
            guest DELETE /user-limits/manager
            guest PUT /users/manager {"tags":"","limits":{"max-x":1}}
            guest PUT /users/manager {"tags":"","limits":{"max-channels":"y"}}
            guest PUT /users/manager {"tags":"","limits":5}
            guest GET /users/manager?columns=tags,limits
            "#,
            &expect![[r#"
                guest PUT /user-limits/manager/max-channels {"value":[]}
                  400 {"error":"bad_request","reason":"max-channels should be a number, actually was []"}
                guest PUT /user-limits/manager/max-queues {"value":2}
                  400 {"error":"bad_request","reason":"Unrecognised terms [{<<\"max-queues\">>,2}] in user-limits"}
                guest PUT /user-limits/stranger/max-channels {"value":2}
                  400 {"error":"bad_request","reason":["no_such_user","stranger"]}
                guest DELETE /user-limits/stranger/max-channels
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest DELETE /user-limits/manager
                  405 
                guest PUT /users/manager {"tags":"","limits":{"max-x":1}}
                  400 {"error":"bad_request","reason":"Unrecognised terms [{<<\"max-x\">>,1}] in user-limits"}
                guest PUT /users/manager {"tags":"","limits":{"max-channels":"y"}}
                  400 {"error":"bad_request","reason":"max-channels should be a number, actually was <<\"y\">>"}
                guest PUT /users/manager {"tags":"","limits":5}
                  400 {"error":"bad_request","reason":["not_an_object",5]}
                guest GET /users/manager?columns=tags,limits
                  200 {"tags":["management"],"limits":{}}
            "#]],
        )
        .await;
}
