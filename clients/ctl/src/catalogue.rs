//! All commands: their names, usage and help, and which of the tools has them.

use crate::arguments::{GLOBAL_SWITCHES, Switch};
use crate::commands;
use crate::context::Context;
use crate::exit::{Stop, UsageError};
use crate::format::Formatter;
use crate::listing::Listing;

/// The name that the program was started under decides which commands it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `rabbitmqctl`, and `liebrectl`.
    Ctl,
    /// `rabbitmq-diagnostics`
    Diagnostics,
    /// `rabbitmq-plugins`
    Plugins,
    /// `rabbitmq-queues`
    Queues,
    /// `rabbitmq-streams`
    Streams,
    /// `rabbitmq-upgrade`
    Upgrade,
}

/// The tools that have a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every tool.
    Everywhere,
    /// `rabbitmqctl` alone.
    Ctl,
    /// `rabbitmqctl` and `rabbitmq-diagnostics`.
    CtlAndDiagnostics,
    /// `rabbitmq-diagnostics` alone.
    Diagnostics,
    /// `rabbitmq-plugins` alone.
    Plugins,
    /// `rabbitmq-queues` alone.
    Queues,
    /// `rabbitmq-queues` and `rabbitmq-diagnostics`.
    QueuesAndDiagnostics,
    /// `rabbitmq-streams` alone.
    Streams,
    /// `rabbitmq-streams` and `rabbitmq-diagnostics`.
    StreamsAndDiagnostics,
    /// `rabbitmq-upgrade` alone.
    Upgrade,
}

/// The heading under which `help` shows a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the headings")]
pub enum Group {
    Help,
    Nodes,
    Cluster,
    Replication,
    Users,
    AccessControl,
    Monitoring,
    Parameters,
    Policies,
    VirtualHosts,
    Configuration,
    Definitions,
    FeatureFlags,
    Operations,
    Queues,
    Plugins,
    Upgrade,
    Deprecated,
}

