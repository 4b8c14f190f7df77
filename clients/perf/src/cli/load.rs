//! The options that describe a load, under the names of RabbitMQ's PerfTest where it has them.

use std::time::Duration;

use clap::{ArgAction, Args};

use super::values::{
    BODY_SIZE_MAX, names_of_pattern, parse_key, parse_name, parse_rate, parse_rate_step, parse_seconds,
    parse_size_step, parse_span, parse_table,
};
use crate::codec::table::{FieldTable, Properties};
use crate::load::{
    Acks, Bodies, Consuming, Exchange, Extent, Load, OWN_PREFIX, Patience, Publishing, Topology,
};
use crate::schedule::{Schedule, Step};

const CONFIRM_WINDOW_MAX: i64 = 1_000_000;
const CONNECTIONS_MAX: i64 = 10_000;
const CHANNELS_MAX: i64 = 2_047;
const SPARE_BINDINGS_MAX: i64 = 1_000_000;
const QUEUES_MAX: u32 = 100_000;
const QUEUE_DEFAULT: &str = OWN_PREFIX;
const EXCHANGE_KIND_DEFAULT: &str = "direct";
const DURATION_DEFAULT: Duration = Duration::from_secs(10);
const WARMUP_DEFAULT: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, PartialEq, Args)]
#[command(next_help_heading = "Who")]
pub struct LoadArgs {
    /// Connections that publish
    #[arg(short = 'x', long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=CONNECTIONS_MAX))]
    producers: u32,
    /// Connections that consume
    #[arg(short = 'y', long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=CONNECTIONS_MAX))]
    consumers: u32,
    /// Channels on each connection that publishes
    #[arg(short = 'X', long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=CHANNELS_MAX))]
    producer_channel_count: u16,
    /// Channels on each connection that consumes
    #[arg(short = 'Y', long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=CHANNELS_MAX))]
    consumer_channel_count: u16,
    /// Only publish; the queues and their backlog stay. The same as --consumers 0
    #[arg(long, conflicts_with_all = ["consume_only", "consumers", "ack_every", "prefetch"])]
    publish_only: bool,
    /// Only consume; an empty queue is deleted at the end. The same as --producers 0.
    /// With automatic acks, what the broker has sent beyond --messages is lost
    #[arg(long, conflicts_with_all = ["producers", "confirm"])]
    consume_only: bool,

