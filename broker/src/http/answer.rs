//! What a route answers, and how it becomes a response.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::Value;

use super::{HttpError, query::ListQuery};

/// A successful answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// 200 with an object, or the wanted columns of it.
    Object(Value),
    /// 200 with a list that can be sorted.
    Listing(Vec<Value>),
    /// 200 with a list that is sorted, and cut into pages, as the query asked: JSON.
    Selected(String),
    /// 201, and where it is when the path does not say so.
    Created(Option<String>),
    /// 200 with an object that is to be saved under this name.
    Download(Value, Option<String>),
    /// 303: a form was taken, and what follows is there.
    SeeOther(String),
    /// 204
    Done,
    /// 503 of a health check that does not pass.
    Unhealthy(Value),
}

/// What every route gives.
pub(super) type Answered = Result<Answer, HttpError>;

impl Answer {
    /// Of a PUT: 201 when it made something.
    pub(super) fn put(is_new: bool) -> Self {
        if is_new { Self::Created(None) } else { Self::Done }
    }

    /// The response to a request with this query.
    pub(super) fn into_response(self, query: &str) -> Result<Response, HttpError> {
        let response = match self {
            Self::Object(object) => ok(&ListQuery::parse(query)?.select(object)),
            Self::Listing(items) => ok(&ListQuery::parse(query)?.apply_unpaged(items)),
            Self::Selected(json) => json_text(StatusCode::OK, json),
            Self::Created(location) => created(location),
            Self::Download(object, name) => attached(ok(&ListQuery::parse(query)?.select(object)), name),
            Self::SeeOther(location) => see_other(&location),
            Self::Done => StatusCode::NO_CONTENT.into_response(),
            Self::Unhealthy(body) => with_json(StatusCode::SERVICE_UNAVAILABLE, &body),
        };
        Ok(response)
    }
}

/// What browsers are told: an answer is data, never a page with scripts, and no other site's business. No header lets
/// another site's page read it.
const STRICT: [(HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// Headers of every answer: RabbitMQ's, and [`STRICT`] ones.
pub(super) fn add_headers(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding, origin"));
    for (name, value) in STRICT {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn ok(body: &Value) -> Response {
    with_json(StatusCode::OK, body)
}

fn with_json(status: StatusCode, body: &Value) -> Response {
    json_text(status, body.to_string())
}

fn json_text(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn attached(mut response: Response, name: Option<String>) -> Response {
    let value = name.and_then(|name| HeaderValue::from_str(&format!("attachment; filename={name}")).ok());
    if let Some(value) = value {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

fn see_other(location: &str) -> Response {
    let mut response = (StatusCode::SEE_OTHER, Body::empty()).into_response();
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

fn created(location: Option<String>) -> Response {
    let mut response = (StatusCode::CREATED, Body::empty()).into_response();
    if let Some(location) = location.and_then(|location| HeaderValue::from_str(&location).ok()) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
