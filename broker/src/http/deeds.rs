//! What administrators do, for the log: a line for each change that succeeded, with who made it and from where, in the
//! words of RabbitMQ's log where it has some.
//!
//! No line has a password, its hash, or a parameter's value in it. What applications do, too (queues, exchanges, bindings,
//! messages), is not told. Definitions tell of their imports themselves, `own` and `own_node` of changes of the node, and
//! `users` of each of many that are deleted at once.

use std::fmt::Write;

use axum::http::Method;
use serde_json::Value;

use super::{
    answer::{Answer, Answered},
    request::Request,
};
use crate::model::user::User;

/// As much of a text as a line shows, letters.
const SHOWN_MAX: usize = 300;

/// A change that is asked for.
#[derive(Debug)]
pub(super) struct Deed {
    /// The user whom it is about, as it was before.
    user: Option<User>,
}

impl Deed {
    /// Before the change.
    pub(super) fn begin(request: &Request, names: &[&str]) -> Self {
        let user = match (names, &request.method) {
            (["users", user], &Method::PUT) => request.broker().access().user(user).cloned(),
            _ => None,
        };
        Self { user }
    }

    /// After it.
    pub(super) fn log(self, request: &Request, names: &[&str], answered: &Answered) {
        let Ok(answer) = answered else { return };
        let lines = match names {
            ["users", user] if request.method == Method::PUT => self.changed_user(request, user),
            _ => line(request, names, answer).into_iter().collect(),
        };
        for line in lines {
            log_line(request, &line);
        }
    }

    fn changed_user(self, request: &Request, name: &str) -> Vec<String> {
        let Some(user) = request.broker().access().user(name).cloned() else { return Vec::new() };
        let name = quoted(&user.name);
        let tags = tag_list(&user.tags);
        let Some(before) = self.user else {
            return vec![format!("Created user {name} with tags [{tags}]")];
        };
        let mut lines = Vec::new();
        if user.password != before.password {
            let verb = if user.password.bytes.is_empty() { "cleared" } else { "changed" };
            lines.push(format!("Successfully {verb} password for user {name}"));
        }
        if user.tags != before.tags {
            lines.push(format!("Successfully set user tags for user {name} to [{tags}]"));
        }
        if user.limits != before.limits {
            lines.push(format!("Successfully set limits for user {name}"));
        }
        lines
    }
}

/// That one of many users is deleted, whatever becomes of the others.
pub(super) fn log_deleted_user(request: &Request, name: &str) {
    log_line(request, &deleted_user(name));
}

/// A name or pattern as it stands in a line of the log: on one line, of bounded length, and it ends where it ends.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", shown(text))
}

/// A text as one line that reads from left to right.
pub(super) fn one_line(text: &str) -> String {
    escaped(text, bends_line)
}

fn log_line(request: &Request, line: &str) {
    tracing::info!("{line} (by {})", request.asker());
}

fn shown(text: &str) -> String {
    let is_special = |letter| bends_line(letter) || matches!(letter, '\'' | '\\');
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", escaped(&text[..end], is_special)),
        None => escaped(text, is_special),
    }
}

fn escaped(text: &str, is_special: impl Fn(char) -> bool) -> String {
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        match is_special(letter) {
            true => line.extend(letter.escape_default()),
            false => line.push(letter),
        }
    }
    line
}

/// Whether a letter ends the line, or changes how those around it are shown: U+2028 and U+2029 separate lines, the others
/// turn the direction of writing.
fn bends_line(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Tags as a line shows them. What could be taken for more than one tag stands in quotes.
fn tag_list(tags: &[String]) -> String {
    let is_plain =
        |tag: &str| !tag.is_empty() && tag.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c));
    let tag = |tag: &String| if is_plain(tag) { shown(tag) } else { quoted(tag) };
    tags.iter().map(tag).collect::<Vec<_>>().join(", ")
}

/// What a request that was answered like this did.
fn line(request: &Request, names: &[&str], answer: &Answer) -> Option<String> {
    match request.method {
        Method::PUT | Method::POST => set(request, names, matches!(answer, Answer::Created(_))),
        Method::DELETE => cleared(names),
        _ => None,
    }
}

