//! Exchanges, queues and bindings: what must be there, and what must not (I7).

use std::collections::HashMap;

use super::violations::{Invariant, Violations};

/// What is known of one entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    There {
        is_durable: bool,
    },
    Gone,
    /// A request for it was open when the broker died.
    Unknown,
    /// A request for it is open.
    Asked {
        is_durable: bool,
    },
}

/// All entities that were ever asked for.
#[derive(Debug, Default)]
pub(super) struct Entities {
    states: HashMap<String, State>,
}

impl Entities {
    pub(super) fn ask(&mut self, entity: String, is_durable: bool) {
        self.states.insert(entity, State::Asked { is_durable });
    }

    pub(super) fn finish(&mut self, entity: &str, is_there: bool) {
        if let Some(state) = self.states.get_mut(entity) {
            let is_durable = matches!(state, State::Asked { is_durable: true });
            *state = if is_there { State::There { is_durable } } else { State::Gone };
        }
    }

    /// What is not durable ends with the broker; what was open is open.
    pub(super) fn end_life(&mut self) {
        for state in self.states.values_mut() {
            *state = match *state {
                State::There { is_durable: false } | State::Asked { is_durable: false } => State::Gone,
                State::Asked { is_durable: true } => State::Unknown,
                known => known,
            };
        }
    }

    /// Compares with what the broker shows; what was unknown is known now.
    pub(super) fn see(&mut self, seen: &[String], violations: &mut Violations) {
        for (entity, state) in &mut self.states {
            let is_seen = seen.contains(entity);
            match (*state, is_seen) {
                (State::There { .. }, false) => {
                    violations.add(Invariant::Definitions, format!("{entity} is missing after a restart"));
                }
                (State::Gone, true) => {
                    violations
                        .add(Invariant::Definitions, format!("{entity} is there again after a restart"));
                }
                (State::Unknown, true) => *state = State::There { is_durable: true },
                (State::Unknown, false) => *state = State::Gone,
                _ => {}
            }
        }
    }
}
