//! What people find who open the API's address in a browser, or fetch tools from it. Nobody needs to log in.

use axum::{
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::HttpError;
use crate::product;

/// The command line tool of RabbitMQ's management plugin, which people fetch from the broker itself.
const RABBITMQADMIN: &str = "\
This broker does not carry the script 'rabbitmqadmin': it is a part of RabbitMQ.
It works with this broker, though. Take it from RabbitMQ
(https://www.rabbitmq.com/docs/management-cli), or use 'rabbitmqctl' here, which
also works from afar: rabbitmqctl --host HOST --username NAME list_queues
";

/// `/`, `/api`, `/api/index.html`, `/cli`, `/cli/index.html`, `/cli/rabbitmqadmin`, and RabbitMQ's old addresses.
pub(super) fn answer(method: &Method, names: &[&str]) -> Result<Response, HttpError> {
    let response = match names {
        [] => text(StatusCode::OK, welcome()),
        ["api", "index.html"] | ["cli", "index.html"] => text(StatusCode::OK, welcome()),
        ["api"] | ["stats"] | ["doc", "stats.html"] => moved("/api/index.html"),
        ["cli"] => moved("/cli/index.html"),
        ["mgmt"] => moved("/"),
        ["cli", "rabbitmqadmin"] => text(StatusCode::NOT_FOUND, RABBITMQADMIN.to_owned()),
        _ => return Err(HttpError::ObjectNotFound),
    };
    match *method {
        Method::GET | Method::HEAD => Ok(response),
        _ => Err(HttpError::MethodNotAllowed { allow: "HEAD, GET, OPTIONS" }),
    }
}

fn welcome() -> String {
    format!(
        "{} {}, compatible with RabbitMQ {}\n\n\
         Here is the management HTTP API, with RabbitMQ's paths below /api. For example:\n\n\
         \x20 curl --user NAME:PASSWORD http://HOST:PORT/api/overview\n\
         \x20 curl --user NAME:PASSWORD http://HOST:PORT/api/queues\n\n\
         On the command line: rabbitmqctl status, rabbitmqctl list_queues, rabbitmqctl help\n",
        product::NAME,
        product::VERSION,
        product::COMPATIBLE_VERSION,
    )
}

fn moved(to: &'static str) -> Response {
    (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, to)]).into_response()
}

fn text(status: StatusCode, text: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}
