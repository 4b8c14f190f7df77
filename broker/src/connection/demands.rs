//! What the properties of a message want from the broker: direct reply-to, a check of `user-id` and `expiration`, and
//! copies for the routing keys in `CC` and `BCC`
//! (<https://www.rabbitmq.com/docs/validated-user-id>, <https://www.rabbitmq.com/docs/sender-selected>).
//!
//! Most messages want nothing: then a look at which properties there are is all it costs.

use super::{
    Connection,
    exception::{Exception, ReplyCode},
};
use crate::{
    model::{arguments::type_name, expiration::parse_expiration, name::Name},
    vhost::reply_to::REPLY_TO,
    wire::{
        content::encode_header,
        properties::Properties,
        table::{RawTable, RawValue},
    },
};

/// Who publishes, as far as properties are about that.
#[derive(Clone, Copy, Debug, Default)]
pub struct Publisher<'a> {
    /// The connection's user.
    pub user: &'a str,
    /// What its channel's consumer of replies is called, if it has one.
    pub reply_name: Option<&'a Name>,
    /// Its largest message, bytes.
    pub message_size_max: u64,
}

/// What a message wants that is to be looked at when all of it is there.
#[derive(Debug, Default)]
pub struct Demands {
    /// The keys in `CC` and `BCC`.
    pub copy_keys: Vec<Vec<u8>>,
    /// Replies to a consumer that is not there.
    is_unanswerable: bool,
    /// In the name of somebody else.
    user_id: Option<Vec<u8>>,
    /// What is wrong with its expiration, or with `CC` or `BCC`.
    fault: Option<String>,
}

/// A user with this tag may publish in the name of others.
const IMPERSONATOR: &str = "impersonator";
/// In the order in which they are looked at.
const COPY_HEADERS: [&str; 2] = ["CC", "BCC"];
/// The one that nobody gets to see.
const BLIND_COPY: &[u8] = b"BCC";

impl Demands {
    /// What the message wants, if anything.
    pub(super) fn of(properties: &Properties<'_>, publisher: Publisher<'_>) -> Option<Box<Self>> {
        let expiration_fault = |text: &[u8]| {
            let error = parse_expiration(text).err()?;
            Some(format!("invalid expiration '{}': {error}", String::from_utf8_lossy(text)))
        };
        let is_others = |user: &&[u8]| *user != publisher.user.as_bytes();
        let mut demands = Self {
            copy_keys: Vec::new(),
            is_unanswerable: asks_for_replies(properties) && publisher.reply_name.is_none(),
            user_id: properties.user_id.filter(is_others).map(<[u8]>::to_vec),
            fault: properties.expiration.and_then(expiration_fault),
        };
        if let Some(headers) = &properties.headers {
            demands.add_copies(headers);
        }
        let is_something = demands.is_unanswerable
            || demands.user_id.is_some()
            || demands.fault.is_some()
            || !demands.copy_keys.is_empty();
        is_something.then(|| Box::new(demands))
    }

    fn add_copies(&mut self, headers: &RawTable<'_>) {
        for name in COPY_HEADERS {
            match headers.get(name) {
                None => {}
                Some(RawValue::Array(keys)) => {
                    self.copy_keys.extend(keys.iter().filter_map(|key| match key {
                        RawValue::LongString(key) => Some(key.to_vec()),
                        _ => None,
                    }))
                }
                Some(other) => {
                    let type_name = type_name(&other.to_value());
                    let fault =
                        || format!("invalid message: {{unacceptable_type_in_header,\"{name}\",{type_name}}}");
                    self.fault.get_or_insert_with(fault);
                }
            }
        }
    }
}

impl Connection {
    /// Refuses a message that wants what it can't have: in RabbitMQ's order, when it is known that its publisher
    /// may publish there.
    pub(super) fn check_demands(&self, demands: &Demands) -> Result<(), Exception> {
        let refused = |text: String| Err(Exception::new(ReplyCode::PreconditionFailed, text));
        if demands.is_unanswerable {
            return refused("fast reply consumer does not exist".to_owned());
        }
        if let Some(claimed) = &demands.user_id
            && !self.may_impersonate()
        {
            let user = self.user.as_ref().map_or("", |user| user.as_str());
            let claimed = String::from_utf8_lossy(claimed);
            return refused(format!(
                "user_id property set to '{claimed}' but authenticated user was '{user}'"
            ));
        }
        demands.fault.clone().map_or(Ok(()), refused)
    }

    fn may_impersonate(&self) -> bool {
        let access = self.node.broker.access();
        let user = self.user.as_ref().and_then(|user| access.user(user));
        user.is_some_and(|user| user.tags.iter().any(|tag| tag == IMPERSONATOR))
    }
}

/// Appends the content header that consumers get to see, when it is not the one that came: with the name of the reply
/// consumer in `reply-to`, and without `BCC`. Everything else stays as it is, byte for byte.
pub(super) fn rewrite_header(
    out: &mut Vec<u8>,
    body_size: u64,
    properties: &Properties<'_>,
    publisher: Publisher<'_>,
) -> bool {
    let reply_name = publisher.reply_name.filter(|_| asks_for_replies(properties));
    let kept = properties
        .headers
        .filter(|headers| headers.get(BLIND_COPY).is_some())
        .map(|headers| headers.entries_without(|name| name == BLIND_COPY));
    if reply_name.is_none() && kept.is_none() {
        return false;
    }
    let mut rewritten = *properties;
    if let Some(name) = reply_name {
        rewritten.reply_to = Some(name.as_bytes());
    }
    if let Some(entries) = &kept {
        // Part of a table that was checked.
        rewritten.headers = RawTable::parse_entries(entries).ok();
    }
    encode_header(out, body_size, &rewritten);
    true
}

/// Whether there is anything that the broker may have to do something about.
#[inline]
pub(super) fn is_remarkable(properties: &Properties<'_>) -> bool {
    properties.reply_to.is_some()
        || properties.headers.is_some()
        || properties.expiration.is_some()
        || properties.user_id.is_some()
}

fn asks_for_replies(properties: &Properties<'_>) -> bool {
    properties.reply_to == Some(REPLY_TO.as_bytes())
}
