//! Accepting connections.

use std::{
    future::{pending, poll_fn},
    io,
    net::SocketAddr,
    sync::Arc,
    task::Poll,
    time::{Duration, SystemTime},
};

use socket2::{Domain, Protocol, SockAddr, Socket as RawSocket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use super::{
    admission::{Admission, Door},
    bell::Bell,
    process::open_files_max,
    socket::{Socket, now},
};
use crate::{
    connection::{
        Connection,
        registry::{ConnectionInfo, Node},
    },
    limits::FILES_RESERVED,
    vhost::outbox::Outbox,
};

/// Connections may take so long to say good-bye.
const GOOD_BYE_PATIENCE: Duration = Duration::from_secs(2);
/// Pause when no connection can be accepted (out of file descriptors, out of memory).
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What connections are told when the broker stops.
const SHUTDOWN_TEXT: &str = "broker forced connection closure with reason 'shutdown'";

/// A listening socket. An unspecified IPv6 address takes IPv4 connections, too.
pub(super) fn listen(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let socket = bound(address)?;
    socket.listen(backlog)?;
    TcpListener::from_std(socket.into())
}

/// Whether somebody else listens there already. Nobody can connect meanwhile.
pub(super) fn check(address: SocketAddr) -> io::Result<()> {
    bound(address).map(drop)
}

fn bound(address: SocketAddr) -> io::Result<RawSocket> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    Ok(socket)
}

