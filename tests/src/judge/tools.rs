//! The admin tools of a broker, and what they print in lines of a transcript.
//!
//! ```text
//! $ rabbitmqctl list_queues -p @vhost
//!   | Timeout: 60.0 seconds ...
//!   | Listing queues for vhost @vhost ...
//!   ! what stands on standard error
//!   exit 65
//! ```
//!
//! What varies is masked, besides the rules of [`super::masks`]:
//!
//! | rule | what | becomes |
//! |---|---|---|
//! | `colours` | a terminal's escape sequences | nothing |
//! | `node` | the node's name | `NODE` |
//! | `ports` | the broker's own, and a client's after `127.0.0.1` | `AMQP`, `HTTP`, `PORT` |
//! | `version` | the RabbitMQ that it is, or is like | `VERSION` |
//! | `pid` | a process of the node | `<pid>` |
//! | `tool's log` | lines of the tool's own log on standard error, with the time of day | nothing |
//! | `rows` | the order of rows below their head, which means nothing | sorted |

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{Doing, Trouble};
use crate::{admin, binaries::binary, broker::Broker};

/// Where Debian puts RabbitMQ's tools; those on the path change the user.
const RABBITMQ_TOOLS: &str = "/usr/lib/rabbitmq/bin";

/// The first columns of listings: what stands below such a line are rows.
const HEADS: [&str; 9] =
    ["name", "user", "vhost", "source_name", "queue_name", "pid", "component", "exchange", "user_name"];

