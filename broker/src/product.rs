//! What the broker calls itself.

use amq_protocol::types::{AMQPValue, FieldTable};

/// Our name.
pub const NAME: &str = "Liebre";
/// Our version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What clients that switch on the product want to read.
pub const COMPATIBLE_PRODUCT: &str = "RabbitMQ";
/// The RabbitMQ version whose behaviour clients may expect: 4.0 and later take per-consumer qos, below 4.3
/// transient queues stay transient.
pub const COMPATIBLE_VERSION: &str = "4.2.0";

/// What RabbitMQ's clients look for; all of it is there.
const CAPABILITIES: [&str; 9] = [
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "authentication_failure_close",
    "per_consumer_qos",
    "consumer_priorities",
    "direct_reply_to",
];

/// The table of `connection.start`.
#[must_use]
pub fn server_properties(cluster_name: &str) -> FieldTable {
    let mut capabilities = FieldTable::default();
    for capability in CAPABILITIES {
        capabilities.insert(capability.into(), AMQPValue::Boolean(true));
    }
    let mut properties = FieldTable::default();
    properties.insert("capabilities".into(), AMQPValue::FieldTable(capabilities));
    for (key, value) in [
        ("cluster_name", cluster_name),
        ("copyright", "Copyright (c) 2026 The Liebre authors"),
        ("information", concat!("Liebre ", env!("CARGO_PKG_VERSION"), ", a broker for RabbitMQ clients")),
        ("platform", concat!("Liebre ", env!("CARGO_PKG_VERSION"), " (Rust)")),
        ("product", COMPATIBLE_PRODUCT),
        ("version", COMPATIBLE_VERSION),
    ] {
        properties.insert(key.into(), AMQPValue::LongString(value.into()));
    }
    properties
}
