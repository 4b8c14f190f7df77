//! Names of nodes, `rabbit@host`, as somebody writes them; and whether the broker that answers is meant.

use crate::api::Broker;
use crate::exit::{Code, Failure};

/// The name before the host when there is none.
const USUAL_NAME: &str = "rabbit";
/// Hosts that are the machine itself, whatever it is called.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A failure if the broker that answers is another node than the one that was named. One that does not answer, or does
/// not tell its name, is left to the command. `way_out` is how to speak to whoever is there.
pub fn check(broker: &Broker<'_>, written: &str, own_host: &str, way_out: &str) -> Result<(), Failure> {
    let is_local = broker.api().host().is_none_or(|host| is_loopback(&host));
    match broker.node() {
        Ok(actual) if !is_meant(written, &actual, is_local) => {
            Err(refusal(&completed(written, own_host), &actual, &broker.api().address(), way_out))
        }
        _ => Ok(()),
    }
}

/// Whether a host is this machine, by a name that every machine has for itself.
pub fn is_loopback(host: &str) -> bool {
    LOOPBACK.contains(&host)
}

/// As RabbitMQ's tools complete a name: `rabbit@` comes before a host alone, the machine's own behind a name alone.
fn completed(written: &str, own_host: &str) -> String {
    let (name, host) = parts(written);
    format!("{name}@{}", host.unwrap_or(own_host))
}

/// Hosts may be short on one side (`rabbit@mq` is `rabbit@mq.example.org`); one that is left out is not compared.
fn is_meant(written: &str, actual: &str, is_local: bool) -> bool {
    let ((name, host), (actual_name, actual_host)) = (parts(written), parts(actual));
    let is_host = |host: &str| {
        let actual = actual_host.unwrap_or_default().to_ascii_lowercase();
        let host = host.to_ascii_lowercase();
        let is_short_for =
            |short: &str, long: &str| long.strip_prefix(short).is_some_and(|rest| rest.starts_with('.'));
        host == actual || is_short_for(&host, &actual) || is_short_for(&actual, &host)
    };
    name == actual_name && host.is_none_or(|host| is_host(host) || (is_local && is_loopback(host)))
}

fn parts(written: &str) -> (&str, Option<&str>) {
    let (name, host) = written.split_once('@').unwrap_or((written, ""));
    (if name.is_empty() { USUAL_NAME } else { name }, Some(host).filter(|host| !host.is_empty()))
}

fn refusal(wanted: &str, actual: &str, address: &str, way_out: &str) -> Failure {
    let text = format!(
        "Error: unable to perform an operation on node '{wanted}'. Please see diagnostics information and suggestions \
         below.

Most common reasons for this are:

 * Target node is not running
 * Target node has another name (see the name in the diagnostics below)
 * Target node keeps its data in another directory (see --data-dir) or is on another host (see --host)

DIAGNOSTICS
===========

attempted to contact: [{wanted}]

{wanted}:
  * connected to {address}
  * the broker there is node '{actual}'
  * suggestion: nothing was done; {way_out} to speak to '{actual}'
"
    );
    Failure::bare(Code::Unavailable, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_may_be_named_in_short() {
        for written in
            ["rabbit@mq", "rabbit", "rabbit@", "@mq", "@MQ", "rabbit@mq.example.org", "rabbit@localhost"]
        {
            assert!(is_meant(written, "rabbit@mq", true), "{written}");
        }
        assert!(is_meant("rabbit@mq", "rabbit@mq.example.org", false));
        for written in
            ["hare@mq", "hare", "rabbit@m", "rabbit@mq2", "rabbit@mq2.example.org", "@other", "Rabbit@mq"]
        {
            assert!(!is_meant(written, "rabbit@mq", true), "{written}");
        }
        assert!(!is_meant("rabbit@10.0.0.1", "rabbit@10.0.0.2", true));
        assert!(!is_meant("rabbit@localhost", "rabbit@mq", false));
    }

    #[test]
    fn who_typed_no_option_is_not_told_to_leave_one_out() {
        let failure = refusal("hare@mars", "rabbit@h", "/data/control.sock", "unset the variable X");
        let suggestion = "suggestion: nothing was done; unset the variable X to speak to 'rabbit@h'";
        assert!(
            failure.message.contains(suggestion) && !failure.message.contains("--node"),
            "{}",
            failure.message
        );
    }

    #[test]
    fn names_are_completed() {
        for (written, whole) in
            [("hare", "hare@mq"), ("hare@", "hare@mq"), ("@x", "rabbit@x"), ("a@b", "a@b")]
        {
            assert_eq!(completed(written, "mq"), whole);
        }
    }
}
