//! Many kinds of work in one go: the table that brokers are judged by, and the curves of how their cost grows.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::Target;
use crate::clock::now;
use crate::compare::{Comparison, turns};
use crate::connection::Connection;
use crate::error::PerfError;
use crate::figure::Spread;
use crate::floor;
use crate::idle::{Ballast, Idling};
use crate::latency::Percentiles;
use crate::process;
use crate::results::{Broker, Cell, Machine, Point, Results, Row};
use crate::work::{Outcome, Work};

/// One kind of work, to be measured.
#[derive(Debug, Clone)]
pub struct Plan {
    pub title: String,
    /// The options of this tool that do the work once.
    pub options: String,
    pub work: Work,
    /// The figures of interest, by their keys.
    pub keys: &'static [&'static str],
    pub floor: Option<Floor>,
    /// What lies in the broker meanwhile.
    pub ballast: Vec<(Idling, u32)>,
    /// Of a curve, which point this is.
    pub point: Option<Point>,
}

/// Against what a latency is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Floor {
    /// The same bytes through a bare relay.
    Relay,
    /// A sync of the disk.
    Sync,
}

/// A broker and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub name: String,
    pub target: Target,
}

/// How it is measured.
#[derive(Debug, Clone)]
pub struct Method {
    /// One or two.
    pub brokers: Vec<Named>,
    pub rounds: u32,
    /// Where the disk is synced for its floor.
    pub dir: PathBuf,
}

/// How long a broker may take to answer at all.
const GREETING: Duration = Duration::from_secs(10);
const RATES: &[&str] = &["received_per_second", "broker_cpu_us"];
const CHURN: &[&str] = &["per_second", "broker_cpu_us"];
const DELIVERY: &[&str] = &["latency_p50_us", "latency_p99_us", "latency_p999_us", "broker_cpu_us"];
const CONFIRMS: &[&str] = &[
    "confirm_p50_us",
    "confirm_p99_us",
    "confirm_p999_us",
    "latency_p50_us",
    "latency_p99_us",
    "broker_cpu_us",
];
const CURVE: &[&str] = &["received_per_second", "broker_cpu_us", "own_cpu_us"];

/// The table's lines: what it is, the options that do it, the figures of interest, and the floor.
type Line = (&'static str, &'static str, &'static [&'static str], Option<Floor>);
const TABLE: [Line; 15] = [
    ("16 B, transient, auto-ack", "-s 16", RATES, None),
    ("1 KiB, transient, auto-ack", "-s 1024", RATES, None),
    ("16 KiB, transient, auto-ack", "-s 16384", RATES, None),
    (
        "16 B, persistent, confirms (window 1,000), manual ack",
        "-s 16 -f persistent -c 1000 -q 1000",
        RATES,
        None,
    ),
    (
        "1 KiB, persistent, confirms (window 1,000), manual ack",
        "-s 1024 -f persistent -c 1000 -q 1000",
        RATES,
        None,
    ),
    ("fan-out to 10 queues, 16 B, per delivery", "--fan-out 10 -s 16", RATES, None),
    ("fan-out to 10 queues, 1 KiB, per delivery", "--fan-out 10 -s 1024", RATES, None),
    ("connections opened and closed, 16 at once", "churn connections --at-once 16", CHURN, None),
    ("channels opened and closed, 16 at once", "churn channels --at-once 16", CHURN, None),
    ("transient queues declared and deleted, 1 client", "churn queues", CHURN, None),
    ("transient queues declared and deleted, 16 clients", "churn queues --at-once 16", CHURN, None),
    ("durable queues declared and deleted, 1 client", "churn queues --durable", CHURN, None),
    ("durable queues declared and deleted, 16 clients", "churn queues --durable --at-once 16", CHURN, None),
    ("latency, 5,000 msg/s of 1 KiB, transient", PACED, DELIVERY, Some(Floor::Relay)),
    (
        "latency, 5,000 msg/s of 1 KiB, persistent with confirms",
        "-r 5000 -s 1024 -f persistent -c 1000 -q 1000",
        CONFIRMS,
        Some(Floor::Sync),
    ),
];
const PACED: &str = "-r 5000 -s 1024";

/// The table: rates and costs, what comes and goes, latencies. `seconds` for each measurement.
pub fn table_plans(seconds: f64) -> Result<Vec<Plan>, String> {
    let planned = |(title, options, keys, floor): Line| {
        plan(title.to_owned(), format!("{options} -z {seconds}"), keys, floor)
    };
    let mut plans: Vec<Plan> = TABLE.into_iter().map(planned).collect::<Result<_, _>>()?;
    let crowd = "latency, transient, beside 1,000 idle connections and queues";
    let ballast = vec![(Idling::Connections, 1_000), (Idling::Queues { is_durable: false }, 1_000)];
    plans.push(Plan { ballast, ..planned((crowd, PACED, DELIVERY, Some(Floor::Relay)))? });
    Ok(plans)
}

