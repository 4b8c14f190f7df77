//! What a user may publish to topic exchanges and bind from them, by routing key
//! (<https://www.rabbitmq.com/docs/access-control#topic-authorisation>).
//!
//! They narrow what permissions grant: where a user has none for an exchange, every routing key is allowed. Only
//! topic exchanges are looked at, which is the caller's to know.

use std::{borrow::Cow, collections::BTreeMap};

use super::{
    name::Name,
    pattern::{Pattern, PatternError},
    permission::{Access, Authorized},
};

/// The patterns of a user for the routing keys of one exchange. All fields are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPermission {
    /// What may be published.
    pub write: Pattern,
    /// What may be bound.
    pub read: Pattern,
}

/// What a user may do in one vhost, by exchange.
pub type TopicPermissions = BTreeMap<Name, TopicPermission>;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRefused {
    /// What was missing.
    pub access: Access,
    /// For which key.
    pub routing_key: String,
    /// Of which exchange.
    pub exchange: String,
}

impl TopicPermission {
    /// Parses the patterns of a user in a vhost. In them `{username}` and `{vhost}` stand for these names, every
    /// letter of which stands for itself. Other braces that are no repetition stand for themselves, too:
    /// `{client_id}` is one, for AMQP 0-9-1 has none.
    pub fn parse(write: &str, read: &str, user: &str, vhost: &str) -> Result<Self, RefusedPattern> {
        let parse = |text: &str| {
            Pattern::parse_as(text, |text| with_names(text, user, vhost))
                .map_err(|error| RefusedPattern { text: text.to_owned(), error })
        };
        Ok(Self { write: parse(write)?, read: parse(read)? })
    }
}

/// Which of the patterns is none, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedPattern {
    /// The pattern.
    pub text: String,
    /// What is wrong with it.
    pub error: PatternError,
}

/// Whether a user with these topic permissions in the vhost may publish to, or bind from, a topic exchange with
/// this key.
pub fn authorize_topic(
    permissions: &TopicPermissions,
    access: Access,
    exchange: &str,
    routing_key: &[u8],
) -> Result<Authorized, TopicRefused> {
    let pattern = permissions.get(exchange).map(|permission| match access {
        Access::Write => &permission.write,
        Access::Read | Access::Configure => &permission.read,
    });
    let routing_key = String::from_utf8_lossy(routing_key);
    let is_allowed = pattern.is_none_or(|pattern| pattern.is_match(&routing_key));
    Authorized::of_topic(is_allowed).ok_or_else(|| TopicRefused {
        access,
        routing_key: routing_key.into_owned(),
        exchange: exchange.to_owned(),
    })
}

impl TopicRefused {
    /// RabbitMQ's text, without the code's name.
    #[must_use]
    pub fn text(&self, vhost: &str, user: &str) -> String {
        let Self { access, routing_key, exchange } = self;
        let access = access.as_str();
        format!(
            "{access} access to topic '{routing_key}' in exchange '{exchange}' in vhost '{vhost}' refused for user \
             '{user}'"
        )
    }
}

/// The regular expression that a pattern means for these names.
fn with_names<'a>(text: &'a str, user: &str, vhost: &str) -> Cow<'a, str> {
    if !text.contains('{') {
        return Cow::Borrowed(text);
    }
    let mut expression = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(['\\', '{']) {
        let (before, from) = rest.split_at(start);
        expression.push_str(before);
        rest = if from.starts_with('\\') {
            copy_escape(from, &mut expression)
        } else if let Some(after) = from.strip_prefix("{username}") {
            expression.push_str(&regex::escape(user));
            after
        } else if let Some(after) = from.strip_prefix("{vhost}") {
            expression.push_str(&regex::escape(vhost));
            after
        } else {
            expression.push_str(if is_repetition(from) { "{" } else { "\\{" });
            &from[1..]
        };
    }
    expression.push_str(rest);
    Cow::Owned(expression)
}

/// Copies `\d`, or `\p{Greek}` as a whole: those braces belong to it. Gives what follows.
fn copy_escape<'a>(text: &'a str, expression: &mut String) -> &'a str {
    let end = text[1..].chars().next().map_or(1, |letter| 1 + letter.len_utf8());
    let has_braces = matches!(text.as_bytes().get(1), Some(b'p' | b'P' | b'x' | b'u' | b'U' | b'b'));
    let end = match text[end..].strip_prefix('{').and_then(|inside| inside.find('}')) {
        Some(length) if has_braces => end + length + 2,
        _ => end,
    };
    expression.push_str(&text[..end]);
    &text[end..]
}

