//! Refusals of the management API, with RabbitMQ's status codes and JSON.
//!
//! ```text
//! 400 {"error":"bad_request","reason":…}
//! 401 {"error":"not_authorized","reason":…}              not let in
//! 401 {"error":"not_authorised","reason":…}              let in, but not allowed this
//! 404 {"error":"Object Not Found","reason":"Not Found"}  the path names nothing
//! 404 {"error":"not_found","reason":…}                   something else that was named is not there
//! ```

use std::borrow::Cow;

use axum::{
    body::Body,
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// Sent with every 401 that credentials might change.
pub const CHALLENGE: &str = "Basic realm=\"RabbitMQ Management\"";

const ACCESS_REFUSED: &str = "Access refused.";

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq)]
pub enum HttpError {
    /// 401: the request came without credentials.
    NoCredentials,
    /// 401: nobody has these credentials, or may log in here with them.
    LoginFailed,
    /// 401: logged in, but not allowed this; the reason says why.
    NotAuthorised(Cow<'static, str>),
    /// 400 without a body: the request line or a header cannot be read.
    Malformed,
    /// 400: the body or the query makes no sense here. The reason is a text, or JSON such as
    /// `["not_boolean","maybe"]`.
    BadRequest(Value),
    /// 400: a page number or size outside the limits.
    InvalidPage {
        /// As asked for.
        page: i64,
        /// As asked for.
        page_size: Option<i64>,
    },
    /// 400: a page after the last.
    PageOutOfRange {
        /// As asked for.
        page: i64,
        /// As asked for, or the usual one.
        page_size: i64,
        /// How many items there are.
        count: usize,
    },
    /// 403: another site's page asks, through somebody's browser.
    ForeignOrigin,
    /// 404: the path names nothing.
    ObjectNotFound,
    /// 404: something that the request refers to does not exist; the reason names it.
    NotFound(String),
    /// 405: the path is known, the method is not for it.
    MethodNotAllowed {
        /// The methods that are, as in the `allow` header.
        allow: &'static str,
    },
    /// 408: the body does not come.
    BodyTooSlow,
    /// 412: the vhost is protected from deletion.
    PreconditionFailed(String),
    /// 413: the body is larger than [`crate::limits::HTTP_BODY_MAX`].
    BodyTooLarge,
    /// 503: not now.
    Unavailable(String),
    /// 500: the disk failed. The reason is for the operator, who is the one asking.
    Internal(String),
}

impl HttpError {
    /// A bad request with a reason in words.
    pub fn bad_request(reason: impl Into<String>) -> Self {
        Self::BadRequest(Value::String(reason.into()))
    }

    /// A bad request with RabbitMQ's reason in two parts, such as `["not_boolean", 1]`.
    #[must_use]
    pub fn bad_value(kind: &str, value: &Value) -> Self {
        Self::BadRequest(json!([kind, value]))
    }

    /// What an AMQP exception is in HTTP. `reply_text` may begin with the code's name, as on the wire.
    #[must_use]
    pub fn from_reply(reply_code: u16, reply_text: &str) -> Self {
        let reason = without_code_name(reply_text);
        match reply_code {
            403 => Self::NotAuthorised(ACCESS_REFUSED.into()),
            404 => Self::NotFound(reason.to_owned()),
            541 => Self::Internal(reason.to_owned()),
            _ => Self::bad_request(reason),
        }
    }

    /// There was no room for a large answer for a while.
    #[must_use]
    pub fn no_place() -> Self {
        Self::Unavailable("too many large answers wait to be taken by their readers".to_owned())
    }

    /// The answer could not be made; the log says why.
    #[must_use]
    pub fn not_made() -> Self {
        Self::Internal("the answer could not be made".to_owned())
    }

    /// The response's status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoCredentials | Self::LoginFailed | Self::NotAuthorised(_) => StatusCode::UNAUTHORIZED,
            Self::Malformed
            | Self::BadRequest(_)
            | Self::InvalidPage { .. }
            | Self::PageOutOfRange { .. } => StatusCode::BAD_REQUEST,
            Self::ForeignOrigin => StatusCode::FORBIDDEN,
            Self::ObjectNotFound | Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::PreconditionFailed(_) => StatusCode::PRECONDITION_FAILED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The response's body; none for those that have none in RabbitMQ.
    #[must_use]
    pub fn body(&self) -> Option<Value> {
        let (error, reason) = match self {
            Self::NoCredentials | Self::Malformed | Self::MethodNotAllowed { .. } => return None,
            Self::LoginFailed => ("not_authorized", "Not_Authorized".into()),
            Self::NotAuthorised(reason) => ("not_authorised", reason.as_ref().into()),
            Self::BadRequest(reason) => ("bad_request", reason.clone()),
            Self::InvalidPage { page, page_size } => {
                let page_size = page_size.map_or("undefined".to_owned(), |size| size.to_string());
                let reason =
                    format!("Invalid pagination parameters: page number {page}, page size {page_size}");
                ("invalid_pagination_parameters", reason.into())
            }
            Self::PageOutOfRange { page, page_size, count } => {
                let reason = format!("Page out of range, page: {page} page size: {page_size}, len: {count}");
                ("page_out_of_range", reason.into())
            }
            Self::ForeignOrigin => ("forbidden", "the request comes from a page of another site".into()),
            Self::ObjectNotFound => ("Object Not Found", "Not Found".into()),
            Self::NotFound(reason) => ("not_found", reason.as_str().into()),
            Self::PreconditionFailed(reason) => ("precondition_failed", reason.as_str().into()),
            Self::BodyTooSlow => ("request_timeout", "the request body does not arrive".into()),
            Self::BodyTooLarge => ("payload_too_large", "the request body is too large".into()),
            Self::Unavailable(reason) => ("service_unavailable", reason.as_str().into()),
            Self::Internal(reason) => ("internal_error", reason.as_str().into()),
        };
        Some(json!({ "error": error, "reason": reason }))
    }

