//! What is measured in one go: the lines of the table that brokers are judged by, and the points of the curves of how
//! their cost grows.

use std::time::Duration;

use crate::figure::grouped;
use crate::floor::Floor;
use crate::fresh::State;
use crate::idle::Idling;
use crate::results::Point;
use crate::work::Work;

/// One measurement, and how it is shown.
#[derive(Debug, Clone)]
pub struct Plan {
    pub title: String,
    /// The options of this tool that do it once.
    pub options: String,
    pub task: Task,
    /// The figures of interest, by their keys.
    pub keys: &'static [&'static str],
    /// Of a curve, which point this is.
    pub point: Option<Point>,
}

/// What is done for it.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    /// Work for a broker that runs, with this ballast in it.
    Run { work: Work, ballast: Vec<(Idling, u32)>, floor: Option<Floor> },
    /// Work for a broker that is started for it.
    Weigh(Work),
    /// Starts that find this: after an orderly stop each time, or after SIGKILL as soon as it was put there.
    Start { state: State, kills: bool },
}

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
const EMPTY: &[&str] = &["rss_mib"];
const IDLE: &[&str] = &["bytes_each", "rss_after_mib"];
const BACKLOG: &[&str] = &["rss_full_mib", "built_per_second", "drained_per_second"];
const STARTS: &[&str] = &["start_ms", "start_cpu_ms"];

/// What it is, the options that do it, the figures of interest, and the floor.
type Line = (&'static str, &'static str, &'static [&'static str], Option<Floor>);
/// Of brokers that run.
const RUNS: [Line; 16] = [
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
    (
        "transient queues declared and deleted, 1 client",
        "churn queues",
        CHURN,
        Some(Floor::Calls { are_synced: false }),
    ),
    ("transient queues declared and deleted, 16 clients", "churn queues --at-once 16", CHURN, None),
    (
        "durable queues declared and deleted, 1 client",
        "churn queues --durable",
        CHURN,
        Some(Floor::Calls { are_synced: true }),
    ),
    ("durable queues declared and deleted, 16 clients", "churn queues --durable --at-once 16", CHURN, None),
    ("latency, 5,000 msg/s of 1 KiB, transient", PACED, DELIVERY, Some(Floor::Relay)),
    (
        "latency, 5,000 msg/s of 1 KiB, persistent with confirms",
        "-r 5000 -s 1024 -f persistent -c 1000 -q 1000",
        CONFIRMS,
        Some(Floor::SyncedRelay),
    ),
    (
        "latency, 200 msg/s of 1 KiB, persistent with confirms",
        "-r 200 -s 1024 -f persistent -c 1000 -q 1000",
        CONFIRMS,
        Some(Floor::Sync),
    ),
];
const PACED: &str = "-r 5000 -s 1024";
/// Of brokers that are started for it.
const WEIGHTS: [(&str, &str, &[&str]); 5] = [
    (
        "memory of an idle connection with a channel and a consumer, of 10,000",
        "idle connections 10000 --patience",
        IDLE,
    ),
    ("memory of an idle transient queue, of 100,000", "idle queues 100000 --patience", IDLE),
    ("memory of an idle durable queue, of 100,000", "idle queues 100000 --durable --patience", IDLE),
    ("memory with 10 million transient messages of 100 B", "backlog -s 100 --messages 10000000 -z", BACKLOG),
    (
        "memory with 10 million persistent messages of 100 B",
        "backlog -s 100 --messages 10000000 -f persistent -c 1000 -q 1000 -z",
        BACKLOG,
    ),
];
/// What a start may have to find.
const STORED: &str = "-y 0 -u liebre-perf-start -s 1024 -f persistent -c 1000 --messages 1000000 -z";
const QUEUES_STORED: u32 = 10_000;

/// The table's part for brokers that run: rates and costs, what comes and goes, latencies. `seconds` for each
/// measurement.
pub fn run_plans(seconds: f64) -> Result<Vec<Plan>, String> {
    let planned = |(title, options, keys, floor): Line, ballast| {
        run_plan(title.to_owned(), format!("{options} -z {seconds}"), keys, floor, ballast)
    };
    let mut plans: Vec<Plan> =
        RUNS.into_iter().map(|line| planned(line, Vec::new())).collect::<Result<_, _>>()?;
    let crowd = "latency, transient, beside 1,000 idle connections and queues";
    let ballast = vec![(Idling::Connections, 1_000), (Idling::Queues { is_durable: false }, 1_000)];
    plans.push(planned((crowd, PACED, DELIVERY, Some(Floor::Relay)), ballast)?);
    Ok(plans)
}