fn set(request: &Request, names: &[&str], is_new: bool) -> Option<String> {
    Some(match names {
        ["vhosts", vhost] => set_vhost(request, vhost, is_new),
        ["vhosts", vhost, "deletion", "protection"] => {
            format!("Protected vhost {} from deletion", quoted(vhost))
        }
        ["permissions", vhost, user] => {
            let patterns = fields(request, &["configure", "write", "read"]);
            format!("Successfully set permissions for {} to {patterns}", pair(user, vhost))
        }
        ["topic-permissions", vhost, user, ..] => {
            let (exchange, patterns) = (fields(request, &["exchange"]), fields(request, &["write", "read"]));
            let place = pair(user, vhost);
            format!("Successfully set topic permissions on exchange {exchange} for {place} to {patterns}")
        }
        ["vhost-limits", vhost, limit] => {
            let value = fields(request, &["value"]);
            format!("Successfully set limit {} of vhost {} to {value}", quoted(limit), quoted(vhost))
        }
        ["user-limits", user, limit] => {
            let value = fields(request, &["value"]);
            format!("Successfully set limit {} of user {} to {value}", quoted(limit), quoted(user))
        }
        [kind @ ("policies" | "operator-policies"), vhost, name] => {
            let (kind, pattern) = (policy(kind), fields(request, &["pattern"]));
            format!("Successfully set {kind} {} using pattern {pattern}", pair(name, vhost))
        }
        ["parameters", component, vhost, name] => {
            format!("Successfully set parameter {} of component {}", pair(name, vhost), quoted(component))
        }
        ["global-parameters", name] => format!("Successfully set global parameter {}", quoted(name)),
        ["cluster-name"] => format!("Successfully set cluster name to {}", fields(request, &["name"])),
        _ => return None,
    })
}

fn set_vhost(request: &Request, name: &str, is_new: bool) -> String {
    let Some(vhost) = request.broker().vhost(name).map(|vhost| vhost.definition()) else {
        return format!("Added vhost {}, which is deleted again", quoted(name));
    };
    let verb = if is_new { "Added" } else { "Changed" };
    let mut line = format!(
        "{verb} vhost {} (description: {}, tags: [{}])",
        quoted(name),
        quoted(&vhost.description),
        tag_list(&vhost.tags)
    );
    if let Some(user) = request.caller.user().filter(|_| is_new) {
        // Writing to a string can't fail.
        let _ = write!(line, " and set permissions for {} in it to '.*', '.*', '.*'", quoted(user));
    }
    line
}

fn cleared(names: &[&str]) -> Option<String> {
    Some(match names {
        ["users", user] => deleted_user(user),
        ["vhosts", vhost] => format!("Deleted vhost {}", quoted(vhost)),
        ["vhosts", vhost, "deletion", "protection"] => {
            format!("Lifted the protection of vhost {} from deletion", quoted(vhost))
        }
        ["permissions", vhost, user] => {
            format!("Successfully cleared permissions for {}", pair(user, vhost))
        }
        ["topic-permissions", vhost, user] => {
            format!("Successfully cleared topic permissions for {}", pair(user, vhost))
        }
        ["topic-permissions", vhost, user, exchange] => {
            let (exchange, place) = (quoted(exchange), pair(user, vhost));
            format!("Successfully cleared topic permissions on exchange {exchange} for {place}")
        }
        ["vhost-limits", vhost, limit] => {
            format!("Successfully cleared limit {} of vhost {}", quoted(limit), quoted(vhost))
        }
        ["user-limits", user, limit] => {
            format!("Successfully cleared limit {} of user {}", quoted(limit), quoted(user))
        }
        [kind @ ("policies" | "operator-policies"), vhost, name] => {
            format!("Successfully cleared {} {}", policy(kind), pair(name, vhost))
        }
        ["parameters", component, vhost, name] => {
            format!("Successfully cleared parameter {} of component {}", pair(name, vhost), quoted(component))
        }
        ["global-parameters", name] => format!("Successfully cleared global parameter {}", quoted(name)),
        ["connections", "username", user] => format!("Closed all connections of user {}", quoted(user)),
        ["connections", connection] => format!("Closed connection {}", quoted(connection)),
        _ => return None,
    })
}

fn deleted_user(name: &str) -> String {
    format!("Deleted user {}", quoted(name))
}

fn pair(name: &str, vhost: &str) -> String {
    format!("{} in virtual host {}", quoted(name), quoted(vhost))
}

fn policy(noun: &str) -> &'static str {
    if noun == "policies" { "policy" } else { "operator policy" }
}

/// Fields of the body, as they came.
fn fields(request: &Request, names: &[&str]) -> String {
    let fields = request.fields().unwrap_or_default();
    let text = |name: &&str| match fields.value(name) {
        Some(Value::String(text)) => quoted(text),
        Some(value) => shown(&value.to_string()),
        None => "''".to_owned(),
    };
    names.iter().map(text).collect::<Vec<_>>().join(", ")
}
