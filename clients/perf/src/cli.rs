//! The command line, parsed to a [`Load`] that cannot be wrong.

use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand};

use crate::load::{Acks, Extent, Flow, Load, Patience};
use crate::url::BrokerUrl;

const BODY_SIZE_MAX: u32 = 128 * 1024 * 1024;
const CONFIRM_WINDOW_MAX: u32 = 1_000_000;
const QUEUE_DEFAULT: &str = "liebre-perf";
const SECONDS_MAX: f64 = 1e6;
const DURATION_DEFAULT: Duration = Duration::from_secs(10);
const WARMUP_DEFAULT: Duration = Duration::from_secs(1);

/// Loads an AMQP 0-9-1 broker with one publisher and one consumer, and measures what it costs.
///
/// Exit code: 0 measured; 1 the broker cannot be reached, refused or closed; 2 wrong options;
/// 3 measured, but the messages did not get through.
#[derive(Debug, Parser)]
#[command(name = "liebre-perf", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub run: RunArgs,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measures two brokers in turns (A B A B …) and compares the medians.
    Compare(CompareArgs),
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// The broker: amqp://user:password@host:port/vhost
    #[arg(long, env = "LIEBRE_PERF_URL", default_value = "amqp://guest:guest@127.0.0.1:5672/")]
    pub url: BrokerUrl,
    /// Also measure the CPU time and memory of this process (the broker's; for RabbitMQ that of beam.smp)
    #[arg(long)]
    pub pid: Option<u32>,
    #[command(flatten)]
    pub load: LoadArgs,
}

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The first broker and, after a comma, the process to measure
    #[arg(long, value_name = "URL[,PID]", value_parser = parse_target)]
    pub a: Target,
    /// The second broker, likewise
    #[arg(long, value_name = "URL[,PID]", value_parser = parse_target)]
    pub b: Target,
    /// How often each broker is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    #[command(flatten)]
    pub load: LoadArgs,
}

/// A broker and its process, if that is to be measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub url: BrokerUrl,
    pub pid: Option<u32>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("manual").args(["ack_every", "prefetch"]).multiple(true))]
