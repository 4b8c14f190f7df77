//! Completion of command lines in shells. A shell's script is a few lines that ask the program itself, so that it knows
//! what the program knows: `autocomplete -- WORDS…` prints what the last word may become.

use super::Outcome;
use crate::api::path;
use crate::arguments::{Arguments, Switch, Takes};
use crate::catalogue::Command;
use crate::context::Context;
use crate::exit::{Code, Failure};

/// The programs that have completion.
const PROGRAMS: &str = "liebrectl rabbitmqctl rabbitmq-diagnostics rabbitmq-plugins rabbitmq-queues rabbitmq-streams \
                        rabbitmq-upgrade";

const BASH: &str = r#"_liebrectl() {
    local IFS=$'\n'
    local words=("${COMP_WORDS[@]:1:COMP_CWORD}")
    COMPREPLY=($("${COMP_WORDS[0]}" -q autocomplete -- "${words[@]}" 2>/dev/null))
}
complete -o default -F _liebrectl PROGRAMS
"#;

const ZSH: &str = r#"#compdef PROGRAMS
_liebrectl() {
    local -a found
    found=("${(@f)$("${words[1]}" -q autocomplete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "${found[*]}" ]]; then compadd -Q -- "${found[@]}"; else _files; fi
}
compdef _liebrectl PROGRAMS
"#;

const FISH: &str = r#"for program in PROGRAMS
    complete -c $program -f -a '(set -l words (commandline -opc) (commandline -ct); \
        $words[1] -q autocomplete -- $words[2..-1] 2>/dev/null)'
end
"#;

/// Values of options that are words of a fixed list.
const CHOICES: [(&str, &[&str]); 8] = [
    ("formatter", &["table", "pretty_table", "json", "json_stream", "csv", "erlang"]),
    ("apply-to", &["queues", "classic_queues", "quorum_queues", "streams", "exchanges", "all"]),
    ("default-queue-type", &["classic", "quorum"]),
    ("unit", &["bytes", "mb", "gb"]),
    ("address-family", &["ipv4", "ipv6"]),
    ("object-type", &["queue", "exchange"]),
    ("hashing-algorithm", &["sha256", "sha512"]),
    ("format", &["json"]),
];

/// Prints the script for a shell.
pub fn script(context: &mut Context<'_>) -> Outcome {
    let template = match context.argument(0) {
        "bash" => BASH,
        "zsh" => ZSH,
        "fish" => FISH,
        shell => {
            let text = format!("there is no completion for '{shell}': bash, zsh and fish have one");
            return Err(Failure::new(Code::Usage, text).into());
        }
    };
    let script = template.replace("PROGRAMS", PROGRAMS);
    Ok(context.streams.output.write_all(script.as_bytes())?)
}

/// What the last of the words may become, each in a line.
pub fn candidates(context: &Context<'_>, words: &[String]) -> Vec<String> {
    let (words, is_parted) = joined(words);
    let Some((last, before)) = words.split_last() else { return Vec::new() };
    let switches = context.tool.all_switches();
    let line = Arguments::read(before, &switches);
    let command = line.positional.first().and_then(|name| context.tool.find(name));
    let own = command.map_or(switches, Command::all_switches);
    let (head, begun) = match last.split_once('=').filter(|_| last.starts_with("--")) {
        Some((option, begun)) => (Some(option), begun),
        None => (None, last.as_str()),
    };
    let switch = match head {
        Some(option) => named(option, &own),
        None => before.last().and_then(|word| named(word, &own)),
    };
    let mut found = match (switch, command) {
        (Some(switch), _) => values(context, switch),
        (None, _) if head.is_some() => Vec::new(),
        (None, _) if last.starts_with('-') => own.iter().map(|switch| format!("--{}", switch.long)).collect(),
        (None, None) if !line.positional.is_empty() => Vec::new(),
        (None, None) => context.tool.commands().map(|command| command.name.to_string()).collect(),
        (None, Some(command)) => arguments(context, command, &line),
    };
    found.retain(|candidate| candidate.starts_with(begun));
    found.sort_unstable();
    found.dedup();
    match head.filter(|_| !is_parted) {
        Some(option) => found.into_iter().map(|value| format!("{option}={value}")).collect(),
        None => found,
    }
}

/// The words, and whether the last one was in parts: bash parts `--vhost=v` at the sign, and completes what follows it.
fn joined(words: &[String]) -> (Vec<String>, bool) {
    let (mut whole, mut is_parted): (Vec<String>, bool) = (Vec::new(), false);
    for word in words {
        let is_sign = word == "=";
        match whole.last_mut() {
            Some(last) if is_sign && last.starts_with("--") || is_parted && last.ends_with('=') => {
                last.push_str(word);
                is_parted = true;
            }
            _ => {
                whole.push(word.clone());
                is_parted = false;
            }
        }
    }
    (whole, is_parted)
}

/// The option that is written so, if it takes a value.
fn named(word: &str, switches: &[Switch]) -> Option<Switch> {
    let takes_value = |switch: &&Switch| switch.takes != Takes::Nothing;
    let is_named = |switch: &&Switch| {
        word.strip_prefix("--") == Some(switch.long)
            || switch.short.is_some_and(|letter| word.strip_prefix('-') == Some(letter.to_string().as_str()))
    };
    switches.iter().filter(takes_value).find(is_named).copied()
}

fn values(context: &Context<'_>, switch: Switch) -> Vec<String> {
    match switch.long {
        "vhost" => names(context, "/api/vhosts"),
        "user" | "username" => names(context, "/api/users"),
        "node" => context.broker.node().into_iter().collect(),
        long => {
            let choices =
                CHOICES.iter().find(|(name, _)| *name == long).map_or(&[][..], |(_, choices)| *choices);
            choices.iter().map(|choice| choice.to_string()).collect()
        }
    }
}

/// What may stand at the next place of a command's arguments: its usage says what belongs there.
fn arguments(context: &Context<'_>, command: &Command, line: &Arguments) -> Vec<String> {
    if command.name == "help" {
        return context.tool.commands().map(|command| command.name.to_string()).collect();
    }
    if let Some(listing) = command.listing.filter(|_| command.most == usize::MAX) {
        return listing.columns.iter().map(|column| column.name.to_string()).collect();
    }
    let at = line.positional.len().saturating_sub(1);
    match places(command.usage).get(at) {
        Some(&"<username>") => names(context, "/api/users"),
        Some(&"<vhost>") => names(context, "/api/vhosts"),
        Some(&("<queue>" | "<queue_name>")) => names(context, &path(&["queues", line.vhost()])),
        Some(&"<exchange>") => names(context, &path(&["exchanges", line.vhost()])),
        _ => Vec::new(),
    }
}

/// The arguments of a usage, without its options: `[--vhost <vhost>]` holds no place.
fn places(usage: &str) -> Vec<&str> {
    let (mut places, mut is_option) = (Vec::new(), false);
    for word in usage.split(' ').skip(1) {
        is_option |= word.starts_with("[-");
        if !is_option && word.trim_start_matches('[').starts_with('<') {
            places.push(word.trim_matches(['[', ']']));
        }
        is_option &= !word.ends_with(']');
    }
    places
}

/// The names of what is there; none if nobody answers.
fn names(context: &Context<'_>, path: &str) -> Vec<String> {
    let found = context.broker.list(&format!("{path}?columns=name")).unwrap_or_default();
    found.iter().filter_map(|object| object["name"].as_str()).map(String::from).collect()
}
