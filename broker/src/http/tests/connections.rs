//! Connections, channels and consumers, made by the bytes that clients send.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use amq_protocol::{
    protocol::{AMQPClass, BasicProperties, basic, channel, connection, queue, tx},
    types::{AMQPValue, FieldTable},
};
use expect_test::expect;

use super::bench::Bench;
use crate::{
    connection::{Connection, Event, registry::ConnectionInfo},
    model::message::Arena,
    test_clock::start_of_time,
    vhost::{
        buffer::Buffer,
        outbox::{Outbox, Wake},
    },
    wire::{
        encode::{encode_content_header, write_ack, write_header, write_method, write_publish},
        frame::{ChannelNumber, PROTOCOL_HEADER},
    },
};

/// A client of the bench's broker.
pub(super) struct Client {
    connection: Connection,
    info: Arc<ConnectionInfo>,
    arena: Arena,
    now: Instant,
}

#[derive(Debug)]
struct Asleep;

impl Wake for Asleep {
    fn wake(&self) {}
}

impl Client {
    /// An open connection from that port with channel 1 open.
    pub(super) fn connect(bench: &Bench, port: u16, user: &str) -> Self {
        Self::connect_to(bench, port, (user, "/"))
    }

    /// The same to a vhost.
    pub(super) fn connect_to(bench: &Bench, port: u16, (user, vhost): (&str, &str)) -> Self {
        let now = start_of_time();
        let node = &bench.api.node;
        let outbox = Arc::new(Outbox::new(Arc::new(Asleep)));
        let ends = (SocketAddr::from((Ipv4Addr::LOCALHOST, port)), bench.api.amqp_addresses[0]);
        let id = node.broker.next_connection_id();
        let info = Arc::new(ConnectionInfo::new(id, ends, bench.now(), outbox));
        let connection = Connection::new(Arc::clone(node), Arc::clone(&info), now);
        let mut client = Self { connection, info, arena: Arena::default(), now };
        client.read(&PROTOCOL_HEADER);
        let mut client_properties = FieldTable::default();
        client_properties.insert("connection_name".into(), AMQPValue::LongString("orders".into()));
        for method in [
            connection::AMQPMethod::StartOk(connection::StartOk {
                client_properties,
                mechanism: "PLAIN".into(),
                response: format!("\0{user}\0pw").as_str().into(),
                locale: "en_US".into(),
            }),
            connection::AMQPMethod::TuneOk(connection::TuneOk {
                channel_max: 100,
                frame_max: 4096,
                heartbeat: 7,
            }),
            connection::AMQPMethod::Open(connection::Open { virtual_host: vhost.into() }),
        ] {
            client.send(0, AMQPClass::Connection(method));
        }
        client.send(1, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})));
        client
    }

    fn send(&mut self, channel: u16, method: AMQPClass) {
        let mut bytes = Vec::new();
        write_method(&mut bytes, ChannelNumber(channel), &method);
        self.read(&bytes);
    }

    fn read(&mut self, bytes: &[u8]) {
        let applied = self.connection.apply(Event::Read(bytes), self.now, &mut self.arena);
        assert_eq!(applied.consumed, bytes.len());
    }

    fn declare_exclusive(&mut self, name: &str) {
        let declare = queue::Declare {
            queue: name.into(),
            passive: false,
            durable: false,
            exclusive: true,
            auto_delete: false,
            nowait: false,
            arguments: FieldTable::default(),
        };
        self.send(1, AMQPClass::Queue(queue::AMQPMethod::Declare(declare)));
    }

    pub(super) fn consume(&mut self, name: &str, tag: &str, exclusive: bool) {
        let qos = basic::Qos { prefetch_count: 5, global: false };
        self.send(1, AMQPClass::Basic(basic::AMQPMethod::Qos(qos)));
        let consume = basic::Consume {
            queue: name.into(),
            consumer_tag: tag.into(),
            no_local: false,
            no_ack: false,
            exclusive,
            nowait: false,
            arguments: FieldTable::default(),
        };
        self.send(1, AMQPClass::Basic(basic::AMQPMethod::Consume(consume)));
    }

    /// An empty message.
    fn publish(&mut self, queue: &str) {
        let mut bytes = Vec::new();
        write_publish(&mut bytes, ChannelNumber(1), "", queue, false, false);
        write_header(&mut bytes, ChannelNumber(1), &encode_content_header(0, &BasicProperties::default()));
        self.read(&bytes);
    }

    /// What the peer was sent, as far as it is text.
    fn received_after_wake(&mut self) -> String {
        let _ = self.connection.apply(Event::Woken, self.now, &mut self.arena);
        let mut buffer = Buffer::default();
        self.info.outbox.swap(&mut buffer);
        buffer.slices().iter().map(|slice| String::from_utf8_lossy(slice)).collect()
    }
}

