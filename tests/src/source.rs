//! The workspace's source as text, for tests of the rules that no compiler checks.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::binaries::workspace_root;

/// One file of the source.
#[derive(Debug)]
pub struct SourceFile {
    /// Relative to the workspace's root, with `/`.
    pub path: String,
    pub text: String,
}

impl SourceFile {
    /// Its lines with their numbers, from 1.
    pub fn numbered_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Its lines that are no comments, without a module of tests at the end.
    pub fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = if self.is_test() { 0 } else { self.tests_begin() };
        self.numbered_lines()
            .take_while(move |(number, _)| *number < end)
            .filter(|(_, line)| !is_comment(line))
    }

    /// Its lines that are no comments and belong to tests.
    pub fn test_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let begin = if self.is_test() { 0 } else { self.tests_begin() };
        self.numbered_lines()
            .skip_while(move |(number, _)| *number < begin)
            .filter(|(_, line)| !is_comment(line))
    }

    /// Whether the whole file is a test.
    fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs") || self.path.ends_with("_tests.rs")
    }

    /// The line of `#[cfg(test)]` before a module with its body here, or the line after the last.
    fn tests_begin(&self) -> usize {
        let lines: Vec<&str> = self.text.lines().collect();
        let is_begin = |pair: &[&str]| {
            pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
        };
        lines.windows(2).position(is_begin).unwrap_or(lines.len()) + 1
    }
}

/// All files under `dir` (relative to the workspace's root) whose names end in one of `extensions`, sorted.
/// Empty if there is no such directory.
pub fn files(dir: &str, extensions: &[&str]) -> Vec<SourceFile> {
    let mut paths = Vec::new();
    walk(&workspace_root().join(dir), &mut paths);
    paths.sort();
    let wanted = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted))
    };
    paths.into_iter().filter(wanted).map(|path| read(&path)).collect()
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

fn walk(dir: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let entry = entry.expect("a directory of the workspace can be read");
        let name = entry.file_name();
        let is_foreign = name == "target" || name == "fuzz-corpus" || name.to_string_lossy().starts_with('.');
        if is_foreign {
            continue;
        }
        let path = entry.path();
        if path.is_dir() { walk(&path, paths) } else { paths.push(path) }
    }
}

fn read(path: &Path) -> SourceFile {
    let relative = path.strip_prefix(workspace_root()).expect("the file is in the workspace");
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    SourceFile { path: relative.to_string_lossy().replace('\\', "/"), text }
}