pub struct LoadArgs {
    /// The queue; declared by the run [default: liebre-perf, with a number of its own for each run with both sides]
    #[arg(long, value_parser = parse_queue)]
    queue: Option<String>,
    /// Body size in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 16, value_parser = clap::value_parser!(u32).range(..=i64::from(BODY_SIZE_MAX)))]
    size: u32,
    /// Publish with confirms, at most WINDOW of them outstanding
    #[arg(long, value_name = "WINDOW", conflicts_with = "consume_only",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(CONFIRM_WINDOW_MAX)))]
    confirm: Option<u32>,
    /// The broker settles deliveries by itself (this is the default)
    #[arg(long, conflicts_with = "manual")]
    auto_ack: bool,
    /// Settle by hand, with one ack for every N messages [default: 1 when --prefetch is given]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    ack_every: Option<u32>,
    /// Settle by hand, with at most N unsettled deliveries (0: no limit)
    #[arg(long, value_name = "N")]
    prefetch: Option<u16>,
    /// Messages per second [default: as fast as the broker takes them]
    #[arg(long, value_name = "MSG/S", value_parser = parse_rate)]
    rate: Option<f64>,
    /// Measured seconds [default: 10, or no limit with --messages]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    duration: Option<Duration>,
    /// Stop when this many messages are through
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    messages: Option<u64>,
    /// Seconds before the measured time begins [default: 1, or 0 with --messages]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    warmup: Option<Duration>,
    /// Publish with delivery mode 2
    #[arg(long)]
    persistent: bool,
    /// Declare the queue durable [default: transient and auto-delete]
    #[arg(long)]
    durable: bool,
    /// Only publish; the queue and its backlog stay
    #[arg(long, conflicts_with_all = ["consume_only", "manual"])]
    publish_only: bool,
    /// Only consume; an empty queue is deleted at the end.
    /// With automatic acks, what the broker has sent beyond --messages is lost
    #[arg(long)]
    consume_only: bool,
    /// Leave the queue in place
    #[arg(long)]
    keep_queue: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl LoadArgs {
    /// The load, or why these options do not go together.
    pub fn load(&self) -> Result<Load, String> {
        let flow = match (self.publish_only, self.consume_only) {
            (true, _) => Flow::PublishOnly,
            (_, true) => Flow::ConsumeOnly,
            _ => Flow::Both,
        };
        let warmup =
            self.warmup.unwrap_or(if self.messages.is_some() { Duration::ZERO } else { WARMUP_DEFAULT });
        let duration = self.duration.or(if self.messages.is_some() { None } else { Some(DURATION_DEFAULT) });
        Ok(Load {
            queue: self.queue.clone().unwrap_or_else(|| QUEUE_DEFAULT.to_owned()),
            has_unique_queue: self.queue.is_none() && flow == Flow::Both,
            flow,
            body_size: self.size as usize,
            is_persistent: self.persistent,
            is_durable: self.durable,
            confirm_window: self.confirm,
            acks: self.acks()?,
            rate: self.rate,
            extent: Extent { warmup, duration, messages: self.messages },
            deletes_queue: flow != Flow::PublishOnly && !self.keep_queue,
            patience: Patience::default(),
        })
    }

    fn acks(&self) -> Result<Acks, String> {
        if self.ack_every.is_none() && self.prefetch.is_none() {
            return Ok(Acks::Auto);
        }
        let every = self.ack_every.unwrap_or(1);
        let prefetch_count = self.prefetch.unwrap_or(0);
        if prefetch_count > 0 && every > u32::from(prefetch_count) {
            return Err(format!(
                "--ack-every {every} would never come: --prefetch allows only {prefetch_count}"
            ));
        }
        Ok(Acks::Manual { every, prefetch_count })
    }
}

fn parse_target(text: &str) -> Result<Target, String> {
    let parse = |url: &str| url.parse::<BrokerUrl>().map_err(|error| error.to_string());
    match text.rsplit_once(',') {
        Some((url, pid)) => Ok(Target {
            url: parse(url)?,
            pid: Some(pid.parse().map_err(|_| format!("{pid:?} is not a process id"))?),
        }),
        None => Ok(Target { url: parse(text)?, pid: None }),
    }
}

fn parse_queue(name: &str) -> Result<String, String> {
    match name.len() {
        // The broker would choose a name, but each connection another.
        0 => Err("a queue needs a name here".to_owned()),
        1..=255 => Ok(name.to_owned()),
        _ => Err("a queue's name has at most 255 bytes".to_owned()),
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.001..=1e9).contains(&rate) { Ok(rate) } else { Err("not between 0.001 and 1e9".to_owned()) }
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if !(0.0..=SECONDS_MAX).contains(&seconds) {
        return Err(format!("not between 0 and {SECONDS_MAX}"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn load(options: &str) -> Result<Load, String> {
        let words = std::iter::once("liebre-perf").chain(options.split_whitespace());
        Cli::try_parse_from(words).map_err(|error| error.kind().to_string())?.run.load.load()
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_are_a_short_transient_run() {
        let load = load("").unwrap();
        assert_eq!((load.flow, load.body_size, load.acks, load.rate), (Flow::Both, 16, Acks::Auto, None));
        let extent = Extent { warmup: WARMUP_DEFAULT, duration: Some(DURATION_DEFAULT), messages: None };
        assert_eq!((load.extent, load.confirm_window, load.deletes_queue), (extent, None, true));
    }

    #[test]
    fn messages_replace_duration_and_warmup() {
        let extent = load("--messages 5 --publish-only").unwrap().extent;
        assert_eq!(extent, Extent { warmup: Duration::ZERO, duration: None, messages: Some(5) });
    }

    #[test]
    fn acks_follow_from_prefetch_and_ack_every() {
        let acks = |options| load(options).map(|load| load.acks);
        assert_eq!(acks("--prefetch 100"), Ok(Acks::Manual { every: 1, prefetch_count: 100 }));
        assert_eq!(acks("--ack-every 9"), Ok(Acks::Manual { every: 9, prefetch_count: 0 }));
        assert!(acks("--ack-every 9 --prefetch 8").is_err());
        assert!(acks("--ack-every 9 --auto-ack").is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        for options in
            ["--size 1000000000", "--confirm 0", "--rate -1", "--rate nan", "--duration inf", "--messages 0"]
        {
            assert!(load(options).is_err(), "{options}");
        }
        assert!(load("--publish-only --consume-only").is_err());
    }

    #[test]
    fn a_target_may_name_its_process() {
        let url: BrokerUrl = "amqp://mq/".parse().unwrap();
        assert_eq!(parse_target("amqp://mq/,77"), Ok(Target { url: url.clone(), pid: Some(77) }));
        assert_eq!(parse_target("amqp://mq/"), Ok(Target { url, pid: None }));
        assert!(parse_target("amqp://mq/,x").is_err());
    }
}
