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
    /// User and system time of all its threads, in steps of the kernel's tick (mostly 10 ms).
    pub cpu: Duration,
    /// Resident memory now.
    pub rss_bytes: u64,
}

/// Likewise; the error says which process could not be read.
pub fn usage_of(pid: u32) -> Result<Usage, PerfError> {
    usage(pid).map_err(|source| PerfError::Process { pid, source })
}

/// Reads `/proc/PID/stat`.
fn usage(pid: u32) -> io::Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (ticks, pages) = parse_stat(&stat).ok_or(ErrorKind::InvalidData)?;
    Ok(Usage {
        cpu: Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64),
        rss_bytes: pages * page_size() as u64,
    })
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

    #[test]
    fn a_stat_line_is_read_behind_the_name() {
        let line = "42 (a) b (c) S 1 42 42 0 -1 4194560 9 8 7 6 250 50 1 2 20 0 30 0 999 12345678 777 18446744073709551615";
        assert_eq!(parse_stat(line), Some((300, 777)));
        assert_eq!(parse_stat("42 (a) S 1"), None);
    }
}
