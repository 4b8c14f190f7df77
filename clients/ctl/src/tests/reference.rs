//! The page that lists all commands, made from the catalogue.

use std::fmt::Write;

use expect_test::expect_file;

use crate::catalogue::{Command, Group, Tool};
use crate::help;

const HEAD: &str = "\
# The command line

`rabbitmqctl`, `rabbitmq-diagnostics`, `rabbitmq-plugins`, `rabbitmq-queues`, `rabbitmq-streams` and `rabbitmq-upgrade` have
all commands of RabbitMQ's tools of these names, with their arguments, output and exit codes; `liebrectl` is `rabbitmqctl`
under another name. They are one program that looks at the name it was started under. Where a command does something
else here than there, or nothing, the last column says so; such a command exits with 0 when what was asked for holds
anyway, and with 69 when not. Further options: `--data-dir` (the broker to speak to, through its control socket), or
`--host`, `--port`, `--username`, `--password` (its management API).

`-n NODE` (or `RABBITMQ_NODENAME`, unless a host is named) says which node is meant: if the broker that answers is another
one, nothing is done, and the exit code is 69. `rabbit` and `rabbit@localhost` are short for `rabbit@` and this machine's
name, `@mq` for `rabbit@mq`, `rabbit@mq` for `rabbit@mq.example.org`.

`liebrectl completion bash`, `zsh` or `fish` prints the script that makes a shell complete commands, options, columns, and
names of vhosts, users and queues: `source <(liebrectl completion bash)`.
";

#[test]
fn the_page_lists_every_command() {
    let mut page = HEAD.to_string();
    for tool in Tool::ALL {
        let _ = write!(page, "\n## {}\n", tool.name());
        let shared: Vec<&str> = if tool == Tool::Ctl { Vec::new() } else { shared(tool) };
        if !shared.is_empty() {
            let names: Vec<_> = shared.iter().map(|name| format!("`{name}`")).collect();
            let _ = write!(page, "\nAs above: {}.\n", names.join(", "));
        }
        let _ = write!(page, "\n| command | what it does | here |\n|---|---|---|\n");
        for group in Group::ALL {
            let mut commands: Vec<&Command> =
                tool.commands().filter(|command| command.group == group).collect();
            commands.retain(|command| !shared.contains(&command.name));
            commands.sort_unstable_by_key(|command| command.name);
            for command in commands {
                let here = help::here(command).unwrap_or_default();
                let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
                let _ = writeln!(
                    page,
                    "| `{}` | {} | {} |",
                    cell(command.usage),
                    cell(command.about.trim_end_matches('.')),
                    cell(&here)
                );
            }
        }
    }
    expect_file!["../../../../broker/docs/cli.md"].assert_eq(&page);
}

/// The commands that a tool shares with `rabbitmqctl`.
fn shared(tool: Tool) -> Vec<&'static str> {
    let is_shared =
        |command: &&Command| Tool::Ctl.find(command.name).is_some_and(|ctl| ctl.usage == command.usage);
    let mut names: Vec<_> = tool.commands().filter(is_shared).map(|command| command.name).collect();
    names.sort_unstable();
    names
}