/// Accepts AMQP connections until `stop` is true, as long as an operator lets them in; then closes them and waits until
/// all have ended and given back what they had.
///
/// Connections that would take the file descriptors which the message log needs wait in the kernel until others end.
pub(super) async fn accept(
    listeners: Vec<TcpListener>,
    backlog: i32,
    node: Arc<Node>,
    admission: Arc<Admission>,
    mut stop: watch::Receiver<bool>,
) {
    let connections_max = connections_max(open_files_max());
    let mut tasks = JoinSet::new();
    let mut was_full = false;
    let mut entrance = Entrance::new(listeners, backlog, &admission);
    loop {
        let is_full = tasks.len() >= connections_max;
        if is_full && !was_full {
            tracing::warn!(
                "{connections_max} connections are all that the limit of open files allows: more are accepted when \
                 some have ended"
            );
        }
        was_full = is_full;
        tokio::select! {
            accepted = accept_any(&entrance.listeners), if !is_full => match accepted {
                Ok((stream, peer)) => {
                    if let Some(socket) = start(stream, peer, &node) {
                        tasks.spawn(socket);
                    }
                }
                Err(error) if is_of_peer(error.kind()) => tracing::debug!("lost a connection: {error}"),
                Err(error) => {
                    tracing::error!("cannot accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            door = wanted(&mut entrance.wanted) => entrance.set(door, &admission),
            Some(ended) = tasks.join_next() => report(ended),
            () = stopped(&mut stop) => break,
        }
    }
    drop(entrance);
    // Here, not where `stop` is set: no connection comes after this. What one of them gives back is not handed to
    // another that is about to close, too.
    node.broker.end_deliveries();
    node.close_connections(SHUTDOWN_TEXT, |_| true);
    let ended = async {
        while let Some(ended) = tasks.join_next().await {
            report(ended);
        }
    };
    if tokio::time::timeout(GOOD_BYE_PATIENCE, ended).await.is_err() {
        tracing::warn!("{} connections did not say good-bye in time", tasks.len());
    }
    // However long that takes: what they have is requeued when this is over.
    tasks.shutdown().await;
}

/// The next connection at any of them; never while there is none.
async fn accept_any(listeners: &[TcpListener]) -> io::Result<(TcpStream, SocketAddr)> {
    poll_fn(|context| {
        let mut polled = listeners.iter().map(|listener| listener.poll_accept(context));
        polled.find(Poll::is_ready).unwrap_or(Poll::Pending)
    })
    .await
}

/// The listening sockets, while there are some.
struct Entrance {
    listeners: Vec<TcpListener>,
    /// Where they listen, also when they are opened again.
    addresses: Vec<SocketAddr>,
    backlog: i32,
    wanted: watch::Receiver<Door>,
}

impl Entrance {
    fn new(listeners: Vec<TcpListener>, backlog: i32, admission: &Admission) -> Self {
        let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        Self { listeners, addresses, backlog, wanted: admission.wanted() }
    }

    fn set(&mut self, door: Door, admission: &Admission) {
        match door {
            Door::Closed => {
                self.listeners.clear();
                tracing::info!("no AMQP connections are accepted until the listeners are resumed");
            }
            Door::Open if !self.listeners.is_empty() => {}
            Door::Open => match self.open() {
                Ok(listeners) => {
                    self.listeners = listeners;
                    tracing::info!("AMQP connections are accepted again");
                }
                Err(reason) => return admission.refuse(reason),
            },
        }
        admission.report(door);
    }

    fn open(&self) -> Result<Vec<TcpListener>, String> {
        let open = |address: &SocketAddr| {
            listen(*address, self.backlog).map_err(|error| format!("cannot listen on {address}: {error}"))
        };
        self.addresses.iter().map(open).collect()
    }
}

/// What an operator wants of the door now; for ever if nobody can want anything any more.
async fn wanted(wanted: &mut watch::Receiver<Door>) -> Door {
    match wanted.changed().await {
        Ok(()) => *wanted.borrow_and_update(),
        Err(_) => pending().await,
    }
}

/// How many connections there may be.
fn connections_max(open_files_max: Option<u64>) -> usize {
    let files = open_files_max.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX);
    files - FILES_RESERVED.min(files / 2)
}

/// Whether this error of `accept` is one connection's, which went before it was taken, or which the network
/// or a firewall took back (accept(2)). The next one may be there already. All other errors are ours, and
/// come again at once.
pub(super) fn is_of_peer(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkDown,
        NetworkUnreachable, PermissionDenied, TimedOut,
    };
    matches!(
        kind,
        ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | PermissionDenied
            | TimedOut
    )
}

/// Until the broker is to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

fn start(stream: TcpStream, peer: SocketAddr, node: &Arc<Node>) -> Option<impl Future<Output = ()> + use<>> {
    // Fails only for a socket that is already gone.
    stream.set_nodelay(true).ok()?;
    let local = stream.local_addr().ok()?;
    let bell = Arc::new(Bell::default());
    let outbox = Arc::new(Outbox::new(Arc::<Bell>::clone(&bell)));
    let id = node.broker.next_connection_id();
    let ends = (canonical(peer), canonical(local));
    let info = Arc::new(ConnectionInfo::new(id, ends, wall_clock(), outbox));
    tracing::info!("accepting AMQP connection {}", info.name());
    let connection = Connection::new(Arc::clone(node), Arc::clone(&info), now());
    let mut socket = Socket::new(stream, connection, Arc::clone(&info), bell);
    Some(async move {
        match socket.run().await {
            Ok(()) => tracing::info!("closing AMQP connection {}", info.name()),
            Err(error) => {
                tracing::warn!(
                    "closing AMQP connection {}: client unexpectedly closed TCP connection ({error})",
                    info.name()
                );
            }
        }
    })
}

/// An IPv4 peer of a dual-stack socket under its own address.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// A task that panicked took only its own connection with it.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!("a connection's task failed: {error}");
    }
}

#[expect(clippy::disallowed_methods, reason = "the server layer reads the clock")]
pub(super) fn wall_clock() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn connections_leave_files_to_others() {
        for (files, connections) in [(1_024, 640), (256, 128), (100, 50), (0, 0)] {
            assert_eq!(connections_max(Some(files)), connections);
        }
        assert!(connections_max(None) > 1 << 20, "no limit");
    }

    #[test]
    fn only_our_own_errors_pause_accepting() {
        let is_of_peer = |code| is_of_peer(io::Error::from_raw_os_error(code).kind());
        for code in [Errno::CONNABORTED, Errno::CONNRESET, Errno::PERM] {
            assert!(is_of_peer(code.raw_os_error()), "{code}");
        }
        for code in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::BADF] {
            assert!(!is_of_peer(code.raw_os_error()), "{code}");
        }
    }
}
