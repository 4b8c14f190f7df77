//! The text format of Prometheus, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).
//!
//! ```text
//! # HELP rabbitmq_queue_messages_ready Messages ready to be delivered to consumers
//! # TYPE rabbitmq_queue_messages_ready gauge
//! rabbitmq_queue_messages_ready{vhost="/",queue="orders"} 12
//! ```
//!
//! It is written by hand: libraries for it keep metrics as objects of their own, one for each queue and channel, while
//! here all numbers are there already, and they write the newer format of OpenMetrics, in which RabbitMQ's names of
//! counters would be others.

use std::fmt::Write;

use crate::model::statistics::HistogramCounts;

/// What a number does over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It says something by its labels.
    Untyped,
}

/// A metric: many numbers of one name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
}

/// Metrics as text.
#[derive(Debug, Default)]
pub(super) struct MetricsText(String);

impl Metric {
    pub(super) const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Counter, help }
    }

    pub(super) const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, help }
    }

    pub(super) const fn untyped(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Untyped, help }
    }
}

impl MetricsText {
    /// Begins a metric. Its numbers follow at once.
    pub(super) fn begin(&mut self, prefix: &str, metric: &Metric) {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Untyped => "untyped",
        };
        self.head(&format!("{prefix}{}", metric.name), kind, metric.help);
    }

    /// A number with labels made by [`labels`].
    pub(super) fn number(&mut self, prefix: &str, metric: &Metric, labels: &str, number: f64) {
        self.line(&format!("{prefix}{}", metric.name), labels, number);
    }

    /// A whole histogram, of which so many are one unit.
    pub(super) fn histogram(&mut self, name: &str, help: &str, counts: &HistogramCounts, unit: f64) {
        self.head(name, "histogram", help);
        for (bound, count) in &counts.buckets {
            let bound = (*bound as f64 / unit).to_string();
            self.line(&format!("{name}_bucket"), &labels(&[("le", &bound)]), *count as f64);
        }
        self.line(&format!("{name}_bucket"), &labels(&[("le", "+Inf")]), counts.count as f64);
        self.line(&format!("{name}_sum"), "", counts.sum as f64 / unit);
        self.line(&format!("{name}_count"), "", counts.count as f64);
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# TYPE {name} {kind}\n# HELP {name} {}", escaped(help, false));
    }

    fn line(&mut self, name: &str, labels: &str, number: f64) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {number}"),
            labels => writeln!(self.0, "{name}{{{labels}}} {number}"),
        };
    }
}

/// Labels of a number. Names of queues and users may hold anything.
pub(super) fn labels(pairs: &[(&str, &str)]) -> String {
    let label = |(name, value): &(&str, &str)| format!("{name}=\"{}\"", escaped(value, true));
    pairs.iter().map(label).collect::<Vec<_>>().join(",")
}

fn escaped(text: &str, is_quoted: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '"' if is_quoted => escaped.push_str("\\\""),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::model::statistics::Histogram;

    #[test]
    fn labels_may_hold_anything() {
        assert_eq!(labels(&[("vhost", "/"), ("queue", "a\"b\\c\nd")]), r#"vhost="/",queue="a\"b\\c\nd""#);
    }

    #[test]
    fn numbers_and_histograms_have_their_form() {
        let mut text = MetricsText::default();
        let ready = Metric::gauge("ready", "Messages \\ ready\n\"now\"");
        text.begin("liebre_", &ready);
        text.number("liebre_", &ready, "", 12.0);
        text.number("liebre_", &ready, &labels(&[("a", "b")]), 0.25);
        let histogram = Histogram::new(&[500, 1_000]);
        [1, 700, 5_000].iter().for_each(|micros| histogram.add(*micros));
        text.histogram("sync_seconds", "Syncs", &histogram.counts(), 1e6);
        expect![[r#"
            # TYPE liebre_ready gauge
            # HELP liebre_ready Messages \\ ready\n"now"
            liebre_ready 12
            liebre_ready{a="b"} 0.25
            # TYPE sync_seconds histogram
            # HELP sync_seconds Syncs
            sync_seconds_bucket{le="0.0005"} 1
            sync_seconds_bucket{le="0.001"} 2
            sync_seconds_bucket{le="+Inf"} 3
            sync_seconds_sum 0.005701
            sync_seconds_count 3
        "#]]
        .assert_eq(&text.into_string());
    }
}
