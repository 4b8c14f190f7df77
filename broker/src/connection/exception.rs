//! What a peer is told when it did something wrong: every error of the layers below becomes a reply code
//! and RabbitMQ's text here.

use std::fmt;

use crate::{
    model::{
        permission::AccessRefused,
        queue::{EquivalenceError, QueueOptionsError},
        topic_permission::TopicRefused,
        topology::{BindError, DeclareExchangeError, DeleteExchangeError, RouteError},
    },
    storage::StoreError,
    vhost::declare::{DeclareQueueError, DeleteQueueError},
    wire::{content::ContentError, frame::FrameError, method::MethodError},
};

/// A reply code of AMQP 0-9-1 (section 1.2 of the specification's reference).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum ReplyCode {
    /// 200
    Success = 200,
    /// 312, only in `basic.return`
    NoRoute = 312,
    /// 320
    ConnectionForced = 320,
    /// 403
    AccessRefused = 403,
    /// 404
    NotFound = 404,
    /// 405
    ResourceLocked = 405,
    /// 406
    PreconditionFailed = 406,
    /// 501
    FrameError = 501,
    /// 502
    SyntaxError = 502,
    /// 503
    CommandInvalid = 503,
    /// 504
    ChannelError = 504,
    /// 505
    UnexpectedFrame = 505,
    /// 506
    ResourceError = 506,
    /// 530
    NotAllowed = 530,
    /// 540
    NotImplemented = 540,
}

/// An exception: closes the channel (403 to 406) or the connection (all others).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// What kind.
    pub code: ReplyCode,
    /// What follows the code's name and a dash.
    pub text: String,
}

/// Longest reply text (a short string), bytes.
const TEXT_MAX: usize = 255;

impl ReplyCode {
    /// As it stands at the beginning of the text.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "OK",
            Self::NoRoute => "NO_ROUTE",
            Self::ConnectionForced => "CONNECTION_FORCED",
            Self::AccessRefused => "ACCESS_REFUSED",
            Self::NotFound => "NOT_FOUND",
            Self::ResourceLocked => "RESOURCE_LOCKED",
            Self::PreconditionFailed => "PRECONDITION_FAILED",
            Self::FrameError => "FRAME_ERROR",
            Self::SyntaxError => "SYNTAX_ERROR",
            Self::CommandInvalid => "COMMAND_INVALID",
            Self::ChannelError => "CHANNEL_ERROR",
            Self::UnexpectedFrame => "UNEXPECTED_FRAME",
            Self::ResourceError => "RESOURCE_ERROR",
            Self::NotAllowed => "NOT_ALLOWED",
            Self::NotImplemented => "NOT_IMPLEMENTED",
        }
    }

    /// Whether it ends the channel only.
    #[must_use]
    pub fn is_soft(self) -> bool {
        matches!(self, Self::AccessRefused | Self::NotFound | Self::ResourceLocked | Self::PreconditionFailed)
    }
}

impl Exception {
    /// An exception with this text.
    pub fn new(code: ReplyCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// The reply text as it is sent: cut to 255 bytes as RabbitMQ cuts it.
    #[must_use]
    pub fn reply_text(&self) -> String {
        let mut text = self.to_string();
        if text.len() > TEXT_MAX {
            let end = (0..=TEXT_MAX - 3).rev().find(|end| text.is_char_boundary(*end));
            text.truncate(end.unwrap_or(0));
            text.push_str("...");
        }
        text
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} - {}", self.code.name(), self.text)
    }
}

impl Exception {
    /// Of a declare, use or lookup of a queue.
    #[must_use]
    pub fn of_queue(error: &DeclareQueueError, queue: &str, vhost: &str) -> Self {
        let code = match error {
            DeclareQueueError::NoQueue => ReplyCode::NotFound,
            DeclareQueueError::Locked
            | DeclareQueueError::Equivalence(EquivalenceError::ExclusiveDiffers) => ReplyCode::ResourceLocked,
            DeclareQueueError::ReservedName => ReplyCode::AccessRefused,
            DeclareQueueError::Equivalence(EquivalenceError::Different(_))
            | DeclareQueueError::VhostFull(_)
            | DeclareQueueError::NodeFull(_) => ReplyCode::PreconditionFailed,
            DeclareQueueError::VhostDeleted => ReplyCode::ConnectionForced,
            DeclareQueueError::Store(_) => ReplyCode::ResourceError,
        };
        Self::new(code, error.text(queue, vhost))
    }

    /// Of `exchange.declare`, of one that is one too many.
    pub fn of_exchange_limit(exchange: &str, vhost: &str, max: usize) -> Self {
        let text = format!(
            "cannot declare exchange '{exchange}' in vhost '{vhost}': exchange limit of {max} is reached"
        );
        Self::new(ReplyCode::PreconditionFailed, text)
    }

