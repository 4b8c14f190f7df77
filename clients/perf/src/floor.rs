//! What no broker can be faster than on this machine: bytes through a bare relay, and one sync of the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process;
use std::thread::{self, Builder};

use crate::clock::now;
use crate::connection::Connection;
use crate::error::PerfError;
use crate::latency::{Histogram, Percentiles};
use crate::load::Load;
use crate::run::{Watcher, run_connected};

const RELAY_BYTES: usize = 256 * 1024;
/// What a broker's log writes at least.
const SYNC_BYTES: usize = 4 * 1024;
const SYNCS: u32 = 200;

/// The latencies of `load` when its publisher is connected to its consumer by a thread that only passes bytes on.
/// The messages stay what they are, as publishes: the consumer sees as many bytes as from a broker. Nobody answers the
/// publisher, so `load` has no confirms, and its time is limited.
pub fn relayed(load: &Load) -> Result<Option<Percentiles>, PerfError> {
    let failed = |source| PerfError::Io { doing: "relaying", source };
    let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
    let (publisher, from) = pair(&listener).map_err(failed)?;
    let (consumer, to) = pair(&listener).map_err(failed)?;
    thread::scope(|scope| {
        let relay = Builder::new().name("relay".to_owned()).spawn_scoped(scope, move || relay(from, to));
        relay.map_err(PerfError::Thread)?;
        let [publisher, consumer] = [publisher, consumer].map(|stream| vec![Connection::bare(stream)]);
        // The connections that are left end with this, and with them the relay.
        let (figures, _) = run_connected(None, load, publisher, consumer, &mut Watcher::nobody())?;
        Ok(figures.latency)
    })
}

/// How long one sync of a few bytes takes, in a file in `dir` that has its length already.
pub fn synced(dir: &Path) -> Result<Option<Percentiles>, PerfError> {
    let path = dir.join(format!("liebre-perf-sync-{}", process::id()));
    let failed = |source| PerfError::File { path: path.display().to_string(), source };
    let file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(failed)?;
    let latencies = sync_often(file, SYNCS);
    let removed = std::fs::remove_file(&path);
    let latencies = latencies.map_err(failed)?;
    removed.map_err(failed)?;
    Ok(latencies.percentiles())
}

fn sync_often(mut file: File, count: u32) -> io::Result<Histogram> {
    let block = vec![b'.'; SYNC_BYTES];
    for _ in 0..count {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    let mut latencies = Histogram::new();
    for _ in 0..count {
        let begin = now();
        file.write_all(&block)?;
        file.sync_data()?;
        latencies.record(now().since(begin));
    }
    Ok(latencies)
}

fn pair(listener: &TcpListener) -> io::Result<(TcpStream, TcpStream)> {
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    Ok((client, server))
}

/// Until either side ends it.
fn relay(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; RELAY_BYTES];
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 || to.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_passes_every_message_on() {
        let load = Load::parse("--warmup 0 -z 0.2 --rate 2000 --size 1024").unwrap();
        assert!(relayed(&load).unwrap().unwrap().samples > 10);
    }

    #[test]
    fn each_sync_is_a_sample() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(sync_often(file, 3).unwrap().percentiles().unwrap().samples, 3);
        assert!(synced(Path::new("/no/such/directory")).is_err());
    }
}