    /// The queue; declared by the run [default: liebre-perf, with a number of its own for each run with both sides]
    #[arg(short = 'u', long, value_parser = parse_name, conflicts_with = "queue_pattern", help_heading = "Where")]
    queue: Option<String>,
    /// Queues in sequence, such as perf-%d or perf-%03d; producers and consumers take them in turn (-qp)
    #[arg(long, value_name = "NAME", requires = "queue_pattern_to", help_heading = "Where")]
    queue_pattern: Option<String>,
    /// The first number of the sequence (-qpf)
    #[arg(long, value_name = "N", default_value_t = 1, requires = "queue_pattern", help_heading = "Where")]
    queue_pattern_from: u32,
    /// The last number of the sequence (-qpt)
    #[arg(long, value_name = "N", requires = "queue_pattern", help_heading = "Where")]
    queue_pattern_to: Option<u32>,
    /// So many queues, each with a consumer, that all get each message, by way of a fanout exchange
    #[arg(long, value_name = "N", conflicts_with_all = ["queue", "queue_pattern", "exchange", "kind", "consumers"],
          value_parser = clap::value_parser!(u32).range(1..=CONNECTIONS_MAX), help_heading = "Where")]
    fan_out: Option<u32>,
    /// Publish to this exchange, declared and bound by the run; it stays [default: the default exchange]
    #[arg(short = 'e', long, value_name = "NAME", value_parser = parse_name, help_heading = "Where")]
    exchange: Option<String>,
    /// The exchange's type [default: direct]
    #[arg(short = 't', long = "type", value_name = "TYPE", value_parser = parse_name, requires = "exchange", help_heading = "Where")]
    kind: Option<String>,
    /// Publish and bind with this key [default: each queue's name]
    #[arg(short = 'k', long, value_name = "KEY", value_parser = parse_key, help_heading = "Where")]
    routing_key: Option<String>,
    /// Publish each message with another key
    #[arg(short = 'K', long, conflicts_with = "routing_key", help_heading = "Where")]
    random_routing_key: bool,
    /// Do not bind the queues to the exchange (-sb)
    #[arg(long, help_heading = "Where")]
    skip_binding_queues: bool,
    /// So many bindings more, for keys that no message has
    #[arg(long, value_name = "N", default_value_t = 0, requires = "exchange", value_parser = clap::value_parser!(u32).range(..=SPARE_BINDINGS_MAX), help_heading = "Where")]
    spare_bindings: u32,
    /// Everything is there already: declare, bind and delete nothing
    #[arg(short = 'p', long, help_heading = "Where")]
    predeclared: bool,
    /// Declare the queues durable [default: transient and auto-delete]
    #[arg(long, help_heading = "Where")]
    durable: bool,
    /// Whether the queues are deleted with their last consumer [default: true, false for durable queues] (-ad)
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, help_heading = "Where")]
    auto_delete: Option<bool>,
    /// Arguments of the queues, such as x-max-length=10,x-overflow=reject-publish (-qa)
    #[arg(long, value_name = "NAME=VALUE,…", value_parser = parse_table, help_heading = "Where")]
    queue_args: Option<FieldTable>,
    /// Quorum queues: durable, with persistent messages (-qq)
    #[arg(long, help_heading = "Where")]
    quorum_queue: bool,
    /// Leave the queues in place
    #[arg(long, help_heading = "Where")]
    keep_queue: bool,

    /// Body size in bytes
    #[arg(short = 's', long, value_name = "BYTES", default_value_t = 16,
          value_parser = clap::value_parser!(u32).range(..=i64::from(BODY_SIZE_MAX)), help_heading = "What")]
    size: u32,
    /// Body sizes by turns, each for so long; may be repeated (-vs)
    #[arg(long, value_name = "BYTES:SECONDS", value_parser = parse_size_step, conflicts_with = "size", help_heading = "What")]
    variable_size: Vec<Step>,
    /// Publish what is in these files, in turn. There is no room for the time then, so no latency
    #[arg(short = 'B', long, value_name = "FILE,…", value_delimiter = ',', conflicts_with_all = ["size", "variable_size"], help_heading = "What")]
    body: Vec<String>,
    /// The bodies' content type
    #[arg(short = 'T', long, value_name = "TYPE", help_heading = "What")]
    body_content_type: Option<String>,
    /// Properties, such as priority=5,expiration=1000; other names become headers (-mp)
    #[arg(long, value_name = "NAME=VALUE,…", help_heading = "What")]
    message_properties: Option<String>,
    /// persistent: delivery mode 2 and durable queues; mandatory: count what no queue takes. May be repeated
    #[arg(short = 'f', long, value_name = "FLAG", value_parser = ["persistent", "mandatory"], help_heading = "What")]
    flag: Vec<String>,
    /// Publish with delivery mode 2
    #[arg(long, help_heading = "What")]
    persistent: bool,

    /// Messages per second of each publishing channel [default: as fast as the broker takes them]
    #[arg(short = 'r', long, value_name = "MSG/S", value_parser = parse_rate, help_heading = "How")]
    rate: Option<f64>,
    /// Rates by turns, each for so long; may be repeated (-vr)
    #[arg(long, value_name = "MSG/S:SECONDS", value_parser = parse_rate_step, conflicts_with_all = ["rate", "publishing_interval"], help_heading = "How")]
    variable_rate: Vec<Step>,
    /// Seconds between two messages of each publishing channel
    #[arg(short = 'P', long, value_name = "SECONDS", value_parser = parse_seconds, conflicts_with = "rate", help_heading = "How")]
    publishing_interval: Option<Duration>,
    /// Messages per second of each consuming channel [default: as fast as they come]
    #[arg(short = 'R', long, value_name = "MSG/S", value_parser = parse_rate, help_heading = "How")]
    consumer_rate: Option<f64>,
    /// Publish with confirms, at most WINDOW of them outstanding on each channel
    #[arg(short = 'c', long, value_name = "WINDOW",
          value_parser = clap::value_parser!(u32).range(1..=CONFIRM_WINDOW_MAX), help_heading = "How")]
    confirm: Option<u32>,
    /// Publish no more than N messages of each publishing channel ahead of the consumers, so that no backlog builds up
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "How")]
    max_backlog: Option<u64>,
    /// The broker settles deliveries by itself (this is the default)
    #[arg(short = 'a', long = "autoack", visible_alias = "auto-ack", conflicts_with_all = ["ack_every", "prefetch", "global_qos"], help_heading = "How")]
    auto_ack: bool,
    /// Settle by hand, with one ack for every N messages [default: 1 when --qos is given]
    #[arg(short = 'A', long = "multi-ack-every", visible_alias = "ack-every", value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..), help_heading = "How")]
    ack_every: Option<u32>,
    /// Settle by hand, with at most N unsettled deliveries of each consumer (0: no limit)
    #[arg(short = 'q', long = "qos", visible_alias = "prefetch", value_name = "N", help_heading = "How")]
    prefetch: Option<u16>,
    /// Likewise, of each channel
    #[arg(short = 'Q', long, value_name = "N", conflicts_with = "prefetch", help_heading = "How")]
    global_qos: Option<u16>,
    /// Arguments of the consumers, such as x-priority=10 (-ca)
    #[arg(long, value_name = "NAME=VALUE,…", value_parser = parse_table, help_heading = "How")]
    consumer_args: Option<FieldTable>,

    /// Measured seconds [default: 10, or no limit with a number of messages]
    #[arg(short = 'z', long = "time", visible_alias = "duration", value_name = "SECONDS", value_parser = parse_span, help_heading = "How long")]
    duration: Option<Duration>,
    /// Stop when this many messages, of all producers together, are through
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), conflicts_with_all = ["pmessages", "cmessages"], help_heading = "How long")]
    messages: Option<u64>,
    /// How many messages each publishing channel publishes
    #[arg(short = 'C', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "How long")]
    pmessages: Option<u64>,
    /// How many messages each consuming channel takes, on average
    #[arg(short = 'D', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "How long")]
    cmessages: Option<u64>,
    /// Seconds before the measured time begins [default: 1, or 0 with a number of messages]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds, help_heading = "How long")]
    warmup: Option<Duration>,
}

