//! The broker and its node: which fields there are, and which of them are what.

use expect_test::expect;
use serde_json::{Value, json};

use super::bench::Bench;

async fn object(bench: &Bench, request: &str) -> Value {
    let (status, body) = bench.send(request).await;
    assert_eq!(status, 200, "{request}: {body}");
    serde_json::from_str(&body).unwrap()
}

fn names(object: &Value) -> String {
    object.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>().join("\n")
}

/// Rates stand beside their numbers.
fn without_details(names: &str) -> String {
    names.lines().filter(|name| !name.ends_with("_details")).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn overview_counts_what_the_caller_may_see() {
    let bench = Bench::new().await;
    bench.send("control PUT /vhosts/other {}").await;
    bench.send("control PUT /queues/other/q {}").await;
    bench
        .check(
            "
            guest GET /overview?columns=cluster_name,node,listeners,object_totals,queue_totals,churn_rates
            manager GET /overview?columns=node,listeners,object_totals
            guest GET /cluster-name
            guest GET /version
            guest GET /extensions
            ",
            &expect![[r#"
                guest GET /overview?columns=cluster_name,node,listeners,object_totals,queue_totals,churn_rates
                  200 {"cluster_name":"rabbit@test","churn_rates":{"connection_created":0,"connection_created_details":{"rate":0.0},"connection_closed":0,"connection_closed_details":{"rate":0.0},"channel_created":0,"channel_created_details":{"rate":0.0},"channel_closed":0,"channel_closed_details":{"rate":0.0},"queue_declared":1,"queue_declared_details":{"rate":0.2},"queue_created":1,"queue_created_details":{"rate":0.2},"queue_deleted":0,"queue_deleted_details":{"rate":0.0}},"queue_totals":{"messages":0,"messages_details":{"rate":0.0},"messages_ready":0,"messages_ready_details":{"rate":0.0},"messages_unacknowledged":0,"messages_unacknowledged_details":{"rate":0.0}},"object_totals":{"connections":0,"exchanges":14,"queues":1,"channels":0,"consumers":0},"node":"rabbit@test","listeners":[{"node":"rabbit@test","protocol":"amqp","ip_address":"127.0.0.1","port":5672,"socket_opts":{}},{"node":"rabbit@test","protocol":"http","ip_address":"127.0.0.1","port":15672,"socket_opts":{}},{"node":"rabbit@test","protocol":"http/prometheus","ip_address":"127.0.0.1","port":15692,"socket_opts":{}}]}
                manager GET /overview?columns=node,listeners,object_totals
                  200 {"object_totals":{"connections":0,"exchanges":7,"queues":0,"channels":0,"consumers":0}}
                guest GET /cluster-name
                  200 {"name":"rabbit@test"}
                guest GET /version
                  200 "4.2.0"
                guest GET /extensions
                  200 []
            "#]],
        )
        .await;
    expect![[r#"
        management_version
        rates_mode
        sample_retention_policies
        exchange_types
        product_name
        product_version
        rabbitmq_version
        cluster_name
        cluster_tags
        node_tags
        erlang_version
        erlang_full_version
        default_queue_type
        is_op_policy_updating_enabled
        disable_stats
        enable_queue_totals
        message_stats
        churn_rates
        queue_totals
        object_totals
        statistics_db_event_queue
        node
        listeners
        contexts"#]]
    .assert_eq(&names(&object(&bench, "guest GET /overview").await));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_node_tells_what_the_tools_read() {
    let bench = Bench::new().await;
    let node = object(&bench, "guest GET /nodes/rabbit@test?memory=true").await;
    assert_eq!(node["uptime"], 90_000);
    assert_eq!(node["os_pid"], std::process::id().to_string());
    assert_eq!(node["db_dir"], "/");
    for field in ["mem_used", "disk_free", "fd_total", "fd_used", "processors"] {
        assert!(node[field].as_u64().is_some_and(|count| count > 0), "{field}: {node}");
    }
    assert_eq!(node["memory"]["total"]["rss"], node["mem_used"]);
    assert_eq!(node["config_files"], json!(["/etc/rabbitmq/rabbitmq.conf"]));
    assert_eq!(node["enabled_plugins"], json!(["rabbitmq_management", "rabbitmq_prometheus"]));
    expect![[r#"
        name
        type
        running
        being_drained
        uptime
        os_pid
        processors
        rates_mode
        mem_alarm
        disk_free_limit
        disk_free_alarm
        proc_total
        run_queue
        net_ticktime
        partitions
        cluster_links
        metrics_gc_queue_length
        enabled_plugins
        applications
        auth_mechanisms
        exchange_types
        config_files
        log_files
        db_dir
        contexts
        mem_used
        fd_used
        sockets_used
        proc_used
        disk_free
        io_read_count
        io_read_bytes
        io_write_count
        io_write_bytes
        io_sync_count
        connection_created
        connection_closed
        channel_created
        channel_closed
        queue_declared
        queue_created
        queue_deleted
        io_sync_avg_time
        mem_limit
        fd_total
        sockets_total
        mem_calculation_strategy
        memory"#]]
    .assert_eq(&without_details(&names(&node)));
}

#[tokio::test]
async fn health_checks_pass_or_say_why_not() {
    let bench = Bench::new().await;
    bench
        .check(
            "
            guest GET /health/checks/alarms
            guest GET /health/checks/local-alarms
            guest GET /health/checks/virtual-hosts
            guest GET /health/checks/port-listener/5672
            guest GET /health/checks/port-listener/5673
            guest GET /health/checks/protocol-listener/http%2Fprometheus
            guest GET /health/checks/port-listener/15692
            guest GET /health/checks/port-listener/first
            guest GET /health/checks/protocol-listener/amqp091
            guest GET /health/checks/protocol-listener/mqtt
            guest GET /health/checks/nope
            guest GET /health/checks
            guest GET /aliveness-test/%2F
            guest GET /aliveness-test/nope
            ",
            &expect![[r#"
                guest GET /health/checks/alarms
                  200 {"status":"ok"}
                guest GET /health/checks/local-alarms
                  200 {"status":"ok"}
                guest GET /health/checks/virtual-hosts
                  200 {"status":"ok"}
                guest GET /health/checks/port-listener/5672
                  200 {"status":"ok","port":5672}
                guest GET /health/checks/port-listener/5673
                  503 {"status":"failed","reason":"No active listener","missing":5673,"ports":[5672,15672,15692]}
                guest GET /health/checks/protocol-listener/http%2Fprometheus
                  200 {"status":"ok","protocol":"http/prometheus"}
                guest GET /health/checks/port-listener/15692
                  200 {"status":"ok","port":15692}
                guest GET /health/checks/port-listener/first
                  400 {"error":"bad_request","reason":"Invalid port"}
                guest GET /health/checks/protocol-listener/amqp091
                  200 {"status":"ok","protocol":"amqp"}
                guest GET /health/checks/protocol-listener/mqtt
                  503 {"status":"failed","reason":"No active listener","missing":"mqtt","protocols":["amqp","http","http/prometheus"]}
                guest GET /health/checks/nope
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest GET /health/checks
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest GET /aliveness-test/%2F
                  200 {"status":"ok"}
                guest GET /aliveness-test/nope
                  404 {"error":"Object Not Found","reason":"Not Found"}
            "#]],
        )
        .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn alarms_are_seen_everywhere() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            control PUT /liebre/disk-free-limit {"absolute":"15000PB"}
            guest GET /health/checks/alarms
            control PUT /liebre/vm-memory-high-watermark {"relative":0.0}
            guest GET /health/checks/local-alarms
            guest GET /nodes?columns=mem_limit,mem_alarm,disk_free_limit,disk_free_alarm
            control GET /liebre/status?columns=memory_high_watermark
            control PUT /liebre/disk-free-limit {"absolute":1000}
            control PUT /liebre/vm-memory-high-watermark {"absolute":"1000GB"}
            guest GET /nodes?columns=mem_limit,mem_alarm,disk_free_limit,disk_free_alarm
            guest GET /health/checks/alarms
            control PUT /liebre/disk-free-limit {"absolute":"much"}
            control PUT /liebre/disk-free-limit {"relative":-1}
            control PUT /liebre/disk-free-limit {}
            control PUT /liebre/vm-memory-high-watermark {"relative":1.5}
            manager PUT /liebre/disk-free-limit {"absolute":0}
            control GET /liebre/disk-free-limit
            "#,
            &expect![[r#"
                control PUT /liebre/disk-free-limit {"absolute":"15000PB"}
                  204 
                guest GET /health/checks/alarms
                  503 {"status":"failed","reason":"There are alarms in effect in the cluster","alarms":[{"node":"rabbit@test","resource":"disk space"}]}
                control PUT /liebre/vm-memory-high-watermark {"relative":0.0}
                  204 
                guest GET /health/checks/local-alarms
                  503 {"status":"failed","reason":"There are alarms in effect on the node","alarms":[{"node":"rabbit@test","resource":"memory"},{"node":"rabbit@test","resource":"disk space"}]}
                guest GET /nodes?columns=mem_limit,mem_alarm,disk_free_limit,disk_free_alarm
                  200 [{"mem_alarm":true,"disk_free_limit":15000000000000000000,"disk_free_alarm":true,"mem_limit":0}]
                control GET /liebre/status?columns=memory_high_watermark
                  200 {"memory_high_watermark":{"relative":0.0}}
                control PUT /liebre/disk-free-limit {"absolute":1000}
                  204 
                control PUT /liebre/vm-memory-high-watermark {"absolute":"1000GB"}
                  204 
                guest GET /nodes?columns=mem_limit,mem_alarm,disk_free_limit,disk_free_alarm
                  200 [{"mem_alarm":false,"disk_free_limit":1000,"disk_free_alarm":false,"mem_limit":1000000000000}]
                guest GET /health/checks/alarms
                  200 {"status":"ok"}
                control PUT /liebre/disk-free-limit {"absolute":"much"}
                  400 {"error":"bad_request","reason":"'much' is no size: bytes, or a number with a unit as in 500MiB or 2GB"}
                control PUT /liebre/disk-free-limit {"relative":-1}
                  400 {"error":"bad_request","reason":"'-1' is no factor of memory: 0.0 or more it may be"}
                control PUT /liebre/disk-free-limit {}
                  400 {"error":"bad_request","reason":"a limit is a size, 'absolute', or a share of memory, 'relative'"}
                control PUT /liebre/vm-memory-high-watermark {"relative":1.5}
                  400 {"error":"bad_request","reason":"'1.5' is no share of memory: 0.0 to 1.0 it may be"}
                manager PUT /liebre/disk-free-limit {"absolute":0}
                  401 {"error":"not_authorised","reason":"Not administrator user"}
                control GET /liebre/disk-free-limit
                  405 
            "#]],
        )
        .await;
}

#[tokio::test]
async fn own_routes_serve_the_admin_tools() {
    let bench = Bench::new().await;
    bench
        .check(
            r#"
            control POST /liebre/authenticate {"username":"manager","password":"pw"}
            control POST /liebre/authenticate {"username":"manager","password":"no"}
            control POST /liebre/authenticate {"username":"stranger","password":"pw"}
            control POST /liebre/authenticate {"username":"manager"}
            control GET /liebre/environment
            manager POST /liebre/stop
            "#,
            &expect![[r#"
                control POST /liebre/authenticate {"username":"manager","password":"pw"}
                  200 {"authenticated":true}
                control POST /liebre/authenticate {"username":"manager","password":"no"}
                  200 {"authenticated":false}
                control POST /liebre/authenticate {"username":"stranger","password":"pw"}
                  200 {"authenticated":false}
                control POST /liebre/authenticate {"username":"manager"}
                  400 {"error":"bad_request","reason":"[{key_missing,password}]"}
                control GET /liebre/environment
                  200 {"listeners.tcp":["127.0.0.1:5672"],"management.tcp.ip":"127.0.0.1","management.tcp.port":15672,"cluster_name":"rabbit@test","loopback_users":["guest"],"heartbeat":60,"frame_max":131072,"initial_frame_max":8192,"channel_max":2047,"consumer_max_per_channel":10000,"max_message_size":134217728,"handshake_timeout":10000,"disk_free_limit.absolute":0,"management.rates_mode":"basic","consumer_timeout":1800000,"vm_memory_high_watermark":"never"}
                manager POST /liebre/stop
                  401 {"error":"not_authorised","reason":"Not administrator user"}
            "#]],
        )
        .await;
    let stop = bench.api.stop.subscribe();
    assert!(!*stop.borrow());
    assert_eq!(bench.send("guest POST /liebre/stop").await.0, 204);
    assert!(*stop.borrow());
}
