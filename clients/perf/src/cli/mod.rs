//! The command line, parsed to values that cannot be wrong.

pub mod argv;
mod load;
pub mod values;
mod work;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::RangedI64ValueParser;
use clap::{ArgAction, Args, Parser, Subcommand};

pub use load::LoadArgs;
pub use work::{ChurnArgs, IdleArgs, WorkCommand};

use crate::error::PerfError;
use crate::fresh::Recipe;
use crate::plans::{Plan, fresh_plans, run_plans, scale_plans};
use crate::process;
use crate::start::Start;
use crate::table::{Method, Named};
use crate::url::BrokerUrl;
use crate::work::Work;
use values::{parse_seconds, parse_span, parse_target, split_command};

/// Loads an AMQP 0-9-1 broker, and measures what it does and what it costs.
///
/// Without a subcommand it publishes and consumes. Options have the names of RabbitMQ's PerfTest where it has them.
///
/// Exit code: 0 measured; 1 the broker cannot be reached, refused or closed; 2 wrong options;
/// 3 measured, but the messages did not get through.
#[derive(Debug, Parser)]
#[command(name = "liebre-perf", version, args_conflicts_with_subcommands = true, disable_help_flag = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub run: RunArgs,
    /// Print help
    #[arg(short = '?', long, global = true, action = ArgAction::Help, help_heading = None::<&str>)]
    help: Option<bool>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measures two brokers in turns (A B B A …) and compares the medians.
    Compare(Box<CompareArgs>),
    /// Connections, channels or queues that come and go: how many a second, at what cost.
    Churn(OnBroker<ChurnArgs>),
    /// Connections or queues that do nothing: what each weighs.
    Idle(OnBroker<IdleArgs>),
    /// A backlog that is built, then drained: how fast, and what it weighs. A million messages unless told otherwise.
    Backlog(Box<OnBroker<LoadArgs>>),
    /// Starts a broker again and again: how long until the first client has its vhost open.
    Start(StartArgs),
    /// Measures one broker, or two in turns, by everything: rates, churn, latencies. Prints Markdown.
    Table(Box<TableArgs>),
    /// Likewise, by how the cost of a message grows with publishers, consumers, bindings, connections and queues.
    Scale(Box<ScaleArgs>),
    /// Prints the results of a table, or of curves, as Markdown once more.
    Report(ReportArgs),
    /// Prints the ratios of a table's results as a picture (SVG).
    Chart(ChartArgs),
}

/// Work for one broker.
#[derive(Debug, Args)]
pub struct OnBroker<W: Args> {
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub work: W,
    /// Print JSON
    #[arg(long, help_heading = None::<&str>)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// A broker on the command line.
#[derive(Debug, Args)]
pub struct TargetArgs {
    /// The broker: amqp://user:password@host:port/vhost
    #[arg(
        short = 'h',
        long = "uri",
        visible_alias = "url",
        env = "LIEBRE_PERF_URL",
        default_value = "amqp://guest:guest@127.0.0.1:5672/"
    )]
    pub url: BrokerUrl,
    /// Also measure the CPU time and memory of this process (the broker's; for RabbitMQ that of beam.smp)
    #[arg(long)]
    pub pid: Option<u32>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Seconds between two lines that say how it goes
    #[arg(short = 'i', long, value_name = "SECONDS", default_value = "1", value_parser = parse_seconds)]
    pub interval: Duration,
    /// What these lines begin with
    #[arg(short = 'd', long, default_value = "liebre-perf")]
    pub id: String,
    /// No such lines
    #[arg(long)]
    pub quiet: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(
    subcommand_value_name = "WORK",
    subcommand_help_heading = "Work, behind the other options; a load if left out"
)]
pub struct CompareArgs {
    #[command(flatten)]
    pub pair: PairArgs,
    /// How often each broker is measured
    #[arg(long, global = true, default_value_t = 5, value_parser = parse_rounds())]
    pub rounds: u32,
    #[command(flatten)]
    pub load: LoadArgs,
    /// Print JSON
    #[arg(long, global = true, help_heading = None::<&str>)]
    pub json: bool,
    #[command(subcommand)]
    pub work: Option<WorkCommand>,
}

