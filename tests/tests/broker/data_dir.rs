//! The data directory of the real program: one broker's alone, restored where it is damaged, refused where that would
//! lose something.

use std::{fs, path::Path};

use lapin::options::QueueDeclareOptions;
use liebre_tests::{
    amqp::{confirm, connect_channel, declare, drain, exists, publish_with},
    broker::Broker,
};

const FILE: &str = "definitions.redb";
const COPY: &str = "definitions.copy";

/// A durable queue with a message in it; then an orderly stop.
async fn rested() -> Option<Broker> {
    let mut broker = Broker::own()?;
    {
        let (_connection, channel) = connect_channel(&broker).await;
        confirm(&channel).await;
        declare(&channel, "q", QueueDeclareOptions::durable()).await;
        let persistent = lapin::BasicProperties::default().with_delivery_mode(2);
        publish_with(&channel, "", "q", "kept", persistent).await;
    }
    broker.stop();
    Some(broker)
}

async fn check_all_there(broker: &Broker) {
    let (connection, channel) = connect_channel(broker).await;
    assert!(exists(&connection, "q").await);
    assert_eq!(drain(&channel, "q").await, ["kept"]);
}

fn dir(broker: &Broker) -> &Path {
    broker.data_dir().expect("a broker of our own")
}

#[tokio::test]
async fn used_by_another_broker_is_refused() {
    let Some(broker) = Broker::own() else { return };
    let said = Broker::refused(dir(&broker));
    let expected = format!("data directory {} is in use by process ", dir(&broker).display());
    assert!(said.contains(&expected), "{said}");
}

#[tokio::test]
async fn missing_definitions_come_from_the_copy() {
    let Some(mut broker) = rested().await else { return };
    fs::remove_file(dir(&broker).join(FILE)).unwrap();
    broker.start_again();
    assert!(broker.log().contains("definitions.redb is missing: "), "{}", broker.log());
    check_all_there(&broker).await;
}

#[tokio::test]
async fn damaged_definitions_come_from_the_copy() {
    let Some(mut broker) = rested().await else { return };
    fs::write(dir(&broker).join(FILE), vec![0x55; 100_000]).unwrap();
    broker.start_again();
    assert!(broker.log().contains("definitions.redb was damaged ("), "{}", broker.log());
    assert!(dir(&broker).join("definitions.redb.damaged.1").exists());
    check_all_there(&broker).await;
    broker.restart();
    assert!(!broker.log().contains("damaged"), "{}", broker.log());
}

#[tokio::test]
async fn damaged_copy_is_made_anew() {
    let Some(mut broker) = rested().await else { return };
    fs::write(dir(&broker).join(COPY), "?").unwrap();
    broker.start_again();
    assert!(broker.log().contains("definitions.copy was damaged"), "{}", broker.log());
    check_all_there(&broker).await;
}

#[tokio::test]
async fn messages_without_definitions_are_not_thrown_away() {
    let Some(mut broker) = rested().await else { return };
    let saved = fs::read(dir(&broker).join(COPY)).unwrap();
    for name in [FILE, COPY] {
        fs::remove_file(dir(&broker).join(name)).unwrap();
    }
    let said = Broker::refused(dir(&broker));
    assert!(said.contains("the definitions and their copy are missing, and there are messages"), "{said}");
    fs::write(dir(&broker).join(COPY), saved).unwrap();
    broker.start_again();
    check_all_there(&broker).await;
}

#[tokio::test]
async fn definitions_of_a_newer_version_are_refused() {
    let Some(broker) = rested().await else { return };
    let path = dir(&broker).join(COPY);
    let mut bytes = fs::read(&path).unwrap();
    // The format version and, behind it, its checksum (CRC-32C of the twelve bytes before).
    bytes[8..16].copy_from_slice(&[2, 0, 0, 0, 0x85, 0xce, 0x2d, 0x3d]);
    fs::write(&path, bytes).unwrap();
    let said = Broker::refused(dir(&broker));
    let expected = "definitions.copy has format version 2, written by a newer version of this broker; this one knows \
                    format versions up to 1";
    assert!(said.contains(expected), "{said}");
}
