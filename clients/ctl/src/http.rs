//! The real way to a broker: HTTP/1.1 over its control socket or over TCP, a connection per call.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio::time;

use crate::api::{Api, CallError, Method, Request, Response};

/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 30;
/// How long a port may take to accept a test connection.
const PORT_TEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Its control socket.
    Socket(PathBuf),
    /// Its management API's port.
    Tcp {
        /// The host's name or address.
        host: String,
        /// The port.
        port: u16,
        /// The user to log in as.
        username: String,
        /// The user's password.
        password: String,
    },
}

/// Calls over HTTP.
#[derive(Debug)]
pub struct HttpApi {
    runtime: Runtime,
    target: Target,
    timeout: Duration,
}

impl HttpApi {
    /// The way to a broker; each call may take as long as `timeout`.
    pub fn new(target: Target, timeout: Duration) -> io::Result<Self> {
        Ok(Self { runtime: Builder::new_current_thread().enable_all().build()?, target, timeout })
    }

    async fn exchange(&self, request: &Request) -> Result<Response, CallError> {
        match &self.target {
            Target::Socket(path) => {
                let stream = UnixStream::connect(path).await.map_err(|error| unreachable(&error))?;
                self.exchange_over(stream, request).await
            }
            Target::Tcp { host, port, .. } => {
                let stream = TcpStream::connect((bare(host), *port)).await;
                self.exchange_over(stream.map_err(|error| unreachable(&error))?, request).await
            }
        }
    }

