//! Two brokers in turns, so that whatever else the machine does troubles both alike.

use std::fmt::Write;

use serde::Serialize;
use serde_json::Value as Json;

use crate::cli::Target;
use crate::error::PerfError;
use crate::figure::{Better, Spread, Value, json, number};
use crate::work::{Outcome, Work};

/// All rounds, and the medians side by side.
#[derive(Debug, Serialize)]
pub struct Comparison {
    pub rows: Vec<Row>,
    /// The figures of each round.
    pub a: Vec<Json>,
    pub b: Vec<Json>,
    pub is_complete: bool,
    /// Rounds that left their broker busy, which troubled the next.
    pub busy_rounds: usize,
}

/// One figure of both brokers. `None` when a round did not have it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub key: &'static str,
    pub name: &'static str,
    pub better: Better,
    pub a: Option<Spread>,
    pub b: Option<Spread>,
    /// Of the medians; above 1 when A is the better: a/b for rates, b/a for costs.
    pub ratio: Option<f64>,
    /// Whether only the first round counts.
    pub is_of_first_round: bool,
}

/// Measures A, B, B, A, …; `after_round` sees each pair's number and figures as it comes.
pub fn compare(
    targets: [&Target; 2],
    work: &Work,
    rounds: u32,
    mut after_round: impl FnMut(u32, &Outcome, &Outcome),
) -> Result<Comparison, PerfError> {
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let mut outcomes = [None, None];
        for index in turns(round, targets.len()) {
            outcomes[index] = Some(work.measure(targets[index])?);
        }
        if let [Some(a), Some(b)] = outcomes {
            after_round(round, &a, &b);
            of_a.push(a);
            of_b.push(b);
        }
    }
    Ok(Comparison::of(&of_a, &of_b))
}

/// In which order `count` brokers are measured in this round: who comes first may have the quieter machine.
pub fn turns(round: u32, count: usize) -> Vec<usize> {
    if round % 2 == 1 { (0..count).collect() } else { (0..count).rev().collect() }
}

impl Comparison {
    /// Puts the rounds of both side by side; either may be empty.
    pub fn of(a: &[Outcome], b: &[Outcome]) -> Self {
        let all = || a.iter().chain(b);
        let rounds = |outcomes: &[Outcome]| outcomes.iter().map(|outcome| json(&outcome.values)).collect();
        Self {
            rows: rows(a, b),
            a: rounds(a),
            b: rounds(b),
            is_complete: all().all(|outcome| outcome.is_complete),
            busy_rounds: all().filter(|outcome| !outcome.is_taken_down).count(),
        }
    }

    /// The table for people.
    pub fn table(&self, a: &Target, b: &Target, work: &Work) -> String {
        let rounds = self.a.len();
        let mut out = format!(
            "A  {}\nB  {}\n{}, medians of {rounds} and (least to most)\n\n",
            a.url,
            b.url,
            work.describe()
        );
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{:<34}{:>30}{:>30}{:>10}", "", "A", "B", "A better");
        if self.busy_rounds > 0 {
            let busy = self.busy_rounds;
            let _ = writeln!(
                out,
                "LEFT BUSY: {busy} runs left their broker busy; the next waited until it was calm"
            );
        }
        for row in &self.rows {
            let ratio = row.ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2} x"));
            let (a, b) = (with_noise(row.a), with_noise(row.b));
            let _ = writeln!(out, "{:<34}{a:>30}{b:>30}{ratio:>10}", row.name);
        }
        if !self.is_complete {
            let _ = writeln!(out, "INCOMPLETE: in some rounds the messages did not get through");
        }
        if rounds > 1 && self.rows.iter().any(|row| row.is_of_first_round) {
            let _ = writeln!(out, "memory: of the first round, as a broker uses again what it has freed");
        }
        if let Some(note) = work.latency_note() {
            let _ = writeln!(out, "no latency {note}");
        }
        out
    }
}

/// `median (least to most)`, of a single round just the value.
pub fn with_noise(spread: Option<Spread>) -> String {
    spread.map_or("-".to_owned(), |spread| {
        let [median, min, max] = [spread.median, spread.min, spread.max].map(|value| number(Some(value)));
        if min == max { median } else { format!("{median} ({min} to {max})") }
    })
}

fn rows(a: &[Outcome], b: &[Outcome]) -> Vec<Row> {
    let Some(first) = a.first().or(b.first()) else { return Vec::new() };
    let row = |&Value { key, name, better, is_of_first_round, .. }: &Value| {
        let count = if is_of_first_round { 1 } else { usize::MAX };
        let spread =
            |outcomes: &[Outcome]| Spread::of(outcomes.iter().take(count).map(|outcome| value(outcome, key)));
        let (a, b) = (spread(a), spread(b));
        let ratio = a.zip(b).and_then(|(a, b)| better.ratio(a.median, b.median));
        Row { key, name, better, a, b, ratio, is_of_first_round }
    };
    first.values.iter().map(row).collect()
}

fn value(outcome: &Outcome, key: &str) -> Option<f64> {
    outcome.values.iter().find(|value| value.key == key)?.value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::{less, memory, more};

    fn outcomes(rounds: &[(f64, f64)]) -> Vec<Outcome> {
        let outcome = |&(rate, cost): &(f64, f64)| Outcome {
            values: vec![more("rate", "msg/s", rate), less("cost", "us", cost)],
            is_complete: true,
            is_taken_down: rate > 0.0,
        };
        rounds.iter().map(outcome).collect()
    }

    #[test]
    fn medians_are_compared() {
        let a = outcomes(&[(90.0, 2.0), (100.0, 1.0), (500.0, 1.0)]);
        let comparison = Comparison::of(&a, &outcomes(&[(10.0, 4.0), (10.0, 4.0), (0.0, 4.0)]));
        let ratios: Vec<Option<f64>> = comparison.rows.iter().map(|row| row.ratio).collect();
        assert_eq!(ratios, [Some(10.0), Some(4.0)]);
        assert_eq!(comparison.rows[0].a, Some(Spread { median: 100.0, min: 90.0, max: 500.0 }));
        assert_eq!((comparison.busy_rounds, comparison.a[2]["rate"].as_f64()), (1, Some(500.0)));
    }

    #[test]
    fn memory_is_that_of_the_first_round() {
        let outcome = |bytes| Outcome {
            values: vec![memory("bytes_each", "bytes", bytes)],
            is_complete: true,
            is_taken_down: true,
        };
        let comparison = Comparison::of(&[900.0, 0.0, 0.0].map(outcome), &[1_800.0, 0.0, 0.0].map(outcome));
        let row = &comparison.rows[0];
        assert_eq!(row.a, Some(Spread { median: 900.0, min: 900.0, max: 900.0 }));
        assert_eq!((row.ratio, row.is_of_first_round), (Some(2.0), true));
    }

    #[test]
    fn each_broker_comes_first_as_often() {
        assert_eq!([1, 2, 3].map(|round| turns(round, 2)), [[0, 1], [1, 0], [0, 1]]);
    }

    #[test]
    fn one_broker_alone_has_no_ratio() {
        let row = Comparison::of(&outcomes(&[(90.0, 2.0)]), &[]).rows.remove(0);
        assert_eq!((row.a.map(|spread| spread.median), row.b, row.ratio), (Some(90.0), None, None));
    }
}
