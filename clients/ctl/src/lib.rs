//! The command line of the Liebre broker.
//!
//! One program under several names: `liebrectl` and `rabbitmqctl`, `rabbitmq-diagnostics`, `rabbitmq-plugins`,
//! `rabbitmq-queues`, `rabbitmq-streams`, `rabbitmq-upgrade`. The commands, their output and their exit codes are those of RabbitMQ's tools; behind them are calls of the broker's
//! management API ([`api`]), over its control socket or over TCP ([`http`]).
//!
//! A run goes straight down: [`arguments`] takes the command line apart, [`catalogue`] knows the commands, one of
//! [`commands`] asks the broker, [`mod@format`] makes the answer text, and [`exit`] says how it ended.

pub mod api;
pub mod arguments;
pub mod catalogue;
pub mod commands;
mod config_file;
pub mod context;
pub mod exit;
pub mod format;
mod help;
pub mod http;
pub mod listing;
pub mod node_name;
mod password;
pub mod paths;

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use crate::api::{Api, Broker};
use crate::arguments::Arguments;
use crate::catalogue::{Action, Command, Tool};
use crate::context::{Context, Streams, View};
use crate::exit::{Code, Failure, Stop, UsageError};
use crate::format::Formatter;
use crate::http::{HttpApi, Target};

/// How long a call may take when `--timeout` does not say, in seconds.
const TIMEOUT_SECS: u64 = 60;
/// Names the node to speak to where `--node` does not; the broker takes its own name from it, too.
const NODE_VARIABLE: &str = "RABBITMQ_NODENAME";
/// The port of the management API.
const API_PORT: u64 = 15672;

/// The program, on the process's own arguments and standard streams.
pub fn main() -> ExitCode {
    let mut words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let program = words.next().unwrap_or_default();
    let name =
        Path::new(&program).file_name().map_or_else(|| "liebrectl".into(), |name| name.to_string_lossy());
    let words: Vec<String> = words.collect();
    let mut output = BufWriter::new(io::stdout());
    let streams = Streams {
        input: &mut io::stdin().lock(),
        output: &mut output,
        errors: &mut io::stderr(),
        is_input_terminal: io::stdin().is_terminal(),
        is_output_terminal: io::stdout().is_terminal(),
    };
    let code = run(&name, &words, streams, connect);
    match output.flush() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::from(Code::Software as u8),
        _ => ExitCode::from(code as u8),
    }
}

