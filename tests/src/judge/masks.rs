//! What legitimately differs between two runs of one script, and is written as if it did not. Few and by name:
//! everything else is a difference.
//!
//! | rule | what | becomes |
//! |---|---|---|
//! | `vhost` | the vhost that is made for the script | `/` |
//! | `generated name` | `amq.gen-`, `amq.ctag-`, `amq.rabbitmq.reply-to.` and random characters | the prefix and `*` |
//! | `product` | values of server-properties that name a product, a version or a machine | `*` |
//! | `mechanisms` | the order of the mechanisms in `connection.start` | sorted |
//! | `pid` | an Erlang process in a reply text | `<pid>` |
//! | `time of death` | `time` in an `x-death` header | `ts:*` |
//! | `order of channels` | lines of different channels, which no protocol orders | sorted by connection and channel |
//! | `joined confirms` | `basic.ack multiple`, acks in another order | a line for each message, in the order of their numbers |

use super::step::Who;

/// Prefixes of names that a broker makes up.
pub const GENERATED: [&str; 3] = ["amq.gen-", "amq.ctag-", "amq.rabbitmq.reply-to."];

/// Entries of server-properties that say which broker it is.
const PRODUCT: [&str; 6] = ["cluster_name", "copyright", "information", "platform", "product", "version"];

/// One thing that was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    pub who: Who,
    pub text: String,
    /// The number of the message that this confirms.
    pub confirms: Option<u64>,
}

/// The lines of a step, masked and in an order of their own.
pub fn mask(heard: &[Heard], vhost: &str) -> Vec<String> {
    let mut sorted = heard.to_vec();
    sorted.sort_by_key(|heard| heard.who);
    // Only confirms that stand next to each other change places: what is between them was said between them.
    for run in sorted.chunk_by_mut(|a, b| a.who == b.who && a.confirms.is_some() == b.confirms.is_some()) {
        run.sort_by_key(|heard| heard.confirms);
    }
    sorted.iter().map(|heard| format!("{} {}", heard.who, mask_text(&heard.text, vhost))).collect()
}

/// A line with nothing in it that varies.
pub fn mask_text(text: &str, vhost: &str) -> String {
    let mut text = text.replace(&format!("'{vhost}'"), "'/'").replace(&format!("vhost {vhost} "), "vhost / ");
    for prefix in GENERATED {
        text = replace_after(&text, prefix, "*", is_generated);
    }
    text = mask_pids(&text);
    text = replace_after(&text, "time=ts:", "*", |c| c.is_ascii_digit());
    if text.starts_with("connection.start ") {
        for name in PRODUCT {
            text = replace_after(&text, &format!(" {name}=\""), "*", |c| c != '"');
            text = replace_after(&text, &format!("{{{name}=\""), "*", |c| c != '"');
        }
        text = sort_mechanisms(&text).unwrap_or(text);
    }
    text
}

/// The last name with this prefix that a broker has made up.
pub fn generated_after(text: &str, prefix: &str) -> Option<String> {
    let (_, rest) = text.rsplit_once(prefix)?;
    let end = rest.find(|c| !is_generated(c)).unwrap_or(rest.len());
    (end > 0).then(|| format!("{prefix}{}", &rest[..end]))
}

fn is_generated(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '/' | '=')
}

/// `text` with `mask` in the place of all characters that `is_varying` after each `prefix`.
fn replace_after(text: &str, prefix: &str, mask: &str, is_varying: fn(char) -> bool) -> String {
    let mut pieces = text.split(prefix);
    let mut masked = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let rest = piece.trim_start_matches(is_varying);
        let is_name = rest.len() < piece.len();
        masked.extend([prefix, if is_name { mask } else { "" }, rest]);
    }
    masked
}

fn sort_mechanisms(text: &str) -> Option<String> {
    let (begin, rest) = text.split_once(" mechanisms=\"")?;
    let (mechanisms, end) = rest.split_once('"')?;
    let mut mechanisms: Vec<&str> = mechanisms.split(' ').collect();
    mechanisms.sort_unstable();
    Some(format!("{begin} mechanisms=\"{}\"{end}", mechanisms.join(" ")))
}

/// `<0.123.0>` is a process.
fn mask_pids(text: &str) -> String {
    let mut pieces = text.split('<');
    let mut masked = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let pid = piece.split_once('>').filter(|(inside, _)| is_pid(inside));
        match pid {
            Some((_, rest)) => masked.extend(["<pid>", rest]),
            None => masked.extend(["<", piece]),
        }
    }
    masked
}

fn is_pid(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split('.').count() == 3 && text.split('.').all(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_varies_is_masked() {
        for (text, masked) in [
            ("no queue 'q' in vhost 'judge-x'", "no queue 'q' in vhost '/'"),
            (
                "queue.declare-ok queue=\"amq.gen-Zx_9-\" messages=0",
                "queue.declare-ok queue=\"amq.gen-*\" messages=0",
            ),
            ("queue \"amq.gen-\"", "queue \"amq.gen-\""),
            ("crashed <0.12.0> and <<\"x\">>", "crashed <pid> and <<\"x\">>"),
            ("{time=ts:17 count=i64:2}", "{time=ts:* count=i64:2}"),
            (
                "connection.start server-properties={product=\"A\" b=true version=\"1\"} mechanisms=\"P AP\" x",
                "connection.start server-properties={product=\"*\" b=true version=\"*\"} mechanisms=\"AP P\" x",
            ),
        ] {
            assert_eq!(mask_text(text, "judge-x"), masked);
        }
    }

    #[test]
    fn lines_are_put_into_an_order() {
        let heard = |connection, channel, text: &str, confirms| Heard {
            who: Who { connection, channel },
            text: text.to_owned(),
            confirms,
        };
        let all = [
            heard('b', 1, "x", None),
            heard('a', 1, "two", Some(2)),
            heard('a', 1, "one", Some(1)),
            heard('a', 1, "return", None),
            heard('a', 1, "three", Some(3)),
            heard('a', 0, "closed", None),
        ];
        assert_eq!(mask(&all, "v"), ["a closed", "a1 one", "a1 two", "a1 return", "a1 three", "b1 x"]);
    }
}
