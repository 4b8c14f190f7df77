//! Users: their passwords and tags.

use serde_json::{Map, Value, json};

use super::Outcome;
use crate::api::{Method, path};
use crate::arguments::Switch;
use crate::catalogue::{Command, Group, Scope, most_like};
use crate::context::Context;
use crate::exit::{Code, Failure, Stop, UsageError};
use crate::listing::{Column, Listing};
use crate::password::Algorithm;

/// The tags that mean something to the broker. Others are legal.
const TAGS: [&str; 5] = ["administrator", "monitoring", "policymaker", "management", "impersonator"];

const USERNAME: (&str, &str) = ("<username>", "Self-explanatory");

const LISTING: Listing = Listing {
    columns: &[Column::plain("user").from("name"), Column::atoms("tags")],
    shown: &["user", "tags"],
    is_ordered: true,
    is_whole: true,
};

/// The commands of this module.
pub const COMMANDS: &[Command] = &[
    Command::new(
        Group::Users,
        "add_user",
        "add_user <username> [<password>] [<password_hash> --pre-hashed-password]",
        "Creates a new user in the internal database. This user will have no permissions for any virtual hosts by \
         default.",
    )
    .takes(1, 2)
    .switches(&[Switch::flag("pre-hashed-password")])
    .explained(&[
        USERNAME,
        (
            "<password>",
            "Password this user will authenticate with. Use a blank string to disable password-based authentication. \
             Asked for when missing.",
        ),
        ("<password_hash>", "A salted password hash, base64-encoded. Needs --pre-hashed-password."),
        ("--pre-hashed-password", "the second argument is a password hash, not a password"),
    ])
    .runs(add_user),
    Command::new(
        Group::Users,
        "delete_user",
        "delete_user <username>",
        "Removes a user from the internal database. Has no effect on users provided by external backends such as LDAP",
    )
    .takes(1, 1)
    .explained(&[("<username>", "Name of the user to delete.")])
    .runs(delete_user),
    Command::new(
        Group::Users,
        "change_password",
        "change_password <username> <password>",
        "Changes the user password",
    )
    .takes(1, 2)
    .explained(&[
        ("<username>", "Name of the user whose password should be changed"),
        ("<password>", "New password to set. Asked for when missing."),
    ])
    .runs(change_password),
    Command::new(
        Group::Users,
        "clear_password",
        "clear_password <username>",
        "Clears (resets) password and disables password login for a user",
    )
    .takes(1, 1)
    .timeout()
    .explained(&[("<username>", "Name of the user whose password should be cleared")])
    .runs(clear_password),
    Command::new(
        Group::Users,
        "authenticate_user",
        "authenticate_user <username> <password>",
        "Attempts to authenticate a user. Exits with a non-zero code if authentication fails.",
    )
    .takes(1, 2)
    .explained(&[("<username>", "Username to use"), ("<password>", "Password to use. Asked for when missing.")])
    .runs(authenticate_user),
    Command::new(
        Group::Users,
        "hash_password",
        "hash_password <cleartext_password> [--hashing-algorithm <algorithm>]",
        "Hashes a plaintext password",
    )
    .takes(0, 1)
    .switches(&[Switch::word("hashing-algorithm")])
    .explained(&[
        ("<cleartext_password>", "The password to hash. Asked for when missing."),
        ("--hashing-algorithm <sha256 | sha512>", "hashing algorithm to use, default is sha256"),
    ])
    .here("Hashed by the command itself: no broker need run")
    .offline()
    .runs(hash_password),
    Command::new(Group::Users, "set_user_tags", "set_user_tags <username> <tag> [...]", "Sets user tags")
        .takes(1, usize::MAX)
        .explained(&[USERNAME, ("<tags>", "Space separated list of tags")])
        .runs(set_user_tags),
    Command::new(Group::Users, "list_users", "list_users [--no-table-headers]", "List user names and tags")
        .scope(Scope::CtlAndDiagnostics)
        .takes(0, 0)
        .timeout()
        .lists(&LISTING)
        .runs(list_users),
];

fn add_user(context: &mut Context<'_>) -> Outcome {
    let user = named_user(context)?;
    context.announce(&format!("Adding user \"{user}\" ..."))?;
    let secret = context.password(1)?;
    let mut fields = match () {
        () if context.options.has("pre-hashed-password") => pre_hashed(&secret),
        () if secret.is_empty() => pre_hashed(""),
        () => password(&secret),
    };
    if find_user(context, &user)?.is_some() {
        return Err(Failure::new(Code::Software, format!("User \"{user}\" already exists")).into());
    }
    fields.insert("tags".into(), json!([]));
    put_user(context, &user, fields)?;
    const DONE: &str = "Done. Don't forget to grant the user permissions to some virtual hosts! See 'rabbitmqctl help \
                        set_permissions' to learn more.";
    if context.view.formatter.is_json() {
        let node = context.broker.node()?;
        return context.finish(DONE, json!({"message": DONE, "node": node, "status": "ok"}));
    }
    if context.view.is_quiet { Ok(()) } else { context.line(DONE) }
}

