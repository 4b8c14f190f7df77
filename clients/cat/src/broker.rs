//! Connecting to the broker, again and again if need be.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures_lite::{Stream, StreamExt};
use lapin::{Channel, Connection, ConnectionProperties, Event};
use tokio::time::{Instant, sleep, timeout};

use crate::address::Address;
use crate::backoff::Backoff;
use crate::exit::{Failure, Interruption};
use crate::explain::{explain, is_passing, reason};
use crate::status::Status;

/// How long one attempt may take, handshake included.
const ATTEMPT_MAX: Duration = Duration::from_secs(15);

/// A connection that held this long was a good one: the next pauses start small again.
const GOOD_CONNECTION: Duration = Duration::from_secs(5);

/// The broker, with the memory of how connecting to it went.
#[derive(Debug)]
pub struct Broker {
    address: Address,
    /// How long to try before giving up. None: at the start not at all, later without end.
    patience: Option<Duration>,
    status: Status,
    backoff: Backoff,
    connected_at: Option<Instant>,
}

/// A connection with its channel.
pub struct Link {
    /// Keeps the channel alive.
    pub connection: Connection,
    pub channel: Channel,
    events: Pin<Box<dyn Stream<Item = Event> + Send>>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("connection", &self.connection).finish_non_exhaustive()
    }
}

impl Broker {
    /// A broker that nobody has connected to yet.
    pub fn new(address: Address, patience: Option<Duration>, status: Status) -> Self {
        Self { address, patience, status, backoff: Backoff::default(), connected_at: None }
    }

    /// Whether there was a connection already.
    pub fn was_reached(&self) -> bool {
        self.connected_at.is_some()
    }

    /// Connects, with pauses between the attempts. Dropping the future is safe.
    pub async fn connect(&mut self) -> Result<Link, Failure> {
        let began = Instant::now();
        if let Some(connected_at) = self.connected_at {
            if connected_at.elapsed() > GOOD_CONNECTION {
                self.backoff = Backoff::default();
            }
            sleep(self.backoff.pause(rand::random())).await;
        }
        loop {
            let error = match self.attempt().await {
                Ok(link) => {
                    self.connected_at = Some(Instant::now());
                    return Ok(link);
                }
                Err(error) => error,
            };
            let pause = self.backoff.pause(rand::random());
            if !is_passing(&error) || !self.has_patience(began.elapsed() + pause) {
                return Err(explain(&error, &self.address));
            }
            self.status.say(format_args!(
                "no connection to {}: {}; next try in {:.1} s",
                self.address,
                reason(&error),
                pause.as_secs_f64()
            ));
            sleep(pause).await;
        }
    }

    /// An interruption after which another connection may help gives its reason; any other is the end.
    pub fn passing(&self, interruption: Interruption) -> Result<String, Failure> {
        match interruption {
            Interruption::Failure(failure) => Err(failure),
            Interruption::Broker(error) if is_passing(&error) => {
                if self.patience == Some(Duration::ZERO) {
                    return Err(explain(&error, &self.address));
                }
                Ok(reason(&error))
            }
            Interruption::Broker(error) => Err(explain(&error, &self.address)),
        }
    }

    async fn attempt(&self) -> lapin::Result<Link> {
        let name = format!("liebre-cat {}", std::process::id());
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connecting = async {
            let connection = Connection::connect_uri(self.address.uri.clone(), properties).await?;
            let events = Box::pin(connection.events_listener());
            let channel = connection.create_channel().await?;
            Ok(Link { connection, channel, events })
        };
        let late = |_| Err(io::Error::from(io::ErrorKind::TimedOut).into());
        timeout(ATTEMPT_MAX, connecting).await.unwrap_or_else(late)
    }

    fn has_patience(&self, waited: Duration) -> bool {
        match self.patience {
            Some(patience) => waited < patience,
            None => self.was_reached(),
        }
    }
}

impl Link {
    /// Runs `work` on the channel, tells when the broker blocks or unblocks us meanwhile, and cuts `work` off when the
    /// connection is lost.
    pub async fn watched<T>(
        &mut self,
        status: Status,
        work: impl AsyncFnOnce(&Connection, &Channel) -> Result<T, Interruption>,
    ) -> Result<T, Interruption> {
        tokio::select! {
            biased;
            outcome = work(&self.connection, &self.channel) => outcome,
            error = lost(&mut self.events, &self.channel, status) => Err(error.into()),
        }
    }

    /// Ends the connection in order; what was sent before is then with the broker.
    pub async fn close(self) -> lapin::Result<()> {
        self.channel.close(200, "bye".into()).await?;
        self.connection.close(200, "bye".into()).await
    }
}

async fn lost(
    events: &mut (impl Stream<Item = Event> + Unpin),
    channel: &Channel,
    status: Status,
) -> lapin::Error {
    while let Some(event) = events.next().await {
        match event {
            // About another channel, whose user is told in its own way.
            Event::Error(error) if error.is_amqp_soft_error() && channel.status().connected() => {}
            Event::Error(error) => return error,
            Event::ConnectionBlocked(reason) => {
                status.say(format_args!("the broker takes no messages for now ({reason}); waiting"));
            }
            Event::ConnectionUnblocked => status.say("the broker takes messages again"),
            _ => {}
        }
    }
    // The library ends the events only with the connection.
    io::Error::from(io::ErrorKind::ConnectionAborted).into()
}
