//! What a key is.

use super::draft::Draft;

/// A key of the configuration. All that is said of keys anywhere (help, documentation, `environment`) is said here.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name in files. A part `$name` stands for any word, `*` at the end for any number of them.
    pub name: &'static str,
    /// Other names of it in files.
    pub aliases: &'static [&'static str],
    /// What its value is, in capital letters; empty for true and false.
    pub takes: &'static str,
    /// Its value if nobody says anything, in words.
    pub default: &'static str,
    /// What it does, or why it does nothing here.
    pub about: &'static str,
    /// The option of the command line; empty: the name with dashes.
    pub option: &'static str,
    /// Variables of RabbitMQ that set it, besides the one of ours.
    pub variables: &'static [&'static str],
    /// Keys of one family replace each other: a file's are gone when the environment or an option has one.
    pub family: &'static str,
    /// Its value is nobody's business.
    pub is_secret: bool,
    pub(super) action: Action,
}

/// What a value does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    /// It is put where it belongs; the words are those that stand for the name's `$` parts.
    Set(fn(&mut Draft, &str, &[&str]) -> Result<(), String>),
    /// It is said as these other keys.
    Parts(fn(&str) -> Result<Parts, String>),
    /// A line in the log.
    Ignore,
}

/// Names of keys, and their values.
pub(super) type Parts = Vec<(&'static str, String)>;

impl Key {
    pub(super) const fn set(
        name: &'static str,
        takes: &'static str,
        default: &'static str,
        about: &'static str,
        set: fn(&mut Draft, &str, &[&str]) -> Result<(), String>,
    ) -> Self {
        Self { action: Action::Set(set), takes, default, ..Self::ignored(name, about) }
    }

    pub(super) const fn parts(
        name: &'static str,
        takes: &'static str,
        default: &'static str,
        about: &'static str,
        parts: fn(&str) -> Result<Parts, String>,
    ) -> Self {
        Self { action: Action::Parts(parts), takes, default, ..Self::ignored(name, about) }
    }

    pub(super) const fn ignored(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            aliases: &[],
            takes: "",
            default: "",
            about,
            option: "",
            variables: &[],
            family: "",
            is_secret: false,
            action: Action::Ignore,
        }
    }

    pub(super) const fn option(mut self, option: &'static str) -> Self {
        self.option = option;
        self
    }

    pub(super) const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    pub(super) const fn variables(mut self, variables: &'static [&'static str]) -> Self {
        self.variables = variables;
        self
    }

    pub(super) const fn family(mut self, family: &'static str) -> Self {
        self.family = family;
        self
    }

    pub(super) const fn secret(mut self) -> Self {
        self.is_secret = true;
        self
    }

    /// Whether it does something here.
    #[must_use]
    pub fn is_honoured(&self) -> bool {
        !matches!(self.action, Action::Ignore)
    }

    /// Whether the name is one name, which the environment and the command line can have, too.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        !self.name.contains(['$', '*'])
    }

    /// The option of the command line, without the dashes before it.
    #[must_use]
    pub fn option_name(&self) -> String {
        match self.option {
            "" => self.name.replace(['.', '_'], "-"),
            option => option.to_owned(),
        }
    }

    /// The variable of the environment.
    #[must_use]
    pub fn variable_name(&self) -> String {
        format!("LIEBRE_{}", self.option_name().replace('-', "_").to_uppercase())
    }

    /// What stands for the name's `$` parts in this name; none if it is the name of another key.
    pub(super) fn matches<'a>(&self, name: &'a str) -> Option<Vec<&'a str>> {
        if self.aliases.contains(&name) {
            return Some(Vec::new());
        }
        let mut words = Vec::new();
        let mut parts = name.split('.');
        for expected in self.name.split('.') {
            let part = match expected {
                "*" => return parts.next().map(|_| words),
                expected => parts.next().filter(|part| expected.starts_with('$') || *part == expected)?,
            };
            if expected.starts_with('$') {
                words.push(part);
            }
        }
        parts.next().is_none().then_some(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_have_parts_that_are_free() {
        let words = |name: &'static str, text: &'static str| Key::ignored(name, "").matches(text);
        assert_eq!(words("a.b", "a.b"), Some(vec![]));
        assert_eq!(words("a.$x.c", "a.1.c"), Some(vec!["1"]));
        assert_eq!(words("a.*", "a.b.c"), Some(vec![]));
        for (name, text) in [("a.b", "a"), ("a.b", "a.b.c"), ("a.$x", "a"), ("a.$x", "b.c"), ("a.*", "a")] {
            assert_eq!(words(name, text), None, "{name} {text}");
        }
        assert_eq!(Key::ignored("a", "").aliases(&["b.c"]).matches("b.c"), Some(vec![]));
    }

    #[test]
    fn options_and_variables_follow_from_names() {
        let key = Key::ignored("a.b_c", "");
        assert_eq!((key.option_name().as_str(), key.variable_name().as_str()), ("a-b-c", "LIEBRE_A_B_C"));
        let key = key.option("amqp-listen");
        assert_eq!(key.variable_name(), "LIEBRE_AMQP_LISTEN");
    }
}