#[derive(Debug, Args)]
pub struct StartArgs {
    /// The broker's program with its arguments, in quotes. It runs in the foreground, and only it is measured and
    /// stopped: a script that starts the broker must do so with `exec`
    #[arg(long, value_name = "COMMAND")]
    pub command: String,
    /// Where it will answer: amqp://user:password@host:port/vhost
    #[arg(
        short = 'h',
        long = "uri",
        visible_alias = "url",
        default_value = "amqp://guest:guest@127.0.0.1:5672/"
    )]
    pub url: BrokerUrl,
    /// How often it is started
    #[arg(long, default_value_t = 5, value_parser = parse_rounds())]
    pub rounds: u32,
    /// Stop it with SIGKILL, so that the next start has to recover, though what it recovers was recovered before
    #[arg(long)]
    pub kill: bool,
    /// Seconds to wait for a start, and for a stop
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = parse_span)]
    pub patience: Duration,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct TableArgs {
    #[command(flatten)]
    pub many: ManyArgs,
    /// Seconds of each measurement
    #[arg(short = 'z', long = "time", visible_alias = "duration", value_name = "SECONDS", default_value = "4", value_parser = parse_span)]
    pub duration: Duration,
    /// Where the disk is synced for the floors of what is durable, and where the brokers that are started have their
    /// directories: on the brokers' disk
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// How a broker like the first is started, for its memory and its starts: the program with its arguments, in which
    /// {dir} is replaced by an empty directory and {port} by the port where it is to answer. It runs in the foreground;
    /// a script must start it with `exec`
    #[arg(long, value_name = "COMMAND", value_parser = Recipe::parse)]
    pub a_command: Option<Recipe>,
    /// How one like the second is started, likewise
    #[arg(long, value_name = "COMMAND", value_parser = Recipe::parse, requires = "a_command", requires = "b")]
    pub b_command: Option<Recipe>,
}

#[derive(Debug, Args)]
pub struct ScaleArgs {
    #[command(flatten)]
    pub many: ManyArgs,
    /// Seconds of each measurement
    #[arg(short = 'z', long = "time", visible_alias = "duration", value_name = "SECONDS", default_value = "2", value_parser = parse_span)]
    pub duration: Duration,
    /// The options of each publisher and consumer
    #[arg(
        long,
        value_name = "OPTIONS",
        default_value = "-c 100 -q 100 -A 10 --max-backlog 200",
        allow_hyphen_values = true
    )]
    pub load: String,
}

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// What `table --out` or `scale --out` has written
    pub results: String,
    /// One line for each kind of work, with its rate or median latency and its cost, or for each curve
    #[arg(long)]
    pub brief: bool,
}

#[derive(Debug, Args)]
pub struct ChartArgs {
    /// What `table --out` has written
    pub results: String,
}

/// Many measurements of one broker or two.
#[derive(Debug, Args)]
pub struct ManyArgs {
    /// The first broker and, after a comma, the process to measure
    #[arg(long, value_name = "URL[,PID]", value_parser = parse_target)]
    pub a: Target,
    /// The second broker, likewise
    #[arg(long, value_name = "URL[,PID]", value_parser = parse_target)]
    pub b: Option<Target>,
    /// The first broker's process
    #[arg(long, value_name = "PID")]
    pub a_pid: Option<u32>,
    /// The second broker's process
    #[arg(long, value_name = "PID", requires = "b")]
    pub b_pid: Option<u32>,
    /// What the first broker is called
    #[arg(long, value_name = "NAME", default_value = "A")]
    pub a_name: String,
    /// What the second broker is called
    #[arg(long, value_name = "NAME", default_value = "B")]
    pub b_name: String,
    /// How often each is measured
    #[arg(long, default_value_t = 3, value_parser = parse_rounds())]
    pub rounds: u32,
    /// Only work whose description has this in it; may be repeated
    #[arg(long, value_name = "TEXT")]
    pub only: Vec<String>,
    /// Seconds in which what a measurement needs must be there: idle connections and queues, messages, a
    /// broker's start; also for its stop
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = parse_span)]
    pub limit: Duration,
    /// Also write the results as JSON into this file, after each kind of work
    #[arg(long, value_name = "FILE")]
    pub out: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Two brokers on the command line.
#[derive(Debug, Args)]
pub struct PairArgs {
    /// The first broker and, after a comma, the process to measure
    #[arg(long, value_name = "URL[,PID]", value_parser = parse_target)]
    pub a: Target,
    /// The second broker, likewise
    #[arg(long, value_name = "URL[,PID]", value_parser = parse_target)]
    pub b: Target,
    /// The first broker's process
    #[arg(long, value_name = "PID")]
    pub a_pid: Option<u32>,
    /// The second broker's process
    #[arg(long, value_name = "PID")]
    pub b_pid: Option<u32>,
}

/// A broker and its process, if that is to be measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub url: BrokerUrl,
    pub pid: Option<u32>,
}

impl Target {
    /// Whether its process can be measured, if there is one to measure.
    pub fn check_process(&self) -> Result<(), PerfError> {
        self.pid.map_or(Ok(()), |pid| process::usage_of(pid).map(|_| ()))
    }

    fn with_pid(&self, pid: Option<u32>) -> Self {
        Self { pid: pid.or(self.pid), ..self.clone() }
    }
}

