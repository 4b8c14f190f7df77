//! The binary: parses, runs, prints, and turns the outcome into an exit code.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use serde::Serialize;

use liebre_perf::cli::{Cli, Command, CompareArgs, LoadArgs, RunArgs, argv};
use liebre_perf::compare::{self, compare};
use liebre_perf::error::PerfError;
use liebre_perf::load::Load;
use liebre_perf::process::raise_open_files_limit;
use liebre_perf::report::{grouped, live_line, table};
use liebre_perf::run::{Moment, Watcher, run};

const EXIT_FAILED: u8 = 1;
const EXIT_INCOMPLETE: u8 = 3;

fn main() -> ExitCode {
    let cli = Cli::parse_from(argv::rewrite(std::env::args()));
    raise_open_files_limit();
    let ended = match &cli.command {
        Some(Command::Compare(args)) => compare_brokers(args),
        None => run_once(&cli.run),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(EXIT_INCOMPLETE),
        Err(error) => {
            // Nothing can be done when standard error is gone too.
            let _ = writeln!(io::stderr(), "liebre-perf: {error}");
            ExitCode::from(EXIT_FAILED)
        }
    }
}

/// Says whether the messages got through.
fn run_once(args: &RunArgs) -> Result<bool, PerfError> {
    let load = parse_load(&args.load, |_| Ok(()));
    let target = args.target.target();
    let mut show = |moment: &Moment| {
        // For whoever watches; a closed standard error changes nothing.
        let _ = writeln!(io::stderr(), "{}", live_line(&args.output.id, &load, moment));
    };
    let interval = if args.output.quiet { Duration::ZERO } else { args.output.interval };
    let figures = run(&target, &load, &mut Watcher { interval, watch: &mut show })?;
    print(&if args.output.json { json(&figures) } else { table(&target, &load, &figures) })?;
    Ok(figures.is_complete)
}

fn compare_brokers(args: &CompareArgs) -> Result<bool, PerfError> {
    let load = parse_load(&args.load, compare::check);
    let [a, b] = args.pair.targets();
    let comparison = compare(&a, &b, &load, args.rounds, |round, a, b| {
        let rates = [a, b].map(|figures| grouped(figures.sent_per_second.round() as u64));
        // Progress for whoever watches; a closed standard error changes nothing.
        let _ = writeln!(io::stderr(), "round {round}: sent msg/s A {} B {}", rates[0], rates[1]);
    })?;
    print(&if args.json { json(&comparison) } else { comparison.table(&a, &b, &load) })?;
    Ok(comparison.is_complete())
}

/// Options that do not go together end the program as clap ends it.
fn parse_load(args: &LoadArgs, check: impl FnOnce(&Load) -> Result<(), String>) -> Load {
    let parsed = args.load().and_then(|load| check(&load).map(|()| load));
    parsed.unwrap_or_else(|message| Cli::command().error(ErrorKind::ArgumentConflict, message).exit())
}

fn json(value: &impl Serialize) -> String {
    // Plain structs of numbers: there is no key or value that JSON could not hold.
    serde_json::to_string_pretty(value).map(|text| text + "\n").unwrap_or_default()
}

fn print(text: &str) -> Result<(), PerfError> {
    io::stdout().write_all(text.as_bytes()).map_err(|source| PerfError::Io { doing: "printing", source })
}
