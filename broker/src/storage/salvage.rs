//! What to do with a definitions file that is not as it was written: save each value that can be proven
//! whole.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    mem::ManuallyDrop,
    path::{Path, PathBuf},
};

use redb::Database;

use crate::{
    model::definition::Definition,
    storage::{
        StoreError, codec,
        data_dir::sync_dir,
        definitions_file::{
            Check, DefinitionsFile, Entry, QueueIdsMark, for_each_entry, read_queue_ids_mark,
            refuse_newer_format,
        },
    },
};

/// Where ids go on when the mark was damaged: far above what was given since the newest known queue.
pub(super) const ID_LEAP: u64 = 1 << 32;

impl DefinitionsFile {
    /// Replaces the damaged file by a new one with every definition of it that could be read, keeps the
    /// damaged one under another name, and tells what was lost. When nothing can be read the file stays as it
    /// is and its damage is the answer: to start without any definitions would be to give up every queue.
    pub(super) fn salvage(&self, reason: &str) -> Result<Vec<String>, StoreError> {
        let damaged = || StoreError::Damaged { path: self.path.clone(), reason: reason.to_owned() };
        let mut saved = match self.read_copy() {
            Ok(saved) if !saved.is_nothing() => saved,
            Err(newer @ StoreError::NewerFormat { .. }) => return Err(newer),
            _ => return Err(damaged()),
        };
        let (definitions, values): (Vec<Definition>, Vec<Entry>) = saved.take_whole().into_iter().unzip();
        let mark = saved.mark.unwrap_or_else(|| newest_queue_id(&definitions).saturating_add(ID_LEAP));
        let kept = kept_name_of(&self.path);
        self.guarded("copy", || Ok(copy_durable(&self.path, &kept)?))?;
        self.guarded("create", || self.create(&values, Some(mark)))?;
        saved.lost.insert(
            0,
            format!(
                "{} was damaged ({reason}): {} definitions were saved from it, the damaged file is kept as {}",
                self.path.display(),
                values.len(),
                kept.display()
            ),
        );
        Ok(saved.lost)
    }

    /// A copy is opened, not the file itself: opening changes what is opened.
    fn read_copy(&self) -> Result<Saved, StoreError> {
        let copy = self.path.with_extension("redb.salvage");
        self.guarded("copy", || Ok(fs::copy(&self.path, &copy).map(|_| ())?))?;
        let saved = self.guarded("open", || {
            // Never dropped: the engine's tidying up may panic over what is damaged, and a second panic while
            // the first unwinds would end the process.
            let database = ManuallyDrop::new(self.open_at(&copy, Check::Nothing)?);
            refuse_newer_format(&database)?;
            Ok(database)
        });
        let saved = saved.map(|database| self.read_what_can_be_read(&database));
        self.guarded("remove", || Ok(fs::remove_file(&copy)?))?;
        saved
    }

    /// From both ends, so that one damaged page costs no more than what is in it and under it.
    fn read_what_can_be_read(&self, database: &Database) -> Saved {
        let mut saved = Saved::default();
        let read = [false, true].map(|is_backwards| {
            self.guarded("read", || {
                for_each_entry(database, is_backwards, |(key, value)| {
                    saved.entries.insert(key, value);
                })
            })
        });
        if read.iter().any(Result::is_err) {
            saved.lost.push("a part of the definitions cannot be read, not even which".to_owned());
        }
        saved.mark = match self.guarded("read", || read_queue_ids_mark(database)) {
            Ok(QueueIdsMark::UpTo(mark)) => Some(mark),
            _ => None,
        };
        saved
    }
}

/// What could be read.
#[derive(Debug, Default)]
struct Saved {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    mark: Option<u64>,
    lost: Vec<String>,
}

impl Saved {
    fn is_nothing(&self) -> bool {
        self.entries.is_empty() && !self.lost.is_empty()
    }

    /// The entries that are whole; the others are noted as lost.
    fn take_whole(&mut self) -> Vec<(Definition, Entry)> {
        let mut whole = Vec::new();
        for (key, value) in std::mem::take(&mut self.entries) {
            match codec::decode(&key, &value) {
                Ok(definition) => whole.push((definition, (key, value))),
                Err(lost) => self.lost.push(lost),
            }
        }
        whole
    }
}

/// The highest id among the queues.
pub(super) fn newest_queue_id(definitions: &[Definition]) -> u64 {
    let queue_id = |definition: &Definition| match definition {
        Definition::Queue { queue, .. } => Some(queue.id),
        _ => None,
    };
    definitions.iter().filter_map(queue_id).max().unwrap_or(0)
}

/// A name that no earlier damaged file has taken.
fn kept_name_of(path: &Path) -> PathBuf {
    let mut number = 1_u32;
    loop {
        let kept = path.with_extension(format!("redb.damaged.{number}"));
        if !kept.exists() {
            return kept;
        }
        number += 1;
    }
}

fn copy_durable(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    File::open(to)?.sync_all()?;
    to.parent().map_or(Ok(()), sync_dir)
}
