//! What the system says of this process and its disk. None where the system does not tell.

use std::path::Path;

use rustix::{
    fs::{Dir, Mode, OFlags, open, statvfs},
    io::read,
    process::{Resource, getrlimit},
};

/// Resident memory, bytes (Linux).
pub fn memory_used_bytes() -> Option<u64> {
    let file = open("/proc/self/status", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut text = [0; 4096];
    let count = read(&file, &mut text[..]).ok()?;
    resident_bytes(std::str::from_utf8(&text[..count]).ok()?)
}

/// Free bytes where the data directory is.
pub fn disk_free_bytes(data_dir: &Path) -> Option<u64> {
    let found = statvfs(data_dir).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
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

/// Of the line `VmRSS:     1234 kB`.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_from_its_line() {
        assert_eq!(resident_bytes("VmHWM:\t 9 kB\nVmRSS:\t    1234 kB\nThreads:\t1\n"), Some(1_263_616));
        assert_eq!(resident_bytes("VmRSS:\t many kB\n"), None);
        assert_eq!(resident_bytes(""), None);
    }
}
