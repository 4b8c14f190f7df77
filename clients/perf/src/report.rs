//! Figures as a table for people.

use std::fmt::Write;

use crate::cli::Target;
use crate::latency::Percentiles;
use crate::load::{Acks, Flow, Load};
use crate::run::Figures;

/// The table of one run.
pub fn table(target: &Target, load: &Load, figures: &Figures) -> String {
    let mut out = String::new();
    row(&mut out, "broker", &target.url.to_string());
    row(&mut out, "load", &describe(load));
    row(&mut out, "measured", &format!("{:.1} s", figures.seconds));
    if load.flow.publishes() {
        row(&mut out, "sent", &rate(figures.sent_per_second, figures.sent));
    }
    if load.confirm_window.is_some() {
        row(&mut out, "confirmed", &rate(figures.confirmed as f64 / figures.seconds, figures.confirmed));
        row(&mut out, "refused", &grouped(figures.nacked));
    }
    if load.flow.consumes() {
        row(&mut out, "received", &rate(figures.received_per_second, figures.received));
        row(&mut out, "latency", &figures.latency.as_ref().map_or("-".to_owned(), latencies));
    }
    if let Some(broker) = &figures.broker {
        let cpu = cpu(broker.cpu_seconds_per_million, broker.cpu_seconds, figures.seconds);
        row(&mut out, "broker CPU", &cpu);
        let memory =
            format!("{} MiB, at most {} MiB", mebibytes(broker.rss_bytes), mebibytes(broker.rss_bytes_max));
        row(&mut out, "broker RSS", &memory);
    }
    let own = cpu(figures.own_cpu_seconds_per_million, figures.own_cpu_seconds, figures.seconds);
    row(&mut out, "own CPU", &own);
    if !figures.is_taken_down {
        row(&mut out, "LEFT BUSY", "the broker is still busy with this run: wait before you measure again");
    }
    if !figures.is_complete {
        row(&mut out, "INCOMPLETE", "the messages did not get through");
    }
    out
}

/// One line that says what the load is.
pub fn describe(load: &Load) -> String {
    let mut words = vec![format!("{} B", load.body_size)];
    words.push(if load.is_persistent { "persistent" } else { "transient" }.to_owned());
    words.push(format!("queue {}{}", load.queue, if load.is_durable { " (durable)" } else { "" }));
    match load.flow {
        Flow::Both => {}
        Flow::PublishOnly => words.push("publish only".to_owned()),
        Flow::ConsumeOnly => words.push("consume only".to_owned()),
    }
    if let Some(window) = load.confirm_window {
        words.push(format!("confirm window {window}"));
    }
    match load.acks {
        _ if !load.flow.consumes() => {}
        Acks::Auto => words.push("auto-ack".to_owned()),
        Acks::Manual { every, prefetch_count } => {
            words.push(format!("prefetch {prefetch_count}, ack every {every}"));
        }
    }
    words.push(load.rate.map_or("unlimited".to_owned(), |rate| format!("{rate} msg/s")));
    words.join(", ")
}

fn row(out: &mut String, name: &str, value: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{name:<12}{value}");
}

fn rate(per_second: f64, count: u64) -> String {
    format!("{:>11} msg/s  ({} messages)", grouped(per_second.round() as u64), grouped(count))
}

fn latencies(found: &Percentiles) -> String {
    let millis = |micros: f64| format!("{:.3} ms", micros / 1e3);
    format!(
        "p50 {}, p95 {}, p99 {}, max {}  ({} samples)",
        millis(found.p50_us),
        millis(found.p95_us),
        millis(found.p99_us),
        millis(found.max_us),
        grouped(found.samples)
    )
}

fn cpu(per_million: Option<f64>, cpu_seconds: f64, seconds: f64) -> String {
    let per_million = per_million.map_or("-".to_owned(), |value| format!("{value:.3}"));
    format!("{per_million} s per million messages  ({:.0} % of a core)", 100.0 * cpu_seconds / seconds)
}

fn mebibytes(bytes: u64) -> String {
    grouped(bytes / (1024 * 1024))
}

/// 1234567 as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        let shown = [0, 12, 999, 1_000, 123_456, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "12", "999", "1,000", "123,456", "1,234,567"]);
    }
}