/// The curves: more producers and consumers, more bindings, more that just lies there. `load` are the options of
/// each publisher and consumer.
pub fn scale_plans(seconds: f64, load: &str) -> Result<Vec<Plan>, String> {
    const CLIENTS: &[u32] = &[1, 10, 100, 1_000];
    const CONNECTIONS: &[u32] = &[1, 10, 100, 1_000, 10_000];
    const QUEUES: &[u32] = &[1, 10, 100, 1_000, 10_000, 100_000];
    let bound = |kind: &str, count: u32| {
        format!("-u liebre-perf-scale -e liebre-perf-scale -t {kind} --spare-bindings {}", count - 1)
    };
    let idle_queues = Idling::Queues { is_durable: false };
    let one_queue = |n| format!("-x {n} -y {n}");
    let own_queues = |n| format!("-x {n} -y {n} -qp liebre-perf-scale-%d -qpt {n}");
    let nothing = |_| String::new();
    let direct = |n| bound("direct", n);
    let topic = |n| bound("topic", n);
    type Options<'a> = &'a dyn Fn(u32) -> String;
    let curves: [(&str, &[u32], Options<'_>, Option<Idling>); 6] = [
        ("publishers and consumers on one queue", CLIENTS, &one_queue, None),
        ("publishers and consumers with a queue each", CLIENTS, &own_queues, None),
        ("bindings of a direct exchange", CLIENTS, &direct, None),
        ("bindings of a topic exchange", CLIENTS, &topic, None),
        ("idle connections beside", CONNECTIONS, &nothing, Some(Idling::Connections)),
        ("idle queues beside", QUEUES, &nothing, Some(idle_queues)),
    ];
    let mut plans = Vec::new();
    for (curve, counts, options, ballast) in curves {
        for &count in counts {
            let options = format!("{} {load} -z {seconds}", options(count));
            let plan = plan(format!("{count} {curve}"), options, CURVE, None)?;
            let point = Some(Point { curve: curve.to_owned(), count });
            plans.push(Plan {
                ballast: ballast.map(|what| (what, count)).into_iter().collect(),
                point,
                ..plan
            });
        }
    }
    Ok(plans)
}

fn plan(
    title: String,
    options: String,
    keys: &'static [&'static str],
    floor: Option<Floor>,
) -> Result<Plan, String> {
    let options = options.trim().to_owned();
    let work = Work::parse(&options)?;
    Ok(Plan { title, options, work, keys, floor, ballast: Vec::new(), point: None })
}

/// Measures all of `plans`; `after_cell` sees what there is after each. A cell that fails does not end it.
pub fn measure_all(
    plans: &[Plan],
    method: &Method,
    mut after_cell: impl FnMut(&Results) -> Result<(), PerfError>,
) -> Result<Results, PerfError> {
    // What would fail everywhere is told at once.
    for Named { target, .. } in &method.brokers {
        target.pid.map(process::usage_of).transpose()?;
        let deadline = now().plus(GREETING);
        Connection::open(&target.url, deadline)?.close(deadline)?;
    }
    let broker = |named: &Named| Broker { name: named.name.clone(), address: named.target.url.to_string() };
    let mut results = Results {
        machine: Machine::here(),
        brokers: method.brokers.iter().map(broker).collect(),
        rounds: method.rounds,
        cells: Vec::new(),
    };
    for plan in plans {
        results.cells.push(measure_cell(plan, method));
        after_cell(&results)?;
    }
    Ok(results)
}

/// One broker in the measurement of a cell.
struct Side<'a> {
    broker: &'a Named,
    ballast: Vec<Ballast>,
    outcomes: Vec<Outcome>,
    /// With it, the broker's part ends: what there was of it does not count.
    failure: Option<PerfError>,
}

