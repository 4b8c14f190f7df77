//! The options of work other than a plain load.

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::argv::rewrite;
use super::load::LoadArgs;
use super::values::{parse_seconds, parse_span};
use super::{Cli, Command};
use crate::backlog::Backlog;
use crate::churn::{Churn, Churned};
use crate::idle::{Idle, Idling};
use crate::work::Work;

const AT_ONCE_MAX: i64 = 10_000;
const IDLE_MAX: i64 = 1_000_000;
const BACKLOG_DEFAULT: u64 = 1_000_000;

/// Work that two brokers can be compared by.
#[derive(Debug, Subcommand)]
pub enum WorkCommand {
    /// Connections, channels or queues that come and go.
    Churn(ChurnArgs),
    /// Connections or queues that do nothing: what each weighs.
    Idle(IdleArgs),
    /// A backlog that is built, then drained.
    Backlog(Box<LoadArgs>),
}

#[derive(Debug, Args)]
pub struct ChurnArgs {
    /// What comes and goes
    pub what: ChurnedKind,
    /// Durable queues
    #[arg(long)]
    pub durable: bool,
    /// How many connections do so at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=AT_ONCE_MAX))]
    pub at_once: u32,
    /// Measured seconds
    #[arg(short = 'z', long = "time", visible_alias = "duration", value_name = "SECONDS", default_value = "5", value_parser = parse_span)]
    pub duration: Duration,
}

#[derive(Debug, Args)]
pub struct IdleArgs {
    /// What does nothing; each connection has a channel and a consumer
    pub what: IdlingKind,
    /// How many
    #[arg(value_parser = clap::value_parser!(u32).range(1..=IDLE_MAX))]
    pub count: u32,
    /// Durable queues
    #[arg(long)]
    pub durable: bool,
    /// Seconds for which the broker's CPU time is watched meanwhile
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = parse_seconds)]
    pub hold: Duration,
    /// Seconds in which they must be there; twice as many, and 10 at least, in which they must be gone again [default: 4, and 0.05 for each]
    #[arg(long, value_name = "SECONDS", value_parser = parse_span)]
    pub patience: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ChurnedKind {
    Connections,
    Channels,
    Queues,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IdlingKind {
    Connections,
    Queues,
}

impl WorkCommand {
    /// The work, or why these options do not go together.
    pub fn work(&self) -> Result<Work, String> {
        match self {
            Self::Churn(args) => args.work(),
            Self::Idle(args) => args.work(),
            Self::Backlog(args) => args.backlog(),
        }
    }
}

impl Work {
    /// The work that these words of the command line describe.
    pub fn parse(words: &str) -> Result<Self, String> {
        let words = std::iter::once("liebre-perf").chain(words.split_whitespace()).map(str::to_owned);
        let cli = Cli::try_parse_from(rewrite(words)).map_err(|error| error.to_string())?;
        match &cli.command {
            None => cli.run.load.load().map(|load| Self::Load(Box::new(load))),
            Some(Command::Churn(args)) => args.work.work(),
            Some(Command::Idle(args)) => args.work.work(),
            Some(Command::Backlog(args)) => args.work.backlog(),
            Some(_) => Err("that is no work by itself".to_owned()),
        }
    }
}

impl ChurnArgs {
    pub fn work(&self) -> Result<Work, String> {
        let what = match self.what {
            ChurnedKind::Queues => Churned::Queues { is_durable: self.durable },
            _ if self.durable => return Err("only queues can be --durable".to_owned()),
            ChurnedKind::Connections => Churned::Connections,
            ChurnedKind::Channels => Churned::Channels,
        };
        Ok(Work::Churn(Churn { what, at_once: self.at_once, duration: self.duration }))
    }
}

impl IdleArgs {
    pub fn work(&self) -> Result<Work, String> {
        let what = match self.what {
            IdlingKind::Queues => Idling::Queues { is_durable: self.durable },
            IdlingKind::Connections if self.durable => return Err("only queues can be --durable".to_owned()),
            IdlingKind::Connections => Idling::Connections,
        };
        let patience = self.patience.unwrap_or(Idle::patience_default(self.count));
        Ok(Work::Idle(Idle { what, count: self.count, hold: self.hold, patience }))
    }
}

impl LoadArgs {
    /// The load as a backlog.
    pub fn backlog(&self) -> Result<Work, String> {
        let load = self.with_messages(BACKLOG_DEFAULT).load()?;
        let backlog = Backlog::of(load).ok_or("a backlog needs producers and consumers")?;
        Ok(Work::Backlog(Box::new(backlog)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_work() {
        let churn = Churn {
            what: Churned::Queues { is_durable: true },
            at_once: 16,
            duration: Duration::from_secs(3),
        };
        assert_eq!(Work::parse("churn queues --durable --at-once 16 -z 3"), Ok(Work::Churn(churn)));
        let hold = Duration::from_secs(2);
        let patience = Duration::from_millis(4_500);
        let idle = Idle { what: Idling::Connections, count: 10, hold, patience };
        assert_eq!(Work::parse("idle connections 10"), Ok(Work::Idle(idle)));
        assert!(matches!(Work::parse("-s 1024 -z 1"), Ok(Work::Load(_))));
        assert!(matches!(Work::parse("backlog -s 1024"), Ok(Work::Backlog(_))));
    }

    #[test]
    fn nonsense_is_refused() {
        for words in [
            "churn rabbits",
            "churn channels --durable",
            "idle queues 0",
            "idle connections",
            "backlog -y 0",
            "-z 0",
            "churn queues -z 0",
        ] {
            assert!(Work::parse(words).is_err(), "{words}");
        }
    }
}
