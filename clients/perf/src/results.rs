//! Results of many measurements: as JSON for machines, as a Markdown table for people.

use std::fmt::Write;
use std::fs;
use std::num::NonZero;
use std::thread;

use serde::{Deserialize, Serialize};

use crate::compare::with_noise;
use crate::error::PerfError;
use crate::figure::{Better, Spread, grouped, number};

/// Behind what a note explains; in Markdown, a star.
const MARK: &str = " \\*";
/// Behind what was measured once while the rest had several rounds.
const ONCE: &str = " (one round)";

/// Several cells, measured on one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    pub machine: Machine,
    /// One broker or two, in the order of the columns.
    pub brokers: Vec<Broker>,
    pub rounds: u32,
    pub cells: Vec<Cell>,
}

/// Where it was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    pub cores: usize,
    pub processor: String,
    pub kernel: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broker {
    pub name: String,
    pub address: String,
}

/// One kind of work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    pub title: String,
    /// The options of this tool that do the same work once.
    pub options: String,
    pub rows: Vec<Row>,
    /// Why there are no rows, or not all of them count.
    pub troubles: Vec<Trouble>,
    /// Whether it was measured once, however many rounds there were.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_of_one_round: bool,
    /// Of a curve, which point this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<Point>,
}

/// What was not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The broker that had it, or `floor`.
    pub of: String,
    pub what: String,
}

/// A point of a curve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// What there is more and more of.
    pub curve: String,
    pub count: u32,
}

/// One figure of the work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub key: String,
    pub name: String,
    pub better: Better,
    pub a: Option<Spread>,
    pub b: Option<Spread>,
    /// How many times A is better than B.
    pub ratio: Option<f64>,
    /// What nothing on this machine can be better than.
    pub floor: Option<Spread>,
}