fn delete_user(context: &mut Context<'_>) -> Outcome {
    let user = context.argument(0).to_string();
    context.announce(&format!("Deleting user \"{user}\" ..."))?;
    let deleted = context.broker.send(Method::Delete, &path(&["users", &user]), None)?;
    deleted.ok_or_else(|| Failure::no_such_user(&user))?;
    context.done()
}

fn change_password(context: &mut Context<'_>) -> Outcome {
    let user = context.argument(0).to_string();
    context.announce(&format!("Changing password for user \"{user}\" ..."))?;
    let secret = context.password(1)?;
    let fields = if secret.is_empty() { pre_hashed("") } else { password(&secret) };
    change_user(context, &user, fields)
}

fn clear_password(context: &mut Context<'_>) -> Outcome {
    let user = context.argument(0).to_string();
    context.announce(&format!("Clearing password for user \"{user}\" ..."))?;
    change_user(context, &user, pre_hashed(""))
}

fn authenticate_user(context: &mut Context<'_>) -> Outcome {
    let user = context.argument(0).to_string();
    context.announce(&format!("Authenticating user \"{user}\" ..."))?;
    let secret = context.password(1)?;
    let login = json!({"username": user, "password": secret});
    let answer = context.broker.send_own(Method::Post, "/api/liebre/authenticate", Some(login))?;
    if answer.get("authenticated") == Some(&Value::Bool(true)) {
        return context.finish("Success", json!({"result": "ok"}));
    }
    let message =
        format!("Error: failed to authenticate user \"{user}\"\nuser '{user}' - invalid credentials");
    Err(Failure::new(Code::Data, message).into())
}

fn set_user_tags(context: &mut Context<'_>) -> Outcome {
    let user = context.argument(0).to_string();
    let tags = context.arguments.get(1..).unwrap_or_default();
    context.announce(&format!("Setting tags for user \"{user}\" to [{}] ...", tags.join(", ")))?;
    let mut fields = Map::new();
    fields.insert("tags".into(), json!(tags));
    for tag in tags {
        // mistyped, it would silently allow nothing
        if let Some(meant) = most_like(tag, TAGS).filter(|meant| meant != tag) {
            writeln!(
                context.streams.errors,
                "Warning: tag '{tag}' means nothing to the broker. Did you mean '{meant}'?"
            )?;
        }
    }
    change_user(context, &user, fields)
}

fn hash_password(context: &mut Context<'_>) -> Outcome {
    let name = context.options.word("hashing-algorithm").unwrap_or("sha256").to_string();
    let algorithm = Algorithm::parse(&name).ok_or_else(|| {
        UsageError::bad_argument(&format!("hashing algorithm '{name}' is not known: sha256 and sha512 are"))
    })?;
    let announced = match context.arguments.first() {
        Some(password) => format!("Will hash password {password}"),
        None => "Will hash provided password".to_string(),
    };
    context.announce(&announced)?;
    let password = context.password(0)?;
    if password.is_empty() {
        return Err(UsageError::bad_argument("password cannot be an empty string").into());
    }
    let hash = algorithm.hash(&password, rand::random());
    context.finish(&hash, json!({"result": "ok", "value": hash}))
}

fn list_users(context: &mut Context<'_>) -> Outcome {
    context.announce("Listing users ...")?;
    let users = context.broker.list("/api/users")?;
    // older brokers join the tags by commas
    let users: Vec<Value> = users.into_iter().map(with_tags_as_list).collect();
    context.list(&users)
}

/// Replaces a user with itself and other `fields`: what is not among them stays.
fn change_user(context: &mut Context<'_>, user: &str, fields: Map<String, Value>) -> Outcome {
    let before = find_user(context, user)?.ok_or_else(|| Failure::no_such_user(user))?;
    let mut kept = Map::new();
    let keeps_password = !fields.contains_key("password") && !fields.contains_key("password_hash");
    for name in ["password_hash", "hashing_algorithm", "tags"] {
        if name == "tags" || keeps_password {
            kept.extend(before.get(name).map(|value| (name.to_string(), value.clone())));
        }
    }
    kept.extend(fields);
    put_user(context, user, kept)?;
    context.done()
}

fn find_user(context: &Context<'_>, user: &str) -> Result<Option<Value>, Failure> {
    context.broker.find(&path(&["users", user]))
}

fn put_user(context: &Context<'_>, user: &str, fields: Map<String, Value>) -> Outcome {
    context.broker.send(Method::Put, &path(&["users", user]), Some(Value::Object(fields)))?;
    Ok(())
}

fn named_user(context: &Context<'_>) -> Result<String, Stop> {
    match context.argument(0) {
        "" => Err(UsageError::bad_argument("user cannot be an empty string").into()),
        user => Ok(user.to_string()),
    }
}

fn password(password: &str) -> Map<String, Value> {
    Map::from_iter([("password".to_string(), json!(password))])
}

/// An empty hash is that of a user who can't log in with a password.
fn pre_hashed(hash: &str) -> Map<String, Value> {
    Map::from_iter([("password_hash".to_string(), json!(hash))])
}

fn with_tags_as_list(mut user: Value) -> Value {
    if let Some(tags) = user.get_mut("tags")
        && let Some(joined) = tags.as_str()
    {
        *tags = joined.split(',').filter(|tag| !tag.is_empty()).collect();
    }
    user
}
