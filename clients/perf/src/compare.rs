//! Two brokers in turns, so that whatever else the machine does troubles both alike.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use crate::cli::Target;
use crate::error::PerfError;
use crate::load::{Load, Patience, Topology};
use crate::report::describe;
use crate::run::{Figures, Watcher, run};

/// How long to wait after each run for the broker to have done with it.
const TEARDOWN: Duration = Duration::from_secs(30);

/// All rounds, and the medians side by side.
#[derive(Debug, Serialize)]
pub struct Comparison {
    pub rows: Vec<Row>,
    pub a: Vec<Figures>,
    pub b: Vec<Figures>,
}

/// The medians of one figure. `None` when a round did not have it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub name: &'static str,
    pub a: Option<f64>,
    pub b: Option<f64>,
    /// Above 1 when A is the better: a/b for rates, b/a for costs.
    pub ratio: Option<f64>,
}

/// Measures A, B, A, B, …; `after_round` sees each pair's number and figures as it comes.
pub fn compare(
    a: &Target,
    b: &Target,
    load: &Load,
    rounds: u32,
    mut after_round: impl FnMut(u32, &Figures, &Figures),
) -> Result<Comparison, PerfError> {
    // A backlog that stays would be another load for the next round, and so would messages that the one
    // broker still has to read while the other is measured.
    let patience = Patience { teardown: TEARDOWN, ..load.patience };
    let topology = Topology { deletes: true, ..load.topology.clone() };
    let load = Load { topology, patience, ..load.clone() };
    let mut watcher = Watcher { interval: Duration::ZERO, watch: &mut |_| () };
    let (mut figures_a, mut figures_b) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let (of_a, of_b) = (run(a, &load, &mut watcher)?, run(b, &load, &mut watcher)?);
        after_round(round, &of_a, &of_b);
        figures_a.push(of_a);
        figures_b.push(of_b);
    }
    Ok(Comparison { rows: rows(&load, &figures_a, &figures_b), a: figures_a, b: figures_b })
}

impl Comparison {
    /// Whether every round of both brokers moved its messages.
    pub fn is_complete(&self) -> bool {
        self.a.iter().chain(&self.b).all(|figures| figures.is_complete)
    }

    /// The table for people.
    pub fn table(&self, a: &Target, b: &Target, load: &Load) -> String {
        let mut out =
            format!("A  {}\nB  {}\n{}, medians of {}\n\n", a.url, b.url, describe(load), self.a.len());
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{:<34}{:>14}{:>14}{:>10}", "", "A", "B", "A better");
        let busy = self.a.iter().chain(&self.b).filter(|figures| !figures.is_taken_down).count();
        if busy > 0 {
            let _ = writeln!(out, "LEFT BUSY: {busy} runs left their broker busy, which troubled the next");
        }
        for row in &self.rows {
            let ratio = row.ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2} x"));
            let _ = writeln!(out, "{:<34}{:>14}{:>14}{:>10}", row.name, number(row.a), number(row.b), ratio);
        }
        out
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Better {
    More,
    Less,
}

fn rows(load: &Load, a: &[Figures], b: &[Figures]) -> Vec<Row> {
    type Figure = fn(&Figures) -> Option<f64>;
    let figures: [(&'static str, bool, Better, Figure); 8] = [
        ("sent msg/s", load.publishing.is_some(), Better::More, |f| Some(f.sent_per_second)),
        ("received msg/s", load.consuming.is_some(), Better::More, |f| Some(f.received_per_second)),
        ("latency p50 us", load.consuming.is_some(), Better::Less, |f| Some(f.latency?.p50_us)),
        ("latency p99 us", load.consuming.is_some(), Better::Less, |f| Some(f.latency?.p99_us)),
        ("broker CPU s per million", true, Better::Less, |f| f.broker?.cpu_seconds_per_million),
        ("broker RSS MiB, at most", true, Better::Less, |f| {
            Some(f.broker?.rss_bytes_max as f64 / 1_048_576.0)
        }),
        ("own CPU s per million", true, Better::Less, |f| f.own_cpu_seconds_per_million),
        (
            "messages refused",
            load.publishing.as_ref().is_some_and(|side| side.confirm_window.is_some()),
            Better::Less,
            |f| Some(f.nacked as f64),
        ),
    ];
    figures
        .into_iter()
        .filter(|(_, is_shown, ..)| *is_shown)
        .map(|(name, _, better, figure)| {
            let (a, b) = (median(a.iter().map(figure)), median(b.iter().map(figure)));
            let ratio = a.zip(b).map(|(a, b)| if better == Better::More { a / b } else { b / a });
            Row { name, a, b, ratio: ratio.filter(|ratio| ratio.is_finite()) }
        })
        .collect()
}

/// The middle value; of an even number of values the mean of the two in the middle.
fn median(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let mut values = values.collect::<Option<Vec<f64>>>()?;
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get(values.len().saturating_sub(1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

fn number(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value < 100.0 => format!("{value:.3}"),
        Some(value) => format!("{value:.0}"),
    }
}

/// Whether comparing this load makes sense; if not, why.
pub fn check(load: &Load) -> Result<(), String> {
    match &load.publishing {
        None => Err("rounds that only consume would find an empty queue".to_owned()),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let of = |values: &[f64]| median(values.iter().copied().map(Some));
        assert_eq!(of(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(of(&[4.0, 1.0, 2.0, 9.0]), Some(3.0));
        assert_eq!(of(&[]), None);
        assert_eq!(median([Some(1.0), None].into_iter()), None);
    }
}
