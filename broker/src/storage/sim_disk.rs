//! A disk in memory that forgets what was not synced, tears what was being written, and fails when told to.
//!
//! Every change is kept as an [`Op`]. What a crash after the first n of them can leave is made by
//! [`State::crash`], as often as wanted and from a seed.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use crate::storage::disk::{Disk, DiskFile};

const PAGE_SIZE: usize = 4_096;
const SECTOR_SIZE: usize = 512;

/// A directory in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimDisk {
    inner: Arc<Mutex<Inner>>,
}

/// One call that changes something.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Create {
        name: String,
        file: usize,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove {
        name: String,
    },
    SyncDir,
    Write {
        file: usize,
        offset: u64,
        data: Arc<[u8]>,
    },
    SetLen {
        file: usize,
        len: u64,
    },
    Sync {
        file: usize,
    },
    /// A sync that failed: the system forgets that there was something to write.
    FailedSync {
        file: usize,
    },
}

/// What is to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Broken,
    Full,
    ShortWrite,
    /// Syncs alone fail.
    Unsynced,
}

/// What is on the disk and what only the system's memory knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    unsynced_names: Vec<Op>,
    files: Vec<SimFile>,
}

#[derive(Clone, Debug, Default)]
struct SimFile {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<Op>,
}

/// How much a crash keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    /// Nothing that was not synced.
    Dropped,
    /// All of it, as after the end of the process alone.
    Kept,
    /// Of each file, and of the names, the first few changes.
    Prefix,
    /// Any pages of any file, any names.
    Pages,
    /// Any sectors of any file, any names.
    Sectors,
}

/// Numbers from a seed.
#[derive(Clone, Debug)]
pub(crate) struct Seeded(u64);

#[derive(Debug, Default)]
struct Inner {
    state: State,
    ops: Vec<Op>,
    keeps_ops: bool,
    op_count: usize,
    fault: Option<(usize, usize, Fault)>,
    unreadable: Option<(String, u64, u64)>,
    /// All files together; none: any size.
    capacity: Option<u64>,
}

#[derive(Debug)]
struct OpenFile {
    disk: SimDisk,
    file: usize,
}

impl Crash {
    pub(crate) const ALL: [Crash; 5] =
        [Crash::Dropped, Crash::Kept, Crash::Prefix, Crash::Pages, Crash::Sectors];
}

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

impl SimDisk {
    pub(crate) fn with(state: State) -> Self {
        let disk = Self::default();
        disk.lock().state = state;
        disk
    }

    /// A disk whose [`Self::ops`] can be asked for later.
    pub(crate) fn recording(state: State) -> Self {
        let disk = Self::with(state);
        disk.lock().keeps_ops = true;
        disk
    }

    pub(crate) fn ops(&self) -> Vec<Op> {
        self.lock().ops.clone()
    }

    /// How many calls that change something there were.
    pub(crate) fn op_count(&self) -> usize {
        self.lock().op_count
    }

    pub(crate) fn state(&self) -> State {
        self.lock().state.clone()
    }

    /// Lets the `count` changing calls from `first` on fail.
    pub(crate) fn fail(&self, first: usize, count: usize, fault: Fault) {
        self.lock().fault = Some((first, count, fault));
    }

    pub(crate) fn heal(&self) {
        self.lock().fault = None;
    }

    /// All files together take so much at most.
    pub(crate) fn set_capacity(&self, bytes: u64) {
        self.lock().capacity = Some(bytes);
    }

    /// What all files take.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.lock().used_bytes()
    }

    /// Lets every read of these bytes fail.
    pub(crate) fn make_unreadable(&self, name: &str, from: u64, to: u64) {
        self.lock().unreadable = Some((name.to_owned(), from, to));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }
}