/// `{2}`, `{2,}` and `{2,3}` at the beginning.
fn is_repetition(text: &str) -> bool {
    let Some((inside, _)) = text[1..].split_once('}') else { return false };
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match inside.split_once(',') {
        Some((least, most)) => is_number(least) && (most.is_empty() || is_number(most)),
        None => is_number(inside),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn grants(pattern: &str, user: &str, vhost: &str, key: &str) -> bool {
        let permission = TopicPermission::parse(pattern, "", user, vhost).unwrap();
        let permissions = [(Name::literal("t"), permission)].into();
        authorize_topic(&permissions, Access::Write, "t", key.as_bytes()).is_ok()
    }

    #[test]
    fn names_stand_in_patterns() {
        for (pattern, key, expected) in [
            ("^{username}\\.", "ana.1", true),
            ("^{username}\\.", "anab.1", false),
            ("^{vhost}-{username}$", "v-ana", true),
            ("^{vhost}-{username}$", "v-an", false),
            ("^\\{username}$", "{username}", true),
            ("^\\{username}$", "ana", false),
            ("^{client_id}$", "{client_id}", true),
            ("^{client_id}$", "", false),
            ("^{Username}$", "{Username}", true),
            ("^{username$", "{username", true),
            ("^a{2}$", "aa", true),
            ("^a{2,3}$", "aaaa", false),
            ("^a{2,}$", "aaaa", true),
            ("^a{,2}$", "a{,2}", true),
            ("^\\p{Greek}{2}$", "βγ", true),
            ("^\\x{e9}$", "é", true),
            ("^[{}]$", "{", true),
            ("^[{username}]{3}$", "nan", true),
            ("^{}$", "{}", true),
            ("", "", true),
            ("", "a", false),
            ("é{username}é", "xéanaé", true),
        ] {
            assert_eq!(grants(pattern, "ana", "v", key), expected, "{pattern} {key}");
        }
    }

    proptest! {
        #[test]
        fn names_match_themselves_and_nothing_else(name in "\\PC{0,12}", other in "\\PC{0,12}") {
            let (one, both) = ("^{username}$", "^x{vhost}{username}$");
            let key = ["x", &other, &name].concat();
            prop_assert_eq!(grants(one, &name, "", &name), true);
            prop_assert_eq!(grants(both, &name, &other, &key), true);
            prop_assert_eq!(grants(one, &name, "", &other), name == other);
        }

        #[test]
        fn any_text_is_a_pattern_or_refused(text in "[{}\\\\,0-9a-zA-Zpx\\[\\]()^$-]{0,16}", name in "\\PC{0,8}") {
            let _ = TopicPermission::parse(&text, "", &name, &name);
        }
    }

    #[test]
    fn refusals_read_as_rabbitmq_writes_them() {
        let permission = TopicPermission::parse("^w", "^r", "u", "v").unwrap();
        let permissions = [(Name::literal("t"), permission)].into();
        for (access, key, expected) in [
            (Access::Write, "w.1", None),
            (Access::Read, "r.1", None),
            (
                Access::Write,
                "r.1",
                Some("write access to topic 'r.1' in exchange 't' in vhost 'v' refused for user 'u'"),
            ),
            (
                Access::Read,
                "w.1",
                Some("read access to topic 'w.1' in exchange 't' in vhost 'v' refused for user 'u'"),
            ),
        ] {
            let refused = authorize_topic(&permissions, access, "t", key.as_bytes()).err();
            assert_eq!(refused.map(|refused| refused.text("v", "u")).as_deref(), expected);
            assert!(authorize_topic(&permissions, access, "another", key.as_bytes()).is_ok());
        }
        assert!(authorize_topic(&permissions, Access::Write, "t", b"w\xff").is_ok());
        assert!(authorize_topic(&permissions, Access::Write, "t", b"\xff").is_err());
    }

    #[test]
    fn patterns_that_are_none_are_named() {
        let refused = TopicPermission::parse("^ok", "(", "u", "v").unwrap_err();
        assert_eq!((refused.text.as_str(), matches!(refused.error, PatternError::Syntax(_))), ("(", true));
        let many = "{username}".repeat(80);
        let long = "é".repeat(127);
        assert!(TopicPermission::parse(&many, "", &long, "v").is_ok());
        let refused = TopicPermission::parse(&format!("({many}){{30}}"), "", &long, "v").unwrap_err();
        assert_eq!(refused.error, PatternError::TooComplex);
    }
}