impl LoadArgs {
    /// The load, or why these options do not go together.
    pub fn load(&self) -> Result<Load, String> {
        let publishing = if self.producer_count() > 0 { Some(self.publishing()?) } else { None };
        let consuming = if self.consumer_count() > 0 { Some(self.consuming()?) } else { None };
        if self.max_backlog.is_some() && consuming.is_none() {
            return Err("--max-backlog needs consumers".to_owned());
        }
        if publishing.is_none() && consuming.is_none() {
            return Err("with neither producers nor consumers there is nothing to measure".to_owned());
        }
        let topology = self.topology(publishing.is_some(), consuming.is_some())?;
        let has_number = [self.messages, self.pmessages, self.cmessages].iter().any(Option::is_some);
        let extent = Extent {
            warmup: self.warmup.unwrap_or(if has_number { Duration::ZERO } else { WARMUP_DEFAULT }),
            duration: self.duration.or(if has_number { None } else { Some(DURATION_DEFAULT) }),
        };
        let mut load = Load { topology, publishing, consuming, extent, patience: Patience::default() };
        self.set_messages(&mut load);
        Ok(load)
    }

    /// The same options, with this number of messages if they name none.
    pub fn with_messages(&self, messages: u64) -> Self {
        let has_number = self.messages.is_some() || self.pmessages.is_some();
        Self { messages: self.messages.or((!has_number).then_some(messages)), ..self.clone() }
    }

    fn producer_count(&self) -> u32 {
        if self.consume_only { 0 } else { self.producers }
    }

    fn consumer_count(&self) -> u32 {
        if self.publish_only { 0 } else { self.fan_out.unwrap_or(self.consumers) }
    }

    fn is_persistent(&self) -> bool {
        self.persistent || self.quorum_queue || self.has_flag("persistent")
    }

    fn is_durable(&self) -> bool {
        self.durable || self.quorum_queue || self.has_flag("persistent")
    }

    fn has_flag(&self, name: &str) -> bool {
        self.flag.iter().any(|flag| flag == name)
    }

    fn topology(&self, publishes: bool, consumes: bool) -> Result<Topology, String> {
        let is_named = self.queue.is_some() || self.queue_pattern.is_some();
        let exchange = match (&self.exchange, self.fan_out) {
            (_, Some(_)) => Some(Exchange { name: QUEUE_DEFAULT.to_owned(), kind: "fanout".to_owned() }),
            (Some(name), _) => {
                let kind = self.kind.as_deref().unwrap_or(EXCHANGE_KIND_DEFAULT).to_owned();
                Some(Exchange { name: name.clone(), kind })
            }
            (None, _) => None,
        };
        let mut arguments = self.queue_args.clone().unwrap_or_default();
        if self.quorum_queue {
            arguments.insert("x-queue-type", "quorum")?;
        }
        Ok(Topology {
            queues: self.queues()?,
            has_unique_names: !is_named
                && !self.predeclared
                && self.exchange.is_none()
                && publishes
                && consumes,
            is_predeclared: self.predeclared,
            is_durable: self.is_durable(),
            is_auto_delete: self.auto_delete.unwrap_or(!self.is_durable()),
            arguments,
            exchange,
            routing_key: self.routing_key.clone(),
            binds: !self.skip_binding_queues && !self.predeclared,
            spare_bindings: self.spare_bindings,
            deletes: consumes && !self.keep_queue && !self.predeclared,
        })
    }

