//! The binary: parses, runs, prints, and turns the outcome into an exit code.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use serde::Serialize;

use liebre_perf::chart;
use liebre_perf::cli::{
    Cli, Command, CompareArgs, IdleArgs, ManyArgs, OnBroker, ReportArgs, RunArgs, StartArgs, Target, argv,
};
use liebre_perf::compare::{Comparison, compare};
use liebre_perf::error::PerfError;
use liebre_perf::figure::{self, number};
use liebre_perf::plans::Plan;
use liebre_perf::process::raise_open_files_limit;
use liebre_perf::report::{live_line, run_table, spread_table};
use liebre_perf::results::Results;
use liebre_perf::run::{Moment, Watcher, run};
use liebre_perf::table::{Method, measure_all};
use liebre_perf::work::{Outcome, Work};

const EXIT_FAILED: u8 = 1;
const EXIT_INCOMPLETE: u8 = 3;

fn main() -> ExitCode {
    let cli = Cli::parse_from(argv::rewrite(std::env::args()));
    raise_open_files_limit();
    let ended = match &cli.command {
        None => run_once(&cli.run),
        Some(Command::Compare(args)) => compare_brokers(args),
        Some(Command::Churn(args)) => measure(&args.target.target(), parsed(args.work.work()), args.json),
        Some(Command::Idle(args)) => measure(&args.target.target(), parsed(idle(args)), args.json),
        Some(Command::Backlog(args)) => {
            measure(&args.target.target(), parsed(args.work.backlog()), args.json)
        }
        Some(Command::Start(args)) => start(args),
        Some(Command::Table(args)) => measure_many(&parsed(args.plans()), &args.many, &args.method()),
        Some(Command::Scale(args)) => measure_many(&parsed(args.plans()), &args.many, &args.method()),
        Some(Command::Report(args)) => report(args),
        Some(Command::Chart(args)) => chart(&args.results),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(EXIT_INCOMPLETE),
        Err(error) => {
            say(&format!("liebre-perf: {error}"));
            ExitCode::from(EXIT_FAILED)
        }
    }
}

/// Says whether the messages got through.
fn run_once(args: &RunArgs) -> Result<bool, PerfError> {
    let load = parsed(args.load.load()).with_unique_names();
    let target = args.target.target();
    target.check_process()?;
    let show = |moment: &Moment| say(&live_line(&args.output.id, &load, moment));
    let interval = if args.output.quiet { Duration::ZERO } else { args.output.interval };
    let figures = run(&target, &load, &mut Watcher { interval, watch: Box::new(show) })?;
    print(&if args.output.json { json(&figures) } else { run_table(&target, &load, &figures) })?;
    Ok(figures.is_complete)
}

fn measure(target: &Target, work: Work, is_json: bool) -> Result<bool, PerfError> {
    target.check_process()?;
    let outcome = work.measure(target)?;
    let lines = || format!("{}\n{}\n{}", target.url, work.describe(), figure::lines(&outcome.values));
    print(&if is_json { json(&figure::json(&outcome.values)) } else { lines() })?;
    Ok(outcome.is_complete)
}

fn idle(args: &OnBroker<IdleArgs>) -> Result<Work, String> {
    let work = args.work.work()?;
    match args.target.pid {
        None => Err("idle measures memory: name the broker's process with --pid".to_owned()),
        Some(_) => Ok(work),
    }
}

fn compare_brokers(args: &CompareArgs) -> Result<bool, PerfError> {
    let work = parsed(args.work().and_then(|work| work.check_comparable().map(|()| work)));
    let [a, b] = args.pair.targets();
    [&a, &b].into_iter().try_for_each(Target::check_process)?;
    let comparison = compare([&a, &b], &work, args.rounds, |round, a, b| {
        let first = |outcome: &Outcome| number(outcome.values.first().and_then(|value| value.value));
        let name = a.values.first().map_or("", |value| value.name);
        say(&format!("round {round}: {name} A {} B {}", first(a), first(b)));
    })?;
    print(&if args.json { json(&comparison) } else { comparison.table(&a, &b, &work) })?;
    Ok(comparison.is_complete)
}

fn start(args: &StartArgs) -> Result<bool, PerfError> {
    let start = parsed(args.start());
    let mut rounds = Vec::new();
    for round in 1..=args.rounds {
        let values = start.measure(|_, _| Ok(()))?;
        say(&format!("round {round}: {} ms", number(values.first().and_then(|value| value.value))));
        rounds.push(Outcome { values, is_complete: true, is_taken_down: true });
    }
    let all = Comparison::of(&rounds, &[]);
    print(&if args.json { json(&all) } else { spread_table(&start.describe(), &all) })?;
    Ok(true)
}

fn measure_many(plans: &[Plan], args: &ManyArgs, method: &Method) -> Result<bool, PerfError> {
    let count = plans.len();
    let results = measure_all(plans, method, |results| {
        if let Some(cell) = results.cells.last() {
            let trouble = cell.trouble().map_or(String::new(), |trouble| format!(": {trouble}"));
            say(&format!("{} of {count}: {}{trouble}", results.cells.len(), cell.title));
        }
        args.out.as_ref().map_or(Ok(()), |path| results.write(path))
    })?;
    print(&if args.json { results.json() } else { results.markdown() })?;
    if results.has_curves() && !args.json {
        print(&format!("\n{}", results.curves()))?;
    }
    Ok(results.is_complete())
}

fn report(args: &ReportArgs) -> Result<bool, PerfError> {
    let results = Results::read(&args.results)?;
    print(&match args.brief {
        true if results.has_curves() => results.curves(),
        true => results.brief(),
        false => results.markdown(),
    })?;
    Ok(true)
}

fn chart(path: &str) -> Result<bool, PerfError> {
    let picture = chart::svg(&Results::read(path)?);
    print(&picture.map_err(|reason| PerfError::Content { path: path.to_owned(), reason })?)?;
    Ok(true)
}

/// Options that do not go together end the program as clap ends it.
fn parsed<T>(parsed: Result<T, String>) -> T {
    parsed.unwrap_or_else(|message| Cli::command().error(ErrorKind::ArgumentConflict, message).exit())
}

fn json(value: &impl Serialize) -> String {
    // Plain structs of numbers: there is no key or value that JSON could not hold.
    serde_json::to_string_pretty(value).map(|text| text + "\n").unwrap_or_default()
}

/// For whoever watches; a closed standard error changes nothing.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn print(text: &str) -> Result<(), PerfError> {
    io::stdout().write_all(text.as_bytes()).map_err(|source| PerfError::Io { doing: "printing", source })
}
