//! The command line of campaigns.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use tempfile::TempDir;

use super::{
    crashes::{Campaign, Orders},
    ground::{Ground, Image, Mount},
    process::Launch,
    report::Report,
    trouble::{Doing, Trouble},
};
use crate::{binaries::binary, hostile::siege};

/// How long anything may take after a crash.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long anything may take once a full disk has room.
const DISKFULL_PATIENCE: Duration = Duration::from_secs(5);

/// Random load and real faults against the real broker, judged by one checker.
#[derive(Debug, Parser)]
#[command(name = "campaign", version, about)]
pub struct Arguments {
    #[command(subcommand)]
    campaign: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// SIGKILL at random times under load, also during recovery
    Kill9 {
        /// How often to kill the broker
        #[arg(long, default_value_t = 100)]
        kills: u32,
        #[command(flatten)]
        settings: Settings,
    },
    /// Power cuts by the real kernel's rules: what was not synced is gone (needs root)
    Powercut {
        /// How often to cut the power
        #[arg(long, default_value_t = 100)]
        cuts: u32,
        /// Size of the file system, MiB
        #[arg(long, default_value_t = 768)]
        image_mib: u64,
        /// Let the broker not sync, and succeed when losses are found
        #[arg(long)]
        unsafe_no_fsync: bool,
        #[command(flatten)]
        settings: Settings,
    },
    /// A disk that is full again and again (needs root)
    Diskfull {
        /// How often to fill it
        #[arg(long, default_value_t = 10)]
        rounds: u32,
        /// Size of the file system, MiB; up to half of it is taken by others
        #[arg(long, default_value_t = 256)]
        size_mib: u64,
        /// The broker's --disk-free-limit; of several one by chance in each round
        #[arg(long, value_delimiter = ',', default_values_t = ["0".to_owned(), "24MiB".to_owned()])]
        disk_free_limit: Vec<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Random and mutated frames, worked-out attacks and thousands of sockets, beside a client that must be served
    Hostile {
        /// How many frames to send, over all rounds
        #[arg(long, default_value_t = 1_000_000)]
        frames: u64,
        /// How many sockets come at once
        #[arg(long, default_value_t = 5_000)]
        sockets: usize,
        /// How many connections are held at the same time (each is a file descriptor here, and one of the broker's)
        #[arg(long, default_value_t = 10_000)]
        held: usize,
        /// How often to do all of it
        #[arg(long, default_value_t = 3)]
        rounds: u32,
        #[command(flatten)]
        basics: Basics,
    },
}

#[derive(Debug, Args)]
struct Basics {
    /// What random numbers begin with
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The broker's program [default: this workspace's, built first]
    #[arg(long, value_name = "PATH")]
    broker: Option<PathBuf>,
    /// Where to work; kept after a violation
    #[arg(long, value_name = "DIR")]
    work_dir: Option<PathBuf>,
    /// Add a line to tests/campaigns.tsv
    #[arg(long)]
    ledger: bool,
}

#[derive(Debug, Args)]
struct Settings {
    #[command(flatten)]
    basics: Basics,
    /// Read all queues to their ends before every so many crashes
    #[arg(long, value_name = "CRASHES", default_value_t = 20)]
    drain_every: u32,
    /// Go on after a violation
    #[arg(long)]
    keep_going: bool,
    /// Check the checker: count what was not confirmed as confirmed, and succeed when losses are found
    #[arg(long)]
    count_unconfirmed: bool,
}

/// A report, and what would have been good.
#[derive(Debug)]
pub struct Outcome {
    report: Report,
    /// The campaign was to find losses.
    is_control: bool,
    /// Where the broker's log and files are, if there is something to look at.
    kept: Option<PathBuf>,
}

impl Outcome {
    /// Whether the campaign ended as it should.
    pub fn is_good(&self) -> bool {
        (self.report.violation_count > 0) == self.is_control
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.report)?;
        if let Some(kept) = &self.kept {
            write!(f, "\nkept: {}", kept.display())?;
        }
        match (self.is_control, self.is_good()) {
            (false, _) => Ok(()),
            (true, true) => write!(f, "\nnegative control: the losses were found"),
            (true, false) => write!(f, "\nnegative control: no loss was found: the test is blind"),
        }
    }
}

