//! Brokers that are started for one measurement, each with a directory and a port of its own: what weighs something is
//! weighed in a broker that nobody has used, and what is to be found at a start is put there before.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use crate::cli::Target;
use crate::cli::values::split_command;
use crate::clock::{Nanos, now};
use crate::connection::Connection;
use crate::error::PerfError;
use crate::idle::{Ballast, Idling};
use crate::load::{Load, OWN_PREFIX};
use crate::run::{Watcher, run};
use crate::start::{Start, Started};
use crate::url::BrokerUrl;
use crate::work::{Outcome, Work};

/// What stands in the command for the directory and the port.
const DIR: &str = "{dir}";
const PORT: &str = "{port}";
/// Ports are taken from here on: below those that the system gives to whoever wants any, and low enough for brokers
/// that use the port 20,000 above for something else.
const PORT_FIRST: u16 = 21_000;
const PORT_COUNT: u16 = 10_000;

/// How a broker is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// The program and its arguments, with `{dir}` and `{port}` among them.
    words: Vec<String>,
}

/// What a broker finds at its start.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// What it makes by itself.
    Empty,
    DurableQueues(u32),
    /// What this load leaves, which only publishes.
    Messages(Box<Load>),
}

/// Where a broker is started, and how. Its directory is deleted with it.
#[derive(Debug)]
pub struct Site {
    dir: PathBuf,
    start: Start,
    contents: Vec<Content>,
}

/// What a start has to find, of what was put there.
#[derive(Debug)]
struct Content {
    queue: String,
    message_count: u64,
}

impl Recipe {
    pub fn parse(command: &str) -> Result<Self, String> {
        for place in [DIR, PORT] {
            if !command.contains(place) {
                return Err(format!("the command has no {place} in it"));
            }
        }
        split_command(command).map(|words| Self { words })
    }

    /// Starts and stops it once, so that a mistake in the command is told.
    pub fn try_out(&self, dir: &Path, patience: Duration) -> Result<(), PerfError> {
        Site::make(self, dir, true, patience)?.launch()?.0.stop()
    }

    /// Measures `work` in a broker that nobody has used.
    pub fn measure(&self, dir: &Path, work: &Work, patience: Duration) -> Result<Outcome, PerfError> {
        let site = Site::make(self, dir, true, patience)?;
        let (started, target) = site.launch()?;
        let outcome = match work {
            // They end with the broker, sooner than one by one.
            Work::Idle(idle) => Outcome::whole(idle.weigh(&target)?.1),
            work => work.measure(&target)?,
        };
        started.stop()?;
        Ok(outcome)
    }

    /// A broker that has been stopped with `state` in it.
    pub fn prepare(
        &self,
        dir: &Path,
        state: &State,
        kills: bool,
        patience: Duration,
    ) -> Result<Site, PerfError> {
        let mut site = Site::make(self, dir, kills, patience)?;
        let (started, target) = site.launch()?;
        site.contents = state.put(&target, patience)?;
        started.stop()?;
        Ok(site)
    }
}

impl State {
    fn put(&self, target: &Target, patience: Duration) -> Result<Vec<Content>, PerfError> {
        match self {
            Self::Empty => Ok(Vec::new()),
            Self::DurableQueues(count) => {
                let queues = Idling::Queues { is_durable: true };
                // They stay. The first and the last stand for all.
                let ballast = Ballast::load(target, queues, *count, patience)?;
                let content = |queue| Content { queue, message_count: 0 };
                Ok(ballast.outermost().into_iter().map(content).collect())
            }
            Self::Messages(load) => {
                let figures = run(target, load, &mut Watcher::nobody())?;
                match figures.is_complete {
                    true => Ok(vec![Content {
                        queue: load.topology.queue(0).to_owned(),
                        message_count: message_count(load),
                    }]),
                    false => Err(PerfError::NotReached {
                        what: "messages",
                        count: figures.confirmed,
                        wanted: message_count(load),
                        patience,
                    }),
                }
            }
        }
    }
}

impl Site {
    /// The next start, with what was put there.
    pub fn measure(&self) -> Result<Outcome, PerfError> {
        let values = self.start.measure(|connection, deadline| self.look(connection, deadline))?;
        Ok(Outcome::whole(values))
    }

    /// Whether everything is there: a broker that loses something starts fast.
    fn look(&self, connection: &mut Connection, deadline: Nanos) -> Result<(), PerfError> {
        for content in &self.contents {
            let found = u64::from(connection.find_queue(&content.queue, deadline)?.message_count);
            if found != content.message_count {
                return Err(PerfError::Lost { found, wanted: content.message_count });
            }
        }
        Ok(())
    }

    fn make(recipe: &Recipe, parent: &Path, kills: bool, patience: Duration) -> Result<Self, PerfError> {
        let port = free_port()?;
        let failed = |path: &Path| {
            let path = path.display().to_string();
            |source| PerfError::File { path, source }
        };
        let parent = fs::canonicalize(parent).map_err(failed(parent))?;
        let dir = parent.join(format!("{OWN_PREFIX}-{}-{port}", process::id()));
        fs::create_dir(&dir).map_err(failed(&dir))?;
        let filled =
            |word: &String| word.replace(DIR, &dir.display().to_string()).replace(PORT, &port.to_string());
        let command = recipe.words.iter().map(filled).collect();
        let url = BrokerUrl::on_port(port);
        Ok(Self { start: Start { command, url, kills, patience }, dir, contents: Vec::new() })
    }

    fn launch(&self) -> Result<(Started, Target), PerfError> {
        let (started, connection) = self.start.launch()?;
        // Its answer changes nothing.
        let _ = connection.close(now().plus(self.start.patience));
        let target = Target { url: self.start.url.clone(), pid: Some(started.pid()) };
        Ok((started, target))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // What cannot be deleted stays.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn message_count(load: &Load) -> u64 {
    load.publishing.as_ref().and_then(|publishing| publishing.messages).unwrap_or(0)
}

/// A port where nobody listens, and which this process has not taken lately.
fn free_port() -> Result<u16, PerfError> {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    // Two of this tool do not begin at the same port.
    let first = process::id() % u32::from(PORT_COUNT);
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrInUse);
    for _ in 0..PORT_COUNT {
        let taken = u32::from(TAKEN.fetch_add(1, Ordering::Relaxed));
        let port = PORT_FIRST + ((first + taken) % u32::from(PORT_COUNT)) as u16;
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(PerfError::Io { doing: "looking for a port", source: last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_a_place_for_directory_and_port() {
        assert!(Recipe::parse("liebre --data-dir {dir} --port {port}").is_ok());
        assert_eq!(Recipe::parse("liebre {port}"), Err("the command has no {dir} in it".to_owned()));
        assert_eq!(Recipe::parse("liebre {dir}"), Err("the command has no {port} in it".to_owned()));
    }

    #[test]
    fn a_site_has_a_directory_and_a_port_of_its_own() {
        let parent = tempfile::tempdir().unwrap();
        let recipe = Recipe::parse("broker --data={dir}/data 'at {port}'").unwrap();
        let make = || Site::make(&recipe, parent.path(), false, Duration::from_secs(1)).unwrap();
        let [one, other] = [make(), make()];
        assert!(one.dir.is_dir() && one.dir != other.dir && one.start.url.port != other.start.url.port);
        let dir = one.dir.display().to_string();
        let port = one.start.url.port;
        assert_eq!(
            one.start.command,
            ["broker".to_owned(), format!("--data={dir}/data"), format!("at {port}")]
        );
        drop([one, other]);
        assert_eq!(parent.path().read_dir().unwrap().count(), 0);
    }
}
