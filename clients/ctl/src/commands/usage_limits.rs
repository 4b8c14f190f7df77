//! How many connections, channels and queues vhosts and users may have.

use serde_json::{Map, Value, json};

use super::Outcome;
use crate::api::{Method, path};
use crate::arguments::Switch;
use crate::catalogue::{Command, Group, Scope};
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::format::Term;
use crate::listing::{Column, Listing};

const OF_VHOSTS: Listing = Listing {
    columns: &[Column::plain("vhost"), Column::plain("limits")],
    shown: &["vhost", "limits"],
    is_ordered: true,
    is_whole: true,
};

const OF_USERS: Listing = Listing {
    columns: &[Column::plain("user"), Column::plain("limits")],
    shown: &["user", "limits"],
    is_ordered: true,
    is_whole: true,
};

/// The commands of this module.
pub const COMMANDS: &[Command] = &[
    Command::new(
        Group::VirtualHosts,
        "set_vhost_limits",
        "set_vhost_limits [--vhost <vhost>] <definition>",
        "Sets virtual host limits",
    )
    .takes(1, 1)
    .explained(&[(
        "<definition>",
        "Limits as a JSON object, such as {\"max-connections\": 64, \"max-queues\": 256}: all that the vhost is to \
         have. A negative number is no limit",
    )])
    .runs(set_vhost_limits),
    Command::new(
        Group::VirtualHosts,
        "clear_vhost_limits",
        "clear_vhost_limits [--vhost <vhost>]",
        "Clears virtual host limits",
    )
    .takes(0, 0)
    .runs(clear_vhost_limits),
    Command::new(
        Group::VirtualHosts,
        "list_vhost_limits",
        "list_vhost_limits [--vhost <vhost>] [--global] [--no-table-headers]",
        "Displays configured virtual host limits",
    )
    .scope(Scope::CtlAndDiagnostics)
    .takes(0, 0)
    .switches(&[Switch::flag("global")])
    .lists(&OF_VHOSTS)
    .explained(&[("--global", "List those of all vhosts")])
    .runs(list_vhost_limits),
    Command::new(
        Group::Users,
        "set_user_limits",
        "set_user_limits <username> <definition>",
        "Sets user limits",
    )
    .takes(2, 2)
    .explained(&[
        ("<username>", "Self-explanatory"),
        (
            "<definition>",
            "Limits as a JSON object, such as {\"max-connections\": 16, \"max-channels\": 256}; those that it does \
             not name stay. A negative number is no limit",
        ),
    ])
    .runs(set_user_limits),
    Command::new(
        Group::Users,
        "clear_user_limits",
        "clear_user_limits <username> <limit_type> | all",
        "Clears user connection/channel limits",
    )
    .takes(2, 2)
    .explained(&[
        ("<username>", "Self-explanatory"),
        ("<limit_type>", "Limit type, must be max-connections or max-channels"),
        ("all", "Both"),
    ])
    .runs(clear_user_limits),
    Command::new(
        Group::Users,
        "list_user_limits",
        "list_user_limits [--user <username>] [--global]",
        "Displays configured user limits",
    )
    .scope(Scope::CtlAndDiagnostics)
    .takes(0, 0)
    .switches(&[Switch::word("user"), Switch::flag("global")])
    .lists(&OF_USERS)
    .explained(&[("--user <username>", "List those of this user"), ("--global", "List those of all users")])
    .runs(list_user_limits),
];

