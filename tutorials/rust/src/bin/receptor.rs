//! The chat, the reading half: prints each line, a dot for each second without one, and the count at Ctrl-C.
//!
//! `receptor [--todos] [HOST [USER PASSWORD]]`; with `--todos` everybody sees everything.

use std::{
    error::Error,
    io::{self, Write},
    pin::pin,
    process::ExitCode,
    time::Duration,
};

use futures_lite::StreamExt;
use lapin::{
    Channel, ExchangeKind,
    options::{
        BasicAckOptions, BasicConsumeOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    },
    types::{FieldTable, ShortString},
};
use liebre_tutorials::{
    chat::{Arguments, EXCHANGE, Mensaje, QUEUE, counted},
    ended,
};

#[tokio::main]
async fn main() -> ExitCode {
    ended(chat().await)
}

async fn chat() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse()?;
    let connection = arguments.connect().await?;
    let channel = connection.create_channel().await?;
    let queue =
        if arguments.is_for_all { own_queue(&channel).await? } else { shared_queue(&channel).await? };
    let mut consumer = channel
        .basic_consume(queue, "".into(), BasicConsumeOptions::default(), FieldTable::default())
        .await?;

    println!("Conectado con {}. Esperando mensajes; Ctrl-C para terminar.", arguments.host());
    let mut ctrl_c = pin!(tokio::signal::ctrl_c());
    let mut received = 0;
    let mut is_idle = false;
    let ended_by_broker = loop {
        let next = tokio::select! {
            _ = &mut ctrl_c => break None,
            next = tokio::time::timeout(Duration::from_secs(1), consumer.next()) => next,
        };
        let Ok(next) = next else {
            print!(".");
            io::stdout().flush()?;
            is_idle = true;
            continue;
        };
        let delivery = match next {
            Some(Ok(delivery)) => delivery,
            Some(Err(error)) => break Some(format!("El broker ha terminado la conexión ({error}).")),
            None => break Some("El broker ha terminado la conexión.".to_owned()),
        };
        if is_idle {
            println!();
            is_idle = false;
        }
        println!("{}", shown(&delivery.data));
        received += 1;
        // After printing: what was not printed stays in the queue.
        delivery.ack(BasicAckOptions::default()).await?;
    };
    println!("\n{} en total.", counted(received));
    if let Some(why) = ended_by_broker {
        return Err(why.into());
    }
    Ok(connection.close(200, "OK".into()).await?)
}

/// For two: the queue that the writer writes to. It is there also while nobody reads.
async fn shared_queue(channel: &Channel) -> lapin::Result<ShortString> {
    let queue =
        channel.queue_declare(QUEUE.into(), QueueDeclareOptions::durable(), FieldTable::default()).await?;
    Ok(queue.name().clone())
}

/// For all: a queue of our own, that gets a copy of everything.
async fn own_queue(channel: &Channel) -> lapin::Result<ShortString> {
    let options = ExchangeDeclareOptions::default();
    channel.exchange_declare(EXCHANGE.into(), ExchangeKind::Fanout, options, FieldTable::default()).await?;
    let queue =
        channel.queue_declare("".into(), QueueDeclareOptions::exclusive(), FieldTable::default()).await?;
    let name = queue.name().clone();
    let options = QueueBindOptions::default();
    channel.queue_bind(name.clone(), EXCHANGE.into(), "".into(), options, FieldTable::default()).await?;
    Ok(name)
}

/// What is not a line of the chat is shown as it is: anybody can send to the queue.
fn shown(body: &[u8]) -> String {
    match serde_json::from_slice(body) {
        Ok(Mensaje { usuario, mensaje, hora }) => format!("[{usuario}] {mensaje} ({hora})"),
        Err(_) => format!("[?] {}", String::from_utf8_lossy(body)),
    }
}