/// What a command does.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// It runs.
    Run(fn(&mut Context<'_>) -> Result<(), Stop>),
    /// It is accepted and does nothing; the line says why.
    Nothing(&'static str),
    /// It can't be done here; the line says what to use in its place.
    Refused(&'static str),
    /// The same, with a line for these arguments.
    RefusedFor(fn(&[String]) -> String),
}

/// Of a command of which nothing was said.
const NOTHING: &str = "this command does nothing here";

/// A command.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// Its name.
    pub name: &'static str,
    /// Its name, arguments and options as the help shows them.
    pub usage: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// Where the help lists it.
    pub group: Group,
    /// The tools that have it.
    pub scope: Scope,
    /// The fewest arguments.
    pub fewest: usize,
    /// The most arguments.
    pub most: usize,
    /// Does the usage mention `--timeout`?
    pub has_timeout: bool,
    /// Its own options.
    pub switches: &'static [Switch],
    /// Its arguments and options, explained.
    pub explained: &'static [(&'static str, &'static str)],
    /// The columns it can show, for a command that lists.
    pub listing: Option<&'static Listing>,
    /// The form of its result when none is asked for.
    pub formatter: Formatter,
    /// What is different on this broker, in a sentence.
    pub here: Option<&'static str>,
    /// It asks no broker, or can do without an answer.
    pub is_offline: bool,
    /// What it does.
    pub action: Action,
}

impl Command {
    /// A command of `rabbitmqctl` that does nothing; the functions below make more of it.
    pub const fn new(group: Group, name: &'static str, usage: &'static str, about: &'static str) -> Self {
        Self {
            name,
            usage,
            about,
            group,
            scope: Scope::Ctl,
            fewest: 0,
            most: usize::MAX,
            has_timeout: false,
            switches: &[],
            explained: &[],
            listing: None,
            formatter: Formatter::Table,
            here: None,
            is_offline: false,
            action: Action::Refused(NOTHING),
        }
    }

    /// The tools that have it.
    pub const fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// Its usage, when it is more than its name.
    pub const fn usage(mut self, usage: &'static str) -> Self {
        self.usage = usage;
        self
    }

    /// How many arguments it takes.
    pub const fn takes(mut self, fewest: usize, most: usize) -> Self {
        self.fewest = fewest;
        self.most = most;
        self
    }

    /// Its usage mentions `--timeout`.
    pub const fn timeout(mut self) -> Self {
        self.has_timeout = true;
        self
    }

    /// Its own options.
    pub const fn switches(mut self, switches: &'static [Switch]) -> Self {
        self.switches = switches;
        self
    }

    /// Its arguments and options, explained.
    pub const fn explained(mut self, explained: &'static [(&'static str, &'static str)]) -> Self {
        self.explained = explained;
        self
    }

    /// It lists: its arguments are columns.
    pub const fn lists(mut self, listing: &'static Listing) -> Self {
        self.listing = Some(listing);
        self
    }

    /// The form of its result when none is asked for.
    pub const fn shown_as(mut self, formatter: Formatter) -> Self {
        self.formatter = formatter;
        self
    }

    /// What is different on this broker.
    pub const fn here(mut self, here: &'static str) -> Self {
        self.here = Some(here);
        self
    }

    /// It needs no broker.
    pub const fn offline(mut self) -> Self {
        self.is_offline = true;
        self
    }

    /// What it does.
    pub const fn action(mut self, action: Action) -> Self {
        self.action = action;
        self
    }

    /// It runs this.
    pub const fn runs(self, run: fn(&mut Context<'_>) -> Result<(), Stop>) -> Self {
        self.action(Action::Run(run))
    }

    /// The line below "Usage".
    pub fn usage_line(&self, script: &str) -> String {
        let timeout = if self.has_timeout { " [--timeout <timeout>]" } else { "" };
        format!("{script} [--node <node>] [--longnames] [--quiet] {}{timeout}", self.usage)
    }

    /// The options that it knows.
    pub fn all_switches(&self) -> Vec<Switch> {
        [self.switches, GLOBAL_SWITCHES].concat()
    }

    /// Are there too few or too many arguments?
    pub fn check_count(&self, count: usize) -> Result<(), UsageError> {
        if count < self.fewest {
            Err(UsageError::not_enough())
        } else if count > self.most {
            Err(UsageError::too_many())
        } else {
            Ok(())
        }
    }
}

impl Tool {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Ctl, Self::Diagnostics, Self::Plugins, Self::Queues, Self::Streams, Self::Upgrade];

    /// The name of its program.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ctl => "rabbitmqctl",
            Self::Diagnostics => "rabbitmq-diagnostics",
            Self::Plugins => "rabbitmq-plugins",
            Self::Queues => "rabbitmq-queues",
            Self::Streams => "rabbitmq-streams",
            Self::Upgrade => "rabbitmq-upgrade",
        }
    }

    /// The tool for the name of a program file.
    pub fn named(name: &str) -> Self {
        match name {
            "rabbitmq-diagnostics" => Self::Diagnostics,
            "rabbitmq-plugins" => Self::Plugins,
            "rabbitmq-queues" => Self::Queues,
            "rabbitmq-streams" => Self::Streams,
            "rabbitmq-upgrade" => Self::Upgrade,
            _ => Self::Ctl,
        }
    }

    /// Its commands, in no order.
    pub fn commands(self) -> impl Iterator<Item = &'static Command> {
        let tables = [
            commands::general::COMMANDS,
            commands::node::COMMANDS,
            commands::users::COMMANDS,
            commands::permissions::COMMANDS,
            commands::topic_permissions::COMMANDS,
            commands::vhosts::COMMANDS,
            commands::parameters::COMMANDS,
            commands::definitions::COMMANDS,
            commands::policies::COMMANDS,
            commands::topology::COMMANDS,
            commands::queues::COMMANDS,
            commands::connections::COMMANDS,
            commands::health::COMMANDS,
            commands::limits::COMMANDS,
            commands::usage_limits::COMMANDS,
            commands::plugins::COMMANDS,
            commands::lifecycle::COMMANDS,
            commands::logs::COMMANDS,
            commands::cluster::COMMANDS,
            commands::vhost_metadata::COMMANDS,
            commands::process::COMMANDS,
            commands::inspection::COMMANDS,
            commands::interfaces::COMMANDS,
            commands::auth_attempts::COMMANDS,
            commands::replicas::COMMANDS,
            commands::absent::COMMANDS,
        ];
        tables.into_iter().flatten().filter(move |command| command.scope.includes(self))
    }

    /// The command of that name.
    pub fn find(self, name: &str) -> Option<&'static Command> {
        self.commands().find(|command| command.name == name)
    }

    /// The options of all its commands: enough to tell a command's name from an option's value.
    pub fn all_switches(self) -> Vec<Switch> {
        let own = self.commands().flat_map(|command| command.switches.iter().copied());
        GLOBAL_SWITCHES.iter().copied().chain(own).collect()
    }

    /// The command whose name is most like a mistyped one, if any is like it at all.
    pub fn most_like(self, name: &str) -> Option<&'static Command> {
        most_like(name, self.commands().map(|command| command.name)).and_then(|name| self.find(name))
    }
}

/// The name most like a mistyped one, if any is like it at all.
pub fn most_like(typed: &str, names: impl IntoIterator<Item = &'static str>) -> Option<&'static str> {
    let likeness = |name: &&str| (likeness(typed, name) * 1000.0) as u64;
    names.into_iter().max_by_key(likeness).filter(|name| likeness(name) >= LIKENESS_MIN_THOUSANDTHS)
}

/// Below this, a suggestion would only confuse.
const LIKENESS_MIN_THOUSANDTHS: u64 = 770;

impl Scope {
    fn includes(self, tool: Tool) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Ctl => tool == Tool::Ctl,
            Self::CtlAndDiagnostics => matches!(tool, Tool::Ctl | Tool::Diagnostics),
            Self::Diagnostics => tool == Tool::Diagnostics,
            Self::Plugins => tool == Tool::Plugins,
            Self::Queues => tool == Tool::Queues,
            Self::QueuesAndDiagnostics => matches!(tool, Tool::Queues | Tool::Diagnostics),
            Self::Streams => tool == Tool::Streams,
            Self::StreamsAndDiagnostics => matches!(tool, Tool::Streams | Tool::Diagnostics),
            Self::Upgrade => tool == Tool::Upgrade,
        }
    }
}

