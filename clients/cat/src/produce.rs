//! `produce`: publishes with confirms, and sends again what a lost connection leaves without one.
//!
//! ```text
//! source -> unsent -> (publish) -> in flight -> (confirm) -> tally
//!              ^                       |
//!              '--- connection lost ---'
//! ```
//!
//! A message stays in memory until the broker has answered for it. No more is read while the window is full, so a
//! source of any length takes the memory of one window.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::{pending, poll_once};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation, Connection, PublisherConfirm};
use tokio::time::sleep;

use crate::broker::{Broker, Link};
use crate::cli::Produce;
use crate::exit::{Code, Failure, Interruption};
use crate::explain::is_not_found;
use crate::source::{Input, Source};
use crate::stop::{Signals, Stop};
use crate::tally::Tally;

/// The window in bytes: whatever its count says, no more than this waits for confirms (but always one message).
const WINDOW_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long the broker may be silent after `q` before it is told what is waited for.
const SILENCE_MAX: Duration = Duration::from_millis(500);

/// How many refusals are told one by one.
const COMPLAINTS_MAX: u64 = 10;

/// How much of a body a status line shows.
const EXCERPT_CHARS_MAX: usize = 60;

/// Sends everything that `options.input` gives.
pub async fn produce(options: Produce, signals: Signals) -> Result<Code, Failure> {
    let status = options.shared.status;
    let quit = Arc::new(Stop::default());
    let source = Source::open(options.input.clone(), status, quit.clone())
        .map_err(|error| Failure::new(Code::Software, format!("cannot start reading: {error}")))?;
    let stop = Stop::default();
    let mut producer = Producer {
        source,
        is_exhausted: false,
        farewell: Farewell::None,
        unsent: VecDeque::new(),
        in_flight: VecDeque::new(),
        in_flight_bytes: 0,
        next_number: 1,
        tally: Tally::default(),
        input_failure: None,
        options: &options,
        stop: &stop,
        quit: &quit,
    };
    let broker = Broker::new(options.shared.address.clone(), options.shared.patience, status);
    let outcome = stop.run(signals, options.shared.grace, producer.run(broker)).await;
    producer.finish_reading().await;
    producer.tally.unsent = producer.unsent.iter().filter(|message| !message.was_sent).count() as u64;
    if producer.tally.sent + producer.tally.unsent > 0 || matches!(outcome, Some(Ok(()))) {
        status.say(producer.tally);
    }
    match (outcome, producer.input_failure) {
        (Some(Err(failure)), _) | (_, Some(failure)) => Err(failure),
        _ => Ok(producer.tally.code()),
    }
}

struct Producer<'a> {
    options: &'a Produce,
    stop: &'a Stop,
    /// Whoever types has ended.
    quit: &'a Stop,
    source: Source,
    /// Nothing more is to be read.
    is_exhausted: bool,
    farewell: Farewell,
    /// To be sent, oldest first.
    unsent: VecDeque<Message>,
    /// Sent over the present connection and not yet answered, oldest first.
    in_flight: VecDeque<InFlight>,
    in_flight_bytes: usize,
    next_number: u64,
    tally: Tally,
    input_failure: Option<Failure>,
}

/// Up to which request to end it was told what is waited for.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Farewell {
    None,
    /// `q` or the end of what is typed
    Quit,
    /// A signal.
    Stop,
}

struct Message {
    number: u64,
    body: Vec<u8>,
    was_sent: bool,
}

struct InFlight {
    message: Message,
    confirm: PublisherConfirm,
}