    fn header(&self) -> Option<(HeaderName, &'static str)> {
        match self {
            Self::NoCredentials | Self::LoginFailed => Some((header::WWW_AUTHENTICATE, CHALLENGE)),
            Self::MethodNotAllowed { allow } => Some((header::ALLOW, allow)),
            _ => None,
        }
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let mut response = match self.body() {
            Some(body) => {
                let content_type = (header::CONTENT_TYPE, "application/json");
                (self.status(), [content_type], body.to_string()).into_response()
            }
            None => (self.status(), Body::empty()).into_response(),
        };
        if let Some((name, value)) = self.header() {
            response.headers_mut().insert(name, axum::http::HeaderValue::from_static(value));
        }
        response
    }
}

/// `PRECONDITION_FAILED - inequivalent …` is shown as `inequivalent …`.
fn without_code_name(reply_text: &str) -> &str {
    let is_code_name =
        |name: &str| !name.is_empty() && name.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'_'));
    match reply_text.split_once(" - ") {
        Some((name, reason)) if is_code_name(name) => reason,
        _ => reply_text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: &HttpError, status: u16, body: &str) {
        assert_eq!(error.status().as_u16(), status);
        assert_eq!(error.body().map_or(String::new(), |body| body.to_string()), body);
    }

    #[test]
    fn bodies_are_those_of_rabbitmq() {
        check(&HttpError::NoCredentials, 401, "");
        check(&HttpError::LoginFailed, 401, r#"{"error":"not_authorized","reason":"Not_Authorized"}"#);
        check(
            &HttpError::NotAuthorised("Not administrator user".into()),
            401,
            r#"{"error":"not_authorised","reason":"Not administrator user"}"#,
        );
        check(&HttpError::Malformed, 400, "");
        check(&HttpError::ObjectNotFound, 404, r#"{"error":"Object Not Found","reason":"Not Found"}"#);
        check(&HttpError::MethodNotAllowed { allow: "HEAD, GET, OPTIONS" }, 405, "");
        check(
            &HttpError::bad_value("not_boolean", &json!("maybe")),
            400,
            r#"{"error":"bad_request","reason":["not_boolean","maybe"]}"#,
        );
        check(
            &HttpError::InvalidPage { page: 0, page_size: None },
            400,
            r#"{"error":"invalid_pagination_parameters","reason":"Invalid pagination parameters: page number 0, page size undefined"}"#,
        );
        check(
            &HttpError::PageOutOfRange { page: 3, page_size: 100, count: 11 },
            400,
            r#"{"error":"page_out_of_range","reason":"Page out of range, page: 3 page size: 100, len: 11"}"#,
        );
    }

    #[test]
    fn amqp_exceptions_lose_their_code_names() {
        check(
            &HttpError::from_reply(
                406,
                "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q1' in vhost 'v': received 'true' but current is 'false'",
            ),
            400,
            r#"{"error":"bad_request","reason":"inequivalent arg 'durable' for queue 'q1' in vhost 'v': received 'true' but current is 'false'"}"#,
        );
        check(
            &HttpError::from_reply(404, "NOT_FOUND - no queue 'nope' in vhost 'v'"),
            404,
            r#"{"error":"not_found","reason":"no queue 'nope' in vhost 'v'"}"#,
        );
        check(
            &HttpError::from_reply(
                403,
                "ACCESS_REFUSED - queue name 'amq.x' contains reserved prefix 'amq.*'",
            ),
            401,
            r#"{"error":"not_authorised","reason":"Access refused."}"#,
        );
        assert_eq!(without_code_name("unknown exchange type 'a - b'"), "unknown exchange type 'a - b'");
    }

    #[test]
    fn challenge_and_allow_are_headers() {
        let response = HttpError::NoCredentials.into_response();
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], CHALLENGE);
        assert_eq!(response.headers().get(header::CONTENT_TYPE), None);
        let response = HttpError::MethodNotAllowed { allow: "HEAD, GET, OPTIONS" }.into_response();
        assert_eq!(response.headers()[header::ALLOW], "HEAD, GET, OPTIONS");
        let response = HttpError::ObjectNotFound.into_response();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    }
}