    fn queues(&self) -> Result<Vec<String>, String> {
        if let (Some(pattern), Some(to)) = (&self.queue_pattern, self.queue_pattern_to) {
            if to.saturating_sub(self.queue_pattern_from) >= QUEUES_MAX {
                return Err(format!("more than {QUEUES_MAX} queues"));
            }
            return names_of_pattern(pattern, self.queue_pattern_from, to);
        }
        if let Some(count) = self.fan_out {
            return names_of_pattern(&format!("{QUEUE_DEFAULT}-%d"), 1, count);
        }
        Ok(vec![self.queue.clone().unwrap_or_else(|| QUEUE_DEFAULT.to_owned())])
    }

    fn publishing(&self) -> Result<Publishing, String> {
        let interval = self.publishing_interval.map(|interval| 1.0 / interval.as_secs_f64());
        if interval.is_some_and(|rate| !rate.is_finite()) {
            return Err("--publishing-interval 0 would be no interval: leave it out".to_owned());
        }
        let rate =
            Schedule::of(self.variable_rate.clone()).or(self.rate.or(interval).map(Schedule::constant));
        if rate.as_ref().is_some_and(|rate| rate.steps().iter().all(|step| step.value == 0.0)) {
            return Err("--variable-rate: all rates are 0".to_owned());
        }
        let channel_count = u64::from(self.producer_count()) * u64::from(self.producer_channel_count);
        Ok(Publishing {
            producers: self.producer_count(),
            channels: self.producer_channel_count,
            bodies: self.bodies()?,
            properties: self.properties()?,
            is_mandatory: self.has_flag("mandatory"),
            has_random_keys: self.random_routing_key,
            confirm_window: self.confirm,
            rate,
            ahead_max: self.max_backlog.map(|each| each.saturating_mul(channel_count)),
            messages: None,
        })
    }

    fn bodies(&self) -> Result<Bodies, String> {
        if self.body.is_empty() {
            let sizes = Schedule::of(self.variable_size.clone());
            return Ok(Bodies::Sized(sizes.unwrap_or_else(|| Schedule::constant(f64::from(self.size)))));
        }
        let read = |path: &String| match std::fs::read(path) {
            Ok(body) if body.len() <= BODY_SIZE_MAX as usize => Ok(body),
            Ok(_) => Err(format!("--body {path}: larger than {BODY_SIZE_MAX} bytes")),
            Err(error) => Err(format!("--body {path}: {error}")),
        };
        self.body.iter().map(read).collect::<Result<_, _>>().map(Bodies::Given)
    }

    fn properties(&self) -> Result<Properties, String> {
        let mut properties = Properties::none();
        if self.is_persistent() {
            properties.set("deliveryMode", "2")?;
        }
        if let Some(kind) = &self.body_content_type {
            properties.set("contentType", kind)?;
        }
        if let Some(pairs) = &self.message_properties {
            properties.set_all(pairs).map_err(|error| format!("--message-properties: {error}"))?;
        }
        Ok(properties)
    }

    fn consuming(&self) -> Result<Consuming, String> {
        Ok(Consuming {
            consumers: self.consumer_count(),
            channels: self.consumer_channel_count,
            acks: self.acks()?,
            rate: self.consumer_rate,
            arguments: self.consumer_args.clone().unwrap_or_default(),
            messages: None,
        })
    }

    fn acks(&self) -> Result<Acks, String> {
        let is_per_channel = self.global_qos.is_some();
        let prefetch = self.prefetch.or(self.global_qos);
        if self.ack_every.is_none() && prefetch.is_none() {
            return Ok(Acks::Auto);
        }
        let every = self.ack_every.unwrap_or(1);
        let prefetch_count = prefetch.unwrap_or(0);
        if prefetch_count > 0 && every > u32::from(prefetch_count) {
            return Err(format!(
                "--multi-ack-every {every} would never come: --qos allows only {prefetch_count}"
            ));
        }
        Ok(Acks::Manual { every, prefetch_count, is_per_channel })
    }