/// Runs a command line of the program under that name.
pub fn run<C>(name: &str, words: &[String], mut streams: Streams<'_>, connect: C) -> Code
where
    C: FnOnce(&Arguments) -> Result<Box<dyn Api>, Failure>,
{
    let tool = Tool::named(name);
    let any = Arguments::read(words, &tool.all_switches());
    let script = any.word("script-name").unwrap_or(name).to_string();
    let tool = Tool::ALL.into_iter().find(|other| other.name() == script).unwrap_or(tool);
    let Some(command_name) = any.positional.first() else {
        return without_command(tool, &script, &any, &mut streams);
    };
    let Some(command) = tool.find(command_name) else {
        return unknown_command(tool, &script, command_name, &mut streams);
    };
    let options = Arguments::read(words, &command.all_switches());
    let view = View::new(&options, command.formatter, streams.is_output_terminal);
    if options.has("help") {
        return print(streams.output, &help::of_command(command, &script, &view), Code::Ok);
    }
    let arguments = options.positional.get(1..).unwrap_or_default();
    if let Some(code) = not_run(command, arguments, &mut streams) {
        return code;
    }
    if let Err(error) = check(command, &options, arguments) {
        return usage_error(&error, command, &script, words, &mut streams);
    }
    let api = match connect(&options) {
        Ok(api) => api,
        Err(failure) => return print(streams.errors, &format!("{}\n", failure.text()), failure.code),
    };
    let broker = Broker::new(api.as_ref(), command.name, timeout(&options).as_millis() as u64);
    let mut context = Context {
        broker,
        options: &options,
        arguments,
        command,
        tool,
        script: &script,
        view,
        streams: streams.reborrow(),
    };
    let Action::Run(run) = command.action else { return Code::Software };
    let ended = check_node(&context).map_err(Stop::Failure).and_then(|()| run(&mut context));
    ended.map_or_else(|stop| stopped(stop, words, &mut context), |()| Code::Ok)
}

/// Refuses to speak to another node than the one that is named, by `--node` or by the environment of a command that
/// names no host. Commands that need no broker have nobody to ask.
pub fn check_node(context: &Context<'_>) -> Result<(), Failure> {
    let options = context.options;
    if context.command.is_offline {
        return Ok(());
    }
    let given = || std::env::var(NODE_VARIABLE).ok().filter(|node| !node.is_empty() && !options.names_host());
    let named = options.word("node").map(|node| (node.to_string(), "leave out --node".to_string()));
    match named.or_else(|| given().map(|node| (node, format!("unset the variable {NODE_VARIABLE}")))) {
        Some((node, way_out)) => node_name::check(&context.broker, &node, &paths::host_name(), &way_out),
        None => Ok(()),
    }
}

/// How long a call may take.
pub fn timeout(options: &Arguments) -> Duration {
    Duration::from_secs(options.number("timeout").unwrap_or(TIMEOUT_SECS))
}

/// The way to the broker that the options name: the control socket unless `--host` or `--port` is given.
fn connect(options: &Arguments) -> Result<Box<dyn Api>, Failure> {
    let target = if options.names_host() {
        let port = u16::try_from(options.number("port").unwrap_or(API_PORT));
        Target::Tcp {
            host: host(options.word("host").unwrap_or("localhost"))?.to_string(),
            port: port.map_err(|_| Failure::bare(Code::Data, "Error: --port is a number up to 65535"))?,
            username: options.word("username").unwrap_or("guest").to_string(),
            password: options.word("password").unwrap_or("guest").to_string(),
        }
    } else {
        Target::Socket(paths::control_socket(&paths::data_dir(options.word("data-dir"))))
    };
    let api = HttpApi::new(target, timeout(options));
    api.map(|api| Box::new(api) as Box<dyn Api>)
        .map_err(|error| Failure::bare(Code::Software, format!("Error: {error}")))
}

/// A host alone: its port has an option of its own.
fn host(given: &str) -> Result<&str, Failure> {
    let is_url = given.contains("://");
    let rest = given.rsplit("://").next().unwrap_or(given).trim_end_matches('/');
    let (host, port) = rest.rsplit_once(':').unwrap_or((rest, ""));
    // more than one colon without brackets is an IPv6 address
    let has_port = port.parse::<u16>().is_ok() && (host.ends_with(']') || !host.contains(':'));
    if !is_url && !has_port {
        return Ok(given);
    }
    let port = if has_port { port.to_string() } else { API_PORT.to_string() };
    let host = if has_port { host } else { rest };
    let text = format!("Error: '{given}' is no host; write --host {host} --port {port}");
    Err(Failure::bare(Code::Usage, text))
}

fn without_command(tool: Tool, script: &str, options: &Arguments, streams: &mut Streams<'_>) -> Code {
    let view = View::new(options, Formatter::default(), streams.is_output_terminal);
    if options.has("version") {
        return print(streams.output, &format!("{}\n", commands::general::version_of(script)), Code::Ok);
    }
    let text = help::of_tool(tool, script, &view);
    if options.has("help") {
        print(streams.output, &text, Code::Ok)
    } else {
        print(streams.errors, &text, Code::Usage)
    }
}

fn unknown_command(tool: Tool, script: &str, name: &str, streams: &mut Streams<'_>) -> Code {
    let not_found = format!("\nCommand '{name}' not found. \n");
    let text = match tool.most_like(name) {
        Some(command) => format!("{not_found}Did you mean '{}'? \n\n", command.name),
        None => {
            let view = View::new(&Arguments::default(), Formatter::default(), streams.is_output_terminal);
            format!("{not_found}{}", help::of_tool(tool, script, &view))
        }
    };
    print(streams.errors, &text, Code::Usage)
}

/// Commands that are answered with a line.
fn not_run(command: &Command, arguments: &[String], streams: &mut Streams<'_>) -> Option<Code> {
    match command.action {
        Action::Run(_) => None,
        Action::Nothing(text) => Some(print(streams.output, &format!("{text}\n"), Code::Ok)),
        Action::Refused(text) => Some(refuse(text, streams)),
        Action::RefusedFor(text) => Some(refuse(&text(arguments), streams)),
    }
}

fn refuse(text: &str, streams: &mut Streams<'_>) -> Code {
    // a text that begins a line of its own stands below its heading
    let gap = if text.starts_with('\n') { "" } else { " " };
    print(streams.errors, &format!("Error:{gap}{text}\n"), Code::Unavailable)
}

fn check(command: &Command, options: &Arguments, arguments: &[String]) -> Result<(), UsageError> {
    if !options.invalid.is_empty() {
        let invalid: Vec<_> =
            options.invalid.iter().map(|(name, value)| format!("{name} : {value}")).collect();
        return Err(UsageError::new(format!("Invalid options for this command:\n{}", invalid.join("\n"))));
    }
    command.check_count(arguments.len())?;
    match command.listing {
        Some(listing) if command.most == usize::MAX => listing.select(arguments).map(drop),
        _ => Ok(()),
    }
}

fn usage_error(
    error: &UsageError,
    command: &Command,
    script: &str,
    words: &[String],
    streams: &mut Streams<'_>,
) -> Code {
    let view = View::new(&Arguments::default(), Formatter::default(), streams.is_output_terminal);
    let problem = format!("Error (argument validation): {}", error.problem);
    print(streams.errors, &with_usage(&problem, command, script, words, &view), error.code)
}

fn with_usage(problem: &str, command: &Command, script: &str, words: &[String], view: &View) -> String {
    format!(
        "{problem}\nArguments given:\n\t{}\n\n{}\n\n{}\n",
        words.join(" "),
        view.bold("Usage"),
        command.usage_line(script)
    )
}

/// Says why a command ended before its end.
fn stopped(stop: Stop, words: &[String], context: &mut Context<'_>) -> Code {
    match stop {
        Stop::DryRun => Code::Ok,
        Stop::Usage(error) => {
            usage_error(&error, context.command, context.script, words, &mut context.streams)
        }
        Stop::Failure(failure) if failure.is_misuse => {
            let text = with_usage(&failure.message, context.command, context.script, words, &context.view);
            // what was announced comes first
            match context.streams.output.flush() {
                Ok(()) => print(context.streams.errors, &text, failure.code),
                Err(_) => failure.code,
            }
        }
        Stop::Failure(failure) => failed(&failure, context),
        Stop::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Code::Ok,
        Stop::Output(error) => print(context.streams.errors, &format!("Error: {error}\n"), Code::Software),
    }
}

fn failed(failure: &Failure, context: &mut Context<'_>) -> Code {
    // the banner comes before the error, also where both streams are one terminal
    let flushed = context.streams.output.flush();
    if failure.message.is_empty() || flushed.is_err() {
        return failure.code;
    }
    if !context.view.formatter.is_json() {
        return print(context.streams.errors, &format!("{}\n", failure.text()), failure.code);
    }
    // nobody may be there to tell the node's name
    let node = context.broker.node().unwrap_or_default();
    let object = json!({"result": "error", "node": node, "message": failure.message});
    print(context.streams.output, &format!("{object}\n"), failure.code)
}

/// Prints a last text. A stream that is closed can't be told about.
fn print(stream: &mut dyn Write, text: &str, code: Code) -> Code {
    match stream.write_all(text.as_bytes()).and_then(|()| stream.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Code::Software,
        _ => code,
    }
}

#[cfg(test)]
mod host_tests {
    use super::*;

    #[test]
    fn a_host_has_no_port() {
        for alone in ["mq", "10.0.0.1", "::1", "[::1]", "fe80::1"] {
            assert_eq!(host(alone).unwrap(), alone);
        }
        for (given, meant) in [
            ("10.0.0.1:15672", "--host 10.0.0.1 --port 15672"),
            ("[::1]:5", "--host [::1] --port 5"),
            ("http://mq:15672/", "--host mq --port 15672"),
            ("https://mq", "--host mq --port 15672"),
        ] {
            assert!(host(given).unwrap_err().message.ends_with(meant), "{given}");
        }
    }
}
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