/// A broker that fails does not spoil the other's figures.
fn measure_cell(plan: &Plan, method: &Method) -> Cell {
    let side = |broker| Side { broker, ballast: Vec::new(), outcomes: Vec::new(), failure: None };
    let mut sides: Vec<Side<'_>> = method.brokers.iter().map(side).collect();
    for side in &mut sides {
        side.failure = side.load(plan).err();
    }
    let mut floors: Vec<Result<Option<Percentiles>, PerfError>> = Vec::new();
    for round in 1..=method.rounds {
        for index in turns(round, sides.len()) {
            sides[index].measure(&plan.work);
        }
        floors.extend(plan.floor.map(|kind| measure_floor(kind, plan, method)));
    }
    for side in &mut sides {
        side.unload();
    }
    let comparison = match &sides[..] {
        [a, b] => Comparison::of(a.counted(), b.counted()),
        sides => Comparison::of(sides.first().map_or(&[], Side::counted), &[]),
    };
    let rows = plan.keys.iter().filter_map(|key| {
        let row = comparison.rows.iter().find(|row| row.key == *key)?;
        let at = |found: &Result<Option<Percentiles>, _>| {
            at_floor(plan.floor?, key, found.as_ref().ok()?.as_ref()?)
        };
        Some(Row {
            key: row.key.to_owned(),
            name: row.name.to_owned(),
            better: row.better,
            a: row.a,
            b: row.b,
            ratio: row.ratio,
            floor: Spread::of(floors.iter().map(at)),
        })
    });
    let rows = rows.collect();
    let mut troubles: Vec<String> = sides.iter().filter_map(Side::trouble).collect();
    troubles
        .extend(floors.iter().find_map(|found| found.as_ref().err()).map(|error| format!("floor: {error}")));
    troubles.extend(comparison.troubles());
    let trouble = (!troubles.is_empty()).then(|| troubles.join("; "));
    Cell {
        title: plan.title.clone(),
        options: plan.options.clone(),
        rows,
        trouble,
        point: plan.point.clone(),
    }
}

impl Side<'_> {
    fn load(&mut self, plan: &Plan) -> Result<(), PerfError> {
        for &(what, count) in &plan.ballast {
            self.ballast.push(Ballast::load(&self.broker.target, what, count)?);
        }
        Ok(())
    }

    fn measure(&mut self, work: &Work) {
        if self.failure.is_none() {
            match work.measure(&self.broker.target) {
                Ok(outcome) => self.outcomes.push(outcome),
                Err(error) => self.failure = Some(error),
            }
        }
    }

    fn unload(&mut self) {
        for ballast in self.ballast.drain(..) {
            if let Err(error) = ballast.drop_overboard(&self.broker.target) {
                self.failure.get_or_insert(error);
            }
        }
    }

    fn counted(&self) -> &[Outcome] {
        if self.failure.is_none() { &self.outcomes } else { &[] }
    }

    fn trouble(&self) -> Option<String> {
        self.failure.as_ref().map(|error| format!("{}: {error}", self.broker.name))
    }
}

fn measure_floor(kind: Floor, plan: &Plan, method: &Method) -> Result<Option<Percentiles>, PerfError> {
    match (kind, &plan.work) {
        (Floor::Relay, Work::Load(load)) => floor::relayed(load),
        (Floor::Relay, _) => Ok(None),
        (Floor::Sync, _) => floor::synced(&method.dir),
    }
}

/// The floor of a figure: a sync is one of confirms, a relay one of deliveries.
fn at_floor(kind: Floor, key: &str, found: &Percentiles) -> Option<f64> {
    match (kind, key) {
        (Floor::Relay, "latency_p50_us") | (Floor::Sync, "confirm_p50_us") => Some(found.p50_us),
        (Floor::Relay, "latency_p99_us") | (Floor::Sync, "confirm_p99_us") => Some(found.p99_us),
        (Floor::Relay, "latency_p999_us") | (Floor::Sync, "confirm_p999_us") => Some(found.p999_us),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_is_work_with_the_figures_it_names() {
        let plans =
            [table_plans(1.0).unwrap(), scale_plans(1.0, "-c 100 -q 100 -A 10 --max-backlog 200").unwrap()]
                .concat();
        assert_eq!(plans.len(), 16 + 8 + 8 + 5 + 6);
        let titles: std::collections::HashSet<&str> = plans.iter().map(|plan| plan.title.as_str()).collect();
        assert_eq!(titles.len(), plans.len());
        assert!(plans.iter().all(|plan| plan.work.check_comparable().is_ok() && !plan.keys.is_empty()));
    }

    #[test]
    fn wrong_options_are_told() {
        assert!(scale_plans(1.0, "--sise 5").is_err());
    }

    #[test]
    fn only_percentiles_have_a_floor() {
        let mut latencies = crate::latency::Histogram::new();
        latencies.record(std::time::Duration::from_micros(70));
        let found = latencies.percentiles().unwrap();
        assert_eq!(at_floor(Floor::Sync, "confirm_p99_us", &found), Some(70.0));
        assert_eq!(at_floor(Floor::Sync, "latency_p99_us", &found), None);
        assert_eq!(at_floor(Floor::Relay, "broker_cpu_us", &found), None);
    }
}
