//! Runtime parameters, and global ones.

use serde_json::{Value, json};

use super::Outcome;
use crate::api::{Method, Request, path, refusal};
use crate::catalogue::{Command, Group, Scope};
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::format::html_as_text;
use crate::listing::{Column, Listing};

const LISTING: Listing = Listing {
    columns: &[Column::plain("component"), Column::plain("name"), Column::plain("value")],
    shown: &["component", "name", "value"],
    is_ordered: true,
    is_whole: true,
};

const GLOBAL_LISTING: Listing = Listing {
    columns: &[Column::plain("name"), Column::plain("value")],
    shown: &["name", "value"],
    is_ordered: true,
    is_whole: true,
};

/// The commands of this module.
pub const COMMANDS: &[Command] = &[
    Command::new(
        Group::Parameters,
        "set_parameter",
        "set_parameter [--vhost <vhost>] <component_name> <name> <value>",
        "Sets a runtime parameter.",
    )
    .takes(3, 3)
    .explained(&[
        ("<component_name>", "component name"),
        ("<name>", "parameter name (identifier)"),
        ("<value>", "parameter value, must be a valid JSON document"),
    ])
    .runs(set),
    Command::new(
        Group::Parameters,
        "clear_parameter",
        "clear_parameter [--vhost <vhost>] <component_name> <name>",
        "Clears a runtime parameter.",
    )
    .takes(2, 2)
    .explained(&[("<component_name>", "component name"), ("<name>", "parameter name")])
    .runs(clear),
    Command::new(
        Group::Parameters,
        "list_parameters",
        "list_parameters [--vhost <vhost>] [--no-table-headers]",
        "Lists runtime parameters for a virtual host",
    )
    .scope(Scope::CtlAndDiagnostics)
    .takes(0, 0)
    .timeout()
    .lists(&LISTING)
    .runs(list),
    Command::new(
        Group::Parameters,
        "set_global_parameter",
        "set_global_parameter <name> <value>",
        "Sets a runtime parameter.",
    )
    .takes(2, 2)
    .explained(&[
        ("<name>", "parameter name (identifier)"),
        ("<value>", "parameter value, must be a valid JSON document"),
    ])
    .runs(set_global),
    Command::new(
        Group::Parameters,
        "clear_global_parameter",
        "clear_global_parameter <name>",
        "Clears a global runtime parameter",
    )
    .takes(1, 1)
    .explained(&[("<name>", "parameter name")])
    .runs(clear_global),
    Command::new(
        Group::Parameters,
        "list_global_parameters",
        "list_global_parameters [--no-table-headers]",
        "Lists global runtime parameters",
    )
    .scope(Scope::CtlAndDiagnostics)
    .takes(0, 0)
    .timeout()
    .lists(&GLOBAL_LISTING)
    .runs(list_global),
];

fn set(context: &mut Context<'_>) -> Outcome {
    let [component, name, value] = [0, 1, 2].map(|at| context.argument(at).to_string());
    let vhost = context.vhost().to_string();
    context.announce(&format!(
        "Setting runtime parameter \"{name}\" for component \"{component}\" to \"{value}\" in vhost \"{vhost}\" ..."
    ))?;
    let value = document(&value)?;
    let path = path(&["parameters", &component, &vhost, &name]);
    let body = json!({ "component": component, "vhost": vhost, "name": name, "value": value });
    put(context, path, body, &vhost)
}

fn clear(context: &mut Context<'_>) -> Outcome {
    let [component, name] = [0, 1].map(|at| context.argument(at).to_string());
    let vhost = context.vhost().to_string();
    context.announce(&format!(
        "Clearing runtime parameter \"{name}\" for component \"{component}\" on vhost \"{vhost}\" ..."
    ))?;
    delete(context, &path(&["parameters", &component, &vhost, &name]))
}

fn list(context: &mut Context<'_>) -> Outcome {
    let vhost = context.vhost().to_string();
    context.announce(&format!("Listing runtime parameters for vhost \"{vhost}\" ..."))?;
    // the API tells of parameters by component, and of all vhosts
    let known = context.broker.find(&path(&["vhosts", &vhost]))?;
    known.ok_or_else(|| Failure::no_such_vhost(&vhost))?;
    let mut parameters = context.broker.list("/api/parameters")?;
    parameters.retain(|parameter| parameter.get("vhost").and_then(Value::as_str) == Some(&vhost));
    show(context, parameters)
}

fn set_global(context: &mut Context<'_>) -> Outcome {
    let [name, value] = [0, 1].map(|at| context.argument(at).to_string());
    context.announce(&format!("Setting global runtime parameter \"{name}\" to \"{value}\" ..."))?;
    let body = json!({ "name": name, "value": document(&value)? });
    put(context, path(&["global-parameters", &name]), body, "")
}

fn clear_global(context: &mut Context<'_>) -> Outcome {
    let name = context.argument(0).to_string();
    context.announce(&format!("Clearing global runtime parameter \"{name}\" ..."))?;
    delete(context, &path(&["global-parameters", &name]))
}

fn list_global(context: &mut Context<'_>) -> Outcome {
    context.announce("Listing global runtime parameters ...")?;
    let parameters = context.broker.list("/api/global-parameters")?;
    show(context, parameters)
}

fn put(context: &mut Context<'_>, path: String, body: Value, vhost: &str) -> Outcome {
    let request = Request { method: Method::Put, path, body: Some(body), reason: None };
    let response = context.broker.call(&request)?;
    match response.status {
        200..=299 => context.done(),
        404 => Err(Failure::no_such_vhost(vhost).into()),
        _ => Err(Failure::new(Code::Unavailable, html_as_text(&refusal(&response))).into()),
    }
}

fn delete(context: &mut Context<'_>, path: &str) -> Outcome {
    let deleted = context.broker.send(Method::Delete, path, None)?;
    deleted.ok_or_else(|| Failure::new(Code::Unavailable, "Parameter does not exist"))?;
    context.done()
}

/// Values are shown as the documents that they were set with, in JSON, too.
fn show(context: &mut Context<'_>, mut parameters: Vec<Value>) -> Outcome {
    for parameter in &mut parameters {
        let value = parameter.get("value").map(Value::to_string);
        parameter["value"] = value.into();
    }
    context.list(&parameters)
}

fn document(text: &str) -> Result<Value, Failure> {
    let not_json = |_| Failure::new(Code::Unavailable, "JSON decoding error. Reason: badarg");
    serde_json::from_str(text).map_err(not_json)
}
