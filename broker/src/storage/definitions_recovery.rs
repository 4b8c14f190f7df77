//! Opening the definitions, whatever is left of them and of their copy.
//!
//! ```text
//! definitions.redb         definitions.copy      what is served
//! whole                    any, not newer        the file
//! older than the copy      whole                 the copy: a commit that was there is not any more
//! damaged                  as new as the file    the copy, which has everything
//! damaged                  older                 what can be read of the file, the rest from the copy
//! missing, or unreadable   whole or in part      the copy
//! missing, or unreadable   missing, unreadable   nothing: an error. Missing both: a new store
//! ```
//!
//! What the copy alone has may have been changed or deleted after the copy was written: whatever comes from
//! an older copy is named. Queue ids go on far above all known ones: the last mark may be what was lost.

use std::{collections::BTreeMap, path::PathBuf};

use redb::Database;

use crate::{
    model::definition::Definition,
    storage::{
        StoreError, codec,
        definitions_copy::{Copied, DefinitionsCopy, ReadCopy},
        definitions_file::{Contents, DefinitionsFile, FILE_NAME},
        disk::copy_durable,
        salvage::Saved,
    },
};

/// Where ids go on when the mark may be lost: far above what was given since the newest known queue.
pub(super) const ID_LEAP: u64 = 1 << 32;

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// The definitions' file, open and sound.
#[derive(Debug)]
pub(super) struct Opened {
    /// None if the disk is too full for the engine to open it.
    pub(super) database: Option<Database>,
    pub(super) contents: Contents,
    /// What was lost or restored, a sentence each, for the log.
    pub(super) lost: Vec<String>,
    /// The copy says the same.
    pub(super) is_copied: bool,
}

/// Opens the file; makes it when there is none; restores it when it is damaged.
pub(super) fn open(file: &DefinitionsFile, copy: &DefinitionsCopy) -> Result<Opened, StoreError> {
    let copied = copy.read()?;
    let (saved, reason) = match find(file, &copied)? {
        Found::Whole(database, contents) => return Ok(opened(copy, copied, database, contents)),
        Found::Missing if copied == ReadCopy::Missing => {
            file.create(&Contents::blank())?;
            return reopened(file, Vec::new());
        }
        Found::Missing => (None, None),
        Found::Damaged(saved, reason) => (saved, Some(reason)),
    };
    let restored = match (saved, copied) {
        (saved, ReadCopy::Found(copied)) => merge(saved, copied),
        (Some(saved), _) => alone(saved),
        (None, ReadCopy::Damaged(why)) => {
            return Err(given_up(file, reason, &format!("its copy, too: {why}")));
        }
        (None, ReadCopy::Missing) => return Err(given_up(file, reason, "there is no copy")),
    };
    let kept = file.keep_damaged()?;
    file.create(&restored.contents)?;
    reopened(file, restored.describe(file, copy, reason, kept))
}

/// What there is in the place of the file.
enum Found {
    Missing,
    Whole(Option<Database>, Contents),
    /// With what could be saved, and why it is not to be used as it is.
    Damaged(Option<Saved>, String),
}

fn find(file: &DefinitionsFile, copied: &ReadCopy) -> Result<Found, StoreError> {
    if !file.exists()? {
        return Ok(Found::Missing);
    }
    let read = match file.open() {
        Err(error) if error.is_disk_full() => {
            tracing::warn!("{error}: definitions are served as they are, and changed when there is room");
            file.open_image().and_then(|image| Ok((file.contents(&image)?, None)))
        }
        opened => opened.and_then(|database| Ok((file.contents(&database)?, Some(database)))),
    };
    let reason = match read {
        Ok((contents, database)) => {
            let damages = contents.damages();
            if damages.is_empty() && !is_older(&contents, copied) {
                return Ok(Found::Whole(database, contents));
            }
            damages.into_iter().next().unwrap_or_else(|| "it is older than its copy".to_owned())
        }
        Err(StoreError::Damaged { reason, .. }) => reason,
        Err(error) => return Err(error),
    };
    Ok(Found::Damaged(file.salvage()?, reason))
}

fn is_older(contents: &Contents, copied: &ReadCopy) -> bool {
    matches!(copied, ReadCopy::Found(copied) if copied.contents.change_number > contents.change_number)
}

fn opened(
    copy: &DefinitionsCopy,
    copied: ReadCopy,
    database: Option<Database>,
    contents: Contents,
) -> Opened {
    let is_copied = matches!(&copied, ReadCopy::Found(copied) if copied.is_whole
        && copied.contents.change_number == contents.change_number);
    let lost = match copied {
        ReadCopy::Found(copied) if !copied.is_whole => {
            vec![format!("{} was damaged: it is made anew, nothing is lost", copy.path.display())]
        }
        ReadCopy::Damaged(reason) => {
            vec![format!("{} was damaged ({reason}): it is made anew, nothing is lost", copy.path.display())]
        }
        _ => Vec::new(),
    };
    Opened { database, contents, lost, is_copied }
}

fn reopened(file: &DefinitionsFile, lost: Vec<String>) -> Result<Opened, StoreError> {
    let database = file.open()?;
    let contents = file.contents(&database)?;
    Ok(Opened { database: Some(database), contents, lost, is_copied: false })
}

/// To start without any definitions would be to give up every queue.
fn given_up(file: &DefinitionsFile, reason: Option<String>, copy: &str) -> StoreError {
    let reason = format!("{}; {copy}", reason.unwrap_or_else(|| "it is missing".to_owned()));
    StoreError::Damaged { path: file.path.clone(), reason }
}

