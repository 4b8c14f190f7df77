//! The help: all commands of a tool, or one command.

use std::fmt::Write;

use crate::catalogue::{Action, Command, Group, Tool};
use crate::context::View;

/// The options that most commands accept, as the help of each of them ends with.
const GENERAL_OPTIONS: &str = "\
The following options are accepted by most or all commands.

short            | long          | description
-----------------|---------------|--------------------------------
-?               | --help        | displays command help
-n <node>        | --node <node> | connect to node <node>
-l               | --longnames   | use long host names
-t               | --timeout <n> | for commands that support it, operation timeout in seconds
-q               | --quiet       | suppress informational messages
-s               | --silent      | suppress informational messages
                                 | and table header row
-p               | --vhost       | for commands that are scoped to a virtual host,
                 |               | virtual host to use
                 | --formatter   | alternative result formatter to use
                                 | if supported: json, pretty_table, table, csv, erlang
                                   not all commands support all (or any) alternative formatters.
                 | --data-dir    | data directory of the broker to speak to, through its control socket
                 | --host        | speak to the management API of this host instead
                 | --port        | its port (15672)
                 | --username    | the user to log in as there (guest)
                 | --password    | the user's password (guest)
";

/// The usage of a tool and its commands by group.
pub fn of_tool(tool: Tool, script: &str, view: &View) -> String {
    format!(
        "\n{}\n\n{script} [--node <node>] [--timeout <timeout>] [--longnames] [--quiet] <command> [<command \
         options>]\n\nAvailable commands:\n{}\nUse '{script} help <command>' to learn more about a specific command\n",
        view.bold("Usage"),
        commands(tool, view)
    )
}

/// The commands of a tool by group.
pub fn commands(tool: Tool, view: &View) -> String {
    let width = tool.commands().map(|command| command.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for group in Group::ALL {
        let mut commands: Vec<_> = tool.commands().filter(|command| command.group == group).collect();
        commands.sort_unstable_by_key(|command| command.name);
        if commands.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\n{}:\n", view.bold(group.title()));
        for command in commands {
            let _ = writeln!(text, "   {:width$}  {}{}", command.name, command.about, mark(command));
        }
    }
    text
}

/// What is different about a command on this broker, if anything.
pub fn here(command: &Command) -> Option<String> {
    let sentence = match command.action {
        Action::Run(_) => command.here?.to_string(),
        Action::Nothing(text) | Action::Refused(text) => text.to_string(),
        Action::RefusedFor(text) => text(&[]),
    };
    let mut letters = sentence.trim_end_matches('.').trim_start().chars();
    let first = letters.next()?;
    Some(first.to_uppercase().chain(letters).collect())
}

/// Behind what a list of commands says of one that does not do that here.
fn mark(command: &Command) -> &'static str {
    match command.action {
        Action::Run(_) => "",
        Action::Nothing(_) => " [nothing to do here]",
        Action::Refused(_) | Action::RefusedFor(_) => " [does not apply here]",
    }
}

/// The help of one command.
pub fn of_command(command: &Command, script: &str, view: &View) -> String {
    let about = command.about.trim_end_matches('.');
    let mut text = format!("\n{}\n\n{}\n\n{about}.\n\n", view.bold("Usage"), command.usage_line(script));
    if let Some(here) = here(command) {
        let _ = writeln!(text, "On this broker: {here}.\n");
    }
    let columns = command.listing.filter(|_| command.most == usize::MAX);
    if !command.explained.is_empty() || columns.is_some() {
        let _ = writeln!(text, "\n{}\n", view.bold("Arguments and Options"));
        if let Some(listing) = columns {
            let _ = writeln!(text, "<column>\n\tmust be one of {}\n", listing.names());
        }
        for (argument, meaning) in command.explained {
            let _ = writeln!(text, "{argument}\n\t{meaning}\n");
        }
    }
    let _ = write!(text, "\n{}\n\n{GENERAL_OPTIONS}\n", view.bold("General Options"));
    text
}
