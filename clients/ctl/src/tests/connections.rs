//! Connections, channels and consumers.

use expect_test::expect;

use super::{check, connections};

#[test]
fn connections_channels_and_consumers_are_listed() {
    check(
        &connections(),
        &[
            "rabbitmqctl list_connections",
            "rabbitmqctl list_connections pid protocol client_properties -q",
            "rabbitmqctl list_channels",
            "rabbitmqctl list_channels connection number -q",
            "rabbitmqctl list_consumers",
            "rabbitmqctl list_consumers activity_status queue_name -q",
        ],
        expect![[r#"
            $ rabbitmqctl list_connections
            Listing connections ...
            user	peer_host	peer_port	state
            guest	127.0.0.1	4000	running
            guest	127.0.0.1	4000	running
            guest	127.0.0.1	4000	running
            $ rabbitmqctl list_connections pid protocol client_properties -q
            pid	protocol	client_properties
            <rabbit@h.1.5.0>	{0,9,1}	[{"capabilities",[{"basic.nack",true}]}]
            <rabbit@h.1.6.0>	{0,9,1}	[{"capabilities",[{"basic.nack",true}]}]
            <rabbit@h.1.7.0>	{0,9,1}	[{"capabilities",[{"basic.nack",true}]}]
            $ rabbitmqctl list_channels
            Listing channels ...
            pid	user	consumer_count	messages_unacknowledged
            <rabbit@h.1.8.0>	guest	1	0
            $ rabbitmqctl list_channels connection number -q
            connection	number
            <rabbit@h.1.5.0>	1
            $ rabbitmqctl list_consumers
            Listing consumers in vhost / ...
            queue_name	channel_pid	consumer_tag	ack_required	prefetch_count	active	arguments
            a	<rabbit@h.1.8.0>	t	true	7	true	[{"x-priority",3}]
            $ rabbitmqctl list_consumers activity_status queue_name -q
            queue_name	activity_status
            a	up
        "#]],
    );
}

#[test]
fn connections_are_closed() {
    check(
        &connections(),
        &[
            "rabbitmqctl close_connection '<rabbit@h.1.5.0>' bye",
            "rabbitmqctl close_connection 'c 1' bye",
            "rabbitmqctl close_connection nosuch bye",
            "rabbitmqctl close_all_connections bye",
            "rabbitmqctl close_all_connections bye --global --limit 2 --per-connection-delay 10",
        ],
        expect![[r#"
            $ rabbitmqctl close_connection '<rabbit@h.1.5.0>' bye
            Closing connection <rabbit@h.1.5.0>, reason: bye...
            > DELETE /api/connections/c%201 (bye)
            $ rabbitmqctl close_connection 'c 1' bye
            Closing connection c 1, reason: bye...
            > DELETE /api/connections/c%201 (bye)
            $ rabbitmqctl close_connection nosuch bye
            Closing connection nosuch, reason: bye...
            ! Error:
            ! Connection 'nosuch' was not found
            exit 69
            $ rabbitmqctl close_all_connections bye
            Closing all connections in vhost /, reason: bye...
            Closed 2 connections
            > DELETE /api/connections/c%201 (bye)
            > DELETE /api/connections/c%202 (bye)
            $ rabbitmqctl close_all_connections bye --global --limit 2 --per-connection-delay 10
            Closing all connections to node rabbit@h, reason: bye...
            Closed 2 connections
            > DELETE /api/connections/c%201 (bye)
            > pause 10 ms
            > DELETE /api/connections/c%202 (bye)
            > pause 10 ms
        "#]],
    );
}
