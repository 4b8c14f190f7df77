//! What there is to say about an import besides that it succeeded.

use serde_json::{Value, json};

use super::{SHOWN_MAX, check::Checked};
use crate::http::deeds::one_line;

/// Lines for whoever imports.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Notes {
    /// What is not supported and was left out.
    pub(super) skipped: Vec<String>,
    /// What is there already with other properties, and stays as it is.
    pub(super) kept: Vec<String>,
    /// How much there is of what, such as `users: 2, queues: 10`.
    pub(super) counts: String,
}

impl Notes {
    /// As the API's own route answers.
    pub(super) fn answer(&self) -> Value {
        match self.kept.is_empty() {
            true => json!({ "skipped": self.skipped }),
            false => json!({ "skipped": self.skipped, "kept": self.kept }),
        }
    }

    /// Says in the log what did not become as the file has it.
    pub(super) fn warn(&self, source: &str) {
        for (verb, lines) in [("not imported", &self.skipped), ("stays as it is", &self.kept)] {
            for line in lines.iter().take(SHOWN_MAX) {
                tracing::warn!("{source}: {verb}: {}", one_line(line));
            }
            if lines.len() > SHOWN_MAX {
                tracing::warn!("{source}: {verb}: {} more", lines.len() - SHOWN_MAX);
            }
        }
    }
}

impl Checked {
    /// See [`Notes::counts`].
    pub(super) fn counts(&self) -> String {
        let policies: usize = self.policies.values().map(Vec::len).sum();
        let counts = [
            ("users", self.users.len()),
            ("vhosts", self.vhosts.len()),
            ("permissions", self.permissions.len() + self.topic_permissions.len()),
            ("parameters", self.global_parameters.len() + self.parameters.len()),
            ("policies", policies),
            ("exchanges", self.exchanges.len()),
            ("queues", self.queues.len()),
            ("bindings", self.bindings.len()),
        ];
        let there = counts.into_iter().filter(|(_, count)| *count > 0);
        let counts: Vec<String> = there.map(|(what, count)| format!("{what}: {count}")).collect();
        if counts.is_empty() { "nothing in them".to_owned() } else { counts.join(", ") }
    }
}