impl Producer<'_> {
    async fn run(&mut self, mut broker: Broker) -> Result<(), Failure> {
        while let Some(mut link) = self.connect(&mut broker).await? {
            let status = self.options.shared.status;
            let served =
                link.watched(status, async |connection, channel| self.serve(connection, channel).await).await;
            let Err(interruption) = served else {
                // All is answered for already; only without confirms could this tell something, and then not what.
                let _ = link.close().await;
                return Ok(());
            };
            self.reclaim().await;
            if matches!(&interruption, Interruption::Broker(error) if is_not_found(error)) {
                self.tally.find_no_exchange();
            }
            let reason = broker.passing(interruption)?;
            status.say(format_args!("connection lost: {reason}; connecting again"));
        }
        Ok(())
    }

    /// None if the program is to end and nothing waits to be sent.
    async fn connect(&mut self, broker: &mut Broker) -> Result<Option<Link>, Failure> {
        let was_reached = broker.was_reached();
        let mut connecting = pin!(broker.connect());
        let link = loop {
            let farewell = tokio::select! {
                biased;
                link = &mut connecting => break link?,
                () = self.stop.asked(), if self.farewell < Farewell::Stop => Farewell::Stop,
                () = silence_after(self.quit), if self.farewell < Farewell::Quit => Farewell::Quit,
            };
            self.end(farewell).await;
            // A broker that cannot be reached at all is told of, even if there is nothing to send.
            if self.unsent.is_empty() && (was_reached || farewell == Farewell::Stop) {
                return Ok(None);
            }
        };
        let again = self.unsent.iter().filter(|message| message.was_sent).count();
        if again > 0 {
            self.options.shared.status.say(format_args!(
                "connected again; {again} without a confirm are sent again: consumers may see some of them twice"
            ));
        }
        self.source.prompt_again();
        Ok(Some(link))
    }

    async fn serve(&mut self, connection: &Connection, channel: &Channel) -> Result<(), Interruption> {
        if let Some(queue) = &self.options.queue {
            queue.declare(connection).await?;
        }
        if self.options.has_confirms {
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
        }
        loop {
            while self.has_room() && !self.unsent.is_empty() {
                self.publish_next(channel).await?;
            }
            if self.is_exhausted && self.unsent.is_empty() && self.in_flight.is_empty() {
                return Ok(());
            }
            let may_read = !self.is_exhausted && self.unsent.is_empty() && self.has_room();
            tokio::select! {
                biased;
                confirmation = oldest(&mut self.in_flight) => self.settle_oldest(confirmation?),
                body = self.source.next(), if may_read => self.take(body),
                () = self.stop.asked(), if self.farewell < Farewell::Stop => self.end(Farewell::Stop).await,
                () = silence_after(self.quit), if self.farewell < Farewell::Quit => {
                    self.end(Farewell::Quit).await;
                }
            }
        }
    }

    /// Whoever asked for the end is told why it does not come at once.
    async fn end(&mut self, farewell: Farewell) {
        self.farewell = farewell;
        self.finish_reading().await;
        let (unsent, unconfirmed) = (self.unsent.len(), self.in_flight.len());
        if unsent + unconfirmed > 0 {
            let shared = &self.options.shared;
            let grace = shared.grace.as_secs_f64();
            let limit = match (farewell, shared.patience) {
                (Farewell::Stop, _) => format!("{grace} s at most; a second Ctrl-C ends at once"),
                (_, None) => {
                    format!("without a limit; Ctrl-C limits it to {grace} s, a second Ctrl-C ends at once")
                }
                (_, Some(patience)) => format!(
                    "{} s at most while it is away; Ctrl-C limits it to {grace} s, a second Ctrl-C ends at once",
                    patience.as_secs_f64()
                ),
            };
            shared.status.say(format_args!(
                "waiting for the broker ({unsent} to be sent, {unconfirmed} to be confirmed), {limit}"
            ));
        }
    }

    /// What was read already is to be sent still.
    async fn finish_reading(&mut self) {
        if !self.is_exhausted {
            for body in self.source.finish().await {
                self.take(Some(body));
            }
            self.is_exhausted = true;
        }
    }

    fn has_room(&self) -> bool {
        self.in_flight.is_empty()
            || self.in_flight.len() < self.options.window && self.in_flight_bytes < WINDOW_BYTES_MAX
    }

    fn take(&mut self, body: Option<Result<Vec<u8>, Failure>>) {
        match body {
            Some(Ok(body)) => {
                self.unsent.push_back(Message { number: self.next_number, body, was_sent: false });
                self.next_number += 1;
            }
            Some(Err(failure)) => {
                self.input_failure = Some(failure);
                self.is_exhausted = true;
            }
            None => self.is_exhausted = true,
        }
    }

    /// The message leaves `unsent` only when it is published, so that nothing is lost if this is cut off.
    async fn publish_next(&mut self, channel: &Channel) -> lapin::Result<()> {
        let Some(message) = self.unsent.front_mut() else { return Ok(()) };
        if message.was_sent {
            self.tally.repeated += 1;
        } else {
            self.tally.sent += 1;
        }
        message.was_sent = true;
        // Without confirms nobody would wait for the return.
        let options = BasicPublishOptions { mandatory: self.options.has_confirms, immediate: false };
        let (exchange, key) = (self.options.exchange.clone(), self.options.key.clone());
        let properties = self.options.properties.clone();
        let confirm = channel.basic_publish(exchange, key, options, &message.body, properties).await?;
        if let Some(message) = self.unsent.pop_front() {
            self.in_flight_bytes += message.body.len();
            self.in_flight.push_back(InFlight { message, confirm });
        }
        Ok(())
    }

    fn settle_oldest(&mut self, confirmation: Confirmation) {
        if let Some(InFlight { message, .. }) = self.in_flight.pop_front() {
            self.in_flight_bytes -= message.body.len();
            self.settle(&message, &confirmation);
        }
    }

    fn settle(&mut self, message: &Message, confirmation: &Confirmation) {
        let status = self.options.shared.status;
        match confirmation {
            Confirmation::Ack(None) => {
                self.tally.accepted += 1;
                if self.options.input.is_leisurely() {
                    status.say(format_args!("accepted: {}", excerpt(&message.body)));
                }
            }
            Confirmation::Ack(Some(_)) => {
                self.tally.returned += 1;
                if self.tally.returned <= COMPLAINTS_MAX {
                    let (exchange, key) = (&self.options.exchange, &self.options.key);
                    status.say(format_args!("returned: exchange '{exchange}' has no queue for key '{key}'"));
                }
            }
            Confirmation::Nack(_) => {
                self.tally.refused += 1;
                if self.tally.refused <= COMPLAINTS_MAX {
                    let excerpt = excerpt(&message.body);
                    status.say(format_args!(
                        "refused (nack), perhaps the queue is full: message {}, {excerpt}",
                        message.number
                    ));
                }
            }
            Confirmation::NotRequested => self.tally.unknown += 1,
        }
    }

    /// After the end of a connection: what was answered for is settled, everything else is to be sent again.
    async fn reclaim(&mut self) {
        self.in_flight_bytes = 0;
        let mut unanswered = VecDeque::new();
        for InFlight { message, mut confirm } in std::mem::take(&mut self.in_flight) {
            match poll_once(&mut confirm).await {
                Some(Ok(confirmation)) => self.settle(&message, &confirmation),
                _ => unanswered.push_back(message),
            }
        }
        unanswered.append(&mut self.unsent);
        self.unsent = unanswered;
    }
}

