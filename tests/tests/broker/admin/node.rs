//! The broker itself: is it there, how is it, where is it, stop it.

use expect_test::expect;
use liebre_tests::{admin::Admin, broker::Broker};

use super::check;

#[test]
fn the_broker() {
    let Some(mut broker) = Broker::own() else { return };
    let admin = broker.admin().unwrap();
    asked(&admin);
    status(&admin);
    environment(&admin);
    checked(&admin);
    plugins(&admin);
    over_tcp(&admin);
    check(
        &admin,
        &["rabbitmqctl stop"],
        expect![[r#"
        $ rabbitmqctl stop
        Stopping and halting node rabbit@host ...
    "#]],
    );
    assert_eq!(broker.wait_end(), Some(0));
    gone(&admin);
}

fn asked(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmqctl ping",
            "rabbitmq-diagnostics ping -t 5",
            "rabbitmqctl await_startup",
            "rabbitmqctl version",
            "rabbitmqctl --version",
            "rabbitmqctl ping --formatter json",
        ],
        expect![[r#"
            $ rabbitmqctl ping
            Will ping rabbit@host. This only checks if the OS process is running and registered with epmd. Timeout: 60000 ms.
            Ping succeeded
            $ rabbitmq-diagnostics ping -t 5
            Will ping rabbit@host. This only checks if the OS process is running and registered with epmd. Timeout: 5000 ms.
            Ping succeeded
            $ rabbitmqctl await_startup
            $ rabbitmqctl version
            4.2.0
            $ rabbitmqctl --version
            4.2.0
            $ rabbitmqctl ping --formatter json
            {"message":"Ping succeeded"}
        "#]],
    );
}

/// The headings, and the lines that don't differ from run to run.
fn status(admin: &Admin) {
    let status = admin.transcript(&["rabbitmqctl status"]);
    let varying =
        ["OS PID", "OS:", "Uptime", "Product version", "Runtime:", "Total memory", "Free disk space"];
    let is_varying = |line: &&str| {
        varying.iter().any(|start| line.starts_with(start))
            || line.ends_with(" %)")
            || line.contains("computed to")
    };
    let (told, stays): (Vec<&str>, Vec<&str>) = status.lines().partition(is_varying);
    for start in varying {
        assert!(told.iter().any(|line| line.starts_with(start)), "no line {start}:\n{status}");
    }
    expect![[r#"
        $ rabbitmqctl status
        Status of node rabbit@host ...
        Runtime

        Is under maintenance?: false
        Product name: Liebre
        RabbitMQ version: 4.2.0
        Node name: rabbit@host

        Plugins

        Enabled plugins:

         * rabbitmq_management

        Data directory

        Node data directory: DATA_DIR

        Config files

        (none)

        Log file(s)

         * <stderr>

        Alarms

        (none)

        Tags

        (none)

        Memory

        Calculation strategy: rss
        Memory high watermark setting: none

        Free Disk Space

        Low free disk space watermark: 0.1003 gb

        Totals

        Connection count: 0
        Queue count: 0
        Virtual host count: 1

        Listeners

        Interface: 127.0.0.1, port: AMQP_PORT, protocol: amqp, purpose: AMQP 0-9-1
        Interface: 127.0.0.1, port: HTTP_PORT, protocol: http, purpose: HTTP API"#]]
    .assert_eq(&stays.join("\n"));
}

fn environment(admin: &Admin) {
    check(
        admin,
        &["rabbitmqctl environment"],
        expect![[r#"
            $ rabbitmqctl environment
            Application environment of node rabbit@host ...
            [{liebre,
                 [{'listeners.tcp',["127.0.0.1:AMQP_PORT"]},
                  {'management.tcp.ip',"127.0.0.1"},
                  {'management.tcp.port',HTTP_PORT},
                  {cluster_name,"rabbit@host"},
                  {loopback_users,["guest"]},
                  {heartbeat,60},
                  {frame_max,131072},
                  {initial_frame_max,8192},
                  {channel_max,2047},
                  {consumer_max_per_channel,10000},
                  {max_message_size,134217728},
                  {handshake_timeout,10000},
                  {'disk_free_limit.absolute',100331648},
                  {'management.rates_mode',"basic"},
                  {consumer_timeout,1800000},
                  {vm_memory_high_watermark,"never"},
                  {channel_max_per_node,"infinity"},
                  {cluster_exchange_limit,"infinity"},
                  {cluster_queue_limit,"infinity"},
                  {connection_max,"infinity"},
                  {data_dir,"DATA_DIR"},
                  {default_pass,"********"},
                  {'default_permissions.configure',".*"},
                  {'default_permissions.read',".*"},
                  {'default_permissions.write',".*"},
                  {default_user,"guest"},
                  {default_vhost,"/"},
                  {'definitions.import_backend',"local_filesystem"},
                  {'definitions.skip_if_unchanged',false},
                  {'definitions.skip_unsupported',false},
                  {'listeners.tcp.default',"127.0.0.1:0"},
                  {'log.console',true},
                  {'log.console.formatter',"plaintext"},
                  {'log.console.level',"info"},
                  {'log.default.level',"info"},
                  {'log.file',false},
                  {'log.file.formatter',"plaintext"},
                  {'log.file.level',"info"},
                  {node_ip_address,"::"},
                  {node_name,"rabbit@host"},
                  {'prometheus.tcp.listener',"off"},
                  {'tcp_listen_options.backlog',1024},
                  {unsafe_no_fsync,false},
                  {vhost_max,"infinity"},
                  {sources,[{channel_max,"default"},{channel_max_per_node,"default"},{cluster_exchange_limit,"default"},{cluster_name,"default"},{cluster_queue_limit,"default"},{connection_max,"default"},{consumer_max_per_channel,"default"},{consumer_timeout,"default"},{data_dir,"option --data-dir"},{default_pass,"default"},{'default_permissions.configure',"default"},{'default_permissions.read',"default"},{'default_permissions.write',"default"},{default_user,"default"},{default_vhost,"default"},{'definitions.import_backend',"default"},{'definitions.skip_if_unchanged',"default"},{'definitions.skip_unsupported',"default"},{'disk_free_limit.absolute',"default"},{frame_max,"default"},{handshake_timeout,"default"},{heartbeat,"default"},{'listeners.tcp.default',"option --amqp-listen"},{'log.console',"default"},{'log.console.formatter',"default"},{'log.console.level',"default"},{'log.default.level',"default"},{'log.file',"default"},{'log.file.formatter',"default"},{'log.file.level',"default"},{'management.tcp.ip',"option --http-listen"},{'management.tcp.port',"option --http-listen"},{max_message_size,"default"},{node_ip_address,"default"},{node_name,"default"},{'prometheus.tcp.listener',"variable LIEBRE_PROMETHEUS_LISTEN"},{'tcp_listen_options.backlog',"default"},{unsafe_no_fsync,"default"},{vhost_max,"default"},{vm_memory_high_watermark,"default"}]}]}]
        "#]],
    );
}

fn checked(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmq-diagnostics check_running",
            "rabbitmq-diagnostics check_running -q",
            "rabbitmq-diagnostics check_running -s",
            "rabbitmq-diagnostics check_port_connectivity",
            "rabbitmq-diagnostics check_alarms",
            "rabbitmq-diagnostics listeners",
            "rabbitmq-diagnostics check_port_listener AMQP_PORT",
            "rabbitmq-diagnostics check_port_listener 1",
            "rabbitmq-diagnostics check_virtual_hosts",
            "rabbitmq-diagnostics server_version",
        ],
        expect![[r#"
            $ rabbitmq-diagnostics check_running
            Checking if RabbitMQ is running on node rabbit@host ...
            RabbitMQ on node rabbit@host is fully booted and running
            $ rabbitmq-diagnostics check_running -q
            RabbitMQ on node rabbit@host is fully booted and running
            $ rabbitmq-diagnostics check_running -s
            $ rabbitmq-diagnostics check_port_connectivity
            Testing TCP connections to all active listeners on node rabbit@host using hostname resolution ...
            Successfully connected to ports PORTS on node rabbit@host (using node hostname resolution)
            $ rabbitmq-diagnostics check_alarms
            Asking node rabbit@host to report any local resource alarms ...
            Node rabbit@host reported no alarms, local or clusterwide
            $ rabbitmq-diagnostics listeners
            Asking node rabbit@host to report its protocol listeners ...
            Interface: 127.0.0.1, port: AMQP_PORT, protocol: amqp, purpose: AMQP 0-9-1
            Interface: 127.0.0.1, port: HTTP_PORT, protocol: http, purpose: HTTP API
            $ rabbitmq-diagnostics check_port_listener AMQP_PORT
            Asking node rabbit@host if there's an active listener on port AMQP_PORT ...
            A listener for port AMQP_PORT is running on node rabbit@host.
            $ rabbitmq-diagnostics check_port_listener 1
            Asking node rabbit@host if there's an active listener on port 1 ...
            ! No listener for port 1 is active on node rabbit@host. Found listeners that use the following ports: PORTS
            exit 69
            $ rabbitmq-diagnostics check_virtual_hosts
            Checking if all vhosts are running on node rabbit@host ...
            Node rabbit@host reported all vhosts as running
            $ rabbitmq-diagnostics server_version
            Asking node rabbit@host for its RabbitMQ version...
            4.2.0
        "#]],
    );
}

fn plugins(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmq-plugins list",
            "rabbitmq-plugins list management_agent -q",
            "rabbitmq-plugins enable rabbitmq_management",
            "rabbitmq-plugins enable nonsense",
        ],
        expect![[r#"
            $ rabbitmq-plugins list
            Listing plugins with pattern ".*" ...
             Configured: E = explicitly enabled; e = implicitly enabled
             | Status: * = running on rabbit@host
             |/
            [E*] rabbitmq_management       4.2.0
            [e*] rabbitmq_management_agent 4.2.0
            [e*] rabbitmq_web_dispatch     4.2.0
            $ rabbitmq-plugins list management_agent -q
            [e*] rabbitmq_management_agent 4.2.0
            $ rabbitmq-plugins enable rabbitmq_management
            Enabling plugins on node rabbit@host:
            rabbitmq_management
            The following plugins have been configured:
              rabbitmq_management
              rabbitmq_management_agent
              rabbitmq_web_dispatch
            Applying plugin configuration to rabbit@host...
            Plugin configuration unchanged.
            $ rabbitmq-plugins enable nonsense
            Enabling plugins on node rabbit@host:
            nonsense
            ! Error:
            ! {:plugins_not_found, [:nonsense]}
            exit 70
        "#]],
    );
}

/// With a password, as from another machine: what the user may not do is refused.
fn over_tcp(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmqctl -q list_vhosts --data-dir /nowhere --host 127.0.0.1 --port HTTP_PORT",
            "rabbitmqctl --host 127.0.0.1 --port HTTP_PORT --username guest --password guest add_user ana s3creta",
            "rabbitmqctl set_user_tags ana administrator --port HTTP_PORT",
            "rabbitmqctl list_users --host 127.0.0.1 --port HTTP_PORT --username ana --password s3creta",
            "rabbitmqctl -q set_user_tags ana management",
            "rabbitmqctl list_users --host 127.0.0.1 --port HTTP_PORT --username ana --password s3creta",
            "rabbitmqctl list_users --host 127.0.0.1 --port HTTP_PORT --username ana --password wrong",
            "rabbitmqctl delete_user ana --port HTTP_PORT",
            "rabbitmqctl list_users --host 127.0.0.1 --port AMQP_PORT",
            "rabbitmqctl list_users --host 127.0.0.1 --port 1",
        ],
        expect![[r#"
            $ rabbitmqctl -q list_vhosts --data-dir /nowhere --host 127.0.0.1 --port HTTP_PORT
            name
            /
            $ rabbitmqctl --host 127.0.0.1 --port HTTP_PORT --username guest --password guest add_user ana s3creta
            Adding user "ana" ...
            Done. Don't forget to grant the user permissions to some virtual hosts! See 'rabbitmqctl help set_permissions' to learn more.
            $ rabbitmqctl set_user_tags ana administrator --port HTTP_PORT
            Setting tags for user "ana" to [administrator] ...
            $ rabbitmqctl list_users --host 127.0.0.1 --port HTTP_PORT --username ana --password s3creta
            Listing users ...
            user	tags
            ana	[administrator]
            guest	[administrator]
            $ rabbitmqctl -q set_user_tags ana management
            $ rabbitmqctl list_users --host 127.0.0.1 --port HTTP_PORT --username ana --password s3creta
            Listing users ...
            ! Error:
            ! Not administrator user
            exit 69
            $ rabbitmqctl list_users --host 127.0.0.1 --port HTTP_PORT --username ana --password wrong
            Listing users ...
            ! Error:
            ! Not_Authorized
            exit 69
            $ rabbitmqctl delete_user ana --port HTTP_PORT
            Deleting user "ana" ...
            $ rabbitmqctl list_users --host 127.0.0.1 --port AMQP_PORT
            Listing users ...
            ! Error: what answers at http://127.0.0.1:AMQP_PORT is not a broker's management API: invalid HTTP version parsed
            exit 69
            $ rabbitmqctl list_users --host 127.0.0.1 --port 1
            Listing users ...
            ! Error: no Liebre broker answers at http://127.0.0.1:1 (Connection refused): start it with 'liebre', or name another one with --data-dir or --host
            exit 69
        "#]],
    );
}

fn gone(admin: &Admin) {
    check(
        admin,
        &[
            "rabbitmqctl list_queues",
            "rabbitmqctl status",
            "rabbitmqctl stop",
            "rabbitmqctl stop --idempotent",
            "rabbitmqctl await_startup -t 1",
            "rabbitmq-diagnostics check_running",
            "rabbitmqctl list_queues --port HTTP_PORT",
        ],
        expect![[r#"
            $ rabbitmqctl list_queues
            Timeout: 60.0 seconds ...
            Listing queues for vhost / ...
            ! Error: no Liebre broker answers at DATA_DIR/control.sock (No such file or directory): start it with 'liebre', or name another one with --data-dir or --host
            exit 69
            $ rabbitmqctl status
            ! Error: no Liebre broker answers at DATA_DIR/control.sock (No such file or directory): start it with 'liebre', or name another one with --data-dir or --host
            exit 69
            $ rabbitmqctl stop
            ! Error: no Liebre broker answers at DATA_DIR/control.sock (No such file or directory): start it with 'liebre', or name another one with --data-dir or --host
            exit 69
            $ rabbitmqctl stop --idempotent
            DATA_DIR/control.sock is not running, so there is nothing to stop
            $ rabbitmqctl await_startup -t 1
            ! Error: operation await_startup on node DATA_DIR/control.sock timed out. Timeout value used: 1000
            exit 75
            $ rabbitmq-diagnostics check_running
            ! Error: no Liebre broker answers at DATA_DIR/control.sock (No such file or directory): start it with 'liebre', or name another one with --data-dir or --host
            exit 69
            $ rabbitmqctl list_queues --port HTTP_PORT
            Timeout: 60.0 seconds ...
            Listing queues for vhost / ...
            ! Error: no Liebre broker answers at http://localhost:HTTP_PORT (Connection refused): start it with 'liebre', or name another one with --data-dir or --host
            exit 69
        "#]],
    );
}

#[test]
fn confirms_that_do_not_wait_for_the_disk_are_warned_of() {
    let Some(broker) = Broker::own_with(&["--unsafe-no-fsync"]) else { return };
    let warnings = |text: &str| text.lines().filter(|line| line.contains("--unsafe-no-fsync")).count();
    assert_eq!(warnings(&broker.log()), 1, "{}", broker.log());
    let admin = broker.admin().unwrap();
    let status = admin.transcript(&["rabbitmqctl status"]);
    assert_eq!(warnings(&status), 1, "{status}");
}
