//! The table of keys as a page of documentation, and what is in force as text.

use std::fmt::Write;

use super::{Configuration, Key, ignored::IGNORED_VARIABLES, keys};

const HEAD: &str = "# Configuration

This page is made of the table of keys in `src/config`; a test compares the two.

## Where it is read from

An option of the command line comes before a variable of the environment, that before a file, that before the default.

- **Files**: `--config FILE` (or a directory, of which all `.conf` and `.toml` files are read by name), else the variable
  `LIEBRE_CONFIG_FILE` (empty: no file), else `RABBITMQ_CONFIG_FILE` and the directory `RABBITMQ_CONFIG_FILES`, else
  `/etc/liebre/liebre.toml`, `/etc/liebre/liebre.conf` and `/etc/liebre/conf.d`, or if none of these is there
  `/etc/rabbitmq/rabbitmq.conf` and `/etc/rabbitmq/conf.d`. In later files keys replace those of earlier ones.
- **Syntax**: that of `rabbitmq.conf`: `key = value`, `#` begins a comment, `'single quotes'` keep everything, `$(NAME)`
  is a variable of the environment. A file that ends in `.toml` has the same keys in TOML: tables stand for dots, arrays
  for keys that end in a number.
- **Environment**: `LIEBRE_` and the option's name in capitals: `LIEBRE_CHANNEL_MAX`. Further variables are named below.
  A variable that is misspelt ends the start, too; what else begins with `LIEBRE_` is named in the log.
- **Command line**: the option below, such as `--channel-max 100`; those of keys that are true or false need no value.

A variable or an option that names a port alone (`RABBITMQ_NODE_PORT`, `--http-listen 15673`) leaves the address as the
file has it; all interfaces are `0.0.0.0:PORT` or `[::]:PORT`. Of `.relative` and `.absolute` of the same limit the first
counts. A number above what is possible here is taken as the largest one, with a warning in the log.

Sizes are bytes, or have a unit: `500MiB`, `2GB`. A key that is not known ends the start, and the message names the
nearest one; all mistakes are told at once. `liebre --check-config` reads everything, shows what is in force, where it
comes from and what does nothing, tries whether definitions (`load_definitions`) can be imported, and ends.
`rabbitmqctl environment` and `/api/config/effective` show the same of a running broker, without secrets.
`/etc/rabbitmq/enabled_plugins` and `advanced.config` are not read.

## Keys

| key | takes | default | what it does |
|---|---|---|---|
";

const VARIABLES_HEAD: &str = "
## Variables without effect

Variables of RabbitMQ's environment; each that is set is named in the log.

| variable | why |
|---|---|
";

const IGNORED_HEAD: &str = "
## Accepted, without effect

Keys of RabbitMQ that do nothing here; each that is used is named in the log. Here `*` stands for any number of parts.

| key | why |
|---|---|
";

/// The page.
#[must_use]
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    for key in keys().filter(|key| key.is_honoured()) {
        let name = std::iter::once(&key.name).chain(key.aliases).map(|name| format!("`{name}`"));
        let name = name.collect::<Vec<_>>().join(", ");
        let takes = if key.takes.is_empty() { "`true`, `false`".to_owned() } else { words(key.takes) };
        let default = if key.default.is_empty() { String::new() } else { cell(key.default) };
        let _ = writeln!(page, "| {name} | {takes} | {default} | {}{} |", cell(key.about), ways(key));
    }
    page.push_str(IGNORED_HEAD);
    for key in keys().filter(|key| !key.is_honoured()) {
        let _ = writeln!(page, "| `{}` | {} |", key.name, cell(key.about));
    }
    page.push_str(VARIABLES_HEAD);
    for (name, why) in IGNORED_VARIABLES {
        let _ = writeln!(page, "| `{name}` | {} |", cell(why));
    }
    page
}

/// What is in force, a line for each key.
#[must_use]
pub fn in_force(configuration: &Configuration) -> String {
    let settings = &configuration.settings.effective;
    let width = settings.iter().map(|setting| setting.key.len() + setting.value.len()).max().unwrap_or(0) + 3;
    let mut text = String::new();
    for setting in settings {
        let assignment = format!("{} = {}", setting.key, setting.value);
        let _ = writeln!(text, "{assignment:width$}  # {}", setting.source);
    }
    for note in &configuration.notes {
        let _ = writeln!(text, "# {note}");
    }
    text
}

fn ways(key: &Key) -> String {
    let mut ways = Vec::new();
    if key.is_exact() && !key.option.is_empty() {
        ways.push(format!("`--{}`", key.option));
    }
    ways.extend(key.variables.iter().map(|name| format!("`{name}`")));
    if ways.is_empty() { String::new() } else { format!(" ({})", ways.join(", ")) }
}

fn words(takes: &str) -> String {
    takes.split('|').map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('$', "\\$")
}