impl Arguments {
    /// Runs the campaign that was asked for.
    pub fn run(self) -> Result<Outcome, Trouble> {
        match self.campaign {
            Command::Kill9 { kills, settings } => {
                let work_dir = WorkDir::make(&settings.basics, None)?;
                let data_dir = work_dir.path().join("data");
                let campaign = settings.crashes("kill9", kills, 800, &work_dir, Vec::new());
                campaign.run(Ground::Directory(data_dir), work_dir)
            }
            Command::Powercut { cuts, image_mib, unsafe_no_fsync, settings } => {
                let work_dir = WorkDir::make(&settings.basics, Some(Path::new("/dev/shm")))?;
                let image = Image::make(work_dir.path(), image_mib)?;
                let arguments =
                    if unsafe_no_fsync { vec!["--unsafe-no-fsync".to_owned()] } else { Vec::new() };
                let name = if unsafe_no_fsync { "powercut --unsafe-no-fsync" } else { "powercut" };
                let mut campaign = settings.crashes(name, cuts, 400, &work_dir, arguments);
                campaign.is_control |= unsafe_no_fsync;
                campaign.run(Ground::Image(image), work_dir)
            }
            Command::Diskfull { rounds, size_mib, disk_free_limit, settings } => {
                let work_dir = WorkDir::make(&settings.basics, None)?;
                let mount = Mount::in_memory(&work_dir.path().join("mounted"), size_mib)?;
                let mut campaign = settings.crashes("diskfull", rounds, 0, &work_dir, Vec::new());
                campaign.orders.patience = DISKFULL_PATIENCE;
                campaign.orders.ballast_mib = size_mib / 2;
                campaign.orders.alarm_sizes = disk_free_limit;
                let (seed, ground) = (campaign.orders.seed, Ground::Small(mount));
                let report =
                    run_async(Campaign::new(campaign.launch, ground, campaign.orders).run_diskfull())?;
                finish(report, &campaign.name, seed, campaign.is_control, campaign.has_ledger, work_dir)
            }
            Command::Hostile { frames, sockets, held, rounds, basics } => {
                let work_dir = WorkDir::make(&basics, None)?;
                let rounds = rounds.max(1);
                let orders =
                    siege::Orders { seed: basics.seed, frames, sockets, held, rounds, has_slow: true };
                let launch = basics.launch(&work_dir, Vec::new());
                let report = siege::run(&launch, &work_dir.path().join("data"), orders)?;
                finish(report, "hostile", basics.seed, false, basics.ledger, work_dir)
            }
        }
    }
}

/// A campaign of crashes as it was ordered.
struct Crashes {
    name: String,
    launch: Launch,
    orders: Orders,
    is_control: bool,
    has_ledger: bool,
}

impl Settings {
    fn crashes(
        &self,
        name: &str,
        crashes: u32,
        load_ms_max: u64,
        work_dir: &WorkDir,
        arguments: Vec<String>,
    ) -> Crashes {
        let control = if self.count_unconfirmed { " --count-unconfirmed" } else { "" };
        Crashes {
            name: format!("{name}{control}"),
            launch: self.basics.launch(work_dir, arguments),
            orders: Orders {
                seed: self.basics.seed,
                crashes,
                drain_every: self.drain_every.max(1),
                load_ms_max,
                ballast_mib: 0,
                alarm_sizes: Vec::new(),
                patience: PATIENCE,
                count_unconfirmed: self.count_unconfirmed,
                keep_going: self.keep_going,
            },
            is_control: self.count_unconfirmed,
            has_ledger: self.basics.ledger,
        }
    }
}

impl Basics {
    fn launch(&self, work_dir: &WorkDir, arguments: Vec<String>) -> Launch {
        let program = self.broker.clone().unwrap_or_else(|| binary("liebre", "liebre"));
        Launch { program, arguments, log: work_dir.path().join("broker.log") }
    }
}

impl Crashes {
    fn run(self, ground: Ground, work_dir: WorkDir) -> Result<Outcome, Trouble> {
        let seed = self.orders.seed;
        let report = run_async(Campaign::new(self.launch, ground, self.orders).run())?;
        finish(report, &self.name, seed, self.is_control, self.has_ledger, work_dir)
    }
}

fn finish(
    report: Report,
    name: &str,
    seed: u64,
    is_control: bool,
    has_ledger: bool,
    work_dir: WorkDir,
) -> Result<Outcome, Trouble> {
    if has_ledger {
        report.enter(name, seed)?;
    }
    let is_bad = report.violation_count > 0 && !is_control;
    let kept = is_bad.then(|| work_dir.keep());
    Ok(Outcome { report, is_control, kept })
}

/// Runs a campaign until it ends, or until somebody stops the program: then everything it started is ended, too.
fn run_async<T>(campaign: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().doing("starting threads")?;
    runtime.block_on(async {
        tokio::select! {
            result = campaign => result,
            _ = tokio::signal::ctrl_c() => Err(Trouble::new("stopped")),
        }
    })
}

/// The campaign's directory. Removed at the end, unless there is something to look at.
#[derive(Debug)]
struct WorkDir(TempDir);

impl WorkDir {
    /// A new directory where the user said, or in `usual`, or where throw-away files go.
    fn make(basics: &Basics, usual: Option<&Path>) -> Result<WorkDir, Trouble> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("liebre-campaign-");
        let made = match basics.work_dir.as_deref().or(usual) {
            Some(parent) => builder.tempdir_in(parent),
            None => builder.tempdir(),
        };
        made.map(WorkDir).doing("making a directory to work in")
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn keep(self) -> PathBuf {
        self.0.keep()
    }
}
