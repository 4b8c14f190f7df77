//! A fixed address in front of a broker whose port changes with every start.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// Passes connections on to the broker, or closes them while there is none.
pub struct Relay {
    pub address: SocketAddr,
    target: Arc<Mutex<Option<SocketAddr>>>,
    is_mute: Arc<AtomicBool>,
}

impl Relay {
    /// Listens in front of the broker at `target`, until the process ends.
    pub fn start(target: SocketAddr) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let target = Arc::new(Mutex::new(Some(target)));
        let current = target.clone();
        let is_mute = Arc::new(AtomicBool::new(false));
        let mute = is_mute.clone();
        thread::spawn(move || {
            for peer in listener.incoming().map_while(Result::ok) {
                let target = *current.lock().unwrap();
                // Without a broker the peer is dropped, which closes it.
                if let Some(Ok(broker)) = target.map(TcpStream::connect) {
                    join(peer, broker, &mute).expect("sockets can be cloned");
                }
            }
        });
        Relay { address, target, is_mute }
    }

    /// From now on connections go there, or nowhere.
    pub fn lead_to(&self, target: Option<SocketAddr>) {
        *self.target.lock().unwrap() = target;
    }

    /// What the broker says is lost from now on (or no longer); what is said to it arrives.
    pub fn mute(&self, is_mute: bool) {
        self.is_mute.store(is_mute, Ordering::SeqCst);
    }

    /// The URL of the broker behind it for user guest.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@{}/%2f", self.address)
    }
}

fn join(peer: TcpStream, broker: TcpStream, is_mute: &Arc<AtomicBool>) -> io::Result<()> {
    let (peer_too, broker_too) = (peer.try_clone()?, broker.try_clone()?);
    let is_mute = is_mute.clone();
    thread::spawn(move || pass(peer, broker, || false));
    thread::spawn(move || pass(broker_too, peer_too, || is_mute.load(Ordering::SeqCst)));
    Ok(())
}

/// An end of either side, however it comes, is passed on.
fn pass(mut from: TcpStream, mut to: TcpStream, is_lost: impl Fn() -> bool) {
    let mut piece = [0; 16384];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        if !is_lost() && to.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Write).ok();
}