/// The table's part for brokers that are started for it: memory and starts. `limit` for what has to be there first.
pub fn fresh_plans(limit: Duration) -> Result<Vec<Plan>, String> {
    let limit = limit.as_secs_f64();
    let start = |title: &str, keys, state: &State, kills| Plan {
        title: title.to_owned(),
        options: if kills { "start --kill" } else { "start" }.to_owned(),
        task: Task::Start { state: state.clone(), kills },
        keys,
        point: None,
    };
    let mut plans = vec![start("memory of an empty broker", EMPTY, &State::Empty, false)];
    for (title, options, keys) in WEIGHTS {
        let options = format!("{options} {limit}");
        let task = Task::Weigh(Work::parse(&options)?);
        plans.push(Plan { title: title.to_owned(), options, task, keys, point: None });
    }
    let Work::Load(stored) = Work::parse(&format!("{STORED} {limit}"))? else {
        return Err(format!("{STORED} is no load"));
    };
    let (queues, messages) = (State::DurableQueues(QUEUES_STORED), State::Messages(stored));
    let million = "start with a million persistent messages of 1 KiB, after";
    plans.push(start("start of an empty broker", STARTS, &State::Empty, false));
    plans.push(start("start with 10,000 durable queues", STARTS, &queues, false));
    plans.push(start(&format!("{million} an orderly stop"), STARTS, &messages, false));
    plans.push(start(&format!("{million} SIGKILL"), STARTS, &messages, true));
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
            let ballast = ballast.map(|what| (what, count)).into_iter().collect();
            let plan =
                run_plan(format!("{} {curve}", grouped(u64::from(count))), options, CURVE, None, ballast)?;
            plans.push(Plan { point: Some(Point { curve: curve.to_owned(), count }), ..plan });
        }
    }
    Ok(plans)
}

fn run_plan(
    title: String,
    options: String,
    keys: &'static [&'static str],
    floor: Option<Floor>,
    ballast: Vec<(Idling, u32)>,
) -> Result<Plan, String> {
    let options = options.trim().to_owned();
    let task = Task::Run { work: Work::parse(&options)?, ballast, floor };
    Ok(Plan { title, options, task, keys, point: None })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_plan_is_work_with_the_figures_it_names() {
        let limit = Duration::from_secs(1);
        let table = [run_plans(1.0).unwrap(), fresh_plans(limit).unwrap()].concat();
        let curves = scale_plans(1.0, "-c 100 -q 100 -A 10 --max-backlog 200").unwrap();
        assert_eq!((table.len(), curves.len()), (17 + 6 + 4, 8 + 8 + 5 + 6));
        let plans = [table, curves].concat();
        let titles: HashSet<&str> = plans.iter().map(|plan| plan.title.as_str()).collect();
        assert_eq!(titles.len(), plans.len());
        for Plan { task, keys, .. } in &plans {
            let is_comparable = match task {
                Task::Run { work, .. } | Task::Weigh(work) => work.check_comparable().is_ok(),
                Task::Start { .. } => true,
            };
            assert!(is_comparable && !keys.is_empty());
        }
    }

    #[test]
    fn what_is_weighed_has_a_limit() {
        let plans = fresh_plans(Duration::from_secs(7)).unwrap();
        let weighed: Vec<&Plan> = plans.iter().filter(|plan| matches!(plan.task, Task::Weigh(_))).collect();
        assert_eq!(weighed.len(), WEIGHTS.len());
        for plan in weighed {
            match &plan.task {
                Task::Weigh(Work::Idle(idle)) => assert_eq!(idle.patience, Duration::from_secs(7)),
                _ => assert!(plan.options.ends_with(" -z 7"), "{}", plan.options),
            }
        }
    }

    #[test]
    fn wrong_options_are_told() {
        assert!(scale_plans(1.0, "--sise 5").is_err());
    }
}