impl CompareArgs {
    /// What to compare the brokers by, or why these options do not go together.
    pub fn work(&self) -> Result<Work, String> {
        match &self.work {
            None => self.load.load().map(|load| Work::Load(Box::new(load))),
            Some(_) if self.load != Cli::parse_from(["liebre-perf"]).run.load => {
                Err("the options of a load do not go with other work".to_owned())
            }
            Some(work) => work.work(),
        }
    }
}

impl StartArgs {
    pub fn start(&self) -> Result<Start, String> {
        let command = split_command(&self.command)?;
        Ok(Start { command, url: self.url.clone(), kills: self.kill, patience: self.patience })
    }
}

impl TableArgs {
    pub fn plans(&self) -> Result<Vec<Plan>, String> {
        let run = run_plans(self.duration.as_secs_f64())?;
        let fresh = fresh_plans(self.many.limit)?;
        match self.a_command {
            Some(_) => self.many.chosen([run, fresh].concat()),
            None => self.many.chosen(run).map_err(|message| match self.many.chosen(fresh) {
                Ok(_) => "memory and starts are measured with --a-command".to_owned(),
                Err(_) => message,
            }),
        }
    }

    pub fn method(&self) -> Method {
        self.many.method(self.dir.clone(), [self.a_command.clone(), self.b_command.clone()])
    }
}

impl ScaleArgs {
    pub fn plans(&self) -> Result<Vec<Plan>, String> {
        self.many.chosen(scale_plans(self.duration.as_secs_f64(), &self.load)?)
    }

    pub fn method(&self) -> Method {
        self.many.method(PathBuf::new(), [None, None])
    }
}

impl ManyArgs {
    fn method(&self, dir: PathBuf, recipes: [Option<Recipe>; 2]) -> Method {
        let named = |name: &str, target: &Target, pid, recipe| Named {
            name: name.to_owned(),
            target: target.with_pid(pid),
            recipe,
        };
        let [of_a, of_b] = recipes;
        let a = named(&self.a_name, &self.a, self.a_pid, of_a);
        let b = self.b.as_ref().map(|b| named(&self.b_name, b, self.b_pid, of_b));
        let brokers = std::iter::once(a).chain(b).collect();
        Method { brokers, rounds: self.rounds, dir, limit: self.limit }
    }

    fn chosen(&self, mut plans: Vec<Plan>) -> Result<Vec<Plan>, String> {
        let titles: Vec<String> = plans.iter().map(|plan| plan.title.clone()).collect();
        plans.retain(|plan| self.only.is_empty() || self.only.iter().any(|text| plan.title.contains(text)));
        if plans.is_empty() {
            return Err(format!("--only leaves nothing of:\n  {}", titles.join("\n  ")));
        }
        Ok(plans)
    }
}

/// How often something is repeated.
fn parse_rounds() -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=1_000)
}

impl TargetArgs {
    pub fn target(&self) -> Target {
        Target { url: self.url.clone(), pid: self.pid }
    }
}

impl PairArgs {
    pub fn targets(&self) -> [Target; 2] {
        [self.a.with_pid(self.a_pid), self.b.with_pid(self.b_pid)]
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_compares_may_stand_behind_the_work() {
        let line = "liebre-perf compare --a amqp://one --b amqp://other churn queues --rounds 3 --json";
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        let Some(Command::Compare(args)) = cli.command else { panic!("{line}") };
        assert_eq!((args.rounds, args.json, args.work.is_some()), (3, true, true));
        let line = "liebre-perf compare --a amqp://one --b amqp://other --rounds 4 churn queues";
        let Some(Command::Compare(args)) = Cli::try_parse_from(line.split(' ')).unwrap().command else {
            panic!("{line}")
        };
        assert_eq!((args.rounds, args.json), (4, false));
    }

    #[test]
    fn a_table_has_memory_and_starts_if_it_knows_how_to_start() {
        let plans = |line: &str| {
            let words = ["liebre-perf", "table", "--a", "amqp://one"];
            let cli = Cli::try_parse_from(words.into_iter().chain(line.split_terminator('|'))).unwrap();
            let Some(Command::Table(args)) = cli.command else { panic!("{line}") };
            args.plans().map(|plans| plans.len())
        };
        assert_eq!(plans(""), Ok(17));
        assert_eq!(plans("--a-command|liebre {dir} {port}"), Ok(27));
        assert_eq!(plans("--a-command|liebre {dir} {port}|--only|memory"), Ok(6));
        assert!(plans("--only|memory").unwrap_err().contains("--a-command"));
        for line in ["--a-command|liebre {dir}", "--b-command|liebre {dir} {port}"] {
            let words = ["liebre-perf", "table", "--a", "amqp://one", "--b", "amqp://other"];
            assert!(Cli::try_parse_from(words.into_iter().chain(line.split('|'))).is_err(), "{line}");
        }
    }
}
