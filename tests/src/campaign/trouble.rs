//! What keeps a campaign from going on, besides broken promises.

use std::fmt;

/// A campaign cannot go on: the machine, not the broker, is to blame.
#[derive(Debug)]
pub struct Trouble(String);

impl Trouble {
    pub fn new(text: impl Into<String>) -> Trouble {
        Trouble(text.into())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Trouble {}

/// Says what was being done when an error came.
pub trait Doing<T> {
    fn doing(self, what: impl fmt::Display) -> Result<T, Trouble>;
}

impl<T, E: fmt::Display> Doing<T> for Result<T, E> {
    fn doing(self, what: impl fmt::Display) -> Result<T, Trouble> {
        self.map_err(|error| Trouble(format!("{what}: {error}")))
    }
}
