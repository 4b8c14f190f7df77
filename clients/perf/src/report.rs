//! Figures as a table for people.

use std::fmt::Write;

use crate::cli::Target;
use crate::compare::{Comparison, with_noise};
use crate::figure::grouped;
use crate::gathering::{gathers_confirms, gathers_deliveries};
use crate::latency::Percentiles;
use crate::load::{Acks, Bodies, Consuming, Load, Publishing};
use crate::run::{Figures, Moment};
use crate::schedule::{Schedule, Step};

/// The line that says how it goes.
pub fn live_line(id: &str, load: &Load, moment: &Moment) -> String {
    let mut parts = vec![format!("{id}: {:.1} s", moment.elapsed.as_secs_f64())];
    let mut add = |name: &str, per_second: f64| {
        parts.push(format!("{name} {} msg/s", grouped(per_second.round() as u64)));
    };
    if let Some(publishing) = &load.publishing {
        add("sent", moment.sent_per_second);
        if publishing.is_mandatory {
            add("returned", moment.returned_per_second);
        }
        if publishing.confirm_window.is_some() {
            add("confirmed", moment.confirmed_per_second);
        }
        if moment.nacked_per_second > 0.0 {
            add("nacked", moment.nacked_per_second);
        }
    }
    if load.consuming.is_some() {
        add("received", moment.received_per_second);
    }
    for (name, found) in [("latency", &moment.latency), ("confirm latency", &moment.confirm_latency)] {
        if let Some(found) = found {
            let micros = [found.p50_us, found.p75_us, found.p95_us, found.p99_us, found.p999_us];
            let micros: Vec<String> = micros.iter().map(|micros| format!("{micros:.0}")).collect();
            parts.push(format!("{name} p50/75/95/99/99.9 {} us", micros.join("/")));
        }
    }
    parts.join(", ")
}

