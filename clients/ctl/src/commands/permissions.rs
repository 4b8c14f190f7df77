//! What users may do in vhosts.

use serde_json::{Value, json};

use super::Outcome;
use crate::api::{Method, Request, path, refusal};
use crate::catalogue::{Command, Group, Scope};
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::listing::{Column, Listing};

const OF_VHOST: Listing = Listing {
    columns: &[
        Column::plain("user"),
        Column::plain("configure"),
        Column::plain("write"),
        Column::plain("read"),
    ],
    shown: &["user", "configure", "write", "read"],
    is_ordered: true,
    is_whole: true,
};

const OF_USER: Listing = Listing {
    columns: &[
        Column::plain("vhost"),
        Column::plain("configure"),
        Column::plain("write"),
        Column::plain("read"),
    ],
    shown: &["vhost", "configure", "write", "read"],
    is_ordered: true,
    is_whole: true,
};

/// The commands of this module.
pub const COMMANDS: &[Command] = &[
    Command::new(
        Group::AccessControl,
        "set_permissions",
        "set_permissions [--vhost <vhost>] <username> <conf> <write> <read>",
        "Sets user permissions for a vhost",
    )
    .takes(4, 4)
    .explained(&[
        ("<username>", "Self-explanatory"),
        ("<conf>", "Configuration permission pattern"),
        ("<write>", "Write permission pattern"),
        ("<read>", "Read permission pattern"),
    ])
    .runs(set_permissions),
    Command::new(
        Group::AccessControl,
        "set_permissions_globally",
        "set_permissions_globally <username> <conf> <write> <read>",
        "Sets user permissions for all virtual hosts.",
    )
    .takes(4, 4)
    .explained(&[
        ("<username>", "Self-explanatory"),
        ("<conf>", "Configuration permission pattern"),
        ("<write>", "Write permission pattern"),
        ("<read>", "Read permission pattern"),
    ])
    .here("For all virtual hosts that there are")
    .runs(set_permissions_globally),
    Command::new(
        Group::AccessControl,
        "clear_permissions",
        "clear_permissions [--vhost <vhost>] <username>",
        "Revokes user permissions for a vhost",
    )
    .takes(1, 1)
    .timeout()
    .explained(&[("<username>", "Name of the user whose permissions should be revoked")])
    .runs(clear_permissions),
    Command::new(
        Group::AccessControl,
        "list_permissions",
        "list_permissions [--vhost <vhost>] [--no-table-headers]",
        "Lists user permissions in a virtual host",
    )
    .scope(Scope::CtlAndDiagnostics)
    .takes(0, 0)
    .timeout()
    .lists(&OF_VHOST)
    .runs(list_permissions),
    Command::new(
        Group::AccessControl,
        "list_user_permissions",
        "list_user_permissions [--no-table-headers] <username>",
        "Lists permissions of a user across all virtual hosts",
    )
    .scope(Scope::CtlAndDiagnostics)
    .takes(1, 1)
    .timeout()
    .lists(&OF_USER)
    .explained(&[("<username>", "Name of the user")])
    .runs(list_user_permissions),
];

fn set_permissions(context: &mut Context<'_>) -> Outcome {
    let (user, vhost) = (context.argument(0).to_string(), context.vhost().to_string());
    context.announce(&format!("Setting permissions for user \"{user}\" in vhost \"{vhost}\" ..."))?;
    let patterns = [context.argument(1), context.argument(2), context.argument(3)];
    let body = json!({"configure": patterns[0], "write": patterns[1], "read": patterns[2]});
    put(context, ["permissions", &vhost, &user], body)
}

fn set_permissions_globally(context: &mut Context<'_>) -> Outcome {
    let user = context.argument(0).to_string();
    context.announce(&format!("Setting permissions for user \"{user}\" in all virtual hosts ..."))?;
    let patterns = [context.argument(1), context.argument(2), context.argument(3)];
    let body = json!({"configure": patterns[0], "write": patterns[1], "read": patterns[2]});
    for vhost in context.broker.list("/api/vhosts")?.iter().filter_map(|vhost| vhost["name"].as_str()) {
        write(context, ["permissions", vhost, &user], body.clone())?;
    }
    context.done()
}

fn clear_permissions(context: &mut Context<'_>) -> Outcome {
    let (user, vhost) = (context.argument(0).to_string(), context.vhost().to_string());
    context.announce(&format!("Clearing permissions for user \"{user}\" in vhost \"{vhost}\" ..."))?;
    if context.broker.send(Method::Delete, &path(&["permissions", &vhost, &user]), None)?.is_none() {
        missing(context, &vhost, &user)?;
    }
    context.done()
}

fn list_permissions(context: &mut Context<'_>) -> Outcome {
    let vhost = context.vhost().to_string();
    context.announce(&format!("Listing permissions for vhost \"{vhost}\" ..."))?;
    list(context, ["vhosts", &vhost, "permissions"], Failure::no_such_vhost(&vhost))
}

fn list_user_permissions(context: &mut Context<'_>) -> Outcome {
    let user = context.argument(0).to_string();
    context.announce(&format!("Listing permissions for user \"{user}\" ..."))?;
    list(context, ["users", &user, "permissions"], Failure::no_such_user(&user))
}

/// Sets permissions at a path whose names are those of a vhost and a user.
pub(super) fn put(context: &mut Context<'_>, names: [&str; 3], body: Value) -> Outcome {
    write(context, names, body)?;
    context.done()
}

fn write(context: &Context<'_>, [noun, vhost, user]: [&str; 3], body: Value) -> Outcome {
    let response = context.broker.call(&Request {
        method: Method::Put,
        path: path(&[noun, vhost, user]),
        body: Some(body),
        reason: None,
    })?;
    match response.status {
        200..=299 => Ok(()),
        // the API does not tell which of the two is missing
        _ => {
            missing(context, vhost, user)?;
            Err(Failure::new(Code::Unavailable, refusal(&response)).into())
        }
    }
}

/// Prints what is at a path, or fails as told if nothing is.
pub(super) fn list(context: &mut Context<'_>, names: [&str; 3], otherwise: Failure) -> Outcome {
    let permissions = context.broker.find(&path(&names))?.ok_or(otherwise)?;
    context.list(permissions.as_array().map_or(&[], Vec::as_slice))
}

/// Fails if the vhost or the user is not there.
pub(super) fn missing(context: &Context<'_>, vhost: &str, user: &str) -> Result<(), Failure> {
    if context.broker.find(&path(&["vhosts", vhost]))?.is_none() {
        return Err(Failure::new(Code::Unavailable, format!("Virtual host {vhost} does not exist")));
    }
    if context.broker.find(&path(&["users", user]))?.is_none() {
        return Err(Failure::new(Code::NoUser, format!("User {user} does not exist")));
    }
    Ok(())
}
