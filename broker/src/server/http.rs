//! HTTP connections: accepted, bounded in number, and closed when their peer does not say what it wants.
//!
//! They have threads of their own: a listing of 100,000 queues takes its time from other requests, not from AMQP
//! connections, which share the threads of the main runtime.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc};

use axum::{
    body::Body,
    extract::Request,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use hyper::{Method, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    runtime::{Builder, Handle, Runtime},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

use super::{
    listener::{ACCEPT_PAUSE, is_of_peer},
    patience::PatientStream,
};
use crate::limits::{
    HEALTH_TIMEOUT, HTTP_CONNECTIONS_MAX, HTTP_HEAD_BYTES_MAX, HTTP_HEAD_TIMEOUT, HTTP_THREADS,
};

/// Where connections come from.
pub trait Door: Send + 'static {
    /// What a connection is.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// The next one, with its peer's address if it has one.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Option<SocketAddr>)>> + Send;
}

impl Door for TcpListener {
    type Stream = tokio::net::TcpStream;

    async fn accept(&self) -> io::Result<(Self::Stream, Option<SocketAddr>)> {
        let (stream, peer) = Self::accept(self).await?;
        // Fails only for a socket that is already gone.
        let _ = stream.set_nodelay(true);
        Ok((stream, Some(peer)))
    }
}

impl Door for UnixListener {
    type Stream = tokio::net::UnixStream;

    async fn accept(&self) -> io::Result<(Self::Stream, Option<SocketAddr>)> {
        let (stream, _) = Self::accept(self).await?;
        Ok((stream, None))
    }
}

/// The threads that answer HTTP requests.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(HTTP_THREADS).thread_name("http").enable_all().build()
}

/// Whether the threads of AMQP connections, or enough of them, still do what they are given.
pub async fn is_responsive(threads: &Handle) -> bool {
    timeout(HEALTH_TIMEOUT, threads.spawn(async {})).await.is_ok_and(|done| done.is_ok())
}

/// Answers requests with `respond` until `stop` is true, and then those that have begun.
///
/// Of [`HTTP_CONNECTIONS_MAX`] connections more wait in the kernel.
pub async fn serve<F, R>(door: impl Door, respond: F, mut stop: watch::Receiver<bool>)
where
    F: Fn(Request, Option<SocketAddr>) -> R + Send + Sync + 'static,
    R: Future<Output = Response> + Send + 'static,
{
    let respond = Arc::new(respond);
    let mut connections = JoinSet::new();
    loop {
        let is_full = connections.len() >= HTTP_CONNECTIONS_MAX;
        tokio::select! {
            accepted = door.accept(), if !is_full => match accepted {
                Ok((stream, peer)) => {
                    let respond = Arc::clone(&respond);
                    let respond = move |request| respond(request, peer);
                    connections.spawn(converse(stream, respond, stop.clone()));
                }
                Err(error) if is_of_peer(error.kind()) => tracing::debug!("lost an HTTP connection: {error}"),
                Err(error) => {
                    tracing::error!("cannot accept an HTTP connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = stopped(&mut stop) => break,
        }
    }
    drop(door);
    while connections.join_next().await.is_some() {}
}

/// One connection: its requests one after the other.
async fn converse<S, R>(stream: S, respond: impl Fn(Request) -> R + Send, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    R: Future<Output = Response> + Send + 'static,
{
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let only_reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        let response = respond(request.map(Body::new));
        async move { Ok::<_, Infallible>(if only_reads { response.await } else { to_its_end(response).await }) }
    });
    let stream = PatientStream::new(stream);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HTTP_HEAD_TIMEOUT)
        .max_buf_size(HTTP_HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!("an HTTP connection ended: {error}");
    }
}

/// A change that has begun goes on when the peer who asked for it leaves: nothing is half done.
async fn to_its_end(response: impl Future<Output = Response> + Send + 'static) -> Response {
    #[expect(clippy::disallowed_methods, reason = "the request ends by itself; nobody stops it")]
    let task = tokio::spawn(response);
    task.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::response::IntoResponse;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    /// Serves "hello" on a port of its own.
    async fn server() -> (SocketAddr, watch::Sender<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let respond = |_: Request, _: Option<SocketAddr>| async { "hello".into_response() };
        #[expect(clippy::disallowed_methods, reason = "a test's own server")]
        tokio::spawn(serve(listener, respond, stopped));
        (address, stop)
    }

    async fn connect(address: SocketAddr) -> TcpStream {
        TcpStream::connect(address).await.unwrap()
    }

    /// Everything that comes until the end of the connection.
    async fn rest(mut stream: TcpStream) -> String {
        let mut text = String::new();
        // A reset is an end, too.
        let _ = stream.read_to_string(&mut text).await;
        text
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_come_ends_the_connection() {
        let (address, _stop) = server().await;
        for head in ["", "GET / HTTP/1.1\r\nhost: x\r\nx-drip: "] {
            let mut stream = connect(address).await;
            stream.write_all(head.as_bytes()).await.unwrap();
            let end = tokio::time::timeout(HTTP_HEAD_TIMEOUT + Duration::from_secs(1), rest(stream));
            assert!(!end.await.unwrap().contains("hello"), "{head:?}");
        }
    }

    #[tokio::test]
    async fn connections_above_the_limit_wait() {
        let (address, _stop) = server().await;
        let mut open = Vec::new();
        for _ in 0..HTTP_CONNECTIONS_MAX {
            let mut stream = connect(address).await;
            stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            let mut first = [0; 15];
            stream.read_exact(&mut first).await.unwrap();
            assert_eq!(&first, b"HTTP/1.1 200 OK");
            open.push(stream);
        }
        let mut late = connect(address).await;
        late.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut first = [0; 1];
        let answered = tokio::time::timeout(Duration::from_millis(100), late.peek(&mut first)).await;
        assert!(answered.is_err(), "one more was served");
        drop(open.pop());
        assert!(rest(late).await.ends_with("hello"));
    }

    #[tokio::test]
    async fn a_stop_ends_idle_connections() {
        let (address, stop) = server().await;
        let mut stream = connect(address).await;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut first = [0; 15];
        stream.read_exact(&mut first).await.unwrap();
        stop.send_replace(true);
        assert!(rest(stream).await.ends_with("hello"));
    }

    #[tokio::test]
    async fn a_head_that_is_too_long_is_refused() {
        let (address, _stop) = server().await;
        let mut stream = connect(address).await;
        let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(2 * HTTP_HEAD_BYTES_MAX));
        let _ = stream.write_all(head.as_bytes()).await;
        assert!(!rest(stream).await.contains("hello"));
    }
}