impl Machine {
    /// This one.
    pub fn here() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let processor = read("/proc/cpuinfo")
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.trim() == "model name")
            .map(|(_, model)| model.trim().to_owned());
        Self {
            cores: thread::available_parallelism().map_or(1, NonZero::get),
            processor: processor.unwrap_or_default(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

impl Results {
    pub fn read(path: &str) -> Result<Self, PerfError> {
        let text =
            fs::read_to_string(path).map_err(|source| PerfError::File { path: path.to_owned(), source })?;
        serde_json::from_str(&text)
            .map_err(|error| PerfError::Content { path: path.to_owned(), reason: error.to_string() })
    }

    pub fn write(&self, path: &str) -> Result<(), PerfError> {
        fs::write(path, self.json()).map_err(|source| PerfError::File { path: path.to_owned(), source })
    }

    pub fn json(&self) -> String {
        // Plain structs of numbers and text: there is no key or value that JSON could not hold.
        serde_json::to_string_pretty(self).map(|text| text + "\n").unwrap_or_default()
    }

    /// Whether every cell has its figures.
    pub fn is_complete(&self) -> bool {
        self.cells.iter().all(Cell::is_sound)
    }

    /// A table, with a line on how it was measured.
    pub fn markdown(&self) -> String {
        let has_two = self.brokers.len() > 1;
        let has_floor = self.cells.iter().flat_map(|cell| &cell.rows).any(|row| row.floor.is_some());
        let mut heads = vec!["work".to_owned(), "figure".to_owned()];
        heads.extend(self.brokers.iter().map(|broker| broker.name.clone()));
        heads.extend(has_two.then(|| "ratio".to_owned()));
        heads.extend(has_floor.then(|| "floor".to_owned()));
        let mut out = line(&heads);
        out += &format!("|---|---{}\n", "|--:".repeat(heads.len() - 2) + "|");
        for cell in &self.cells {
            let mut title = self.title(cell);
            for row in &cell.rows {
                let mut columns = vec![std::mem::take(&mut title), row.name.clone(), with_noise(row.a)];
                columns.extend(has_two.then(|| with_noise(row.b)));
                columns.extend(
                    has_two.then(|| row.ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.1} times"))),
                );
                columns.extend(
                    has_floor.then(|| row.floor.map_or(String::new(), |floor| with_noise(Some(floor)))),
                );
                out += &line(&columns);
            }
            if let Some(trouble) = cell.trouble() {
                let mut columns = vec![title, trouble.replace('|', "\\|")];
                columns.resize(heads.len(), String::new());
                out += &line(&columns);
            }
        }
        // Writing to a string cannot fail.
        let _ = writeln!(out, "\n{}", self.method());
        out
    }

    /// A table for a page that people read: a line for each kind of work, with its rate, median latency, memory or time,
    /// and its cost.
    /// Where there was trouble there is no ratio: half of it may be the trouble's.
    pub fn brief(&self) -> String {
        let names: Vec<&str> = self.brokers.iter().map(|broker| broker.name.as_str()).collect();
        let mut heads = vec!["work".to_owned()];
        heads.extend(names.iter().map(|name| (*name).to_owned()));
        heads.extend((names.len() > 1).then(|| "ratio".to_owned()));
        heads.extend(names.iter().map(|name| format!("server CPU, {name}")));
        heads.extend((names.len() > 1).then(|| "ratio".to_owned()));
        let mut out = line(&heads);
        out += &format!("|---{}\n", "|--:".repeat(heads.len() - 1) + "|");
        for cell in &self.cells {
            let mut columns = vec![self.title(cell) + if cell.is_sound() { "" } else { MARK }];
            for row in [cell.speed().or(cell.weight()), cell.cost()] {
                columns.extend(brief_columns(row, names.len(), cell.is_sound()));
            }
            out += &line(&columns);
        }
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "\n{} Latencies are p50; CPU time is that of one message, connection, start, ….{}",
            self.method(),
            self.notes()
        );
        out
    }

    /// The cost of a message along each curve, a line for each broker.
    pub fn curves(&self) -> String {
        let points = || self.cells.iter().filter_map(|cell| Some((cell.point.as_ref()?, cell)));
        let mut counts: Vec<u32> = points().map(|(point, _)| point.count).collect();
        counts.sort_unstable();
        counts.dedup();
        let mut curves: Vec<&str> = points().map(|(point, _)| point.curve.as_str()).collect();
        curves.dedup();
        let mut heads = vec!["server CPU us per message, with".to_owned()];
        heads.extend(counts.iter().map(|count| grouped(u64::from(*count))));
        let mut out = line(&heads);
        out += &format!("|---{}\n", "|--:".repeat(counts.len()) + "|");
        for curve in curves {
            for (n, broker) in self.brokers.iter().enumerate() {
                let at =
                    |count: &u32| points().find(|(point, _)| point.curve == curve && point.count == *count);
                let cost = |row: &Row| if n == 0 { row.a } else { row.b };
                let mut columns = vec![format!("{curve}: {}", broker.name)];
                columns.extend(counts.iter().map(|count| match at(count) {
                    None => String::new(),
                    Some((_, cell)) => with_noise(cell.cost().and_then(cost)) + cell.mark_of(broker),
                }));
                out += &line(&columns);
            }
        }
        // Writing to a string cannot fail.
        let _ = writeln!(out, "\n{}{}", self.method(), self.notes());
        out
    }

    /// Whether there are curves among the results.
    pub fn has_curves(&self) -> bool {
        self.cells.iter().any(|cell| cell.point.is_some())
    }

    fn title(&self, cell: &Cell) -> String {
        let once = if cell.is_of_one_round && self.rounds > 1 { ONCE } else { "" };
        cell.title.clone() + once
    }

    /// What the marks mean.
    fn notes(&self) -> String {
        let note =
            |cell: &Cell| Some(format!("\n\n{} {}: {}", MARK.trim_start(), cell.title, cell.trouble()?));
        self.cells.iter().filter_map(note).collect()
    }

    fn method(&self) -> String {
        let Machine { cores, processor, kernel } = &self.machine;
        let processor = if processor.is_empty() { String::new() } else { format!(" of {processor}") };
        format!(
            "Medians of {} rounds (least to most), brokers in turns; {cores} cores{processor}, shared by client and broker; Linux {kernel}.",
            self.rounds
        )
    }
}

impl Cell {
    /// The row by which the work is known: of confirms or deliveries the median latency, otherwise the rate.
    pub fn speed(&self) -> Option<&Row> {
        let keys = ["confirm_p50_us", "latency_p50_us", "received_per_second", "per_second"];
        keys.iter().find_map(|key| self.row(key))
    }

    /// Of a broker that was started for the work, its memory or the time it took to start.
    fn weight(&self) -> Option<&Row> {
        ["rss_full_mib", "bytes_each", "rss_mib", "start_ms"].iter().find_map(|key| self.row(key))
    }

    /// The broker's CPU time for each message, connection, start, ….
    pub fn cost(&self) -> Option<&Row> {
        ["broker_cpu_us", "start_cpu_ms"].iter().find_map(|key| self.row(key))
    }

    pub fn is_sound(&self) -> bool {
        self.troubles.is_empty()
    }

    /// All that was not as it should be.
    pub fn trouble(&self) -> Option<String> {
        let troubles = self.troubles.iter().map(|Trouble { of, what }| format!("{of}: {what}"));
        (!self.is_sound()).then(|| troubles.collect::<Vec<_>>().join("; "))
    }

    /// Behind a figure of this broker, if something went wrong with it.
    fn mark_of(&self, broker: &Broker) -> &'static str {
        if self.troubles.iter().any(|trouble| trouble.of == broker.name) { MARK } else { "" }
    }

    fn row(&self, key: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.key == key)
    }
}

