//! What no broker can be faster than on this machine: bytes through a bare relay, with a sync of the disk on their way
//! or without, bare answers, and one sync alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process;
use std::thread::{self, Builder};
use std::time::Duration;

use crate::churn::Churn;
use crate::clock::now;
use crate::codec::method::{self, MethodId, QueueDeclare};
use crate::codec::table::FieldTable;
use crate::connection::{CHANNEL, Connection};
use crate::error::PerfError;
use crate::latency::{Histogram, Percentiles};
use crate::load::{Acks, Load, OWN_PREFIX};
use crate::run::{Watcher, run_connected};
use crate::work::Work;

const RELAY_BYTES: usize = 256 * 1024;
/// What a broker's log writes at least.
const SYNC_BYTES: usize = 4 * 1024;
const SYNCS: u32 = 200;
/// As much of the file is written over and over, so that a sync is one of bytes and not of a length.
const SYNCED_RELAY_BYTES: u64 = 4 << 20;
const CONFIRM_KEYS: [&str; 3] = ["confirm_p50_us", "confirm_p99_us", "confirm_p999_us"];
const CALLS_WARMUP: Duration = Duration::from_millis(300);

/// Against what some work is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Floor {
    /// Latencies: the same bytes through a bare relay.
    Relay,
    /// Latencies of confirms of messages that come one at a time: as many syncs of the disk a second.
    Sync,
    /// Latencies of confirms of messages that come while others are synced: the same bytes through a relay that syncs
    /// what gathered before it passes it on.
    SyncedRelay,
    /// What one client declares and deletes: two calls, one after the other, to somebody who only answers; with a sync
    /// of the disk before each answer, or without.
    Calls { are_synced: bool },
}

impl Floor {
    /// The floors of the figures of `work` that have one, by their keys; the disk is that of `dir`.
    pub fn measure(self, work: &Work, dir: &Path) -> Result<Vec<(&'static str, f64)>, PerfError> {
        let of_percentiles = |found: Option<Percentiles>, keys: [&'static str; 3]| {
            let values = found.map(|found| [found.p50_us, found.p99_us, found.p999_us]);
            values.map_or(Vec::new(), |values| keys.into_iter().zip(values).collect())
        };
        Ok(match (self, work) {
            (Self::Relay, Work::Load(load)) => {
                of_percentiles(relayed(load, None)?, ["latency_p50_us", "latency_p99_us", "latency_p999_us"])
            }
            (Self::Sync, Work::Load(load)) => of_percentiles(synced(load, dir)?, CONFIRM_KEYS),
            (Self::SyncedRelay, Work::Load(load)) => {
                of_percentiles(relayed(&without_answers(load), Some(dir))?, CONFIRM_KEYS)
            }
            (Self::Calls { are_synced }, Work::Churn(Churn { duration, .. })) => {
                vec![("per_second", answered_per_second(*duration, are_synced.then_some(dir))?)]
            }
            _ => Vec::new(),
        })
    }
}

/// The latencies of `load` when its publisher is connected to its consumer by a thread that only passes bytes on.
/// The messages stay what they are, as publishes: the consumer sees as many bytes as from a broker. Nobody answers the
/// publisher, so `load` has no confirms, and its time is limited. With a directory, they are synced there before.
fn relayed(load: &Load, dir: Option<&Path>) -> Result<Option<Percentiles>, PerfError> {
    let failed = |source| PerfError::Io { doing: "relaying", source };
    let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
    let (publisher, from) = pair(&listener).map_err(failed)?;
    let (consumer, to) = pair(&listener).map_err(failed)?;
    let scratch = dir.map(Scratch::make).transpose()?;
    if let Some(scratch) = &scratch {
        fill(&scratch.file).map_err(|source| scratch.failed(source))?;
    }
    thread::scope(|scope| {
        let file = scratch.as_ref().map(|scratch| &scratch.file);
        let relay =
            Builder::new().name("relay".to_owned()).spawn_scoped(scope, move || relay(from, to, file));
        relay.map_err(PerfError::Thread)?;
        let [publisher, consumer] = [publisher, consumer].map(|stream| vec![Connection::bare(stream)]);
        // The connections that are left end with this, and with them the relay.
        let (figures, _) = run_connected(None, load, publisher, consumer, &mut Watcher::nobody())?;
        Ok(figures.latency)
    })
}

