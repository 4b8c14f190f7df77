//! The chat, the writing half: asks for a name and sends each line that is typed, until `salir`.
//!
//! `emisor [--todos] [HOST [USER PASSWORD]]`; with `--todos` everybody sees everything.

use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
};

use jiff::Zoned;
use lapin::{
    BasicProperties, ExchangeKind,
    options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueDeclareOptions},
    types::FieldTable,
};
use liebre_tutorials::{
    chat::{Arguments, EXCHANGE, Mensaje, QUEUE, counted},
    ended,
};

/// `delivery_mode` 2 asks the broker to keep the message over a restart.
const PERSISTENT: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    ended(chat().await)
}

async fn chat() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse()?;
    let connection = arguments.connect().await?;
    let channel = connection.create_channel().await?;
    // With confirms we hear of it if the broker does not take a line.
    channel.confirm_select(ConfirmSelectOptions::default()).await?;

    // For two: straight into the queue. For all: to an exchange that copies it into everybody's queue.
    let (exchange, routing_key) = if arguments.is_for_all { (EXCHANGE, "") } else { ("", QUEUE) };
    if arguments.is_for_all {
        let options = ExchangeDeclareOptions::default();
        channel
            .exchange_declare(EXCHANGE.into(), ExchangeKind::Fanout, options, FieldTable::default())
            .await?;
    } else {
        channel.queue_declare(QUEUE.into(), QueueDeclareOptions::durable(), FieldTable::default()).await?;
    }

    println!("Conectado con {}. Para terminar, escribe salir.", arguments.host());
    let name = loop {
        match asked("Tu nombre: ")? {
            None => return Ok(()),
            Some(name) if name.is_empty() => continue,
            Some(name) => break name,
        }
    };
    let mut sent = 0;
    while let Some(line) = asked(&format!("{name}> "))?.filter(|line| line != "salir") {
        if line.is_empty() {
            continue;
        }
        let hora = Zoned::now().strftime("%H:%M:%S").to_string();
        let mensaje = Mensaje { usuario: name.clone(), mensaje: line, hora };
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_delivery_mode(PERSISTENT);
        let options = BasicPublishOptions::default();
        let body = serde_json::to_vec(&mensaje)?;
        channel.basic_publish(exchange.into(), routing_key.into(), options, &body, properties).await?.await?;
        sent += 1;
    }
    println!("Hasta luego, {name}: {} en total.", counted(sent));
    Ok(connection.close(200, "OK".into()).await?)
}

/// The line that was typed after `prompt`; none at the end of the input (Ctrl-D).
fn asked(prompt: &str) -> io::Result<Option<String>> {
    print!("{prompt}");
    io::stdout().flush()?;
    let line = io::stdin().lines().next().transpose()?;
    Ok(line.map(|line| line.trim().to_owned()))
}
