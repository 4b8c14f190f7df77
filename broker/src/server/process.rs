//! What the system says of this process, its memory and its disk. None where the system does not tell.

use std::path::{Path, PathBuf};

use rustix::{
    fs::{Dir, Mode, OFlags, open, statvfs},
    io::read,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

/// Resident memory, bytes (Linux).
pub fn memory_used_bytes() -> Option<u64> {
    resident_bytes(&system_text(Path::new("/proc/self/status"))?)
}

/// Memory that there is for this process: the machine's, or less if its control group has a limit (Linux).
pub fn memory_total_bytes() -> Option<u64> {
    let machine = kilobytes(&system_text(Path::new("/proc/meminfo"))?, "MemTotal:")?;
    let groups = system_text(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let limits = group_limit_files(&groups).into_iter().filter_map(|path| group_limit(&system_text(&path)?));
    Some(limits.fold(machine, u64::min))
}

/// Free bytes where the data directory is.
pub fn disk_free_bytes(data_dir: &Path) -> Option<u64> {
    let found = statvfs(data_dir).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// A thread of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadUse {
    /// Its name.
    pub name: String,
    /// How long it has run so far, nanoseconds.
    pub busy_nanos: u64,
}

/// The threads, in the order in which they began (Linux).
pub fn threads() -> Vec<ThreadUse> {
    let directory = Path::new("/proc/self/task");
    let opened = open(directory, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let entries = opened.ok().and_then(|opened| Dir::read_from(opened).ok()).into_iter().flatten().flatten();
    let mut numbers: Vec<u64> =
        entries.filter_map(|entry| entry.file_name().to_str().ok()?.parse().ok()).collect();
    numbers.sort_unstable();
    let thread = |number: u64| {
        let text = |file: &str| system_text(&directory.join(number.to_string()).join(file));
        let busy_nanos = text("schedstat")?.split(' ').next()?.parse().ok()?;
        Some(ThreadUse { name: text("comm")?.trim_end().to_owned(), busy_nanos })
    };
    numbers.into_iter().filter_map(thread).collect()
}

/// Open file descriptors (Linux).
pub fn open_file_count() -> Option<usize> {
    let directory =
        open("/proc/self/fd", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let entries = Dir::read_from(directory.ok()?).ok()?;
    // Without `.`, `..` and the two that this look opened.
    Some(entries.count().saturating_sub(4))
}

/// File descriptors there may be.
pub fn open_files_max() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Lets this process open as many files as it may: each connection is one, and what a shell allows at first (1,024 on
/// most systems) is for programs that cannot count further. Where the system refuses, it stays as it was.
pub fn raise_open_files_max() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// The beginning of a file of the system's: what is looked for comes early.
fn system_text(path: &Path) -> Option<String> {
    let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut text = [0; 4096];
    let count = read(&file, &mut text[..]).ok()?;
    Some(String::from_utf8_lossy(&text[..count]).into_owned())
}

fn resident_bytes(status: &str) -> Option<u64> {
    kilobytes(status, "VmRSS:")
}

/// Of a line such as `VmRSS:     1234 kB`, bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// Where the limits of a process stand whose groups are these lines of `/proc/self/cgroup`: of its own group and
/// of all above it. In a container the path may be the host's, then only the topmost is there.
///
/// ```text
/// 0::/system.slice/liebre.service      version 2
/// 4:memory:/docker/0123                version 1
/// ```
fn group_limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (root, file) = match fields.next() {
            Some("") => ("/sys/fs/cgroup", "memory.max"),
            Some("memory") => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        let own = Path::new(fields.next().unwrap_or_default().trim_start_matches('/'));
        files.extend(own.ancestors().map(|group| Path::new(root).join(group).join(file)));
    }
    files
}

/// None for `max`: no limit. Version 1 says so with a number above all machines.
fn group_limit(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_all_groups_above_count() {
        let files = group_limit_files("4:memory:/docker/01\n1:name=systemd:/x\n0::/a.slice\n");
        let files: Vec<_> = files.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(
            files,
            [
                "/sys/fs/cgroup/memory/docker/01/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "/sys/fs/cgroup/a.slice/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
        assert_eq!((group_limit("max\n"), group_limit("1024\n")), (None, Some(1_024)));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn threads_have_names_and_run() {
        let threads = threads();
        assert!(threads.iter().all(|thread| !thread.name.is_empty()), "{threads:?}");
        // One that has just begun has not.
        assert!(threads.iter().any(|thread| thread.busy_nanos > 0), "{threads:?}");
    }

    #[test]
    fn resident_memory_is_read_from_its_line() {
        assert_eq!(resident_bytes("VmHWM:\t 9 kB\nVmRSS:\t    1234 kB\nThreads:\t1\n"), Some(1_263_616));
        assert_eq!(resident_bytes("VmRSS:\t many kB\n"), None);
        assert_eq!(resident_bytes(""), None);
    }
}