impl Inner {
    /// Does the change, or the part of it that the fault leaves.
    fn apply(&mut self, op: Op) -> io::Result<()> {
        let number = self.op_count;
        self.op_count += 1;
        let growth = self.growth(&op);
        if growth > 0 && self.capacity.is_some_and(|capacity| self.used_bytes() + growth > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let fault = self.fault.filter(|(first, count, fault)| {
            let needs_room = matches!(op, Op::Create { .. } | Op::Rename { .. } | Op::Write { .. });
            let hits = match fault {
                Fault::Broken => true,
                Fault::Full | Fault::ShortWrite => needs_room,
                Fault::Unsynced => matches!(op, Op::Sync { .. }),
            };
            hits && (*first..first + count).contains(&number)
        });
        match (fault.map(|(.., fault)| fault), op) {
            (None | Some(Fault::ShortWrite), op) => {
                self.state.apply(&op);
                if self.keeps_ops {
                    self.ops.push(op);
                }
                Ok(())
            }
            (Some(fault), op) => {
                if let Op::Sync { file } = op {
                    self.state.apply(&Op::FailedSync { file });
                }
                Err(match fault {
                    Fault::Full => io::ErrorKind::StorageFull.into(),
                    _ => io::Error::from_raw_os_error(5),
                })
            }
        }
    }

    fn growth(&self, op: &Op) -> u64 {
        let (file, end) = match op {
            Op::Write { file, offset, data } => (*file, offset + data.len() as u64),
            Op::SetLen { file, len } => (*file, *len),
            _ => return 0,
        };
        end.saturating_sub(self.state.files[file].bytes.len() as u64)
    }

    fn used_bytes(&self) -> u64 {
        self.state.names.values().map(|file| self.state.files[*file].bytes.len() as u64).sum()
    }

    fn is_short(&self) -> bool {
        self.fault.is_some_and(|(first, count, fault)| {
            fault == Fault::ShortWrite && (first..first + count).contains(&self.op_count)
        })
    }

    fn file_named(&self, name: &str) -> io::Result<usize> {
        self.state.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl State {
    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Create { file, .. } => {
                self.files.resize_with(self.files.len().max(file + 1), SimFile::default);
                apply_name(&mut self.names, op);
                self.unsynced_names.push(op.clone());
            }
            Op::Rename { .. } | Op::Remove { .. } => {
                apply_name(&mut self.names, op);
                self.unsynced_names.push(op.clone());
            }
            Op::SyncDir => {
                self.synced_names = self.names.clone();
                self.unsynced_names.clear();
            }
            Op::Write { file, .. } | Op::SetLen { file, .. } => {
                let file = &mut self.files[*file];
                apply_bytes(&mut file.bytes, op);
                file.unsynced.push(op.clone());
            }
            Op::Sync { file } => {
                let file = &mut self.files[*file];
                for op in file.unsynced.drain(..) {
                    apply_bytes(&mut file.synced, &op);
                }
            }
            Op::FailedSync { file } => self.files[*file].unsynced.clear(),
        }
    }

    /// One of the states that a crash can leave.
    pub(crate) fn crash(&self, crash: Crash, seeded: &mut Seeded) -> State {
        let names = self.crashed_names(crash, seeded);
        let mut after = State::default();
        for (name, file) in names {
            let bytes = self.files[file].crashed(crash, seeded);
            after.synced_names.insert(name, after.files.len());
            after.files.push(SimFile { synced: bytes.clone(), bytes, unsynced: Vec::new() });
        }
        after.names = after.synced_names.clone();
        after
    }

    fn crashed_names(&self, crash: Crash, seeded: &mut Seeded) -> BTreeMap<String, usize> {
        let mut names = self.synced_names.clone();
        let count = self.unsynced_names.len();
        let kept = match crash {
            Crash::Dropped => 0,
            Crash::Kept => count,
            Crash::Prefix => seeded.below(count + 1),
            Crash::Pages | Crash::Sectors => {
                let chosen = self.unsynced_names.iter().filter(|_| seeded.coin());
                chosen.for_each(|op| apply_name(&mut names, op));
                return names;
            }
        };
        self.unsynced_names[..kept].iter().for_each(|op| apply_name(&mut names, op));
        names
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    /// The bytes of a file, to damage them.
    pub(crate) fn bytes_mut(&mut self, name: &str) -> &mut Vec<u8> {
        &mut self.files[self.names[name]].bytes
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.names.remove(name);
        self.synced_names.remove(name);
    }
}

impl SimFile {
    fn crashed(&self, crash: Crash, seeded: &mut Seeded) -> Vec<u8> {
        let count = self.unsynced.len();
        let (kept, unit) = match crash {
            Crash::Dropped => return self.synced.clone(),
            Crash::Kept => return self.bytes.clone(),
            Crash::Prefix => (seeded.below(count + 1), usize::MAX),
            Crash::Pages => (count, PAGE_SIZE),
            Crash::Sectors => (count, SECTOR_SIZE),
        };
        let mut bytes = self.synced.clone();
        for op in &self.unsynced[..kept] {
            match op {
                Op::Write { offset, data, .. } if unit != usize::MAX => {
                    write_some(&mut bytes, *offset as usize, data, unit, seeded);
                }
                op => apply_bytes(&mut bytes, op),
            }
        }
        bytes
    }
}

/// The pages or sectors of a write that happen to get to the disk.
fn write_some(bytes: &mut Vec<u8>, offset: usize, data: &[u8], unit: usize, seeded: &mut Seeded) {
    // Sometimes almost all or almost nothing: one page that is missing is what tests forget.
    let odds = [1, 2, 4, 7][seeded.below(4)];
    let mut at = 0;
    while at < data.len() {
        let end = data.len().min(at + unit - (offset + at) % unit);
        if seeded.below(8) < odds {
            write_bytes(bytes, offset + at, &data[at..end]);
        }
        at = end;
    }
}

fn write_bytes(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        // Faster than to resize, unoptimised as tests are.
        bytes.extend_from_slice(&vec![0; end - bytes.len()]);
    }
    bytes[offset..end].copy_from_slice(data);
}

fn apply_bytes(bytes: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Write { offset, data, .. } => write_bytes(bytes, *offset as usize, data),
        Op::SetLen { len, .. } => bytes.resize(*len as usize, 0),
        _ => {}
    }
}