    /// What is published is what is consumed, unless something else is asked for.
    fn set_messages(&self, load: &mut Load) {
        let copies = load.topology.copies();
        let mut published = self.messages;
        if let Some(publishing) = &mut load.publishing {
            published = published.or(self.pmessages.map(|messages| messages * publishing.channel_count()));
            publishing.messages = published;
        }
        if let Some(consuming) = &mut load.consuming {
            let copies = if load.publishing.is_some() { copies } else { 1 };
            let asked = self.cmessages.map(|messages| messages * consuming.channel_count());
            consuming.messages = asked.or(published.map(|messages| messages * copies));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(options: &str) -> Result<Load, String> {
        Load::parse(options)
    }

    #[test]
    fn defaults_are_a_short_transient_run() {
        let load = load("").unwrap();
        let publishing = load.publishing.unwrap();
        assert_eq!((publishing.bodies, publishing.rate), (Bodies::Sized(Schedule::constant(16.0)), None));
        assert_eq!((publishing.confirm_window, load.consuming.unwrap().acks), (None, Acks::Auto));
        assert_eq!(load.extent, Extent { warmup: WARMUP_DEFAULT, duration: Some(DURATION_DEFAULT) });
        assert!(load.topology.deletes && load.topology.has_unique_names && load.topology.is_auto_delete);
    }

    #[test]
    fn messages_replace_duration_and_warmup() {
        let load = load("--messages 5 --publish-only").unwrap();
        assert_eq!(load.extent, Extent { warmup: Duration::ZERO, duration: None });
        assert_eq!((load.publishing.unwrap().messages, load.consuming), (Some(5), None));
    }

    #[test]
    fn acks_follow_from_prefetch_and_ack_every() {
        let acks = |options| load(options).map(|load| load.consuming.unwrap().acks);
        let manual = |every, prefetch_count| Acks::Manual { every, prefetch_count, is_per_channel: false };
        assert_eq!(acks("--prefetch 100"), Ok(manual(1, 100)));
        assert_eq!(acks("-A 9 -q 10"), Ok(manual(9, 10)));
        assert_eq!(acks("--ack-every 9"), Ok(manual(9, 0)));
        assert_eq!(acks("-Q 5"), Ok(Acks::Manual { every: 1, prefetch_count: 5, is_per_channel: true }));
        assert!(acks("--ack-every 9 --prefetch 8").is_err());
        assert!(acks("--ack-every 9 --auto-ack").is_err());
    }

    #[test]
    fn a_known_line_of_perftest_means_the_same() {
        let line = "-x 2 -y 4 -u orders -f persistent -f mandatory -q 500 -c 200 -A 100 -z 30 -s 4000 -r 50";
        let load = load(line).unwrap();
        let (publishing, consuming) = (load.publishing.unwrap(), load.consuming.unwrap());
        assert_eq!((publishing.producers, consuming.consumers), (2, 4));
        assert!(load.topology.is_durable && publishing.properties.is_persistent() && publishing.is_mandatory);
        assert_eq!(
            (load.topology.queues, load.topology.has_unique_names),
            (vec!["orders".to_owned()], false)
        );
        assert_eq!(publishing.rate, Some(Schedule::constant(50.0)));
        assert_eq!(load.extent.duration, Some(Duration::from_secs(30)));
    }

    #[test]
    fn many_producers_share_queues_and_messages() {
        let load =
            load("-x 3 --queue-pattern q-%02d --queue-pattern-from 9 --queue-pattern-to 10 -C 5").unwrap();
        assert_eq!(load.topology.queues, ["q-09", "q-10"]);
        assert_eq!((load.topology.routing_key(1), load.topology.routing_key(2)), ("q-10", "q-09"));
        let publishing = load.publishing.unwrap();
        assert_eq!((publishing.messages, publishing.messages_of(2)), (Some(15), Some(5)));
        assert_eq!(load.consuming.unwrap().messages, Some(15));
    }

    #[test]
    fn each_queue_of_a_fan_out_gets_each_message() {
        let load = load("--fan-out 10 --messages 7").unwrap();
        assert_eq!((load.topology.copies(), load.topology.queues.len()), (10, 10));
        let consuming = load.consuming.unwrap();
        assert_eq!((consuming.consumers, consuming.messages), (10, Some(70)));
        let keyed = Load::parse("-e x -k all --queue-pattern q%d --queue-pattern-to 3 -y 3").unwrap();
        assert_eq!(keyed.topology.copies(), 3);
    }

    #[test]
    fn nonsense_is_refused() {
        for options in [
            "--size 1000000000",
            "--confirm 0",
            "--rate -1",
            "--rate nan",
            "--duration inf",
            "--messages 0",
            "--publish-only --consume-only",
            "-x 0 -y 0",
            "-t fanout",
            "--queue-pattern q%d",
            "--queue-pattern q --queue-pattern-to 3",
            "--variable-rate 0:1",
            "-f transient",
            "--message-properties priority=high",
            "--body /no/such/file",
            "-P 0",
            "--max-backlog 5 -y 0",
        ] {
            assert!(load(options).is_err(), "{options}");
        }
    }
}