/// How the tools of a broker are run.
#[derive(Debug)]
pub struct Tools {
    kind: Kind,
    variables: Vec<(&'static str, OsString)>,
    masks: Vec<(String, &'static str)>,
}

#[derive(Debug)]
enum Kind {
    RabbitMq,
    Liebre,
}

impl Tools {
    /// RabbitMQ's, told by these variables which node is meant.
    pub fn of_rabbitmq(variables: Vec<(&'static str, OsString)>, node: &str, ports: [u16; 3]) -> Tools {
        let [amqp, http, distribution] = ports;
        let mut masks = masks(node, amqp, http);
        masks.push((distribution.to_string(), "DISTRIBUTION"));
        Tools { kind: Kind::RabbitMq, variables, masks }
    }

    /// Those of this workspace. None for a broker that runs elsewhere.
    pub fn of_liebre(broker: &Broker) -> Option<Tools> {
        let data_dir: &Path = broker.data_dir()?;
        let node = format!("rabbit@{}", admin::host_name());
        let masks = masks(&node, broker.amqp.port(), broker.http?.port());
        Some(Tools { kind: Kind::Liebre, variables: vec![("LIEBRE_DATA_DIR", data_dir.into())], masks })
    }

    /// Runs a command line in which `@vhost` stands for `vhost`; gives the lines that tell of it.
    pub fn run(&self, line: &str, vhost: &str) -> Result<Vec<String>, Trouble> {
        let words = admin::words(&line.replace("@vhost", vhost));
        let (tool, arguments) =
            words.split_first().ok_or_else(|| Trouble::new("a command line names its program"))?;
        let mut command = Command::new(self.program(tool));
        command.args(arguments).envs(self.variables.iter().map(|(name, value)| (name, value)));
        // What is drawn around tables depends on it.
        command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        let output = command.output().doing(tool)?;
        let text = |bytes: &[u8]| self.masked(&String::from_utf8_lossy(bytes), vhost);
        let printed = text(&output.stdout);
        let printed = if is_listing(&words) { sorted_rows(&printed) } else { printed.lines().collect() };
        let mut lines: Vec<String> = printed.iter().map(|line| told('|', line)).collect();
        lines.extend(without_log(&text(&output.stderr)).iter().map(|line| told('!', line)));
        match output.status.code() {
            Some(0) => {}
            Some(code) => lines.push(format!("exit {code}")),
            None => lines.push(output.status.to_string()),
        }
        Ok(lines)
    }

    fn program(&self, tool: &str) -> PathBuf {
        match self.kind {
            Kind::RabbitMq => Path::new(RABBITMQ_TOOLS).join(tool),
            Kind::Liebre => binary("liebrectl", tool),
        }
    }

    fn masked(&self, text: &str, vhost: &str) -> String {
        let text = without_colours(text).replace(vhost, "@vhost");
        let replaced = |text: String, (from, to): &(String, &str)| admin::replace_whole(&text, from, to);
        let text = self.masks.iter().fold(text, replaced);
        mask_pids(&mask_client_ports(&text))
    }
}

fn masks(node: &str, amqp: u16, http: u16) -> Vec<(String, &'static str)> {
    vec![
        (node.to_owned(), "NODE"),
        (amqp.to_string(), "AMQP"),
        (http.to_string(), "HTTP"),
        ("3.10.8".to_owned(), "VERSION"),
        ("4.2.0".to_owned(), "VERSION"),
    ]
}

/// A line with its mark; an empty one has no space at its end.
fn told(mark: char, line: &str) -> String {
    if line.is_empty() { mark.to_string() } else { format!("{mark} {line}") }
}

/// Whether the rows of a table are printed, one a line.
fn is_listing(words: &[String]) -> bool {
    let is_form = |form: &&str| words.iter().any(|word| word == form);
    words.get(1..).is_some_and(|words| words.iter().any(|word| word.starts_with("list_")))
        && !["json", "erlang"].iter().any(is_form)
}

fn sorted_rows(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    let is_head = |line: &&str| {
        let first = line.split(['\t', ',']).next().unwrap_or_default();
        line.ends_with("...") || HEADS.contains(&first.trim_matches('"'))
    };
    let first = lines.iter().rposition(is_head).map_or(0, |head| head + 1);
    lines[first..].sort_unstable();
    lines
}

fn without_colours(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain += part.split_once('m').map_or(part, |(_, rest)| rest);
    }
    plain
}

/// `14:58:02.312 [warning] …` and the empty line before it are no part of an answer.
fn without_log(text: &str) -> Vec<&str> {
    let is_logged = |line: &str| {
        let time = line.split_once(" [").map(|(time, _)| time);
        time.is_some_and(|time| time.len() == 12 && time.bytes().filter(|byte| *byte == b':').count() == 2)
    };
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines() {
        if !is_logged(line) {
            lines.push(line);
        } else if lines.last().is_some_and(|line| line.is_empty()) {
            lines.pop();
        }
    }
    lines
}

/// `127.0.0.1:41000`, and the same in two columns.
fn mask_client_ports(text: &str) -> String {
    let mut parts = text.split("127.0.0.1");
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        masked += "127.0.0.1";
        let after = part.trim_start_matches([':', '\t']);
        let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
        masked += &part[..part.len() - after.len()];
        masked += if after.len() < part.len() && rest.len() < after.len() { "PORT" } else { "" };
        masked += rest;
    }
    masked
}

/// `<NODE.1.23.0>` is a process.
fn mask_pids(text: &str) -> String {
    let mut parts = text.split("<NODE.");
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        masked += "<pid>";
        masked += part.split_once('>').map_or("", |(_, rest)| rest);
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_varies_is_masked() {
        let variables = Vec::new();
        let tools = Tools::of_rabbitmq(variables, "judge@localhost", [5_000, 6_000, 7_000]);
        let text = "\x1b[1mBasics\x1b[0m on judge@localhost: 5000, 50001, v-1\n<judge@localhost.17.2.0> 127.0.0.1:41 -> 127.0.0.1:5000";
        assert_eq!(
            tools.masked(text, "v-1"),
            "Basics on NODE: AMQP, 50001, @vhost\n<pid> 127.0.0.1:PORT -> 127.0.0.1:AMQP"
        );
    }

    #[test]
    fn a_tools_own_log_is_left_out() {
        let text = "Error:\n\n14:58:02.312 [warning] no\nno such thing: [x]\n";
        assert_eq!(without_log(text), ["Error:", "no such thing: [x]"]);
        assert_eq!(mask_client_ports("127.0.0.1\t41000\t127.0.0.1\n"), "127.0.0.1\tPORT\t127.0.0.1\n");
    }

    #[test]
    fn rows_have_no_order() {
        assert_eq!(
            sorted_rows("Listing queues ...\nname\tmessages\nb\t1\na\t2\n"),
            ["Listing queues ...", "name\tmessages", "a\t2", "b\t1"]
        );
        assert_eq!(sorted_rows("b\na\n"), ["a", "b"]);
        let words = |line: &str| admin::words(line);
        assert!(is_listing(&words("rabbitmqctl -q list_users")) && !is_listing(&words("rabbitmqctl status")));
        assert!(!is_listing(&words("rabbitmqctl list_queues --formatter json")));
    }
}
