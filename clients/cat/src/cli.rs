//! The command line, parsed to options that cannot be wrong.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand};
use lapin::BasicProperties;
use lapin::types::ShortString;

use crate::address::{Address, AddressArgs};
use crate::output::Form;
use crate::pairs::{self, Pair, short};
use crate::queue::{Declaring, QueueSpec};
use crate::settling::Plan;
use crate::source::Input;
use crate::status::Status;

const PERSISTENT: u8 = 2;
const TRANSIENT: u8 = 1;
const SECONDS_MAX: f64 = 1e6;
const INTERVAL_DEFAULT: Duration = Duration::from_millis(1000);
const TEXT_DEFAULT: &str = "message";

const EXIT_CODES: &str = "\
Exit codes:
   0  done; also when Ctrl-C or SIGTERM ended it in order
  64  the command line is wrong
  65  not there, declared otherwise, or too large (NOT_FOUND, PRECONDITION_FAILED, RESOURCE_LOCKED)
  66  a file cannot be read; get: the queue is empty
  69  the broker cannot be reached, or ended the connection or the subscription
  70  something unforeseen
  74  reading standard input or writing standard output failed
  75  messages were refused (nack), returned (not routed), or not sent or confirmed in time
  77  user, password or permissions do not do (ACCESS_REFUSED)";

/// Sends and receives messages in a terminal, with any AMQP 0-9-1 broker.
///
/// Messages come on standard output; everything else is said on standard error.
#[derive(Debug, Parser)]
#[command(name = "liebre-cat", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send messages: typed, numbered, from standard input or from files.
    ///
    /// In a terminal each line that you type is a message, and q ends. From a pipe each line is one. -n and -i send
    /// numbered messages. A file is one message.
    #[command(after_help = EXIT_CODES)]
    Produce(ProduceArgs),
    /// Print messages as they arrive, until Ctrl-C.
    ///
    /// A message is acked after it was printed, and after --ack-delay. Ctrl-C or kill in that delay: it goes back to
    /// the queue, and to another consumer.
    #[command(after_help = EXIT_CODES)]
    Consume(ConsumeArgs),
    /// Take messages that are waiting, and end.
    #[command(after_help = EXIT_CODES)]
    Get(GetArgs),
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("target").args(["queue", "exchange"]).required(true))]
pub struct ProduceArgs {
    /// Each file is one message; - is standard input
    #[arg(value_name = "FILE", conflicts_with_all = ["count", "interval", "text", "interactive"])]
    files: Vec<PathBuf>,
    /// The queue to send to, through the default exchange
    #[arg(short, long, value_parser = name)]
    queue: Option<ShortString>,
    /// The exchange to send to
    #[arg(short, long, value_parser = short)]
    exchange: Option<ShortString>,
    /// Routing key, with --exchange
    #[arg(short, long, default_value = "", value_parser = short, conflicts_with = "queue")]
    key: ShortString,

    /// Send this many messages and end
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Milliseconds between two messages [default: 1000 with -n]; alone: without end
    #[arg(short, long, value_name = "MILLISECONDS", value_parser = milliseconds)]
    interval: Option<Duration>,
    /// Send this text; with -n or -i a number follows it [default there: message]
    #[arg(short, long)]
    text: Option<String>,
    /// Each line is a message, also of files
    #[arg(long, conflicts_with_all = ["whole", "count", "interval", "text", "interactive"])]
    lines: bool,
    /// All of standard input is one message
    #[arg(long, conflicts_with_all = ["count", "interval", "text", "interactive"])]
    whole: bool,
    /// Prompt for lines even if standard input is no terminal; q ends
    #[arg(long, conflicts_with_all = ["count", "interval", "text"])]
    interactive: bool,

    #[command(flatten)]
    message: MessageArgs,
    #[command(flatten)]
    declaring: DeclaringArgs,

    /// Do not ask whether the broker has the messages (publisher confirms)
    #[arg(long)]
    no_confirm: bool,
    /// At most this many messages without a confirm at a time
    #[arg(long, value_name = "COUNT", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    window: u32,
    #[command(flatten)]
    shared: SharedArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Each message")]
struct MessageArgs {
    /// A header; may be repeated. Whole numbers and true/false are sent as such, quotes make text of them: 'n="5"'
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = pairs::parse)]
    headers: Vec<Pair>,
    /// Not to be stored: lost when the broker stops
    #[arg(long)]
    transient: bool,
    /// For instance application/json
    #[arg(long, value_name = "TYPE", value_parser = short)]
    content_type: Option<ShortString>,
    /// 0 to 255, for queues with x-max-priority
    #[arg(long)]
    priority: Option<u8>,
    /// Dropped (or dead-lettered) after so long in a queue
    #[arg(long, value_name = "MILLISECONDS")]
    expiration: Option<u32>,
    /// Which request this answers
    #[arg(long, value_name = "ID", value_parser = short)]
    correlation_id: Option<ShortString>,
    /// Where answers go
    #[arg(long, value_name = "QUEUE", value_parser = short)]
    reply_to: Option<ShortString>,
    /// The same for all messages of the run
    #[arg(long, value_name = "ID", value_parser = short)]
    message_id: Option<ShortString>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "The queue")]