/// The load of a publisher and a consumer that nobody answers.
fn without_answers(load: &Load) -> Load {
    let mut load = load.clone();
    if let Some(publishing) = &mut load.publishing {
        publishing.confirm_window = None;
    }
    if let Some(consuming) = &mut load.consuming {
        consuming.acks = Acks::Auto;
    }
    load
}

/// Gives a file all the bytes that the synced relay writes to.
fn fill(mut file: &File) -> io::Result<()> {
    io::copy(&mut io::repeat(b'.').take(SYNCED_RELAY_BYTES), &mut file)?;
    file.sync_all()
}

/// How long one sync of a few bytes takes, in a file in `dir` that has its length already, at the rate of `load`: a disk
/// and a CPU that rested take longer.
fn synced(load: &Load, dir: &Path) -> Result<Option<Percentiles>, PerfError> {
    let file = Scratch::make(dir)?;
    let rate = load.publishing.as_ref().and_then(|publishing| publishing.rate.as_ref());
    let pause = rate
        .map_or(Duration::ZERO, |rate| Duration::from_secs_f64(1.0 / rate.value_at(Duration::ZERO).max(1.0)));
    Ok(sync_often(&file.file, SYNCS, pause).map_err(|source| file.failed(source))?.percentiles())
}

fn sync_often(mut file: &File, count: u32, pause: Duration) -> io::Result<Histogram> {
    let block = vec![b'.'; SYNC_BYTES];
    for _ in 0..count {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    let mut latencies = Histogram::new();
    for _ in 0..count {
        thread::sleep(pause);
        let begin = now();
        file.write_all(&block)?;
        file.sync_data()?;
        latencies.record(now().since(begin));
    }
    Ok(latencies)
}

/// How often a second a pair of calls is answered, each with a sync before its answer if there is a directory for it.
fn answered_per_second(duration: Duration, dir: Option<&Path>) -> Result<f64, PerfError> {
    let failed = |source| PerfError::Io { doing: "calling", source };
    let scratch = dir.map(Scratch::make).transpose()?;
    let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
    let (mut caller, peer) = pair(&listener).map_err(failed)?;
    let calls = calls();
    thread::scope(|scope| {
        let answering = || answer(peer, &calls, scratch.as_ref().map(|scratch| &scratch.file));
        let answering = Builder::new().name("answers".to_owned()).spawn_scoped(scope, answering);
        let answering = answering.map_err(PerfError::Thread)?;
        let mut rounds = |duration| call_for(&mut caller, &calls, duration);
        let rate = rounds(CALLS_WARMUP).and_then(|_| rounds(duration));
        // The other side ends with this.
        drop(caller);
        // That the sync failed is the better reason.
        let answered = answering.join().unwrap_or(Ok(()));
        answered.and(rate).map_err(failed)
    })
}

/// A question, and the answer to it.
type Call = (Vec<u8>, Vec<u8>);

/// The calls that declare and delete a queue.
fn calls() -> [Call; 2] {
    let queue = &format!("{OWN_PREFIX}-floor-0");
    let declare =
        QueueDeclare { queue, is_durable: false, is_auto_delete: false, arguments: &FieldTable::default() };
    let declare_ok = method::method(CHANNEL, MethodId::QUEUE_DECLARE_OK, |out| {
        method::write_short_string(out, queue);
        // Messages and consumers.
        out.extend_from_slice(&[0; 8]);
    });
    let delete_ok = method::method(CHANNEL, MethodId::QUEUE_DELETE_OK, |out| out.extend_from_slice(&[0; 4]));
    [
        (method::queue_declare(CHANNEL, declare), declare_ok),
        (method::queue_delete(CHANNEL, queue, false), delete_ok),
    ]
}

/// How many rounds of `calls` a second.
fn call_for(stream: &mut TcpStream, calls: &[Call], duration: Duration) -> io::Result<f64> {
    let begin = now();
    let mut rounds = 0;
    let mut buffer = Vec::new();
    loop {
        for (question, answer) in calls {
            stream.write_all(question)?;
            buffer.resize(answer.len(), 0);
            stream.read_exact(&mut buffer)?;
        }
        rounds += 1;
        let passed = now().since(begin);
        if passed >= duration {
            return Ok(f64::from(rounds) / passed.as_secs_f64());
        }
    }
}

/// Answers `calls` until the other side ends it.
fn answer(mut stream: TcpStream, calls: &[Call], mut synced: Option<&File>) -> io::Result<()> {
    let block = vec![b'.'; SYNC_BYTES];
    let mut buffer = Vec::new();
    loop {
        for (question, answer) in calls {
            buffer.resize(question.len(), 0);
            if stream.read_exact(&mut buffer).is_err() {
                return Ok(());
            }
            if let Some(file) = &mut synced {
                file.seek(SeekFrom::Start(0))?;
                file.write_all(&block)?;
                file.sync_data()?;
            }
            stream.write_all(answer)?;
        }
    }
}

/// A file to be synced, deleted with this.
struct Scratch {
    path: PathBuf,
    file: File,
}

impl Scratch {
    fn make(dir: &Path) -> Result<Self, PerfError> {
        let path = dir.join(format!("{OWN_PREFIX}-sync-{}-{}", process::id(), now().0));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => Ok(Self { path, file }),
            Err(source) => Err(PerfError::File { path: path.display().to_string(), source }),
        }
    }

    fn failed(&self, source: io::Error) -> PerfError {
        PerfError::File { path: self.path.display().to_string(), source }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be deleted stays.
        let _ = fs::remove_file(&self.path);
    }
}

