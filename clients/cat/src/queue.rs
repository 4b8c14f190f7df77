//! Declaring a queue as far as that is wanted.

use lapin::options::{QueueBindOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection};

use crate::explain::is_not_found;

/// The queue on the command line.
#[derive(Debug, Clone)]
pub struct QueueSpec {
    pub name: ShortString,
    pub declaring: Declaring,
}

/// What is done before the queue is used.
#[derive(Debug, Clone, PartialEq)]
pub enum Declaring {
    /// Nothing: it is there.
    No,
    /// A queue that is there is taken as it is; otherwise it is declared durable.
    IfAbsent,
    /// It is declared like this, and the broker refuses if it is there with other properties.
    Like { is_durable: bool, arguments: FieldTable },
}

impl QueueSpec {
    /// Declares the queue on channels of its own, since a refusal closes the channel.
    pub async fn declare(&self, connection: &Connection) -> lapin::Result<()> {
        match &self.declaring {
            Declaring::No => Ok(()),
            Declaring::IfAbsent if self.is_there(connection).await? => Ok(()),
            Declaring::IfAbsent => self.declare_like(connection, true, FieldTable::default()).await,
            Declaring::Like { is_durable, arguments } => {
                self.declare_like(connection, *is_durable, arguments.clone()).await
            }
        }
    }

    async fn is_there(&self, connection: &Connection) -> lapin::Result<bool> {
        let channel = connection.create_channel().await?;
        let options = QueueDeclareOptions::default().passive();
        match channel.queue_declare(self.name.clone(), options, FieldTable::default()).await {
            Ok(_) => channel.close(200, "bye".into()).await.map(|()| true),
            Err(error) if is_not_found(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn declare_like(
        &self,
        connection: &Connection,
        is_durable: bool,
        arguments: FieldTable,
    ) -> lapin::Result<()> {
        let channel = connection.create_channel().await?;
        let options = QueueDeclareOptions { durable: is_durable, ..QueueDeclareOptions::default() };
        channel.queue_declare(self.name.clone(), options, arguments).await?;
        channel.close(200, "bye".into()).await
    }
}

/// A queue of this connection alone, bound to `exchange` with each key; its name.
pub async fn declare_bound(
    channel: &Channel,
    exchange: &ShortString,
    keys: &[ShortString],
) -> lapin::Result<ShortString> {
    let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare("".into(), options, FieldTable::default()).await?.name().clone();
    for key in keys {
        let options = QueueBindOptions::default();
        channel
            .queue_bind(queue.clone(), exchange.clone(), key.clone(), options, FieldTable::default())
            .await?;
    }
    Ok(queue)
}
