//! The routes about the process, as far as they need none: the rest is seen on the real program.

use std::sync::atomic::Ordering::Relaxed;

use expect_test::expect;

use super::bench::Bench;

#[tokio::test]
async fn the_process_is_an_administrators() {
    Bench::new()
        .await
        .check(
            r#"
            watcher GET /liebre/log
            watcher GET /liebre/process
            watcher POST /liebre/stop-app
            control GET /liebre/log
            control GET /liebre/log?since=7
            control GET /liebre/log?lines=many
            control DELETE /liebre/log
            control PUT /liebre/log-level {"level":"warning"}
            control PUT /liebre/log-level {"level":"loud"}
            control PUT /liebre/log-level {}
            control PUT /liebre/listeners {"suspended":"perhaps"}
            control PUT /liebre/maintenance {}
            control GET /liebre/maintenance
            control GET /liebre/nonsense
            "#,
            &expect![[r#"
                watcher GET /liebre/log
                  401 {"error":"not_authorised","reason":"Not administrator user"}
                watcher GET /liebre/process
                  401 {"error":"not_authorised","reason":"Not administrator user"}
                watcher POST /liebre/stop-app
                  401 {"error":"not_authorised","reason":"Not administrator user"}
                control GET /liebre/log
                  200 {"lines":[],"next":0}
                control GET /liebre/log?since=7
                  200 {"lines":[],"next":0}
                control GET /liebre/log?lines=many
                  400 {"error":"bad_request","reason":"'lines' is a number"}
                control DELETE /liebre/log
                  405 
                control PUT /liebre/log-level {"level":"warning"}
                  204 
                control PUT /liebre/log-level {"level":"loud"}
                  400 {"error":"bad_request","reason":"level loud is not supported. Try one of debug, info, warning, error, critical, none"}
                control PUT /liebre/log-level {}
                  400 {"error":"bad_request","reason":"[{key_missing,level}]"}
                control PUT /liebre/listeners {"suspended":"perhaps"}
                  400 {"error":"bad_request","reason":["not_boolean","perhaps"]}
                control PUT /liebre/maintenance {}
                  400 {"error":"bad_request","reason":"[{key_missing,enabled}]"}
                control GET /liebre/maintenance
                  405 
                control GET /liebre/nonsense
                  404 {"error":"Object Not Found","reason":"Not Found"}
            "#]],
        )
        .await;
}

#[tokio::test]
async fn a_running_broker_is_not_reset_and_can_be_stopped_alone() {
    let bench = Bench::new().await;
    bench
        .check(
            "
            control POST /liebre/start-app
            control POST /liebre/reset
            control GET /liebre/stop-app
            ",
            &expect![[r#"
                control POST /liebre/start-app
                  204 
                control POST /liebre/reset
                  400 {"error":"bad_request","reason":"the broker must be stopped first"}
                control GET /liebre/stop-app
                  405 
            "#]],
        )
        .await;
    assert!(!*bench.api.stop.borrow());
    bench
        .check(
            "guest POST /liebre/stop-app",
            &expect![[r#"
        guest POST /liebre/stop-app
          204 
    "#]],
        )
        .await;
    assert!(*bench.api.stop.borrow() && bench.api.keeps_process.load(Relaxed));
}
