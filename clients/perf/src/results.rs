//! Results of many measurements: as JSON for machines, as a Markdown table for people.

use std::fmt::Write;
use std::fs;
use std::num::NonZero;
use std::thread;

use serde::{Deserialize, Serialize};

use crate::compare::with_noise;
use crate::error::PerfError;
use crate::figure::{Better, Spread};

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
    pub trouble: Option<String>,
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
        self.cells.iter().all(|cell| cell.trouble.is_none())
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
            let mut title = cell.title.clone();
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
            if let Some(trouble) = &cell.trouble {
                let mut columns = vec![title, trouble.replace('|', "\\|")];
                columns.resize(heads.len(), String::new());
                out += &line(&columns);
            }
        }
        // Writing to a string cannot fail.
        let _ = writeln!(out, "\n{}", self.method());
        out
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
            name: key.replace('_', " "),
            better: Better::More,
            a: Some(spread(a)),
            b: Some(spread(b)),
            ratio: Some(a / b),
            floor: floor.map(spread),
        }
    }

    /// Two cells, the second of which failed.
    pub fn sample() -> Results {
        let broker = |name: &str| Broker { name: name.to_owned(), address: "127.0.0.1:5672".to_owned() };
        let cell = |title: &str, rows, trouble: Option<&str>| Cell {
            title: title.to_owned(),
            options: "-s 16".to_owned(),
            rows,
            trouble: trouble.map(str::to_owned),
        };
        Results {
            machine: Machine { cores: 2, processor: String::new(), kernel: "6.1".to_owned() },
            brokers: vec![broker("Liebre"), broker("RabbitMQ")],
            rounds: 3,
            cells: vec![
                cell(
                    "16 B <fast>",
                    vec![row("received_per_second", 2_000_000.0, 100_000.0, Some(5.0))],
                    None,
                ),
                cell("channels", vec![], Some("a|b")),
            ],
        }
    }

    #[test]
    fn a_table_has_a_line_for_each_figure() {
        let expected = "\
| work | figure | Liebre | RabbitMQ | ratio | floor |
|---|---|--:|--:|--:|--:|
| 16 B <fast> | received per second | 2,000,000 (1,000,000 to 4,000,000) | 100,000 (50,000 to 200,000) | 20.0 times | 5.00 (2.50 to 10.0) |
| channels | a\\|b |  |  |  |  |

Medians of 3 rounds (least to most), brokers in turns; 2 cores, shared by client and broker; Linux 6.1.
";
        assert_eq!(sample().markdown(), expected);
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
