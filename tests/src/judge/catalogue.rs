//! The scripts: text files, one for each group.
//!
//! ```text
//! ## passive-missing
//! # A queue that is not there.
//! a1: queue.declare queue=q passive
//! ```

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::{
    Doing, Trouble,
    step::{Action, Step},
};
use crate::binaries::workspace_root;

/// A scripted session of one or more connections with a broker.
#[derive(Debug)]
pub struct Script {
    /// No other script has it, in no group.
    pub name: String,
    /// The file that it stands in, without its extension.
    pub group: String,
    pub steps: Vec<Step>,
}

impl Script {
    /// It looks at the whole broker: nothing else may be going on there.
    pub fn is_alone(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.action, Action::Tool(_)))
    }
}

/// All scripts, in the order of their files.
#[derive(Debug)]
pub struct Catalogue {
    pub scripts: Vec<Script>,
}

impl Catalogue {
    /// Where scripts, recordings and expected differences are.
    pub fn dir() -> PathBuf {
        workspace_root().join("tests/judge")
    }

    /// Reads all scripts.
    pub fn load() -> Result<Catalogue, Trouble> {
        let dir = Catalogue::dir().join("scripts");
        let entries = fs::read_dir(&dir).doing(dir.display())?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
        paths.sort();
        let mut scripts = Vec::new();
        for path in paths {
            let text = fs::read_to_string(&path).doing(path.display())?;
            scripts.append(&mut parse(&group(&path), &text).doing(path.display())?);
        }
        let mut names = BTreeSet::new();
        match scripts.iter().find(|script| !names.insert(&script.name)) {
            Some(twice) => Err(Trouble::new(format!("two scripts are called {}", twice.name))),
            None => Ok(Catalogue { scripts }),
        }
    }

    /// Leaves only scripts whose group or name contains one of `only`; nothing in it leaves all.
    pub fn select(&mut self, only: &[String]) {
        let is_named = |script: &Script| {
            only.iter().any(|part| script.name.contains(part.as_str()) || script.group == *part)
        };
        self.scripts.retain(|script| only.is_empty() || is_named(script));
    }

    /// The groups, in their order.
    pub fn groups(&self) -> BTreeSet<&str> {
        self.scripts.iter().map(|script| script.group.as_str()).collect()
    }
}

fn group(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The scripts of one file.
fn parse(group: &str, text: &str) -> Result<Vec<Script>, Trouble> {
    let mut scripts: Vec<Script> = Vec::new();
    for line in text.lines().map(str::trim_end) {
        if let Some(name) = line.strip_prefix("## ") {
            let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if !name.chars().all(is_plain) {
                return Err(Trouble::new(format!("{name:?}: names are of lower-case letters, digits and -")));
            }
            scripts.push(Script { name: name.to_owned(), group: group.to_owned(), steps: Vec::new() });
        } else if !line.is_empty() && !line.starts_with('#') {
            let script = scripts.last_mut().ok_or_else(|| Trouble::new("a step before the first script"))?;
            script.steps.push(Step::parse(line)?);
        }
    }
    match scripts.iter().find(|script| script.steps.last().is_none_or(|step| step.is_joined)) {
        Some(open) => Err(Trouble::new(format!("{} has no last step", open.name))),
        None => Ok(scripts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read() {
        let scripts = parse("g", "# x\n\n## one\na1: tx.select\n## two\n# y\na: socket\na: cut\n").unwrap();
        let shape: Vec<_> = scripts.iter().map(|script| (script.name.as_str(), script.steps.len())).collect();
        assert_eq!(shape, [("one", 1), ("two", 2)]);
        for wrong in ["a: cut", "## One\na: cut", "## empty", "## open\n+ a1: tx.select", "## x\na: dance"] {
            assert!(parse("g", wrong).is_err(), "{wrong}");
        }
    }
}
