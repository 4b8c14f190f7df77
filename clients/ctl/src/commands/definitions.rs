//! Definitions to a file, and from one.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::Outcome;
use crate::api::{Method, Request, Response, refusal};
use crate::arguments::Switch;
use crate::catalogue::{Command, Group};
use crate::context::Context;
use crate::exit::{Code, Failure, Stop, UsageError};
use crate::format::html_as_text;

/// With more objects than this the broker may take so long that a terminal is shown that it is at work.
const OBJECTS_FEW: usize = 2_000;
/// Between two steps of what is shown then.
const TICK: Duration = Duration::from_millis(100);
/// The name of a file that stands for standard output or input.
const STANDARD: &str = "-";

/// Options, and their parameters, that only this broker's own route has.
const OWN_FLAGS: [(&str, &str); 2] = [("dry-run", "dry_run"), ("skip-unsupported", "skip_unsupported")];

/// The commands of this module.
pub const COMMANDS: &[Command] = &[
    Command::new(
        Group::Definitions,
        "export_definitions",
        "export_definitions <file_path | \"-\"> [--format <json | erlang>]",
        "Exports definitions in JSON or compressed Erlang Term Format.",
    )
    .takes(1, 1)
    .timeout()
    .switches(&[Switch::word("format")])
    .explained(&[
        ("<file>", "Local file path to export to. Pass a dash (-) for stdout."),
        ("--format", "output format to use: json or erlang"),
    ])
    .runs(export),
    Command::new(
        Group::Definitions,
        "import_definitions",
        "import_definitions <file_path | \"-\"> [--format <json | erlang>] [--skip-if-unchanged] [--skip-unsupported] \
         [--dry-run]",
        "Imports definitions in JSON or compressed Erlang Term Format.",
    )
    .takes(0, 1)
    .timeout()
    .switches(&[
        Switch::word("format"),
        Switch::flag("skip-if-unchanged"),
        Switch::flag("skip-unsupported"),
    ])
    .explained(&[
        ("[file]", "Local file path to import from. If omitted will be read from standard input"),
        ("--format", "input format to use: json or erlang"),
        (
            "--skip-if-unchanged",
            "Avoids repetitive definition imports when file contents are unchanged since the last import with this option",
        ),
        (
            "--skip-unsupported",
            "Leaves out what this broker does not have (streams, exchanges and policies of plugins), and lists it",
        ),
        ("--dry-run", "Checks the file as an import would, and changes nothing"),
    ])
    .here(
        "A file is imported as a whole or not at all. With --dry-run it is only checked; --skip-unsupported leaves out \
         what is not here",
    )
    .runs(import),
];

fn export(context: &mut Context<'_>) -> Outcome {
    let file = context.argument(0).to_string();
    check_format(context)?;
    if file == STANDARD {
        let definitions = context.broker.get("/api/definitions")?;
        return context.line(&definitions.to_string());
    }
    let directory = Path::new(&file).parent().filter(|directory| !directory.as_os_str().is_empty());
    if let Some(directory) = directory.filter(|directory| !directory.is_dir()) {
        let problem = format!("Directory {} does not exist", directory.display());
        return Err(UsageError::bad_argument(&problem).into());
    }
    context.announce(&format!("Exporting definitions in JSON to a file at \"{file}\" ..."))?;
    let definitions = context.broker.get("/api/definitions")?;
    fs::write(&file, definitions.to_string()).map_err(|error| {
        let text = match error.kind() {
            ErrorKind::PermissionDenied => {
                format!("No permissions to write to file {file} or its parent directory")
            }
            ErrorKind::StorageFull => format!("No space left on device to write to {file}"),
            _ => format!("Could not write to {file}: {error}"),
        };
        Failure::new(Code::Data, text)
    })?;
    context.done()
}

fn import(context: &mut Context<'_>) -> Outcome {
    let file = context.arguments.first().filter(|file| *file != STANDARD).cloned();
    check_format(context)?;
    if let Some(file) = file.as_ref().filter(|file| !Path::new(file).exists()) {
        return Err(UsageError::bad_argument(&format!("File {file} does not exist")).into());
    }
    let verb = if context.options.has("dry-run") { "Checking" } else { "Importing" };
    context.tell(&match &file {
        Some(file) => format!("{verb} definitions in JSON from a file at \"{file}\" ..."),
        None => format!("{verb} definitions in JSON from standard input ..."),
    })?;
    let definitions = parse(&read(context, file.as_deref())?)?;
    let progress = progress(&definitions);
    let response = send(context, definitions);
    progress.finish_and_clear();
    let response = response?;
    match response.status {
        200 if response.body["skipped"].is_array() => checked(context, &response.body),
        200..=299 => started(context),
        _ => Err(refused(context, &response).into()),
    }
}

