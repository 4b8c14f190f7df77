//! What `status` tells: facts from several parts of the API, as text and as JSON.

use serde_json::{Value, json};

use crate::api::{Broker, path};
use crate::commands::health::{alarm_lines, listener_line, listener_object, listeners_of};
use crate::commands::sections::{self, bullets, or_none, plain};
use crate::context::View;
use crate::exit::Failure;

/// A broker without a limit does not tell one.
const NO_LIMIT: &str = "none";

/// The unit of sizes in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Millions of bytes.
    Mb,
    /// Billions of bytes.
    Gb,
}

/// All that `status` tells.
#[derive(Debug)]
pub struct Facts {
    node_name: String,
    overview: Value,
    node: Value,
    own: Value,
    vhost_count: usize,
    /// The broker is stopped, its process waits to start it again.
    is_stopped: bool,
}

impl Unit {
    /// The unit of that name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "bytes" => Some(Self::Bytes),
            "mb" => Some(Self::Mb),
            "gb" => Some(Self::Gb),
            _ => None,
        }
    }

    /// A size with its unit, rounded to four digits after the point.
    pub fn text(self, bytes: &Value) -> String {
        let Some(bytes) = bytes.as_f64() else { return "unknown".into() };
        let in_unit = |divisor: f64, name| format!("{:?} {name}", (bytes / divisor * 1e4).round() / 1e4);
        match self {
            Self::Bytes => format!("{bytes:.0} bytes"),
            Self::Mb => in_unit(1e6, "mb"),
            Self::Gb => in_unit(1e9, "gb"),
        }
    }
}

impl Facts {
    /// Asks the broker.
    pub fn ask(broker: &Broker<'_>) -> Result<Self, Failure> {
        let node_name = broker.node()?;
        if !broker.is_running()? {
            let own = broker.get("/api/liebre/status")?;
            let (overview, node) = (own.clone(), own.clone());
            return Ok(Self { node_name, overview, node, own, vhost_count: 0, is_stopped: true });
        }
        let node = format!("{}?memory=true", path(&["nodes", &node_name]));
        Ok(Self {
            overview: broker.overview()?.clone(),
            node: broker.find(&node)?.unwrap_or_default(),
            own: broker.find("/api/liebre/status")?.unwrap_or_default(),
            vhost_count: broker.list("/api/vhosts")?.len(),
            node_name,
            is_stopped: false,
        })
    }

    /// The sections, each with its heading.
    pub fn text(&self, unit: Unit, view: &View) -> String {
        let node = &self.node_name;
        if self.is_stopped {
            let sections = [
                ("Runtime", self.runtime()),
                ("Data directory", self.data_directory()),
                ("Log file(s)", bullets(&self.node["log_files"])),
            ];
            return sections::text(&sections, view);
        }
        let listeners = listeners_of(&self.overview, node).into_iter().map(listener_line).collect();
        let sections = [
            ("Runtime", self.runtime()),
            ("Plugins", self.plugins()),
            ("Data directory", self.data_directory()),
            ("Config files", bullets(&self.node["config_files"])),
            ("Log file(s)", bullets(&self.node["log_files"])),
            ("Alarms", or_none(alarm_lines(&self.node, node))),
            ("Tags", self.tags()),
            ("Memory", self.memory(unit)),
            (
                "Free Disk Space",
                vec![
                    format!("Low free disk space watermark: {}", self.disk_free_limit(unit)),
                    format!("Free disk space: {}", unit.text(&self.node["disk_free"])),
                ],
            ),
            ("Totals", self.totals()),
            ("Listeners", listeners),
        ];
        sections::text(&sections, view)
    }

    /// The same as an object, with the names that RabbitMQ's tools give.
    pub fn json(&self) -> Value {
        let (node, overview) = (&self.node, &self.overview);
        let mut facts = json!({
            "pid": plain(&node["os_pid"]).parse::<u64>().ok(),
            "os": self.own["os"],
            "uptime": self.uptime_secs(),
            "is_under_maintenance": node["being_drained"].as_bool().unwrap_or(false),
            "product_name": overview["product_name"],
            "product_version": overview["product_version"],
            "rabbitmq_version": overview["rabbitmq_version"],
            "runtime": self.own["runtime"],
            "processes": {"used": node["proc_used"], "limit": node["proc_total"]},
            "run_queue": node["run_queue"],
            "net_ticktime": node["net_ticktime"],
            "active_plugins": node["enabled_plugins"],
            "data_directory": node["db_dir"],
            "config_files": node["config_files"],
            "log_files": node["log_files"],
            "alarms": alarm_lines(node, &self.node_name),
            "tags": self.own["tags"],
            "memory": node["memory"],
            "vm_memory_calculation_strategy": node["mem_calculation_strategy"],
            "vm_memory_high_watermark_setting": self.own["memory_high_watermark"],
            "vm_memory_high_watermark_limit": node["mem_limit"],
            "disk_free": node["disk_free"],
            "disk_free_limit": node["disk_free_limit"],
            "totals": {
                "connection_count": overview["object_totals"]["connections"],
                "queue_count": overview["object_totals"]["queues"],
                "virtual_host_count": self.vhost_count,
            },
            "listeners": listeners_of(overview, &self.node_name).into_iter().map(listener_object).collect::<Vec<_>>(),
        });
        if self.is_unsafe() {
            facts["unsafe_no_fsync"] = true.into();
        }
        if self.is_stopped {
            facts["is_stopped"] = true.into();
        }
        facts
    }