    async fn exchange_over<S>(&self, stream: S, request: &Request) -> Result<Response, CallError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
        let message = self.message(request)?;
        // the connection ends once its sender is gone, which is when the answer has been read
        let answer = async move {
            let response = sender.send_request(message).await.map_err(|error| broken(&error))?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| CallError::NotTheApi(error.to_string()))?.to_bytes();
            Ok(Response { status, body: parse(status, &body)? })
        };
        let (answer, _) = tokio::join!(answer, connection);
        answer
    }

    fn message(&self, request: &Request) -> Result<hyper::Request<Full<Bytes>>, CallError> {
        let method = match request.method {
            Method::Get => hyper::Method::GET,
            Method::Put => hyper::Method::PUT,
            Method::Post => hyper::Method::POST,
            Method::Delete => hyper::Method::DELETE,
        };
        let mut builder = hyper::Request::builder()
            .method(method)
            .uri(&request.path)
            .header(header::ACCEPT, "*/*")
            .header(header::CONNECTION, "close");
        builder = match &self.target {
            Target::Socket(_) => builder.header(header::HOST, "localhost"),
            Target::Tcp { host, port, username, password } => {
                let login = BASE64.encode(format!("{username}:{password}"));
                builder
                    .header(header::HOST, format!("{host}:{port}"))
                    .header(header::AUTHORIZATION, format!("Basic {login}"))
            }
        };
        if let Some(reason) = &request.reason {
            let reason: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            builder = builder.header("x-reason", reason.as_bytes());
        }
        let body = match &request.body {
            Some(body) => {
                builder = builder.header(header::CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        builder.body(Full::new(body)).map_err(|error| CallError::NotTheApi(error.to_string()))
    }
}

impl Api for HttpApi {
    fn call(&self, request: &Request) -> Result<Response, CallError> {
        self.runtime.block_on(async {
            time::timeout(self.timeout, self.exchange(request)).await.unwrap_or(Err(CallError::TimedOut))
        })
    }

    fn pause(&self, duration: Duration) {
        // A sleep is made inside the runtime that it sleeps in.
        self.runtime.block_on(async { time::sleep(duration).await });
    }

    fn address(&self) -> String {
        match &self.target {
            Target::Socket(path) => path.display().to_string(),
            Target::Tcp { host, port, .. } => format!("http://{host}:{port}"),
        }
    }

    fn host(&self) -> Option<String> {
        match &self.target {
            Target::Socket(_) => None,
            Target::Tcp { host, .. } => Some(bare(host).to_string()),
        }
    }

    fn accepts_connections(&self, host: &str, port: u16) -> bool {
        self.runtime.block_on(async {
            let connecting = time::timeout(PORT_TEST_TIMEOUT, TcpStream::connect((host, port)));
            matches!(connecting.await, Ok(Ok(_)))
        })
    }
}

/// An IPv6 address without its brackets.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// Error pages may be anything; answers must be JSON.
fn parse(status: u16, body: &[u8]) -> Result<Value, CallError> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    match serde_json::from_slice(body) {
        Ok(value) => Ok(value),
        Err(_) if status >= 400 => Ok(Value::Null),
        Err(error) => Err(CallError::NotTheApi(error.to_string())),
    }
}

fn unreachable(error: &io::Error) -> CallError {
    let text = error.to_string();
    CallError::Unreachable(text.split(" (os error").next().unwrap_or(&text).to_string())
}

/// A connection that breaks is no answer: the broker is about to end, or something else listens there.
fn broken(error: &hyper::Error) -> CallError {
    if error.is_parse() {
        CallError::NotTheApi(error.to_string())
    } else {
        CallError::Unreachable(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    use serde_json::json;

    use super::*;

    const DELETE: Request = Request { method: Method::Delete, path: String::new(), body: None, reason: None };

    /// Makes a call on a socket where `answer` is given to whatever is asked; gives back what was asked, too.
    fn exchange(request: &Request, answer: &str) -> (String, Result<Response, CallError>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let api = HttpApi::new(Target::Socket(path), Duration::from_secs(5)).unwrap();
        std::thread::scope(|scope| {
            let server = scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut asked = Vec::new();
                let mut buffer = [0; 4096];
                // a call of these tests fits into one write; its body is the last thing in it
                while !asked.ends_with(b"}") && !asked.ends_with(b"\r\n\r\n") {
                    let length = stream.read(&mut buffer).unwrap();
                    asked.extend_from_slice(&buffer[..length]);
                }
                stream.write_all(answer.as_bytes()).unwrap();
                String::from_utf8(asked).unwrap()
            });
            let response = api.call(request);
            (server.join().unwrap(), response)
        })
    }

    #[test]
    fn a_pause_needs_no_runtime_of_the_caller() {
        let api = HttpApi::new(Target::Socket("nowhere".into()), Duration::from_secs(5)).unwrap();
        api.pause(Duration::from_millis(1));
    }

    #[test]
    fn calls_go_over_the_socket_with_body_and_reason() {
        let request = Request {
            method: Method::Put,
            path: "/api/users/ana".into(),
            body: Some(json!({"tags": []})),
            reason: Some("bye\nnow".into()),
        };
        let (asked, response) = exchange(&request, "HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}");
        assert!(asked.starts_with("PUT /api/users/ana HTTP/1.1\r\n"), "{asked}");
        assert!(
            asked.contains("x-reason: bye now\r\n") && asked.ends_with("\r\n\r\n{\"tags\":[]}"),
            "{asked}"
        );
        let response = response.unwrap();
        assert_eq!((response.status, response.body), (201, json!({})));
    }

    #[test]
    fn answers_without_json_are_told_apart() {
        let call = Request { path: "/".into(), ..DELETE };
        let (_, response) = exchange(&call, "HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(response.unwrap().status, 204);
        let (_, response) = exchange(&call, "HTTP/1.1 500 Oh\r\ncontent-length: 4\r\n\r\n<p/>");
        assert_eq!(response.unwrap().status, 500);
        let (_, response) = exchange(&call, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n<p/>");
        assert!(matches!(response, Err(CallError::NotTheApi(_))));
        let (_, response) = exchange(&call, "SSH-2.0-OpenSSH\r\n");
        assert!(matches!(response, Err(CallError::NotTheApi(_))), "{response:?}");
    }

    #[test]
    fn nobody_there_and_nobody_answering() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let call = Request { path: "/".into(), ..DELETE };
        let api = HttpApi::new(Target::Socket(path.clone()), Duration::from_secs(5)).unwrap();
        let expected = CallError::Unreachable("No such file or directory".into());
        assert_eq!(api.call(&call).unwrap_err(), expected);
        let _listener = UnixListener::bind(&path).unwrap();
        let api = HttpApi::new(Target::Socket(path), Duration::from_millis(20)).unwrap();
        assert_eq!(api.call(&call).unwrap_err(), CallError::TimedOut);
    }

    #[test]
    fn over_tcp_the_user_logs_in() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let target =
            Target::Tcp { host: "127.0.0.1".into(), port, username: "ana".into(), password: "s:3".into() };
        let api = HttpApi::new(target, Duration::from_secs(5)).unwrap();
        let message = api.message(&Request { path: "/api/overview".into(), ..DELETE }).unwrap();
        assert_eq!(message.headers()["authorization"], "Basic YW5hOnM6Mw==");
        assert_eq!(api.address(), format!("http://127.0.0.1:{port}"));
        assert!(api.accepts_connections("127.0.0.1", port));
        drop(listener);
        assert!(!api.accepts_connections("127.0.0.1", port));
    }
}