/// Whose limits.
struct Kind {
    noun: &'static str,
    names: [&'static str; 2],
    /// What their refusal ends with.
    of_what: &'static str,
    /// What refusals stand between.
    frame: [&'static str; 2],
}

const VHOSTS: Kind = Kind {
    noun: "vhost-limits",
    names: ["max-connections", "max-queues"],
    of_what: "limits",
    frame: ["Validation failed\n\n", "\n"],
};

const USERS: Kind = Kind {
    noun: "user-limits",
    names: ["max-channels", "max-connections"],
    of_what: "user-limits",
    frame: ["", ""],
};

fn set_vhost_limits(context: &mut Context<'_>) -> Outcome {
    let (vhost, definition) = (context.vhost().to_string(), context.argument(0).to_string());
    context.announce(&format!("Setting vhost limits to \"{definition}\" for vhost \"{vhost}\" ..."))?;
    known_vhost(context, &vhost)?;
    let limits = VHOSTS.parse(&definition)?;
    for name in VHOSTS.names.iter().filter(|name| !limits.contains_key(**name)) {
        context.broker.send(Method::Delete, &path(&[VHOSTS.noun, &vhost, name]), None)?;
    }
    VHOSTS.put(context, &vhost, limits)
}

fn clear_vhost_limits(context: &mut Context<'_>) -> Outcome {
    let vhost = context.vhost().to_string();
    context.announce(&format!("Clearing vhost \"{vhost}\" limits ..."))?;
    if context.broker.list(&path(&[VHOSTS.noun, &vhost]))?.is_empty() {
        return Err(Failure::new(Code::Unavailable, "Parameter does not exist").into());
    }
    for name in VHOSTS.names {
        context.broker.send(Method::Delete, &path(&[VHOSTS.noun, &vhost, name]), None)?;
    }
    context.done()
}

fn list_vhost_limits(context: &mut Context<'_>) -> Outcome {
    if context.options.has("global") {
        context.announce("Listing limits for all vhosts ...")?;
        return list_all(context, &VHOSTS, "vhost");
    }
    let vhost = context.vhost().to_string();
    context.announce(&format!("Listing limits for vhost \"{vhost}\" ..."))?;
    known_vhost(context, &vhost)?;
    let limits = context.broker.list(&path(&[VHOSTS.noun, &vhost]))?;
    show(context, limits.first().map_or(String::new(), value_of))
}

fn set_user_limits(context: &mut Context<'_>) -> Outcome {
    let [user, definition] = [context.argument(0).to_string(), context.argument(1).to_string()];
    context.announce(&format!("Setting user limits to \"{definition}\" for user \"{user}\" ..."))?;
    let limits = USERS.parse(&definition)?;
    known_user(context, &user)?;
    USERS.put(context, &user, limits)
}

fn clear_user_limits(context: &mut Context<'_>) -> Outcome {
    let [user, limit] = [context.argument(0).to_string(), context.argument(1).to_string()];
    let names = match limit.as_str() {
        "all" => USERS.names.to_vec(),
        one => vec![one],
    };
    let what = if limit == "all" { "all limits".to_string() } else { format!("\"{limit}\" limit") };
    context.announce(&format!("Clearing {what} for user \"{user}\" ..."))?;
    known_user(context, &user)?;
    for name in names {
        context.broker.send(Method::Delete, &path(&[USERS.noun, &user, name]), None)?;
    }
    context.done()
}

fn list_user_limits(context: &mut Context<'_>) -> Outcome {
    if context.options.has("global") {
        context.announce("Listing limits for all users ...")?;
        return list_all(context, &USERS, "user");
    }
    let user = context.options.word("user").unwrap_or("guest").to_string();
    context.announce(&format!("Listing limits for user \"{user}\" ..."))?;
    let limits = context.broker.find(&path(&[USERS.noun, &user]))?;
    let limits = limits.ok_or_else(|| Failure::no_such_user(&user))?;
    show(context, limits.get(0).map_or_else(|| "{}".to_string(), value_of))
}

impl Kind {
    /// The limits of a definition, all of which are checked before one is set: in RabbitMQ's words.
    fn parse(&self, definition: &str) -> Result<Map<String, Value>, Failure> {
        let refused = |text: String| Failure::new(Code::Unavailable, text);
        let Ok(Value::Object(limits)) = serde_json::from_str(definition) else {
            return Err(refused("JSON decoding error. Reason: badarg".to_string()));
        };
        let in_frame = |text: String| refused(format!("{}{text}{}", self.frame[0], self.frame[1]));
        let is_known = |name: &String| self.names.contains(&name.as_str());
        let unknown: Vec<_> = limits.iter().filter(|(name, _)| !is_known(name)).map(term).collect();
        if !unknown.is_empty() {
            return Err(in_frame(format!("Unrecognised terms [{}] in {}", unknown.join(","), self.of_what)));
        }
        match limits.iter().find(|(_, value)| value.as_i64().is_none()) {
            Some((name, value)) => {
                Err(in_frame(format!("{name} should be a number, actually was {}", erlang(value))))
            }
            None => Ok(limits),
        }
    }

    fn put(&self, context: &mut Context<'_>, owner: &str, limits: Map<String, Value>) -> Outcome {
        for (name, value) in limits {
            let body = json!({"value": value});
            context.broker.send(Method::Put, &path(&[self.noun, owner, &name]), Some(body))?;
        }
        context.done()
    }
}

fn term((name, value): (&String, &Value)) -> String {
    format!("{{<<\"{name}\">>,{}}}", erlang(value))
}

fn erlang(value: &Value) -> String {
    if value.is_null() { "null".to_string() } else { Term::plain(value).erlang() }
}

/// A table of all that have limits.
fn list_all(context: &mut Context<'_>, kind: &Kind, owner: &str) -> Outcome {
    let all = context.broker.list(&path(&[kind.noun]))?;
    let row = |object: &Value| json!({(owner): object.get(owner), "limits": value_of(object)});
    let rows: Vec<_> = all.iter().map(row).collect();
    context.list(&rows)
}

/// The limits of one, which are JSON whatever the formatter.
fn show(context: &mut Context<'_>, limits: String) -> Outcome {
    let object = match context.view.formatter.is_json() {
        true => json!({"node": context.broker.node()?, "result": "ok", "value": limits}),
        false => Value::Null,
    };
    context.finish(&limits, object)
}

fn value_of(limits: &Value) -> String {
    limits.get("value").map_or_else(String::new, Value::to_string)
}

fn known_vhost(context: &Context<'_>, vhost: &str) -> Result<(), Failure> {
    let found = context.broker.find(&path(&["vhosts", vhost]))?;
    found.map(|_| ()).ok_or_else(|| Failure::no_such_vhost(vhost))
}

fn known_user(context: &Context<'_>, user: &str) -> Result<(), Failure> {
    let found = context.broker.find(&path(&["users", user]))?;
    found.map(|_| ()).ok_or_else(|| Failure::no_such_user(user))
}