fn pair(listener: &TcpListener) -> io::Result<(TcpStream, TcpStream)> {
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    Ok((client, server))
}

/// Until either side ends it, or the disk fails: then nothing more arrives.
fn relay(mut from: TcpStream, mut to: TcpStream, file: Option<&File>) {
    let mut buffer = vec![0; RELAY_BYTES];
    let mut offset = 0;
    while let Ok(count) = from.read(&mut buffer) {
        let bytes = &buffer[..count];
        let synced = file.map_or(Ok(()), |file| -> io::Result<()> {
            if offset + bytes.len() as u64 > SYNCED_RELAY_BYTES {
                offset = 0;
            }
            file.write_all_at(bytes, offset)?;
            offset += bytes.len() as u64;
            file.sync_data()
        });
        if count == 0 || synced.is_err() || to.write_all(bytes).is_err() {
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
        assert!(relayed(&load, None).unwrap().unwrap().samples > 10);
        let dir = tempfile::tempdir().unwrap();
        assert!(relayed(&load, Some(dir.path())).unwrap().unwrap().samples > 10);
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn each_sync_is_a_sample() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(sync_often(&file, 3, Duration::from_millis(1)).unwrap().percentiles().unwrap().samples, 3);
        let load = Load::parse("-r 200").unwrap();
        assert!(synced(&load, Path::new("/no/such/directory")).is_err());
    }

    #[test]
    fn both_calls_are_answered_over_and_over() {
        let dir = tempfile::tempdir().unwrap();
        let span = Duration::from_millis(100);
        let bare = answered_per_second(span, None).unwrap();
        let synced = answered_per_second(span, Some(dir.path())).unwrap();
        assert!(bare > 100.0 && synced > 0.0, "{bare} {synced}");
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_floor_is_of_the_figures_it_bounds() {
        let keys = |floor: Floor, options: &str| {
            let found = floor.measure(&Work::parse(options).unwrap(), Path::new("/no/such/directory"));
            found.map(|found| found.into_iter().map(|(key, _)| key).collect::<Vec<_>>())
        };
        let calls = Floor::Calls { are_synced: false };
        assert_eq!(keys(calls, "churn queues -z 0.05").unwrap(), ["per_second"]);
        assert!(keys(Floor::Calls { are_synced: true }, "churn queues -z 0.05").is_err());
        let relayed = keys(Floor::Relay, "--warmup 0 -z 0.2 --rate 2000").unwrap();
        assert_eq!(relayed, ["latency_p50_us", "latency_p99_us", "latency_p999_us"]);
        assert_eq!(keys(Floor::Relay, "churn queues").unwrap(), [""; 0]);
        assert!(keys(Floor::SyncedRelay, "--warmup 0 -z 0.2 -r 2000 -c 10 -q 10").is_err());
    }
}