/// RabbitMQ ignores what it does not know in a query, and answers nothing: what must not be ignored has a route of its
/// own, whose answer tells what became of the definitions. Without that a broker that lacks the route will do.
fn send(context: &Context<'_>, definitions: Value) -> Result<Response, Failure> {
    let flags = OWN_FLAGS.into_iter().chain([("skip-if-unchanged", "skip_if_unchanged")]);
    let given = flags.filter(|(option, _)| context.options.has(option));
    let query: Vec<_> = given.map(|(_, parameter)| format!("{parameter}=true")).collect();
    let path = |path: &str| {
        if query.is_empty() { path.to_string() } else { format!("{path}?{}", query.join("&")) }
    };
    let mut request = Request {
        method: Method::Post,
        path: path("/api/liebre/definitions"),
        body: Some(definitions),
        reason: None,
    };
    let response = context.broker.call(&request)?;
    if !is_missing(&response) || needs_own_route(context) {
        return Ok(response);
    }
    request.path = path("/api/definitions");
    context.broker.call(&request)
}

fn is_missing(response: &Response) -> bool {
    matches!(response.status, 404 | 405)
}

fn needs_own_route(context: &Context<'_>) -> bool {
    OWN_FLAGS.into_iter().any(|(option, _)| context.options.has(option))
}

/// RabbitMQ's words.
fn started(context: &mut Context<'_>) -> Outcome {
    if context.view.formatter.is_json() || context.view.is_quiet {
        return context.done();
    }
    context
        .line("Successfully started definition import. This process is asynchronous and can take some time.")
}

/// What was left out, what stays as it is, and whether something was done.
fn checked(context: &mut Context<'_>, answer: &Value) -> Outcome {
    let lines = |list: &str| answer[list].as_array().into_iter().flatten().filter_map(Value::as_str);
    for line in lines("kept") {
        writeln!(context.streams.errors, "Warning: stays as it is: {line}")?;
    }
    let has_flags = needs_own_route(context) || context.options.has("skip-if-unchanged");
    if context.view.formatter.is_json() {
        return if has_flags { context.line(&answer.to_string()) } else { context.done() };
    }
    let skipped: Vec<String> = lines("skipped").map(|line| format!("Skipped: {line}")).collect();
    skipped.iter().try_for_each(|line| context.line(line))?;
    if context.view.is_quiet {
        return Ok(());
    }
    if answer["unchanged"] == true {
        return context.line("These definitions are unchanged; nothing was done.");
    }
    if !needs_own_route(context) {
        return started(context);
    }
    context.line(match (context.options.has("dry-run"), skipped.is_empty()) {
        (true, true) => "These definitions can be imported. Nothing was changed.",
        (true, false) => "The other definitions can be imported. Nothing was changed.",
        (false, true) => "All definitions were imported.",
        (false, false) => "All other definitions were imported.",
    })
}

/// RabbitMQ's own binary format is nobody else's.
fn check_format(context: &Context<'_>) -> Result<(), Stop> {
    match context.options.word("format").map(str::to_ascii_lowercase).as_deref() {
        None | Some("json") => Ok(()),
        Some("erlang") => {
            Err(UsageError::bad_argument("Erlang's term format is not supported here; use json").into())
        }
        Some(_) => Err(UsageError::bad_argument("Format should be either json or erlang").into()),
    }
}

fn read(context: &mut Context<'_>, file: Option<&str>) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let read: io::Result<()> = match file {
        Some(file) => fs::read(file).map(|read| text = read),
        None => context.streams.input.read_to_end(&mut text).map(drop),
    };
    let name = file.unwrap_or("standard input");
    read.map_err(|error| Failure::new(Code::Data, format!("Could not read {name}: {error}")))?;
    Ok(text)
}

fn parse(text: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(text).map_err(|error| {
        Failure::new(Code::Data, format!("Failed to deserialise input (format: JSON) (error: {error})"))
    })
}

/// Shows on a terminal that the broker is at work; nothing where standard error is none.
fn progress(definitions: &Value) -> ProgressBar {
    let lists = definitions.as_object().into_iter().flatten().filter_map(|(_, list)| list.as_array());
    let count: usize = lists.map(Vec::len).sum();
    if count <= OBJECTS_FEW {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}, {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(format!("importing {count} definitions"));
    bar.enable_steady_tick(TICK);
    bar
}

fn refused(context: &Context<'_>, response: &Response) -> Failure {
    let body = &response.body;
    if is_missing(response) && needs_own_route(context) {
        let text = format!(
            "what answers at {} is not a Liebre broker: it can't check only, nor skip",
            context.broker.api().address()
        );
        return Failure::new(Code::Unavailable, text);
    }
    let reason = body.get("reason");
    let part = |at: usize| reason.and_then(|reason| reason.get(at)).and_then(Value::as_str);
    match (part(0), part(1)) {
        (Some("no_such_vhost"), Some(vhost)) => Failure::no_such_vhost(vhost),
        _ => Failure::new(Code::Unavailable, html_as_text(&refusal(response))),
    }
}
