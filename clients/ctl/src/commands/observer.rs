//! `observer`: the broker at a glance, again and again.

use std::time::Duration;

use serde_json::{Value, json};

use super::Outcome;
use super::node::status::{Unit, memory_total};
use super::sections::plain;
use crate::api::path;
use crate::context::Context;
use crate::exit::Stop;

/// The pause between two updates by default, in seconds.
const INTERVAL_SECS: u64 = 5;
/// Queues that are shown.
const QUEUES: usize = 10;
/// Moves to the first line of a terminal and clears it.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// What is counted up, and what it is called.
const COUNTERS: [(&str, &str); 4] = [
    ("publish", "published"),
    ("confirm", "confirmed"),
    ("deliver_get", "delivered"),
    ("ack", "acknowledged"),
];

/// Shows updates until it is ended, or as many as were asked for.
pub fn observe(context: &mut Context<'_>) -> Outcome {
    let secs = context.options.number("interval").unwrap_or(INTERVAL_SECS).max(1);
    let count = context.options.number("count");
    let node = context.broker.node()?;
    context.announce(&format!("Observing node {node}, every {secs} seconds ..."))?;
    let mut before = None;
    let mut shown = 0;
    while count.is_none_or(|count| shown < count) {
        if shown > 0 {
            context.broker.api().pause(Duration::from_secs(secs));
        }
        let now = look(context, &node)?;
        show(context, &now, before.as_ref(), secs)?;
        before = Some(now);
        shown += 1;
    }
    Ok(())
}

/// What is shown, as it was at one time.
struct Look {
    overview: Value,
    node: Value,
    queues: Vec<Value>,
}

fn look(context: &Context<'_>, node: &str) -> Result<Look, Stop> {
    let sorted = format!(
        "/api/queues?sort=messages&sort_reverse=true&page=1&page_size={QUEUES}\
         &columns=vhost,name,messages_ready,messages_unacknowledged,consumers"
    );
    Ok(Look {
        overview: context.broker.get("/api/overview")?,
        node: context.broker.get(&format!("{}?memory=true", path(&["nodes", node])))?,
        queues: context.broker.list(&sorted)?,
    })
}

fn show(context: &mut Context<'_>, now: &Look, before: Option<&Look>, secs: u64) -> Outcome {
    if context.view.formatter.is_json() {
        let object = json!({
            "object_totals": now.overview["object_totals"],
            "queue_totals": now.overview["queue_totals"],
            "message_stats": now.overview["message_stats"],
            "mem_used": memory_total(&now.node),
            "queues": now.queues,
        });
        return context.line(&object.to_string());
    }
    let clear = if context.streams.is_output_terminal { CLEAR } else { "" };
    let text = format!("{clear}{}", lines(now, before, secs).join("\n"));
    context.line(&text)
}

fn lines(now: &Look, before: Option<&Look>, secs: u64) -> Vec<String> {
    let (totals, queued) = (&now.overview["object_totals"], &now.overview["queue_totals"]);
    let counts = ["connections", "channels", "queues", "consumers"]
        .map(|name| format!("{name} {}", number(&totals[name])));
    let mut lines = vec![
        format!(
            "{}   up {} s   memory {}   disk free {}",
            plain(&now.node["name"]),
            now.node["uptime"].as_u64().unwrap_or(0) / 1000,
            Unit::Mb.text(memory_total(&now.node)),
            Unit::Gb.text(&now.node["disk_free"])
        ),
        counts.join("   "),
        format!(
            "messages {}   ready {}   unacknowledged {}",
            number(&queued["messages"]),
            number(&queued["messages_ready"]),
            number(&queued["messages_unacknowledged"])
        ),
    ];
    lines.extend(rates(now, before, secs));
    lines.push(String::new());
    lines.push(format!("{:>12} {:>12} {:>9}  queue", "ready", "unacked", "consumers"));
    lines.extend(now.queues.iter().map(queue_line));
    lines
}

fn queue_line(queue: &Value) -> String {
    let vhost = match queue["vhost"].as_str() {
        None | Some("/") => String::new(),
        Some(vhost) => format!(" ({vhost})"),
    };
    format!(
        "{:>12} {:>12} {:>9}  {}{vhost}",
        number(&queue["messages_ready"]),
        number(&queue["messages_unacknowledged"]),
        number(&queue["consumers"]),
        plain(&queue["name"])
    )
}

/// What happened since the last look, per second; as far as the broker counts it.
fn rates(now: &Look, before: Option<&Look>, secs: u64) -> Option<String> {
    let stats = |look: &Look, name: &str| look.overview["message_stats"][name].as_u64();
    let rate = |(name, shown): (&str, &str)| {
        let grown = stats(now, name)?.saturating_sub(stats(before?, name)?);
        Some(format!("{shown} {}/s", grown / secs))
    };
    let rates: Vec<_> = COUNTERS.into_iter().filter_map(rate).collect();
    (!rates.is_empty()).then(|| rates.join("   "))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}
