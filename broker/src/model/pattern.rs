//! The regular expressions of permissions and policies.

use std::{borrow::Cow, fmt};

use crate::limits::{PATTERN_BACKTRACKS_MAX, PATTERN_BYTES_MAX};

/// Compiled patterns stay below this, bytes.
const COMPILED_SIZE_MAX: usize = 1 << 20;
/// What an empty pattern means: nothing that has a name.
const EMPTY_PATTERN: &str = "^$";

/// An unanchored regular expression on names.
///
/// Most are matched in linear time. Look-around and back-references, which RabbitMQ's patterns may have, need a search
/// with steps back; after [`PATTERN_BACKTRACKS_MAX`] of them a name counts as not matching.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    engine: Engine,
}

#[derive(Clone)]
enum Engine {
    Linear(regex::Regex),
    Backtracking(fancy_regex::Regex),
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// Longer than [`PATTERN_BYTES_MAX`].
    TooLong,
    /// Its compiled form would be too large.
    TooComplex,
    /// Not a regular expression.
    Syntax(String),
}

impl Pattern {
    /// The pattern, if the text is a regular expression of bounded size.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        Self::parse_as(text, Cow::Borrowed)
    }

    /// Likewise, when `text` stands for another regular expression.
    pub(super) fn parse_as<'a>(
        text: &'a str,
        expression: impl FnOnce(&'a str) -> Cow<'a, str>,
    ) -> Result<Self, PatternError> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::TooLong);
        }
        let expression = expression(if text.is_empty() { EMPTY_PATTERN } else { text });
        Ok(Self { text: text.to_owned(), engine: Engine::compile(&expression)? })
    }

    /// The text it was parsed from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches anywhere in `name`.
    #[must_use]
    pub fn is_match(&self, name: &str) -> bool {
        match &self.engine {
            Engine::Linear(regex) => regex.is_match(name),
            Engine::Backtracking(regex) => regex.is_match(name).unwrap_or(false),
        }
    }
}

impl Engine {
    fn compile(expression: &str) -> Result<Self, PatternError> {
        let linear = regex::RegexBuilder::new(expression)
            .size_limit(COMPILED_SIZE_MAX)
            .dfa_size_limit(COMPILED_SIZE_MAX)
            .build();
        match linear {
            Ok(regex) => return Ok(Self::Linear(regex)),
            Err(regex::Error::CompiledTooBig(_)) => return Err(PatternError::TooComplex),
            Err(_) => {}
        }
        let backtracking = fancy_regex::RegexBuilder::new(expression)
            .backtrack_limit(PATTERN_BACKTRACKS_MAX)
            .delegate_size_limit(COMPILED_SIZE_MAX)
            .delegate_dfa_size_limit(COMPILED_SIZE_MAX)
            .build();
        backtracking.map(Self::Backtracking).map_err(|error| PatternError::Syntax(error.to_string()))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "pattern is longer than {PATTERN_BYTES_MAX} bytes"),
            Self::TooComplex => write!(f, "pattern compiles to more than {COMPILED_SIZE_MAX} bytes"),
            Self::Syntax(error) => f.write_str(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_rabbitmqs_do() {
        for (pattern, matching, other) in [
            ("", "", "a"),
            ("^a", "ab", "ba"),
            (r"^(?!amq\.).*", "orders", "amq.topic"),
            (r"^(?!.*\.dead$)", "orders", "orders.dead"),
            (r"(?<=eu\.)orders", "eu.orders", "us.orders"),
            (r"^(a|b)-\1$", "a-a", "a-b"),
            (r"^(?>a+)b", "aab", "aac"),
        ] {
            let parsed = Pattern::parse(pattern).unwrap();
            assert!(parsed.is_match(matching) && !parsed.is_match(other), "{pattern}");
            assert_eq!(parsed.as_str(), pattern);
        }
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        for text in ["(", "[a", "*", "(?=a", r"\2(a)", "(?z)"] {
            let Err(PatternError::Syntax(error)) = Pattern::parse(text) else { panic!("{text}") };
            assert!(!error.is_empty());
        }
        assert_eq!(Pattern::parse("((a{1000}){1000}){1000}"), Err(PatternError::TooComplex));
        assert_eq!(Pattern::parse(&"a".repeat(PATTERN_BYTES_MAX + 1)), Err(PatternError::TooLong));
        assert!(Pattern::parse(&"(?=".repeat(PATTERN_BYTES_MAX / 3)).is_err());
    }

    #[test]
    fn a_search_that_steps_back_too_often_ends_without_a_match() {
        let name = "a".repeat(255);
        let pattern = Pattern::parse(r"^(?:(a|aa)+\1)+(?!a)b").unwrap();
        let Engine::Backtracking(regex) = &pattern.engine else { panic!("linear") };
        assert!(regex.is_match(&name).is_err());
        assert!(!pattern.is_match(&name));
    }
}
