//! `help`, `version` and `autocomplete`: commands that need no broker.

use serde_json::json;

use super::{Outcome, completion};
use crate::arguments::Switch;
use crate::catalogue::{Command, Group, Scope};
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::help;

/// The version of RabbitMQ whose tools these are like: scripts compare it to choose options.
pub const VERSION: &str = "4.2.0";

/// The name under which the program tells its own version instead.
const OWN_NAME: &str = "liebrectl";

/// The commands of this module.
pub const COMMANDS: &[Command] = &[
    Command::new(
        Group::Help,
        "help",
        "help (<command> | [--list-commands])",
        "Displays usage information for a command",
    )
    .scope(Scope::Everywhere)
    .takes(0, 1)
    .switches(&[Switch::flag("list-commands")])
    .explained(&[("--list-commands", "only output a list of discovered commands")])
    .offline()
    .runs(show_help),
    Command::new(Group::Help, "version", "version", "Displays CLI tools version")
        .scope(Scope::Everywhere)
        .takes(0, 0)
        .offline()
    .runs(version),
    Command::new(
        Group::Help,
        "autocomplete",
        "autocomplete [prefix]",
        "Provides command name autocomplete variants",
    )
    .scope(Scope::Everywhere)
    .explained(&[
        ("<prefix>", "what the name of a command begins with"),
        ("-- <word> ...", "a whole command line, whose last word is to be completed; as shells ask"),
    ])
    .offline()
    .runs(autocomplete),
    Command::new(
        Group::Help,
        "completion",
        "completion <bash | zsh | fish>",
        "Prints the script that makes a shell complete command lines",
    )
    .takes(1, 1)
    .explained(&[(
        "<bash | zsh | fish>",
        "For bash: source <(liebrectl completion bash), in ~/.bashrc for good. For zsh the same, after compinit, in \
         ~/.zshrc. For fish: liebrectl completion fish | source, in ~/.config/fish/config.fish",
    )])
    .here("RabbitMQ's tools have no such command")
    .offline()
    .runs(completion::script),
];

/// The version to tell under that name.
pub fn version_of(script: &str) -> &'static str {
    if script == OWN_NAME { env!("CARGO_PKG_VERSION") } else { VERSION }
}

fn show_help(context: &mut Context<'_>) -> Outcome {
    let (tool, script, view) = (context.tool, context.script, context.view);
    let text = if context.options.has("list-commands") {
        help::commands(tool, &view)
    } else if let Some(name) = context.arguments.first() {
        let not_found = || {
            let meant = tool.most_like(name).map(|command| format!(" \nDid you mean '{}'?", command.name));
            Failure::new(Code::Usage, format!("\nCommand '{name}' not found.{}", meant.unwrap_or_default()))
        };
        help::of_command(tool.find(name).ok_or_else(not_found)?, script, &view)
    } else {
        help::of_tool(tool, script, &view)
    };
    Ok(context.streams.output.write_all(text.as_bytes())?)
}

fn version(context: &mut Context<'_>) -> Outcome {
    let version = version_of(context.script);
    context.finish(version, json!(version))
}

fn autocomplete(context: &mut Context<'_>) -> Outcome {
    if context.arguments.len() > 1 || context.options.ended {
        let found = completion::candidates(context, context.arguments);
        return found.iter().try_for_each(|candidate| context.line(candidate));
    }
    let prefix = context.argument(0);
    let mut names: Vec<_> = context.tool.commands().map(|command| command.name).collect();
    names.retain(|name| name.starts_with(prefix));
    names.sort_unstable();
    names.iter().try_for_each(|name| context.line(name))
}