    /// Of `queue.delete`.
    #[must_use]
    pub fn of_queue_delete(error: DeleteQueueError, queue: &str, vhost: &str) -> Self {
        let code = match error {
            DeleteQueueError::Locked => ReplyCode::ResourceLocked,
            DeleteQueueError::Refused(_) => ReplyCode::PreconditionFailed,
            DeleteQueueError::ConditionUnsupported(_) => ReplyCode::NotImplemented,
        };
        Self::new(code, error.text(queue, vhost))
    }

    /// Of a queue's arguments and properties.
    #[must_use]
    pub fn of_queue_options(error: &QueueOptionsError, queue: &str, vhost: &str) -> Self {
        Self::new(ReplyCode::PreconditionFailed, error.text(queue, vhost))
    }

    /// Of `exchange.declare`.
    #[must_use]
    pub fn of_exchange(error: &DeclareExchangeError, vhost: &str) -> Self {
        let code = match error {
            DeclareExchangeError::DefaultExchange | DeclareExchangeError::ReservedName(_) => {
                ReplyCode::AccessRefused
            }
            DeclareExchangeError::AlternateExchangeType { .. }
            | DeclareExchangeError::NotEquivalent { .. } => ReplyCode::PreconditionFailed,
        };
        Self::new(code, error.text(vhost))
    }

    /// Of `exchange.delete`.
    #[must_use]
    pub fn of_exchange_delete(error: &DeleteExchangeError, vhost: &str) -> Self {
        let code = match error {
            DeleteExchangeError::DefaultExchange | DeleteExchangeError::SystemExchange(_) => {
                ReplyCode::AccessRefused
            }
            DeleteExchangeError::InUse(_) => ReplyCode::PreconditionFailed,
        };
        Self::new(code, error.text(vhost))
    }

    /// Of bind and unbind.
    #[must_use]
    pub fn of_bind(error: &BindError, vhost: &str) -> Self {
        let code = match error {
            BindError::DefaultExchange => ReplyCode::AccessRefused,
            BindError::NoExchange(_) | BindError::NoQueue(_) => ReplyCode::NotFound,
            BindError::XMatch(_) => ReplyCode::PreconditionFailed,
        };
        Self::new(code, error.text(vhost))
    }

    /// Of `basic.publish`.
    #[must_use]
    pub fn of_route(error: &RouteError, vhost: &str) -> Self {
        let code = match error {
            RouteError::NoExchange(_) => ReplyCode::NotFound,
            RouteError::Internal(_) => ReplyCode::AccessRefused,
        };
        Self::new(code, error.text(vhost))
    }

    /// Of a missing permission.
    #[must_use]
    pub fn of_access(error: &AccessRefused, vhost: &str, user: &str) -> Self {
        Self::new(ReplyCode::AccessRefused, error.text(vhost, user))
    }

    /// Of a routing key that the user may not use.
    #[must_use]
    pub fn of_topic(error: &TopicRefused, vhost: &str, user: &str) -> Self {
        Self::new(ReplyCode::AccessRefused, error.text(vhost, user))
    }

    /// Of a change that could not be made durable.
    #[must_use]
    pub fn of_store(error: &StoreError) -> Self {
        Self::new(ReplyCode::ResourceError, error.to_string())
    }

    /// Of bytes that are no frame.
    #[must_use]
    pub fn of_frame(error: &FrameError) -> Self {
        let code = match error {
            FrameError::HeartbeatOnChannel(_) => ReplyCode::UnexpectedFrame,
            _ => ReplyCode::FrameError,
        };
        Self::new(code, error.to_string())
    }

    /// Of a method frame that holds no method.
    #[must_use]
    pub fn of_method(error: &MethodError) -> Self {
        let code = match error {
            MethodError::NoId(_) | MethodError::BadArguments { .. } | MethodError::NotUtf8(_) => {
                ReplyCode::FrameError
            }
            // RabbitMQ's reader crashes here; its text is that for a method with no place.
            MethodError::Unknown(_) => {
                return Self::new(ReplyCode::CommandInvalid, "unimplemented method");
            }
            MethodError::BadTable { .. } => ReplyCode::SyntaxError,
        };
        Self::new(code, error.to_string())
    }

    /// Of a header frame that holds no content header.
    #[must_use]
    pub fn of_content(error: &ContentError) -> Self {
        let code = match error {
            ContentError::Truncated(_) => ReplyCode::FrameError,
            ContentError::BadWeight(_) => ReplyCode::UnexpectedFrame,
            ContentError::BadProperties(_) => ReplyCode::SyntaxError,
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_to_a_short_string() {
        let exception = Exception::new(ReplyCode::NotFound, "é".repeat(200));
        let text = exception.reply_text();
        assert!(text.len() <= 255 && text.starts_with("NOT_FOUND - é") && text.ends_with("é..."), "{text}");
        let short = Exception::new(ReplyCode::NotFound, "no queue 'q' in vhost '/'");
        assert_eq!(short.reply_text(), "NOT_FOUND - no queue 'q' in vhost '/'");
    }
}
