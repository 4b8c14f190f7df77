//! The command line of the judge.

use std::fs;

use clap::{Args, Parser, Subcommand};

use super::{
    Doing, Trouble,
    catalogue::Catalogue,
    differences::{Differences, describe},
    rabbitmq::RabbitMq,
    target::Target,
    transcript::{self, Transcript},
    verdict::{Transcripts, Verdict, judge, play_all},
};
use crate::broker::Broker;

/// Plays scripted sessions against RabbitMQ and against Liebre, and compares what comes back.
#[derive(Debug, Parser)]
#[command(name = "judge", version, about)]
pub struct Arguments {
    #[command(subcommand)]
    command: Task,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Play every script against both brokers; an unexplained difference fails
    Compare,
    /// Write down what RabbitMQ says; each script is played twice
    Record,
    /// Play every script against Liebre and compare with what RabbitMQ said when it was recorded
    Replay,
    /// Print what RabbitMQ says, without recording it
    Show,
    /// Print the names of the scripts
    List,
    /// Print the expected differences by reason, as broker/docs/compatibility.md lists them
    Reasons,
}

#[derive(Debug, Args)]
struct Settings {
    /// Only scripts whose name contains this, or that are of this group; may be repeated
    #[arg(long, global = true, value_name = "NAME")]
    only: Vec<String>,
    /// How many scripts to play at once
    #[arg(long, global = true, default_value_t = 8)]
    jobs: usize,
    /// A RabbitMQ that runs: where it speaks AMQP, and its management API [default: one of our own]
    #[arg(long, global = true, value_name = "HOST:PORT/HOST:PORT")]
    rabbitmq: Option<String>,
    /// A Liebre that runs [default: this workspace's, built first]
    #[arg(long, global = true, value_name = "HOST:PORT/HOST:PORT")]
    liebre: Option<String>,
}

/// What was found.
#[derive(Debug)]
pub struct Outcome {
    pub text: String,
    pub is_good: bool,
}

impl Arguments {
    /// Does what was asked for.
    pub fn run(self) -> Result<Outcome, Trouble> {
        let mut catalogue = Catalogue::load()?;
        let differences = Differences::load()?;
        if let Some(stranger) = differences.strangers(&catalogue).first() {
            return Err(Trouble::new(format!("differences.txt: there is no script {stranger}")));
        }
        let settings = self.settings;
        match self.command {
            Task::Record => settings.record(catalogue),
            Task::List => {
                catalogue.select(&settings.only);
                let names: Vec<String> = catalogue
                    .scripts
                    .iter()
                    .map(|script| format!("{} {}", script.group, script.name))
                    .collect();
                Ok(Outcome { text: names.join("\n"), is_good: true })
            }
            Task::Reasons => Ok(Outcome { text: differences.table(), is_good: true }),
            Task::Show => {
                catalogue.select(&settings.only);
                settings.show(&catalogue)
            }
            Task::Replay => {
                let recorded = transcript::recorded(&catalogue)?;
                catalogue.select(&settings.only);
                settings.judge(&catalogue, &recorded, &differences).map(Outcome::of)
            }
            Task::Compare => settings.compare(catalogue, &differences),
        }
    }
}

impl Settings {
    fn compare(&self, mut catalogue: Catalogue, differences: &Differences) -> Result<Outcome, Trouble> {
        let recorded = transcript::recorded(&catalogue)?;
        catalogue.select(&self.only);
        let (product, live) = self.with_rabbitmq(|target| self.play_unguided(&catalogue, target))?;
        let mut outcome = Outcome::of(self.judge(&catalogue, &live, differences)?);
        let is_old = |name: &String| recorded.get(name) != live.get(name);
        let old: Vec<&str> = live.keys().filter(|name| is_old(name)).map(String::as_str).collect();
        if !old.is_empty() {
            outcome.text += &format!("\n{product} says something else than the recording: {}", old.join(" "));
        }
        Ok(outcome)
    }

    fn show(&self, catalogue: &Catalogue) -> Result<Outcome, Trouble> {
        let (product, played) = self.with_rabbitmq(|target| self.play_unguided(catalogue, target))?;
        let all: Vec<(&str, &Transcript)> =
            played.iter().map(|(name, transcript)| (name.as_str(), transcript)).collect();
        Ok(Outcome { text: transcript::write(&product, &all), is_good: true })
    }

    fn record(&self, all: Catalogue) -> Result<Outcome, Trouble> {
        let mut recorded = transcript::recorded(&all)?;
        let mut catalogue = Catalogue::load()?;
        catalogue.select(&self.only);
        let (product, [once, again]) = self.with_rabbitmq(|target| {
            Ok([self.play_unguided(&catalogue, target)?, self.play_unguided(&catalogue, target)?])
        })?;
        let unsteady = unsteady(&once, &again);
        recorded.extend(again);
        for group in catalogue.groups() {
            let scripts = all.scripts.iter().filter(|script| script.group == group);
            let transcripts: Vec<(&str, &Transcript)> = scripts
                .filter_map(|script| recorded.get_key_value(&script.name))
                .map(|(name, transcript)| (name.as_str(), transcript))
                .collect();
            let dir = Catalogue::dir().join("recorded");
            fs::create_dir_all(&dir).doing(dir.display())?;
            let path = dir.join(format!("{group}.txt"));
            fs::write(&path, transcript::write(&product, &transcripts)).doing(path.display())?;
        }
        let count = catalogue.scripts.len();
        let text = format!("{unsteady}recorded {count} scripts of {product}");
        Ok(Outcome { text, is_good: unsteady.is_empty() })
    }

    /// Plays against the Liebre that was named, or one of our own.
    fn judge(
        &self,
        catalogue: &Catalogue,
        references: &Transcripts,
        differences: &Differences,
    ) -> Result<Verdict, Trouble> {
        if let Some(address) = &self.liebre {
            return judge(catalogue, references, differences, &Target::parse(address)?, self.jobs);
        }
        let broker = Broker::own().ok_or_else(|| Trouble::new("LIEBRE_TEST_AMQP is set; use --liebre"))?;
        judge(catalogue, references, differences, &Target::of(&broker)?, self.jobs)
    }

    /// Does something with the RabbitMQ that was named, or one of our own; its product name comes along.
    fn with_rabbitmq<T>(&self, work: impl Fn(&Target) -> Result<T, Trouble>) -> Result<(String, T), Trouble> {
        match &self.rabbitmq {
            Some(address) => {
                let target = Target::parse(address)?;
                Ok((target.product.clone(), work(&target)?))
            }
            None => {
                let rabbitmq = RabbitMq::start()?;
                Ok((rabbitmq.target.product.clone(), work(&rabbitmq.target)?))
            }
        }
    }

    fn play_unguided(&self, catalogue: &Catalogue, target: &Target) -> Result<Transcripts, Trouble> {
        play_all(catalogue, target, self.jobs, |_| None)
    }
}

/// What RabbitMQ said differently the second time. A script that leaves something to chance proves nothing.
fn unsteady(once: &Transcripts, again: &Transcripts) -> String {
    let differs = |(name, first): &(&String, &Transcript)| again.get(*name) != Some(*first);
    let told = |(name, first): (&String, &Transcript)| match again.get(name) {
        Some(second) => format!(
            "{}# RabbitMQ itself said something else the second time.\n\n",
            describe(name, first, second)
        ),
        None => format!("{name}: not played\n"),
    };
    once.iter().filter(differs).map(told).collect()
}

impl Outcome {
    fn of(verdict: Verdict) -> Outcome {
        Outcome { text: verdict.to_string(), is_good: verdict.is_good() }
    }
}
