//! Names of vhosts, exchanges, queues, users and consumers.

use std::{borrow::Borrow, fmt, ops::Deref, sync::Arc};

use crate::limits::NAME_BYTES_MAX;

/// A name as AMQP has it: a short string of at most 255 bytes. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// The text is longer than a short string can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameTooLong;

impl Name {
    /// The name, unless it is longer than 255 bytes.
    pub fn parse(text: &str) -> Result<Self, NameTooLong> {
        if text.len() > NAME_BYTES_MAX {
            return Err(NameTooLong);
        }
        Ok(Self(Arc::from(text)))
    }

    /// A name the broker itself chose.
    ///
    /// # Panics
    /// When it is longer than 255 bytes: for literals only.
    #[must_use]
    pub fn literal(text: &'static str) -> Self {
        assert!(text.len() <= NAME_BYTES_MAX, "literal names fit a short string");
        Self(Arc::from(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name belongs to the broker (`amq.…`, AMQP 0-9-1 section 1.7.2.1).
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with("amq.")
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
