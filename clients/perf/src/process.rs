//! Processes: the CPU time and memory of another one, from `/proc`, and how many files this one may open.

use std::fs;
use std::io::{self, ErrorKind};
use std::time::Duration;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::error::PerfError;

/// What a process has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// User and system time of all its threads, those that have ended included.
    pub cpu: Duration,
    /// Resident memory now.
    pub rss_bytes: u64,
}

/// Likewise; the error says which process could not be read.
pub fn usage_of(pid: u32) -> Result<Usage, PerfError> {
    usage(pid).map_err(|source| PerfError::Process { pid, source })
}

/// Reads `/proc/PID/stat`, which counts CPU time in whole ticks (mostly of 10 ms), and the times of its threads, which
/// lack those that have ended. Neither is more than the truth, so the larger is nearer to it.
fn usage(pid: u32) -> io::Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (ticks, pages) = parse_stat(&stat).ok_or(ErrorKind::InvalidData)?;
    let ticks = Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64);
    Ok(Usage { cpu: ticks.max(cpu_of_threads(pid)), rss_bytes: pages * page_size() as u64 })
}

/// The CPU time of the threads that there are, from `/proc/PID/task/*/schedstat`; nothing where the kernel has none.
fn cpu_of_threads(pid: u32) -> Duration {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Duration::ZERO };
    let nanos = |thread: io::Result<fs::DirEntry>| {
        parse_schedstat(&fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?)
    };
    Duration::from_nanos(threads.filter_map(nanos).sum())
}

/// The nanoseconds on a processor, the first of three numbers.
fn parse_schedstat(schedstat: &str) -> Option<u64> {
    schedstat.split_ascii_whitespace().next()?.parse().ok()
}

/// Lets this process open as many files, sockets among them, as the system allows it.
pub fn raise_open_files_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With less than wanted, the connection that is too many says so.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// (utime + stime, rss) of a stat line: fields 14, 15 and 24. The second field, the program's name, is in
/// parentheses and may itself hold blanks and parentheses, so counting starts after the last one.
fn parse_stat(stat: &str) -> Option<(u64, u64)> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(14 - 3);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let rss: u64 = fields.nth(24 - 16)?.parse().ok()?;
    Some((user + system, rss))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::own_cpu;

    #[test]
    fn a_stat_line_is_read_behind_the_name() {
        let line = "42 (a) b (c) S 1 42 42 0 -1 4194560 9 8 7 6 250 50 1 2 20 0 30 0 999 12345678 777 18446744073709551615";
        assert_eq!(parse_stat(line), Some((300, 777)));
        assert_eq!(parse_stat("42 (a) S 1"), None);
    }

    #[test]
    fn a_thread_counts_nanoseconds() {
        assert_eq!(parse_schedstat("56962091 74572948 168\n"), Some(56_962_091));
        assert_eq!(parse_schedstat(""), None);
    }

    #[test]
    fn a_process_has_used_what_its_clock_says() {
        let least = own_cpu();
        let used = usage_of(std::process::id()).unwrap().cpu;
        let most = own_cpu();
        // Each of the two ways to count lags by a tick of either kind.
        let lag = Duration::from_millis(30);
        assert!(least.saturating_sub(lag) <= used && used <= most + lag, "{least:?} {used:?} {most:?}");
    }
}
