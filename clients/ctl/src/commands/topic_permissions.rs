//! What users may do with the routing keys of topic exchanges.

use serde_json::json;

use super::Outcome;
use super::permissions::{list, missing, put};
use crate::api::{Method, path};
use crate::catalogue::{Command, Group, Scope};
use crate::context::Context;
use crate::exit::Failure;
use crate::listing::{Column, Listing};

const OF_VHOST: Listing = listing(
    &[Column::plain("user"), Column::plain("exchange"), Column::plain("write"), Column::plain("read")],
    &["user", "exchange", "write", "read"],
);

const OF_USER: Listing = listing(
    &[Column::plain("vhost"), Column::plain("exchange"), Column::plain("write"), Column::plain("read")],
    &["vhost", "exchange", "write", "read"],
);

/// The commands of this module.
pub const COMMANDS: &[Command] = &[
    Command::new(
        Group::AccessControl,
        "set_topic_permissions",
        "set_topic_permissions [--vhost <vhost>] <username> <exchange> <write> <read>",
        "Sets user topic permissions for an exchange",
    )
    .takes(4, 4)
    .explained(&[
        ("<username>", "Self-explanatory"),
        ("<exchange>", "Topic exchange to set the permissions for"),
        ("<write>", "A regular expression matching the routing key of the published message"),
        ("<read>", "A regular expression matching the routing key of the consumed message"),
    ])
    .runs(set_topic_permissions),
    Command::new(
        Group::AccessControl,
        "clear_topic_permissions",
        "clear_topic_permissions [--vhost <vhost>] <username> [<exchange>]",
        "Clears user topic permissions for a vhost or exchange",
    )
    .takes(1, 2)
    .explained(&[
        ("<username>", "Name of the user whose topic permissions should be revoked"),
        ("<exchange>", "Exchange the permissions are for; without it those for all exchanges are revoked"),
    ])
    .runs(clear_topic_permissions),
    Command::new(
        Group::AccessControl,
        "list_topic_permissions",
        "list_topic_permissions [--vhost <vhost>] [--no-table-headers]",
        "Lists topic permissions in a virtual host",
    )
    .scope(Scope::CtlAndDiagnostics)
    .takes(0, 0)
    .timeout()
    .lists(&OF_VHOST)
    .runs(list_topic_permissions),
    Command::new(
        Group::AccessControl,
        "list_user_topic_permissions",
        "list_user_topic_permissions [--no-table-headers] <username>",
        "Lists user topic permissions",
    )
    .scope(Scope::CtlAndDiagnostics)
    .takes(1, 1)
    .timeout()
    .lists(&OF_USER)
    .explained(&[("<username>", "Name of the user")])
    .runs(list_user_topic_permissions),
];

fn set_topic_permissions(context: &mut Context<'_>) -> Outcome {
    let [user, exchange] = [context.argument(0).to_string(), context.argument(1).to_string()];
    let vhost = context.vhost().to_string();
    context.announce(&format!(
        "Setting topic permissions on \"{exchange}\" for user \"{user}\" in vhost \"{vhost}\" ..."
    ))?;
    let body = json!({"exchange": exchange, "write": context.argument(2), "read": context.argument(3)});
    put(context, ["topic-permissions", &vhost, &user], body)
}

fn clear_topic_permissions(context: &mut Context<'_>) -> Outcome {
    let (user, vhost) = (context.argument(0).to_string(), context.vhost().to_string());
    let mut names = vec!["topic-permissions", &vhost, &user];
    let on_exchange = match context.arguments.get(1) {
        Some(exchange) => {
            names.push(exchange);
            format!(" on \"{exchange}\"")
        }
        None => String::new(),
    };
    let mut path = path(&names);
    if path.ends_with('/') {
        // an empty name at the end would not count
        path.push('/');
    }
    context.announce(&format!(
        "Clearing topic permissions{on_exchange} for user \"{user}\" in vhost \"{vhost}\" ..."
    ))?;
    if context.broker.send(Method::Delete, &path, None)?.is_none() {
        missing(context, &vhost, &user)?;
    }
    context.done()
}

fn list_topic_permissions(context: &mut Context<'_>) -> Outcome {
    let vhost = context.vhost().to_string();
    context.announce(&format!("Listing topic permissions for vhost \"{vhost}\" ..."))?;
    list(context, ["vhosts", &vhost, "topic-permissions"], Failure::no_such_vhost(&vhost))
}

fn list_user_topic_permissions(context: &mut Context<'_>) -> Outcome {
    let user = context.argument(0).to_string();
    context.announce(&format!("Listing topic permissions for user \"{user}\" ..."))?;
    list(context, ["users", &user, "topic-permissions"], Failure::no_such_user(&user))
}

const fn listing(columns: &'static [Column], shown: &'static [&'static str]) -> Listing {
    Listing { columns, shown, is_ordered: true, is_whole: true }
}
