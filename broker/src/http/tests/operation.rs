//! Health checks, logins, and what concerns clusters and upgrades.

use expect_test::expect;
use serde_json::Value;

use super::bench::Bench;
use crate::connection::alarm::Alarm;

#[tokio::test]
async fn a_healthy_node_passes_every_check() {
    let bench = Bench::new().await;
    bench
        .check(
            "
            guest GET /healthchecks/node
            guest GET /healthchecks/node/rabbit@test
            guest GET /healthchecks/node/other
            guest GET /health/checks/certificate-expiration/1/weeks
            guest GET /health/checks/certificate-expiration/x/weeks
            guest GET /health/checks/certificate-expiration/1/hours
            guest GET /health/checks/node-is-quorum-critical
            guest GET /health/checks/node-is-mirror-sync-critical
            guest GET /health/checks/virtual-hosts
            guest GET /health/checks/is-in-service
            guest GET /health/checks/below-node-connection-limit
            guest GET /health/checks/ready-to-serve-clients
            guest GET /health/checks/reached-target-cluster-size
            guest GET /health/checks/metadata-store/initialized
            guest GET /health/checks/metadata-store/initialized/with-data
            guest GET /health/checks/quorum-queues-without-elected-leaders/all-vhosts
            guest GET /health/checks/quorum-queues-without-elected-leaders/vhost/%2F/pattern/.*
            guest GET /health/checks/quorum-queues-without-elected-leaders/vhost/none
            guest GET /health/checks/nothing
            manager GET /health/checks/virtual-hosts
            ",
            &expect![[r#"
                guest GET /healthchecks/node
                  200 {"status":"ok"}
                guest GET /healthchecks/node/rabbit@test
                  200 {"status":"ok"}
                guest GET /healthchecks/node/other
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest GET /health/checks/certificate-expiration/1/weeks
                  200 {"status":"ok"}
                guest GET /health/checks/certificate-expiration/x/weeks
                  400 {"error":"bad_request","reason":"Invalid expiration value."}
                guest GET /health/checks/certificate-expiration/1/hours
                  400 {"error":"bad_request","reason":"Time unit not recognised. Supported units: days, weeks, months, years."}
                guest GET /health/checks/node-is-quorum-critical
                  200 {"status":"ok","reason":"single node cluster"}
                guest GET /health/checks/node-is-mirror-sync-critical
                  200 {"status":"ok","reason":"single node cluster"}
                guest GET /health/checks/virtual-hosts
                  200 {"status":"ok"}
                guest GET /health/checks/is-in-service
                  200 {"status":"ok"}
                guest GET /health/checks/below-node-connection-limit
                  200 {"status":"ok","current":0,"limit":"infinity"}
                guest GET /health/checks/ready-to-serve-clients
                  200 {"status":"ok","current":0,"limit":"infinity"}
                guest GET /health/checks/reached-target-cluster-size
                  200 {"status":"ok"}
                guest GET /health/checks/metadata-store/initialized
                  200 {"status":"ok"}
                guest GET /health/checks/metadata-store/initialized/with-data
                  200 {"status":"ok"}
                guest GET /health/checks/quorum-queues-without-elected-leaders/all-vhosts
                  200 {"status":"ok"}
                guest GET /health/checks/quorum-queues-without-elected-leaders/vhost/%2F/pattern/.*
                  200 {"status":"ok"}
                guest GET /health/checks/quorum-queues-without-elected-leaders/vhost/none
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest GET /health/checks/nothing
                  404 {"error":"Object Not Found","reason":"Not Found"}
                manager GET /health/checks/virtual-hosts
                  200 {"status":"ok"}
            "#]],
        )
        .await;
}

#[tokio::test]
async fn an_alarm_or_the_end_fails_a_check() {
    let bench = Bench::new().await;
    assert!(bench.api.node.set_alarm(Alarm::Disk, true));
    bench.api.stop.send_replace(true);
    bench
        .check(
            "
            guest GET /healthchecks/node
            guest GET /health/checks/local-alarms
            guest GET /health/checks/ready-to-serve-clients
            ",
            &expect![[r#"
                guest GET /healthchecks/node
                  200 {"status":"failed","reason":"resource alarm(s) in effect","alarms":[{"node":"rabbit@test","resource":"disk space"}]}
                guest GET /health/checks/local-alarms
                  503 {"status":"failed","reason":"There are alarms in effect on the node","alarms":[{"node":"rabbit@test","resource":"disk space"}]}
                guest GET /health/checks/ready-to-serve-clients
                  503 {"status":"failed","reason":"the broker is stopping"}
            "#]],
        )
        .await;
}

#[tokio::test]
async fn stuck_amqp_threads_fail_a_check() {
    let mut bench = Bench::new().await;
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let (go_on, told) = std::sync::mpsc::channel::<()>();
    threads.spawn(async move { told.recv() });
    std::sync::Arc::get_mut(&mut bench.api).unwrap().runtime = threads.handle().clone();
    // Not before: something has to wait in real time for the threads of the first broker.
    tokio::time::pause();
    let checks = "
        guest GET /healthchecks/node
        guest GET /health/checks/ready-to-serve-clients
        guest GET /aliveness-test/%2F
        guest GET /health/checks/alarms
        ";
    bench
        .check(
            checks,
            &expect![[r#"
                guest GET /healthchecks/node
                  200 {"status":"failed","reason":"AMQP connections get no answers: their threads are stuck"}
                guest GET /health/checks/ready-to-serve-clients
                  503 {"status":"failed","reason":"AMQP connections get no answers: their threads are stuck"}
                guest GET /aliveness-test/%2F
                  503 {"status":"failed","reason":"AMQP connections get no answers: their threads are stuck"}
                guest GET /health/checks/alarms
                  200 {"status":"ok"}
            "#]],
        )
        .await;
    tokio::time::resume();
    drop(go_on);
    let well = bench.send("guest GET /healthchecks/node").await;
    assert_eq!(well, (200, r#"{"status":"ok"}"#.to_owned()));
    threads.shutdown_background();
}

#[tokio::test]
async fn logins_are_checked_and_counted() {
    let bench = Bench::new().await;
    bench.send("guest DELETE /auth/attempts/rabbit@test").await;
    bench
        .check(
            "
            anonymous POST /login username=guest&password=pw
            anonymous POST /login username=guest&password=wrong
            anonymous POST /login username=nobody&password=pw
            remote POST /login username=guest&password=pw
            anonymous POST /login {}
            anonymous DELETE /login
            guest GET /auth
            guest GET /auth/attempts/rabbit@test
            guest GET /auth/attempts/rabbit@test/source
            guest GET /auth/attempts/other
            manager GET /auth/attempts/rabbit@test
            guest GET /auth/hash_password/
            ",
            &expect![[r#"
                anonymous POST /login username=guest&password=pw
                  200 "ok"
                anonymous POST /login username=guest&password=wrong
                  401 {"error":"not_authorized","reason":"Not_Authorized"}
                anonymous POST /login username=nobody&password=pw
                  401 {"error":"not_authorised","reason":"Not management user"}
                remote POST /login username=guest&password=pw
                  401 {"error":"not_authorised","reason":"User can only log in via localhost"}
                anonymous POST /login {}
                  401 {"error":"not_authorized","reason":"Not_Authorized"}
                anonymous DELETE /login
                  204 
                guest GET /auth
                  200 {"oauth_enabled":false}
                guest GET /auth/attempts/rabbit@test
                  200 [{"protocol":"http","auth_attempts":6,"auth_attempts_failed":2,"auth_attempts_succeeded":4},{"protocol":"amqp091","auth_attempts":0,"auth_attempts_failed":0,"auth_attempts_succeeded":0}]
                guest GET /auth/attempts/rabbit@test/source
                  200 []
                guest GET /auth/attempts/other
                  404 {"error":"Object Not Found","reason":"Not Found"}
                manager GET /auth/attempts/rabbit@test
                  401 {"error":"not_authorised","reason":"Not monitor user"}
                guest GET /auth/hash_password/
                  404 {"error":"Object Not Found","reason":"Not Found"}
            "#]],
        )
        .await;
}

#[tokio::test]
async fn a_hash_of_a_password_lets_in() {
    let bench = Bench::new().await;
    let (status, body) = bench.send("manager GET /auth/hash_password/s%2Fecret%20").await;
    assert_eq!(status, 200, "{body}");
    let hash: Value = serde_json::from_str(&body).unwrap();
    let user = serde_json::json!({ "password_hash": hash["ok"], "tags": "management" });
    assert_eq!(bench.send(&format!("guest PUT /users/hashed {user}")).await.0, 201);
    assert_eq!(bench.request("hashed:s/ecret ", "GET", "/whoami", Default::default()).await.status(), 200);
    assert_eq!(bench.request("hashed:secret", "GET", "/whoami", Default::default()).await.status(), 401);
}

#[tokio::test]
async fn one_node_has_little_to_say_of_clusters() {
    let bench = Bench::new().await;
    bench.send("guest PUT /queues/%2F/q {}").await;
    bench
        .check(
            r#"
            guest GET /feature-flags?columns=name,state
            guest PUT /feature-flags/quorum_queue/enable {}
            guest PUT /feature-flags/nope/enable {}
            guest GET /deprecated-features
            guest GET /deprecated-features/used
            guest DELETE /reset
            guest DELETE /reset/other
            guest POST /rebalance/queues
            guest GET /queues/quorum/%2F/q/status
            guest GET /queues/quorum/%2F/none/status
            guest POST /queues/quorum/%2F/q/replicas/add {"node":"rabbit@other"}
            guest DELETE /queues/quorum/replicas/on/rabbit@other/shrink {}
            guest POST /queues/%2F/q/actions {"action":"sync"}
            guest POST /queues/%2F/q/actions {"action":"dance"}
            guest POST /queues/%2F/q/actions {}
            guest POST /queues/%2F/none/actions {"action":"sync"}
            guest GET /queues/detailed?columns=name
            guest GET /nodes/rabbit@test/memory/relative
            guest GET /nodes/other/memory
            manager GET /nodes/rabbit@test/memory
            "#,
            &expect![[r#"
                guest GET /feature-flags?columns=name,state
                  200 [{"name":"classic_mirrored_queue_version","state":"enabled"},{"name":"drop_unroutable_metric","state":"enabled"},{"name":"empty_basic_get_metric","state":"enabled"},{"name":"implicit_default_bindings","state":"enabled"},{"name":"maintenance_mode_status","state":"enabled"},{"name":"quorum_queue","state":"enabled"},{"name":"user_limits","state":"enabled"},{"name":"virtual_host_metadata","state":"enabled"},{"name":"direct_exchange_routing_v2","state":"enabled"},{"name":"detailed_queues_endpoint","state":"enabled"},{"name":"rabbitmq_4.0.0","state":"enabled"},{"name":"rabbitmq_4.1.0","state":"enabled"},{"name":"rabbitmq_4.2.0","state":"enabled"}]
                guest PUT /feature-flags/quorum_queue/enable {}
                  204 
                guest PUT /feature-flags/nope/enable {}
                  400 {"error":"bad_request","reason":"unsupported"}
                guest GET /deprecated-features
                  200 []
                guest GET /deprecated-features/used
                  200 []
                guest DELETE /reset
                  204 
                guest DELETE /reset/other
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest POST /rebalance/queues
                  204 
                guest GET /queues/quorum/%2F/q/status
                  200 [{"Node Name":"rabbit@test","Raft State":"leader","Membership":"voter"}]
                guest GET /queues/quorum/%2F/none/status
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest POST /queues/quorum/%2F/q/replicas/add {"node":"rabbit@other"}
                  400 {"error":"bad_request","reason":"there is one node: every queue has its one replica here"}
                guest DELETE /queues/quorum/replicas/on/rabbit@other/shrink {}
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest POST /queues/%2F/q/actions {"action":"sync"}
                  204 
                guest POST /queues/%2F/q/actions {"action":"dance"}
                  400 {"error":"bad_request","reason":["unknown","dance"]}
                guest POST /queues/%2F/q/actions {}
                  400 {"error":"bad_request","reason":"[{key_missing,action}]"}
                guest POST /queues/%2F/none/actions {"action":"sync"}
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest GET /queues/detailed?columns=name
                  200 [{"name":"q"}]
                guest GET /nodes/rabbit@test/memory/relative
                  200 {"memory":{"total":100,"connection_readers":0,"connection_writers":0,"connection_channels":0,"connection_other":0,"queue_procs":0,"queue_slave_procs":0,"quorum_queue_procs":0,"quorum_queue_dlx_procs":0,"stream_queue_procs":0,"stream_queue_replica_reader_procs":0,"stream_queue_coordinator_procs":0,"plugins":0,"metadata_store":0,"other_proc":0,"metrics":0,"mgmt_db":0,"mnesia":0,"quorum_ets":0,"metadata_store_ets":0,"other_ets":0,"binary":0,"msg_index":0,"code":0,"atom":0,"other_system":100,"allocated_unused":0,"reserved_unallocated":0}}
                guest GET /nodes/other/memory
                  404 {"error":"Object Not Found","reason":"Not Found"}
                manager GET /nodes/rabbit@test/memory
                  401 {"error":"not_authorised","reason":"Not monitor user"}
            "#]],
        )
        .await;
}

#[tokio::test]
async fn a_protected_vhost_is_not_deleted() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            guest PUT /vhosts/v {"protected_from_deletion":true}
            guest DELETE /vhosts/v
            guest GET /vhosts/v/deletion/protection
            guest DELETE /vhosts/v/deletion/protection
            guest GET /vhosts/v?columns=protected_from_deletion
            guest POST /vhosts/v/deletion/protection
            guest PUT /vhosts/v {"description":"kept"}
            guest DELETE /vhosts/v
            guest PUT /vhosts/v {"protected_from_deletion":false}
            guest POST /vhosts/v/start/rabbit@test
            guest POST /vhosts/v/start/other
            guest DELETE /vhosts/v
            guest POST /vhosts/v/deletion/protection
            guest POST /vhosts/v/start/rabbit@test
            "#,
            &expect![[r#"
                guest PUT /vhosts/v {"protected_from_deletion":true}
                  201 
                guest DELETE /vhosts/v
                  412 {"error":"precondition_failed","reason":"refusing to delete virtual host 'v' because it is protected from deletion"}
                guest GET /vhosts/v/deletion/protection
                  200 {"protected_from_deletion":true}
                guest DELETE /vhosts/v/deletion/protection
                  204 
                guest GET /vhosts/v?columns=protected_from_deletion
                  200 {"protected_from_deletion":false}
                guest POST /vhosts/v/deletion/protection
                  204 
                guest PUT /vhosts/v {"description":"kept"}
                  204 
                guest DELETE /vhosts/v
                  412 {"error":"precondition_failed","reason":"refusing to delete virtual host 'v' because it is protected from deletion"}
                guest PUT /vhosts/v {"protected_from_deletion":false}
                  204 
                guest POST /vhosts/v/start/rabbit@test
                  204 
                guest POST /vhosts/v/start/other
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest DELETE /vhosts/v
                  204 
                guest POST /vhosts/v/deletion/protection
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest POST /vhosts/v/start/rabbit@test
                  404 {"error":"Object Not Found","reason":"Not Found"}
            "#]],
        )
        .await;
}

#[tokio::test]
async fn users_are_deleted_together() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            guest GET /users/without-permissions?columns=name
            guest POST /users/bulk-delete {}
            guest POST /users/bulk-delete {"users":"watcher"}
            guest POST /users/bulk-delete {"users":["watcher","none","nobody"]}
            guest POST /users/bulk-delete {"users":[5]}
            guest GET /users?columns=name
            guest POST /users/bulk-delete {"users":["nobody"]}
            guest GET /users/without-permissions
            "#,
            &expect![[r#"
                guest GET /users/without-permissions?columns=name
                  200 [{"name":"nobody"},{"name":"watcher"}]
                guest POST /users/bulk-delete {}
                  400 {"error":"bad_request","reason":"[{key_missing,users}]"}
                guest POST /users/bulk-delete {"users":"watcher"}
                  400 {"error":"bad_request","reason":["not_a_list","watcher"]}
                guest POST /users/bulk-delete {"users":["watcher","none","nobody"]}
                  400 {"error":"bad_request","reason":["no_such_user","none"]}
                guest POST /users/bulk-delete {"users":[5]}
                  400 {"error":"bad_request","reason":["no_such_user",5]}
                guest GET /users?columns=name
                  200 [{"name":"guest"},{"name":"manager"},{"name":"nobody"}]
                guest POST /users/bulk-delete {"users":["nobody"]}
                  204 
                guest GET /users/without-permissions
                  200 []
            "#]],
        )
        .await;
}

#[tokio::test]
async fn the_way_to_the_api_is_told() {
    let bench = Bench::new().await;
    let text = |path: &'static str| {
        let bench = &bench;
        async move {
            let response = bench.page(path).await;
            let status = response.status().as_u16();
            let location = response.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
            let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            (status, location, String::from_utf8(body.to_vec()).unwrap())
        }
    };
    let (status, _, page) = text("/").await;
    assert!(status == 200 && page.contains("/api/queues"), "{page}");
    let (status, _, page) = text("/cli/rabbitmqadmin").await;
    assert!(status == 404 && page.contains("works with this broker"), "{page}");
    for path in ["/api", "/api/", "/stats", "/doc/stats.html"] {
        let (status, location, _) = text(path).await;
        assert_eq!((status, location.as_deref()), (301, Some("/api/index.html")), "{path}");
    }
    assert_eq!(text("/api/index.html").await.0, 200);
    assert_eq!(text("/js/main.js").await.0, 404);
}