struct DeclaringArgs {
    /// The queue must be there. Otherwise: one that is there is taken as it is, else it is declared durable
    #[arg(long, conflicts_with_all = ["arguments", "transient_queue", "exchange"])]
    no_declare: bool,
    /// Declare the queue with this argument, for instance x-max-length=1000; may be repeated
    #[arg(short, long = "argument", value_name = "NAME=VALUE", value_parser = pairs::parse, conflicts_with = "exchange")]
    arguments: Vec<Pair>,
    /// Declare the queue as one that ends with the broker
    #[arg(long, conflicts_with = "exchange")]
    transient_queue: bool,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("target").args(["queue", "exchange"]).required(true))]
pub struct ConsumeArgs {
    /// The queue to consume from
    #[arg(short, long, value_parser = name)]
    queue: Option<ShortString>,
    /// Bind a queue of our own, which ends with us, to this exchange
    #[arg(short, long, value_parser = short)]
    exchange: Option<ShortString>,
    /// Binding key, with --exchange; may be repeated
    #[arg(short, long = "key", default_value = "", value_parser = short, conflicts_with = "queue")]
    keys: Vec<ShortString>,
    #[command(flatten)]
    declaring: DeclaringArgs,

    /// End after this many messages
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End when nothing has come for so long
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    idle: Option<Duration>,
    /// At most this many messages in hand and on the way (0: no limit)
    #[arg(short, long, value_name = "COUNT", default_value_t = 100)]
    prefetch: u16,
    /// The broker forgets a message as soon as it is sent, read or not; with -n more may be sent, and lost
    #[arg(long, conflicts_with_all = ["ack_delay", "reject", "nack_requeue"])]
    auto_ack: bool,
    /// Wait so long before each ack, as if there were work to do
    #[arg(long, value_name = "MILLISECONDS", value_parser = milliseconds)]
    ack_delay: Option<Duration>,
    /// Reject every Nth message, or all: it is dropped or dead-lettered
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "1",
          value_parser = clap::value_parser!(u64).range(1..))]
    reject: Option<u64>,
    /// Give back every Nth message, or all: it comes again, to anybody
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "1",
          value_parser = clap::value_parser!(u64).range(1..))]
    nack_requeue: Option<u64>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    shared: SharedArgs,
}

#[derive(Debug, Args)]
pub struct GetArgs {
    /// The queue
    #[arg(short, long, value_parser = name)]
    queue: ShortString,
    /// Take this many messages, or as many as there are
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Only look: give them back at the end, marked redelivered
    #[arg(long)]
    requeue: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    shared: SharedArgs,
}

#[derive(Debug, Args)]
struct OutputArgs {
    /// One JSON object a line: body (or body_base64), properties, headers, where from, redelivered
    #[arg(long, conflicts_with = "raw")]
    json: bool,
    /// The bodies' bytes and nothing else, not even a line's end
    #[arg(long)]
    raw: bool,
}

#[derive(Debug, Args)]
struct SharedArgs {
    #[command(flatten)]
    address: AddressArgs,
    /// Try to connect for so long before giving up [default: at the start not at all, later without end]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    reconnect_for: Option<Duration>,
    /// After Ctrl-C: how long to wait for what is under way; a second Ctrl-C ends at once
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    grace: Duration,
    /// Say nothing but errors
    #[arg(long)]
    quiet: bool,
}

/// What every command needs.
#[derive(Debug, Clone)]
pub struct Shared {
    pub address: Address,
    pub patience: Option<Duration>,
    pub grace: Duration,
    pub status: Status,
}

/// `produce`, parsed.
#[derive(Debug, Clone)]
pub struct Produce {
    pub exchange: ShortString,
    pub key: ShortString,
    /// None with an exchange.
    pub queue: Option<QueueSpec>,
    pub input: Input,
    pub properties: BasicProperties,
    pub has_confirms: bool,
    pub window: usize,
    pub shared: Shared,
}

/// `consume`, parsed.
#[derive(Debug, Clone)]
pub struct Consume {
    pub from: From,
    pub count: Option<u64>,
    pub idle: Option<Duration>,
    pub prefetch: u16,
    pub is_auto_ack: bool,
    pub ack_delay: Option<Duration>,
    pub plan: Plan,
    pub form: Form,
    pub shared: Shared,
}

/// Where `consume` consumes from.
#[derive(Debug, Clone)]
pub enum From {
    Queue(QueueSpec),
    Exchange { name: ShortString, keys: Vec<ShortString> },
}

/// `get`, parsed.
#[derive(Debug, Clone)]
pub struct Get {
    pub queue: ShortString,
    pub count: u64,
    pub requeues: bool,
    pub form: Form,
    pub shared: Shared,
}