impl Group {
    /// All groups, in the order of the help.
    pub const ALL: [Self; 18] = [
        Self::Help,
        Self::Nodes,
        Self::Cluster,
        Self::Replication,
        Self::Users,
        Self::AccessControl,
        Self::Monitoring,
        Self::Parameters,
        Self::Policies,
        Self::VirtualHosts,
        Self::Configuration,
        Self::Definitions,
        Self::FeatureFlags,
        Self::Operations,
        Self::Queues,
        Self::Plugins,
        Self::Upgrade,
        Self::Deprecated,
    ];

    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Help => "Help",
            Self::Nodes => "Nodes",
            Self::Cluster => "Cluster",
            Self::Replication => "Replication",
            Self::Users => "Users",
            Self::AccessControl => "Access Control",
            Self::Monitoring => "Monitoring, observability and health checks",
            Self::Parameters => "Parameters",
            Self::Policies => "Policies",
            Self::VirtualHosts => "Virtual hosts",
            Self::Configuration => "Configuration and Environment",
            Self::Definitions => "Definitions",
            Self::FeatureFlags => "Feature flags",
            Self::Operations => "Operations",
            Self::Queues => "Queues",
            Self::Plugins => "Plugin Management",
            Self::Upgrade => "Upgrade",
            Self::Deprecated => "Deprecated",
        }
    }
}

/// How alike two names are, from 0 to 1: Jaro's measure, which is kind to swapped and missing letters.
fn likeness(a: &str, b: &str) -> f64 {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.is_empty() || b.is_empty() {
        return 0.0;
    }
    let reach = (a.len().max(b.len()) / 2).saturating_sub(1);
    let mut is_matched = vec![false; b.len()];
    let mut matched_of_a = Vec::new();
    for (at, letter) in a.iter().enumerate() {
        let near = at.saturating_sub(reach)..(at + reach + 1).min(b.len());
        if let Some(found) = near.into_iter().find(|&other| !is_matched[other] && b[other] == *letter) {
            is_matched[found] = true;
            matched_of_a.push(*letter);
        }
    }
    let matched_of_b = b.iter().zip(&is_matched).filter(|(_, matched)| **matched).map(|(letter, _)| *letter);
    let swapped = matched_of_a.iter().zip(matched_of_b).filter(|(of_a, of_b)| **of_a != *of_b).count() / 2;
    let matches = matched_of_a.len() as f64;
    if matches == 0.0 {
        return 0.0;
    }
    (matches / a.len() as f64 + matches / b.len() as f64 + (matches - swapped as f64) / matches) / 3.0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn mistyped_names_find_the_command_that_was_meant() {
        let cases = [
            ("lst_queues", Some("list_queues")),
            ("lsit_queues", Some("list_queues")),
            ("list_queue", Some("list_queues")),
            ("list_users_", Some("list_users")),
            ("stat", Some("status")),
            ("zzzzzz", None),
        ];
        for (typed, meant) in cases {
            assert_eq!(Tool::Ctl.most_like(typed).map(|command| command.name), meant, "{typed}");
        }
    }

    #[test]
    fn the_tables_are_consistent() {
        for tool in Tool::ALL {
            let mut names = BTreeSet::new();
            for command in tool.commands() {
                assert!(names.insert(command.name), "{} is there twice", command.name);
                assert!(command.usage.starts_with(command.name), "{}", command.usage);
                assert!(!command.about.is_empty(), "{}", command.name);
                let says_nothing = matches!(command.action, Action::Refused(NOTHING));
                assert!(!says_nothing, "nobody said what {} does", command.name);
            }
        }
    }

    #[test]
    fn each_tool_has_its_own_commands() {
        assert!(Tool::Ctl.find("add_user").is_some() && Tool::Diagnostics.find("add_user").is_none());
        assert!(
            Tool::Diagnostics.find("check_running").is_some() && Tool::Ctl.find("check_running").is_none()
        );
        assert!(
            Tool::Diagnostics.find("list_queues").is_some() && Tool::Plugins.find("list_queues").is_none()
        );
        assert!(Tool::Plugins.find("enable").is_some() && Tool::Plugins.find("help").is_some());
        assert!(Tool::Upgrade.find("drain").is_some() && Tool::Queues.find("drain").is_none());
        for tool in Tool::ALL {
            assert_eq!(Tool::named(tool.name()), tool);
        }
    }
}