/// What is served instead of a damaged file.
#[derive(Debug, PartialEq)]
struct Restored {
    contents: Contents,
    /// How many entries come from the copy.
    copied_count: usize,
    /// What was changed after the copy was written may be lost, or back.
    is_dated: bool,
    lost: Vec<String>,
}

/// What was saved, without a copy.
fn alone(saved: Saved) -> Restored {
    let Saved { contents, lost } = saved;
    let contents = going_on(contents.entries, contents.queue_ids_mark, contents.change_number);
    Restored { contents, copied_count: 0, is_dated: false, lost }
}

/// The newer of both, and what only the other has.
fn merge(saved: Option<Saved>, copied: Copied) -> Restored {
    let marks = |contents: &Contents| (contents.queue_ids_mark, contents.change_number);
    let (own_mark, own_number) = saved.as_ref().map_or((None, None), |saved| marks(&saved.contents));
    let (copied_mark, copied_number) = marks(&copied.contents);
    let merged = match saved {
        Some(saved) if own_number.is_some() && own_number <= copied_number => {
            prefer_copy(saved.contents.entries, copied, own_number == copied_number)
        }
        Some(Saved { contents, lost }) => prefer_saved(Some(contents.entries), lost, copied),
        None => prefer_saved(None, Vec::new(), copied),
    };
    let contents =
        going_on(merged.contents.entries, own_mark.max(copied_mark), own_number.max(copied_number));
    Restored { contents, ..merged }
}

/// The copy is as new as the file, or newer. What is damaged in it may be whole in the file.
fn prefer_copy(saved: Entries, copied: Copied, is_same: bool) -> Restored {
    let copied_count = copied.contents.entries.len();
    let (mut entries, mut lost) = (copied.contents.entries, Vec::new());
    let entry_count = copied_count + copied.damaged.len();
    for (key, value) in saved.into_iter().filter(|_| !copied.damaged.is_empty()) {
        if entries.contains_key(&key) {
            continue;
        }
        if !is_same {
            lost.push(dated(&key, "file"));
        }
        entries.insert(key, value);
    }
    if !is_same || entries.len() < entry_count {
        lost.extend(copied.damaged.into_iter().map(|(_, reason)| reason));
    }
    Restored { contents: Contents { entries, ..copied.contents }, copied_count, is_dated: false, lost }
}

/// The copy is older. What only it has is named, unless there is nothing but the copy.
fn prefer_saved(saved: Option<Entries>, mut lost: Vec<String>, copied: Copied) -> Restored {
    let is_named = saved.is_some();
    let mut entries = saved.unwrap_or_default();
    let mut copied_count = 0;
    for (key, value) in copied.contents.entries {
        if entries.contains_key(&key) {
            continue;
        }
        if is_named {
            lost.push(dated(&key, "copy"));
        }
        entries.insert(key, value);
        copied_count += 1;
    }
    lost.extend(copied.damaged.into_iter().map(|(_, reason)| reason));
    Restored { contents: Contents { entries, ..Contents::default() }, copied_count, is_dated: true, lost }
}

fn dated(key: &[u8], source: &str) -> String {
    let name = codec::describe_key(key);
    format!("{name} is restored from the {source}; it may have been changed or deleted since")
}

/// Numbered as nothing before, and with queue ids that nobody had.
fn going_on(entries: Entries, queue_ids_mark: Option<u64>, change_number: Option<u64>) -> Contents {
    let newest = newest_queue_id(&entries).max(queue_ids_mark.unwrap_or(0));
    Contents {
        entries,
        queue_ids_mark: Some(newest.saturating_add(ID_LEAP)),
        change_number: Some(change_number.unwrap_or(0).saturating_add(1)),
    }
}

/// The highest id among the queues.
fn newest_queue_id(entries: &Entries) -> u64 {
    let queue_id = |(key, value): (&Vec<u8>, &Vec<u8>)| match codec::decode(key, value) {
        Ok(Definition::Queue { queue, .. }) => Some(queue.id),
        _ => None,
    };
    entries.iter().filter_map(queue_id).max().unwrap_or(0)
}

impl Restored {
    fn describe(
        mut self,
        file: &DefinitionsFile,
        copy: &DefinitionsCopy,
        reason: Option<String>,
        kept: Option<PathBuf>,
    ) -> Vec<String> {
        let (path, copy) = (file.path.display(), copy.path.display());
        let reason = reason.map_or("is missing".to_owned(), |reason| format!("was damaged ({reason})"));
        let mut text = format!(
            "{path} {reason}: {} definitions are restored, {} of them from {copy}",
            self.contents.entries.len(),
            self.copied_count,
        );
        if self.is_dated {
            text.push_str(
                "; what was changed after that was written may be lost, what was deleted may be back",
            );
        }
        if let Some(kept) = kept {
            text.push_str(&format!("; the damaged file is kept as {}", kept.display()));
        }
        self.lost.insert(0, text);
        self.lost
    }
}

impl DefinitionsFile {
    /// Keeps the damaged file, if there is one, under a name that no earlier one has.
    fn keep_damaged(&self) -> Result<Option<PathBuf>, StoreError> {
        self.guarded("copy", || {
            if !self.disk.exists(FILE_NAME)? {
                return Ok(None);
            }
            let mut number = 1_u32;
            let mut kept = format!("{FILE_NAME}.damaged.{number}");
            while self.disk.exists(&kept)? {
                number += 1;
                kept = format!("{FILE_NAME}.damaged.{number}");
            }
            copy_durable(self.disk.as_ref(), FILE_NAME, &kept)?;
            Ok(Some(self.path.with_file_name(kept)))
        })
    }
}