impl ProduceArgs {
    /// The options, or why they do not go together. In a terminal lines are prompted for.
    pub fn parse(self, stdin_is_terminal: bool) -> Result<Produce, String> {
        let input = self.input(stdin_is_terminal);
        let window = if matches!(input, Input::Prompt) { 1 } else { self.window as usize };
        let properties = self.message.properties();
        let key = self.queue.clone().unwrap_or(self.key);
        Ok(Produce {
            exchange: self.exchange.unwrap_or_default(),
            key,
            queue: self.queue.map(|name| self.declaring.spec(name)),
            input,
            properties,
            has_confirms: !self.no_confirm,
            window,
            shared: self.shared.parse()?,
        })
    }

    fn input(&self, stdin_is_terminal: bool) -> Input {
        let is_numbered = self.count.is_some() || self.interval.is_some();
        if is_numbered || self.text.is_some() {
            return Input::Text {
                text: self.text.clone().unwrap_or_else(|| TEXT_DEFAULT.to_owned()),
                is_numbered,
                count: if is_numbered { self.count } else { Some(1) },
                interval: self.interval.unwrap_or(INTERVAL_DEFAULT),
            };
        }
        let stdin = || vec![PathBuf::from("-")];
        match self.files.is_empty() {
            true if self.whole => Input::Whole(stdin()),
            true if self.interactive || stdin_is_terminal && !self.lines => Input::Prompt,
            true => Input::Lines(stdin()),
            false if self.lines => Input::Lines(self.files.clone()),
            false => Input::Whole(self.files.clone()),
        }
    }
}

impl MessageArgs {
    fn properties(&self) -> BasicProperties {
        let mode = if self.transient { TRANSIENT } else { PERSISTENT };
        let mut properties = BasicProperties::default().with_delivery_mode(mode);
        if !self.headers.is_empty() {
            properties = properties.with_headers(pairs::table(&self.headers));
        }
        if let Some(content_type) = &self.content_type {
            properties = properties.with_content_type(content_type.clone());
        }
        if let Some(priority) = self.priority {
            properties = properties.with_priority(priority);
        }
        if let Some(expiration) = self.expiration {
            properties = properties.with_expiration(expiration.to_string().into());
        }
        if let Some(id) = &self.correlation_id {
            properties = properties.with_correlation_id(id.clone());
        }
        if let Some(queue) = &self.reply_to {
            properties = properties.with_reply_to(queue.clone());
        }
        if let Some(id) = &self.message_id {
            properties = properties.with_message_id(id.clone());
        }
        properties
    }
}

impl DeclaringArgs {
    fn spec(&self, name: ShortString) -> QueueSpec {
        let is_plain = self.arguments.is_empty() && !self.transient_queue;
        let declaring = match (self.no_declare, is_plain) {
            (true, _) => Declaring::No,
            (_, true) => Declaring::IfAbsent,
            _ => Declaring::Like {
                is_durable: !self.transient_queue,
                arguments: pairs::table(&self.arguments),
            },
        };
        QueueSpec { name, declaring }
    }
}

impl ConsumeArgs {
    /// The options, or why they do not go together.
    pub fn parse(self) -> Result<Consume, String> {
        let from = match self.queue {
            Some(name) => From::Queue(self.declaring.spec(name)),
            None => From::Exchange { name: self.exchange.unwrap_or_default(), keys: self.keys },
        };
        Ok(Consume {
            from,
            count: self.count,
            idle: self.idle,
            prefetch: self.prefetch,
            is_auto_ack: self.auto_ack,
            ack_delay: self.ack_delay,
            plan: Plan { discard_every: self.reject, requeue_every: self.nack_requeue },
            form: self.output.form(),
            shared: self.shared.parse()?,
        })
    }
}

impl GetArgs {
    /// The options, or why they do not go together.
    pub fn parse(self) -> Result<Get, String> {
        Ok(Get {
            queue: self.queue,
            count: self.count,
            requeues: self.requeue,
            form: self.output.form(),
            shared: self.shared.parse()?,
        })
    }
}

impl OutputArgs {
    fn form(&self) -> Form {
        match (self.json, self.raw) {
            (true, _) => Form::Json,
            (_, true) => Form::Raw,
            _ => Form::Text,
        }
    }
}

impl SharedArgs {
    fn parse(self) -> Result<Shared, String> {
        Ok(Shared {
            address: self.address.address()?,
            patience: self.reconnect_for,
            grace: self.grace,
            status: Status { is_quiet: self.quiet },
        })
    }
}

fn name(text: &str) -> Result<ShortString, String> {
    if text.is_empty() { Err("a queue needs a name here".to_owned()) } else { short(text) }
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    let milliseconds: u32 = text.parse().map_err(|_| "not a whole number of milliseconds".to_owned())?;
    Ok(Duration::from_millis(milliseconds.into()))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=SECONDS_MAX).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(format!("not between 0 and {SECONDS_MAX}"))
    }
}

#[cfg(test)]
mod tests;