impl Input {
    /// Whether messages come so slowly that each is worth a line.
    fn is_leisurely(&self) -> bool {
        match self {
            Self::Prompt => true,
            Self::Text { is_numbered, interval, .. } => *is_numbered && !interval.is_zero(),
            Self::Lines(_) | Self::Whole(_) => false,
        }
    }
}

async fn silence_after(quit: &Stop) {
    quit.asked().await;
    sleep(SILENCE_MAX).await;
}

/// The answer to the oldest message; never, if there is none. Confirms that come out of turn wait for it.
async fn oldest(in_flight: &mut VecDeque<InFlight>) -> lapin::Result<Confirmation> {
    match in_flight.front_mut() {
        Some(oldest) => (&mut oldest.confirm).await,
        None => pending().await,
    }
}

fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * EXCERPT_CHARS_MAX)]).into_owned();
    let shown: String = text.chars().take(EXCERPT_CHARS_MAX).flat_map(shown).collect();
    if text.chars().count() > EXCERPT_CHARS_MAX { shown + "…" } else { shown }
}

/// Control characters are shown, not sent to the terminal.
fn shown(c: char) -> Vec<char> {
    if c.is_control() { c.escape_default().collect() } else { vec![c] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_body_is_shown_in_part() {
        assert_eq!(excerpt("está lleno".as_bytes()), "está lleno");
        assert_eq!(excerpt(b"a\nb\x1b"), "a\\nb\\u{1b}");
        assert_eq!(excerpt("ñ".repeat(60).as_bytes()), "ñ".repeat(60));
        assert_eq!(excerpt("ñ".repeat(61).as_bytes()), "ñ".repeat(60) + "…");
        assert_eq!(excerpt("ñ".repeat(9000).as_bytes()), "ñ".repeat(60) + "…");
    }
}