/// The table of one run.
pub fn run_table(target: &Target, load: &Load, figures: &Figures) -> String {
    let mut out = String::new();
    row(&mut out, "broker", &target.url.to_string());
    row(&mut out, "load", &describe(load));
    row(&mut out, "measured", &format!("{:.1} s", figures.seconds));
    if let Some(publishing) = &load.publishing {
        row(&mut out, "sent", &rate(figures.sent_per_second, figures.sent));
        if publishing.is_mandatory {
            row(&mut out, "returned", &grouped(figures.returned));
        }
        if publishing.confirm_window.is_some() {
            row(&mut out, "confirmed", &rate(figures.confirmed as f64 / figures.seconds, figures.confirmed));
            row(&mut out, "refused", &grouped(figures.nacked));
        }
    }
    if load.consuming.is_some() {
        row(&mut out, "received", &rate(figures.received_per_second, figures.received));
    }
    latency_rows(&mut out, figures);
    if let Some(note) = latency_note(load) {
        row(&mut out, "no latency", &note);
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

fn latency_rows(out: &mut String, figures: &Figures) {
    let kinds = [("latency", &figures.latency), ("confirms", &figures.confirm_latency)];
    if kinds.iter().all(|(_, found)| found.is_none()) {
        return;
    }
    let heads = ["p50", "p75", "p95", "p99", "p99.9", "max"].map(|head| format!("{head:>10}")).concat();
    row(out, "ms", &heads);
    for (name, found) in kinds {
        if let Some(found) = found {
            row(out, name, &latencies(found));
        }
    }
}

/// Which latencies of `load` are not measured, and why.
pub fn latency_note(load: &Load) -> Option<String> {
    let what = match (gathers_deliveries(load), gathers_confirms(load)) {
        (true, true) => "of deliveries and confirms",
        (true, false) => "of deliveries",
        (false, true) => "of confirms",
        (false, false) => return None,
    };
    Some(format!(
        "{what}: the tool lets them gather before it reads, for its own cost; with --rate it does not"
    ))
}

/// One line that says what the load is.
pub fn describe(load: &Load) -> String {
    let mut words = Vec::new();
    if let Some(publishing) = &load.publishing {
        words.push(sizes(&publishing.bodies));
        words.push(if publishing.properties.is_persistent() { "persistent" } else { "transient" }.to_owned());
    }
    words.push(places(load));
    match &load.publishing {
        Some(publishing) => describe_publishing(publishing, &mut words),
        None => words.push("consume only".to_owned()),
    }
    match &load.consuming {
        Some(consuming) => describe_consuming(consuming, &mut words),
        None => words.push("publish only".to_owned()),
    }
    words.join(", ")
}

fn places(load: &Load) -> String {
    let topology = &load.topology;
    let durable = if topology.is_durable { " (durable)" } else { "" };
    let queues = match &topology.queues[..] {
        [queue] if topology.has_unique_names => format!("queue {queue}-…{durable}"),
        [queue] => format!("queue {queue}{durable}"),
        queues => format!("{} queues{durable}", queues.len()),
    };
    match &topology.exchange {
        Some(exchange) => format!("{} exchange {}, {queues}", exchange.kind, exchange.name),
        None => queues,
    }
}

fn describe_publishing(publishing: &Publishing, words: &mut Vec<String>) {
    if publishing.channel_count() > 1 {
        words.push(connections(publishing.producers, publishing.channels, "producers"));
    }
    if let Some(window) = publishing.confirm_window {
        words.push(format!("confirm window {window}"));
    }
    match &publishing.rate {
        None => words.push("unlimited".to_owned()),
        Some(rate) => words.push(format!("{} msg/s each", steps(rate))),
    }
}

fn describe_consuming(consuming: &Consuming, words: &mut Vec<String>) {
    if consuming.channel_count() > 1 {
        words.push(connections(consuming.consumers, consuming.channels, "consumers"));
    }
    match consuming.acks {
        Acks::Auto => words.push("auto-ack".to_owned()),
        Acks::Manual { every, prefetch_count, .. } => {
            words.push(format!("prefetch {prefetch_count}, ack every {every}"));
        }
    }
    if let Some(rate) = consuming.rate {
        words.push(format!("at most {rate} msg/s each"));
    }
}

fn connections(count: u32, channels: u16, side: &str) -> String {
    if channels == 1 { format!("{count} {side}") } else { format!("{count} {side} with {channels} channels") }
}

fn sizes(bodies: &Bodies) -> String {
    match bodies {
        Bodies::Sized(sizes) => format!("{} B", steps(sizes)),
        Bodies::Given(bodies) => format!("{} given bodies", bodies.len()),
    }
}

/// `5`, or `5/70` for what changes.
fn steps(schedule: &Schedule) -> String {
    let value = |step: &Step| step.value.to_string();
    schedule.steps().iter().map(value).collect::<Vec<_>>().join("/")
}

fn row(out: &mut String, name: &str, value: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{name:<12}{value}");
}

fn rate(per_second: f64, count: u64) -> String {
    format!("{:>11} msg/s  ({} messages)", grouped(per_second.round() as u64), grouped(count))
}

fn latencies(found: &Percentiles) -> String {
    let micros = [found.p50_us, found.p75_us, found.p95_us, found.p99_us, found.p999_us, found.max_us];
    let millis = micros.map(|micros| format!("{:>10.3}", micros / 1e3)).concat();
    format!("{millis}  ({} samples)", grouped(found.samples))
}

fn cpu(per_million: Option<f64>, cpu_seconds: f64, seconds: f64) -> String {
    let per_million = per_million.map_or("-".to_owned(), |value| format!("{value:.3}"));
    format!("{per_million} s per million messages  ({:.0} % of a core)", 100.0 * cpu_seconds / seconds)
}

fn mebibytes(bytes: u64) -> String {
    grouped(bytes / (1024 * 1024))
}

/// The table of one broker's rounds.
pub fn spread_table(title: &str, rounds: &Comparison) -> String {
    let mut out = format!("{title}\nmedian of {} and (least to most)\n\n", rounds.a.len());
    for row in &rounds.rows {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{:<34}{:>30}", row.name, with_noise(row.a));
    }
    out
}
