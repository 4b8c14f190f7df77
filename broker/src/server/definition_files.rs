//! Files of definitions that are imported at the start.

use std::{ffi::OsStr, fs, io, path::PathBuf};

/// What is imported at each start.
#[derive(Clone, Debug)]
pub struct DefinitionFiles {
    /// Files, and directories of which all `.json` files are imported, by name.
    pub paths: Vec<PathBuf>,
    /// What was imported at the last start, and has not changed, is not imported again.
    pub skip_if_unchanged: bool,
    /// What is of a kind that is not here is left out, instead of refusing the file.
    pub skip_unsupported: bool,
}

/// A file of definitions.
#[derive(Clone, Debug)]
pub struct DefinitionFile {
    /// Where it is.
    pub path: PathBuf,
    /// What is in it.
    pub text: Vec<u8>,
}

impl DefinitionFiles {
    /// All of them, in the order in which they are to be imported. The error names the file.
    pub fn read(&self) -> Result<Vec<DefinitionFile>, String> {
        let mut files = Vec::new();
        for path in &self.paths {
            let found = read_all(path).map_err(|error| format!("{}: {error}", path.display()))?;
            if found.is_empty() {
                tracing::warn!("there are no definitions (*.json) in {}", path.display());
            }
            files.extend(found);
        }
        Ok(files)
    }
}

/// A file, or those of a directory.
fn read_all(path: &PathBuf) -> io::Result<Vec<DefinitionFile>> {
    let mut paths = vec![path.clone()];
    if fs::metadata(path)?.is_dir() {
        let entries = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path()));
        paths = entries.collect::<io::Result<_>>()?;
        paths.retain(|path| path.extension() == Some(OsStr::new("json")));
        paths.sort();
    }
    paths.into_iter().map(|path| fs::read(&path).map(|text| DefinitionFile { path, text })).collect()
}