/// The medians of one broker or two, with the unit, and the ratio if it is sound.
fn brief_columns(row: Option<&Row>, count: usize, is_sound: bool) -> Vec<String> {
    let median = |spread: Option<Spread>| match spread {
        Some(spread) => number(Some(spread.median)) + unit(row.map_or("", |row| &row.key)),
        None => "-".to_owned(),
    };
    let mut columns = vec![median(row.and_then(|row| row.a))];
    if count > 1 {
        columns.push(median(row.and_then(|row| row.b)));
        let ratio = row.filter(|_| is_sound).and_then(|row| row.ratio);
        columns.push(ratio.map_or("-".to_owned(), |ratio| number(Some(ratio)) + " times"));
    }
    columns
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// Of the figures that a brief table has.
fn unit(key: &str) -> &'static str {
    match key {
        "received_per_second" => " msg/s",
        "per_second" => " per s",
        "bytes_each" => " B",
        "rss_mib" | "rss_full_mib" => " MiB",
        "start_ms" | "start_cpu_ms" => " ms",
        _ => " us",
    }
}

fn line(columns: &[String]) -> String {
    format!("| {} |\n", columns.join(" | "))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    fn row(key: &str, a: f64, b: f64, floor: Option<f64>) -> Row {
        let spread = |value: f64| Spread { median: value, min: value / 2.0, max: value * 2.0 };
        Row {
            key: key.to_owned(),
            name: if key == "received_per_second" { "received msg/s" } else { "us" }.to_owned(),
            better: Better::More,
            a: Some(spread(a)),
            b: Some(spread(b)),
            ratio: Some(a / b),
            floor: floor.map(spread),
        }
    }

    /// One of the second broker's.
    pub fn trouble(what: &str) -> Trouble {
        Trouble { of: "RabbitMQ".to_owned(), what: what.to_owned() }
    }

    /// Two cells, the second of which failed.
    pub fn sample() -> Results {
        let broker = |name: &str| Broker { name: name.to_owned(), address: "127.0.0.1:5672".to_owned() };
        let cell = |title: &str, rows, troubles| Cell {
            title: title.to_owned(),
            options: "-s 16".to_owned(),
            rows,
            troubles,
            is_of_one_round: false,
            point: None,
        };
        Results {
            machine: Machine { cores: 2, processor: String::new(), kernel: "6.1".to_owned() },
            brokers: vec![broker("Liebre"), broker("RabbitMQ")],
            rounds: 3,
            cells: vec![
                cell(
                    "16 B <fast>",
                    vec![row("received_per_second", 2_000_000.0, 100_000.0, Some(5.0))],
                    vec![],
                ),
                cell("channels", vec![], vec![trouble("a|b")]),
            ],
        }
    }

    #[test]
    fn a_table_has_a_line_for_each_figure() {
        let expected = "\
| work | figure | Liebre | RabbitMQ | ratio | floor |
|---|---|--:|--:|--:|--:|
| 16 B <fast> | received msg/s | 2,000,000 (1,000,000 to 4,000,000) | 100,000 (50,000 to 200,000) | 20.0 times | 5.00 (2.50 to 10.0) |
| channels | RabbitMQ: a\\|b |  |  |  |  |

Medians of 3 rounds (least to most), brokers in turns; 2 cores, shared by client and broker; Linux 6.1.
";
        assert_eq!(sample().markdown(), expected);
    }

    #[test]
    fn a_brief_table_has_a_line_for_each_work() {
        let mut results = sample();
        results.cells[0].rows.push(row("broker_cpu_us", 0.4, 16.0, None));
        let start = vec![row("start_ms", 8.0, 4_000.0, None), row("start_cpu_ms", 5.0, 5_000.0, None)];
        results.cells.push(Cell { title: "start".to_owned(), rows: start, ..results.cells[0].clone() });
        let mut memory = row("bytes_each", 1_000.0, 0.0, None);
        (memory.b, memory.ratio) = (None, None);
        results.cells.push(Cell {
            title: "memory".to_owned(),
            rows: vec![memory],
            ..results.cells[0].clone()
        });
        let expected = "\
| work | Liebre | RabbitMQ | ratio | server CPU, Liebre | server CPU, RabbitMQ | ratio |
|---|--:|--:|--:|--:|--:|--:|
| 16 B <fast> | 2,000,000 msg/s | 100,000 msg/s | 20.0 times | 0.400 us | 16.0 us | 0.025 times |
| channels \\* | - | - | - | - | - | - |
| start | 8.00 ms | 4,000 ms | 0.002 times | 5.00 ms | 5,000 ms | 0.001 times |
| memory | 1,000 B | - | - | - | - | - |
";
        assert!(results.brief().starts_with(expected), "{}", results.brief());
        assert!(results.brief().ends_with("….\n\n\\* channels: RabbitMQ: a|b\n"), "{}", results.brief());
    }

    #[test]
    fn work_measured_once_is_said_to_be() {
        let mut results = sample();
        results.cells[0].is_of_one_round = true;
        for table in [results.markdown(), results.brief()] {
            assert!(table.contains("\n| 16 B <fast> (one round) | "), "{table}");
            assert!(table.contains("\n| channels ") && table.contains("Medians of 3 rounds"), "{table}");
        }
        assert_eq!(serde_json::from_str::<Results>(&results.json()).unwrap(), results);
        results.rounds = 1;
        assert!(!results.markdown().contains(ONCE), "{}", results.markdown());
    }

    #[test]
    fn a_ratio_with_trouble_does_not_count() {
        let mut results = sample();
        results.cells[0].troubles.push(trouble("not all got through"));
        let line = "| 16 B <fast> \\* | 2,000,000 msg/s | 100,000 msg/s | - | - | - | - |\n";
        assert!(results.brief().contains(line), "{}", results.brief());
        assert!(results.brief().contains("\n\n\\* 16 B <fast>: RabbitMQ: not all got through\n"));
    }

    #[test]
    fn a_curve_has_a_line_for_each_broker() {
        let mut results = sample();
        assert!(!results.has_curves());
        results.cells[0].rows.push(row("broker_cpu_us", 0.4, 16.0, None));
        for (cell, count) in results.cells.iter_mut().zip([1_000, 1]) {
            cell.point = Some(Point { curve: "queues".to_owned(), count });
        }
        let expected = "\
| server CPU us per message, with | 1 | 1,000 |
|---|--:|--:|
| queues: Liebre | - | 0.400 (0.200 to 0.800) |
| queues: RabbitMQ | - \\* | 16.0 (8.00 to 32.0) |
";
        assert!(results.curves().starts_with(expected), "{}", results.curves());
    }

    #[test]
    fn one_broker_alone_has_no_ratio() {
        let mut results = sample();
        results.brokers.truncate(1);
        results.cells.truncate(1);
        results.cells[0].rows[0].floor = None;
        assert!(results.markdown().starts_with("| work | figure | Liebre |\n|---|---|--:|\n"));
    }

    #[test]
    fn json_is_read_back() {
        let results = sample();
        assert_eq!(serde_json::from_str::<Results>(&results.json()).unwrap(), results);
        assert!(Results::read("/no/such/file").is_err());
    }
}