#[tokio::test]
async fn connections_channels_and_consumers_are_shown() {
    let bench = Bench::new().await;
    let mut client = Client::connect(&bench, 50_001, "guest");
    client.declare_exclusive("own");
    client.consume("own", "c1", true);
    bench
        .check(
            "
            guest GET /connections
            guest GET /channels
            guest GET /consumers
            guest GET /connections/127.0.0.1:50001%20-%3E%20127.0.0.1:5672?columns=name,user
            guest GET /connections/127.0.0.1:50001%20-%3E%20127.0.0.1:5672/channels?columns=name
            guest GET /channels/127.0.0.1:50001%20-%3E%20127.0.0.1:5672%20(1)?columns=number,consumer_details.consumer_tag
            guest GET /channels/127.0.0.1:50001%20-%3E%20127.0.0.1:5672%20(2)
            guest GET /vhosts/%2F/connections?columns=name
            guest GET /vhosts/%2F/channels?columns=number
            guest GET /queues/%2F/own
            guest GET /overview?columns=object_totals,churn_rates
            guest DELETE /queues/%2F/own
            guest DELETE /queues/%2F/own/contents
            control DELETE /queues/%2F/own
            guest POST /bindings/%2F/e/amq.topic/q/own {}
            ",
            &expect![[r#"
                guest GET /connections
                  200 [{"name":"127.0.0.1:50001 -> 127.0.0.1:5672","node":"rabbit@test","vhost":"/","user":"guest","pid":"<rabbit@test.1.1.0>","user_who_performed_action":"guest","type":"network","protocol":"AMQP 0-9-1","auth_mechanism":"PLAIN","state":"running","host":"127.0.0.1","port":5672,"peer_host":"127.0.0.1","peer_port":50001,"ssl":false,"ssl_protocol":null,"ssl_key_exchange":null,"ssl_cipher":null,"ssl_hash":null,"peer_cert_subject":null,"peer_cert_issuer":null,"peer_cert_validity":null,"channels":1,"channel_max":100,"frame_max":4096,"timeout":7,"connected_at":90000,"client_properties":{"connection_name":"orders"},"user_provided_name":"orders","recv_oct":0,"recv_oct_details":{"rate":0.0},"send_oct":0,"send_oct_details":{"rate":0.0},"recv_cnt":0,"send_cnt":0,"send_pend":575}]
                guest GET /channels
                  200 [{"name":"127.0.0.1:50001 -> 127.0.0.1:5672 (1)","number":1,"pid":"<rabbit@test.1.1.1>","node":"rabbit@test","vhost":"/","user":"guest","user_who_performed_action":"guest","connection_details":{"name":"127.0.0.1:50001 -> 127.0.0.1:5672","peer_host":"127.0.0.1","peer_port":50001},"state":"running","prefetch_count":5,"global_prefetch_count":0,"consumer_count":1,"confirm":false,"transactional":false,"messages_unacknowledged":0,"messages_unconfirmed":0,"messages_uncommitted":0,"acks_uncommitted":0,"idle_since":"1970-01-01T00:01:30.000+00:00"}]
                guest GET /consumers
                  200 [{"arguments":{},"ack_required":true,"active":true,"activity_status":"up","channel_details":{"connection_name":"127.0.0.1:50001 -> 127.0.0.1:5672","name":"127.0.0.1:50001 -> 127.0.0.1:5672 (1)","node":"rabbit@test","number":1,"peer_host":"127.0.0.1","peer_port":50001,"pid":"<rabbit@test.1.1.1>","user":"guest"},"consumer_tag":"c1","exclusive":true,"prefetch_count":5,"queue":{"name":"own","vhost":"/"}}]
                guest GET /connections/127.0.0.1:50001%20-%3E%20127.0.0.1:5672?columns=name,user
                  200 {"name":"127.0.0.1:50001 -> 127.0.0.1:5672","user":"guest"}
                guest GET /connections/127.0.0.1:50001%20-%3E%20127.0.0.1:5672/channels?columns=name
                  200 [{"name":"127.0.0.1:50001 -> 127.0.0.1:5672 (1)"}]
                guest GET /channels/127.0.0.1:50001%20-%3E%20127.0.0.1:5672%20(1)?columns=number,consumer_details.consumer_tag
                  200 {"number":1,"consumer_details":[{"consumer_tag":"c1"}]}
                guest GET /channels/127.0.0.1:50001%20-%3E%20127.0.0.1:5672%20(2)
                  404 {"error":"Object Not Found","reason":"Not Found"}
                guest GET /vhosts/%2F/connections?columns=name
                  200 [{"name":"127.0.0.1:50001 -> 127.0.0.1:5672"}]
                guest GET /vhosts/%2F/channels?columns=number
                  200 [{"number":1}]
                guest GET /queues/%2F/own
                  200 {"name":"own","vhost":"/","type":"classic","durable":false,"auto_delete":false,"exclusive":true,"arguments":{},"node":"rabbit@test","state":"running","policy":null,"operator_policy":null,"effective_policy_definition":{},"owner_pid":"<rabbit@test.1.1.0>","owner_pid_details":{"name":"127.0.0.1:50001 -> 127.0.0.1:5672","peer_host":"127.0.0.1","peer_port":50001},"exclusive_consumer_tag":"c1","exclusive_consumer_pid":"<rabbit@test.1.1.1>","single_active_consumer_tag":null,"messages":0,"messages_details":{"rate":0.0},"messages_ready":0,"messages_ready_details":{"rate":0.0},"messages_unacknowledged":0,"messages_unacknowledged_details":{"rate":0.0},"messages_ram":0,"messages_ready_ram":0,"messages_unacknowledged_ram":0,"messages_paged_out":0,"message_bytes":0,"message_bytes_ready":0,"message_bytes_unacknowledged":0,"message_bytes_ram":0,"message_bytes_paged_out":0,"head_message_timestamp":null,"consumers":1,"consumer_capacity":1.0,"consumer_utilisation":1.0,"memory":*,"consumer_details":[{"arguments":{},"ack_required":true,"active":true,"activity_status":"up","channel_details":{"connection_name":"127.0.0.1:50001 -> 127.0.0.1:5672","name":"127.0.0.1:50001 -> 127.0.0.1:5672 (1)","node":"rabbit@test","number":1,"peer_host":"127.0.0.1","peer_port":50001,"pid":"<rabbit@test.1.1.1>","user":"guest"},"consumer_tag":"c1","exclusive":true,"prefetch_count":5,"queue":{"name":"own","vhost":"/"}}],"incoming":[],"deliveries":[]}
                guest GET /overview?columns=object_totals,churn_rates
                  200 {"churn_rates":{"connection_created":1,"connection_created_details":{"rate":0.2},"connection_closed":0,"connection_closed_details":{"rate":0.0},"channel_created":1,"channel_created_details":{"rate":0.2},"channel_closed":0,"channel_closed_details":{"rate":0.0},"queue_declared":1,"queue_declared_details":{"rate":0.2},"queue_created":1,"queue_created_details":{"rate":0.2},"queue_deleted":0,"queue_deleted_details":{"rate":0.0}},"object_totals":{"connections":1,"exchanges":7,"queues":1,"channels":1,"consumers":1}}
                guest DELETE /queues/%2F/own
                  400 {"error":"bad_request","reason":"cannot obtain exclusive access to locked queue 'own' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration."}
                guest DELETE /queues/%2F/own/contents
                  400 {"error":"bad_request","reason":"cannot obtain exclusive access to locked queue 'own' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration."}
                control DELETE /queues/%2F/own
                  400 {"error":"bad_request","reason":"cannot obtain exclusive access to locked queue 'own' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration."}
                guest POST /bindings/%2F/e/amq.topic/q/own {}
                  400 {"error":"bad_request","reason":"cannot obtain exclusive access to locked queue 'own' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration."}
            "#]],
        )
        .await;
}

#[tokio::test]
async fn what_a_transaction_holds_is_shown() {
    let bench = Bench::new().await;
    let mut client = Client::connect(&bench, 50_001, "guest");
    client.declare_exclusive("own");
    (0..2).for_each(|_| client.publish("own"));
    client.consume("own", "c1", true);
    client.send(1, AMQPClass::Tx(tx::AMQPMethod::Select(tx::Select {})));
    (0..3).for_each(|_| client.publish("own"));
    let mut ack = Vec::new();
    write_ack(&mut ack, ChannelNumber(1), 1, false);
    client.read(&ack);
    let look = "
        guest GET /channels?columns=transactional,messages_uncommitted,acks_uncommitted,messages_unacknowledged
        ";
    bench
        .check(
            look,
            &expect![[r#"
                guest GET /channels?columns=transactional,messages_uncommitted,acks_uncommitted,messages_unacknowledged
                  200 [{"transactional":true,"messages_unacknowledged":1,"messages_uncommitted":3,"acks_uncommitted":1}]
            "#]],
        )
        .await;
    client.send(1, AMQPClass::Tx(tx::AMQPMethod::Commit(tx::Commit {})));
    bench
        .check(
            look,
            &expect![[r#"
                guest GET /channels?columns=transactional,messages_uncommitted,acks_uncommitted,messages_unacknowledged
                  200 [{"transactional":true,"messages_unacknowledged":4,"messages_uncommitted":0,"acks_uncommitted":0}]
            "#]],
        )
        .await;
}

#[tokio::test]
async fn others_connections_are_hidden_from_who_does_not_monitor() {
    let bench = Bench::new().await;
    let mut own = Client::connect(&bench, 50_001, "manager");
    let mut other = Client::connect(&bench, 50_002, "guest");
    own.received_after_wake();
    other.received_after_wake();
    bench
        .check(
            "
            manager GET /connections?columns=name,user
            watcher GET /connections?columns=name,user
            manager GET /channels?columns=name
            manager GET /connections/127.0.0.1:50002%20-%3E%20127.0.0.1:5672
            manager DELETE /connections/127.0.0.1:50002%20-%3E%20127.0.0.1:5672
            watcher DELETE /connections/127.0.0.1:50002%20-%3E%20127.0.0.1:5672
            manager GET /channels/127.0.0.1:50002%20-%3E%20127.0.0.1:5672%20(1)
            manager DELETE /connections/127.0.0.1:50001%20-%3E%20127.0.0.1:5672
            ",
            &expect![[r#"
                manager GET /connections?columns=name,user
                  200 [{"name":"127.0.0.1:50001 -> 127.0.0.1:5672","user":"manager"}]
                watcher GET /connections?columns=name,user
                  200 [{"name":"127.0.0.1:50001 -> 127.0.0.1:5672","user":"manager"},{"name":"127.0.0.1:50002 -> 127.0.0.1:5672","user":"guest"}]
                manager GET /channels?columns=name
                  200 [{"name":"127.0.0.1:50001 -> 127.0.0.1:5672 (1)"}]
                manager GET /connections/127.0.0.1:50002%20-%3E%20127.0.0.1:5672
                  401 {"error":"not_authorised","reason":"User not authorised to access object"}
                manager DELETE /connections/127.0.0.1:50002%20-%3E%20127.0.0.1:5672
                  401 {"error":"not_authorised","reason":"User not authorised to access object"}
                watcher DELETE /connections/127.0.0.1:50002%20-%3E%20127.0.0.1:5672
                  401 {"error":"not_authorised","reason":"User not authorised to access object"}
                manager GET /channels/127.0.0.1:50002%20-%3E%20127.0.0.1:5672%20(1)
                  401 {"error":"not_authorised","reason":"User not authorised to access object"}
                manager DELETE /connections/127.0.0.1:50001%20-%3E%20127.0.0.1:5672
                  204 
            "#]],
        )
        .await;
    assert!(own.received_after_wake().contains("CONNECTION_FORCED - Closed via management plugin"));
    assert_eq!(other.received_after_wake(), "");
}

#[tokio::test]
async fn deleting_a_user_or_vhost_closes_its_connections() {
    let bench = Bench::new().await;
    let (mut of_user, mut of_vhost) =
        (Client::connect(&bench, 50_001, "manager"), Client::connect(&bench, 50_002, "guest"));
    of_user.received_after_wake();
    of_vhost.received_after_wake();
    assert_eq!(bench.send("guest DELETE /users/manager").await.0, 204);
    assert!(of_user.received_after_wake().contains("CONNECTION_FORCED - user 'manager' is deleted"));
    assert_eq!(of_vhost.received_after_wake(), "");
    assert_eq!(bench.send("guest DELETE /vhosts/%2F").await.0, 204);
    assert!(of_vhost.received_after_wake().contains("CONNECTION_FORCED - vhost '/' is deleted"));
}