fn apply_name(names: &mut BTreeMap<String, usize>, op: &Op) {
    match op {
        Op::Create { name, file } => {
            names.insert(name.clone(), *file);
        }
        Op::Remove { name } => {
            names.remove(name);
        }
        Op::Rename { from, to } => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        _ => {}
    }
}

impl Disk for SimDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.lock();
        let file = match inner.file_named(name) {
            Ok(file) => {
                inner.apply(Op::SetLen { file, len: 0 })?;
                file
            }
            Err(_) => {
                let file = inner.state.files.len();
                inner.apply(Op::Create { name: name.to_owned(), file })?;
                file
            }
        };
        Ok(Arc::new(OpenFile { disk: self.clone(), file }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.lock().file_named(name)?;
        Ok(Arc::new(OpenFile { disk: self.clone(), file }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().state.names.keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.lock();
        inner.file_named(from)?;
        inner.apply(Op::Rename { from: from.to_owned(), to: to.to_owned() })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.lock();
        inner.file_named(name)?;
        inner.apply(Op::Remove { name: name.to_owned() })
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.lock().apply(Op::SyncDir)
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        Ok(self.lock().state.names.contains_key(name))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let inner = self.lock();
        Ok(inner.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(inner.used_bytes())))
    }
}

impl DiskFile for OpenFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let inner = self.disk.lock();
        let end = offset + buffer.len() as u64;
        if let Some((name, from, to)) = &inner.unreadable
            && inner.state.names.get(name) == Some(&self.file)
            && offset < *to
            && end > *from
        {
            return Err(io::Error::from_raw_os_error(5));
        }
        let bytes = inner.state.files[self.file].bytes.get(offset as usize..).unwrap_or_default();
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<usize> {
        let mut inner = self.disk.lock();
        let count = if inner.is_short() { data.len().div_ceil(2) } else { data.len() };
        inner.apply(Op::Write { file: self.file, offset, data: data[..count].into() })?;
        Ok(count)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().state.files[self.file].bytes.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.lock().apply(Op::SetLen { file: self.file, len })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.lock().apply(Op::Sync { file: self.file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::disk::{replace_durable, write_all_at};

    fn read(state: &State, name: &str) -> Option<Vec<u8>> {
        state.names.get(name).map(|file| state.files[*file].bytes.clone())
    }

    #[test]
    fn what_is_not_synced_is_forgotten() {
        let disk = SimDisk::default();
        replace_durable(&disk, "kept", b"old").unwrap();
        write_all_at(disk.open("kept").unwrap().as_ref(), b"new", 0).unwrap();
        disk.create("lost").unwrap().sync_data().unwrap();
        let state = disk.state();
        let dropped = state.crash(Crash::Dropped, &mut Seeded::new(1));
        assert_eq!(read(&dropped, "kept").unwrap(), b"old");
        assert_eq!(read(&dropped, "lost"), None);
        let kept = state.crash(Crash::Kept, &mut Seeded::new(1));
        assert_eq!(read(&kept, "kept").unwrap(), b"new");
        assert!(read(&kept, "lost").is_some());
    }

    #[test]
    fn replaced_file_is_one_of_the_two() {
        let disk = SimDisk::default();
        replace_durable(&disk, "file", &[1; 1_500]).unwrap();
        let (before, recording) = (disk.state(), SimDisk::recording(disk.state()));
        replace_durable(&recording, "file", &[2; 1_500]).unwrap();
        let (mut state, mut seeded) = (before, Seeded::new(7));
        for op in recording.ops() {
            state.apply(&op);
            for crash in Crash::ALL {
                let bytes = read(&state.crash(crash, &mut seeded), "file").unwrap();
                assert!(bytes == [1; 1_500] || bytes == [2; 1_500], "{crash:?}");
            }
        }
    }

    #[test]
    fn sync_that_failed_has_forgotten_and_still_shows_the_bytes() {
        let disk = SimDisk::default();
        let file = disk.create("file").unwrap();
        disk.sync_dir().unwrap();
        write_all_at(file.as_ref(), b"x", 0).unwrap();
        disk.fail(disk.op_count(), 1, Fault::Broken);
        file.sync_data().unwrap_err();
        file.sync_data().unwrap();
        assert_eq!(read(&disk.state(), "file").unwrap(), b"x");
        assert_eq!(read(&disk.state().crash(Crash::Dropped, &mut Seeded::new(1)), "file").unwrap(), b"");
    }
}