    fn runtime(&self) -> Vec<String> {
        let (node, overview) = (&self.node, &self.overview);
        let mut lines =
            vec![format!("OS PID: {}", plain(&node["os_pid"])), format!("OS: {}", plain(&self.own["os"]))];
        if self.is_stopped {
            lines.push("RabbitMQ is stopped on this node: 'rabbitmqctl start_app' starts it".to_string());
        } else {
            lines.push(format!("Uptime (seconds): {}", self.uptime_secs()));
            let is_drained = node["being_drained"].as_bool().unwrap_or(false);
            lines.push(format!("Is under maintenance?: {is_drained}"));
        }
        for (title, field) in [("Product name", "product_name"), ("Product version", "product_version")] {
            lines.extend(overview[field].as_str().map(|text| format!("{title}: {text}")));
        }
        lines.push(format!("RabbitMQ version: {}", plain(&overview["rabbitmq_version"])));
        lines.push(format!("Node name: {}", self.node_name));
        lines.extend(self.own["runtime"].as_str().map(|runtime| format!("Runtime: {runtime}")));
        lines
    }

    fn plugins(&self) -> Vec<String> {
        let mut lines = vec!["Enabled plugins:".to_string(), String::new()];
        lines.extend(bullets(&self.node["enabled_plugins"]));
        lines
    }

    fn data_directory(&self) -> Vec<String> {
        let mut lines = vec![format!("Node data directory: {}", plain(&self.node["db_dir"]))];
        if self.is_unsafe() {
            lines.push(
                "WARNING: --unsafe-no-fsync: confirmed messages are lost when the machine stops".into(),
            );
        }
        lines
    }

    fn is_unsafe(&self) -> bool {
        self.own["unsafe_no_fsync"] == true
    }

    fn tags(&self) -> Vec<String> {
        let tags = self.own["tags"].as_object();
        let lines =
            tags.into_iter().flatten().map(|(name, value)| format!("{name}: {}", plain(value))).collect();
        or_none(lines)
    }

    fn memory(&self, unit: Unit) -> Vec<String> {
        let node = &self.node;
        let strategy = node["mem_calculation_strategy"].as_str().unwrap_or("rss");
        let total = memory_total(node);
        let mut lines = vec![
            format!("Total memory used: {}", unit.text(total)),
            format!("Calculation strategy: {strategy}"),
            format!("Memory high watermark setting: {}", self.memory_high_watermark(unit)),
        ];
        let categories = memory_by_category(node);
        if !categories.is_empty() {
            lines.push(String::new());
        }
        let total = total.as_f64().filter(|total| *total > 0.0).unwrap_or(1.0);
        lines.extend(categories.into_iter().map(|(name, bytes)| {
            let percent = (bytes.as_f64().unwrap_or(0.0) * 1e4 / total).round() / 1e2;
            format!("{name}: {} ({percent:?} %)", unit.text(bytes))
        }));
        lines
    }

    fn memory_high_watermark(&self, unit: Unit) -> String {
        let (watermark, limit) = (&self.own["memory_high_watermark"], &self.node["mem_limit"]);
        let setting = match (&watermark["relative"], &watermark["absolute"]) {
            (Value::Number(fraction), _) => format!("{fraction} of available memory"),
            (_, bytes @ Value::Number(_)) => unit.text(bytes),
            _ if limit.is_null() || self.own.get("memory_high_watermark") == Some(&Value::Null) => {
                return NO_LIMIT.into();
            }
            _ => "unknown".into(),
        };
        format!("{setting}, computed to: {}", unit.text(limit))
    }

    fn disk_free_limit(&self, unit: Unit) -> String {
        let limit = &self.node["disk_free_limit"];
        if limit.is_null() { NO_LIMIT.into() } else { unit.text(limit) }
    }

    fn totals(&self) -> Vec<String> {
        let totals = &self.overview["object_totals"];
        vec![
            format!("Connection count: {}", totals["connections"].as_u64().unwrap_or(0)),
            format!("Queue count: {}", totals["queues"].as_u64().unwrap_or(0)),
            format!("Virtual host count: {}", self.vhost_count),
        ]
    }

    fn uptime_secs(&self) -> u64 {
        self.node["uptime"].as_u64().unwrap_or(0) / 1000
    }
}

/// The memory in use, of `/api/nodes/{node}?memory=true`.
pub fn memory_total(node: &Value) -> &Value {
    let strategy = node["mem_calculation_strategy"].as_str().unwrap_or("rss");
    match &node["memory"]["total"] {
        Value::Object(totals) => totals.get(strategy).unwrap_or(&node["mem_used"]),
        total @ Value::Number(_) => total,
        _ => &node["mem_used"],
    }
}

/// What it is used for, the largest first.
pub fn memory_by_category(node: &Value) -> Vec<(&String, &Value)> {
    let categories = node["memory"].as_object().into_iter().flatten();
    let mut categories: Vec<_> =
        categories.filter(|(name, bytes)| bytes.is_number() && *name != "total").collect();
    categories.sort_by_key(|(_, bytes)| std::cmp::Reverse(bytes.as_u64()));
    categories
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_to_four_digits() {
        let cases = [
            (Unit::Gb, json!(10_110_604_083_u64), "10.1106 gb"),
            (Unit::Gb, json!(0), "0.0 gb"),
            (Unit::Mb, json!(137_199_616), "137.1996 mb"),
            (Unit::Bytes, json!(50_000_000), "50000000 bytes"),
            (Unit::Gb, Value::Null, "unknown"),
        ];
        for (unit, bytes, text) in cases {
            assert_eq!(unit.text(&bytes), text);
        }
    }
}
