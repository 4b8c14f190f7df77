//! The rules of the source that no compiler checks. A rule that finds nothing is no rule: each is tried on something
//! wrong, too.

use liebre_tests::{
    binaries::workspace_root,
    source::{SourceFile, files},
};

/// Lines of the longest file. The aim is 600.
const LINES_MAX: usize = 800;

/// Where files are touched besides the storage's disk: where the program finds its configuration, its data directory and its
/// control socket, and where the system tells what the process uses.
const MAY_TOUCH_FILES: [&str; 8] = [
    "broker/src/storage/disk.rs",
    "broker/src/storage/data_dir.rs",
    "broker/src/main.rs",
    "broker/src/cli.rs",
    "broker/src/config/",
    "broker/src/server/control.rs",
    "broker/src/server/definition_files.rs",
    "broker/src/server/process.rs",
];

/// Where tasks and threads begin.
const MAY_SPAWN: [&str; 2] = ["broker/src/server/", "broker/src/main.rs"];

/// The one place that pauses between two questions.
const MAY_SLEEP: [&str; 1] = ["tests/src/wait.rs"];

/// Names that say nothing, or that say something else elsewhere.
const EMPTY_NAMES: [&str; 9] =
    ["session", "envelope", "manager", "handler", "processor", "util", "utils", "helper", "common"];

/// The crates and programs of the workspace.
const PARTS: [&str; 4] = ["broker", "clients", "tutorials", "tests"];

/// A rule says what is wrong with a file, nothing if all is well.
type Rule = fn(&SourceFile) -> Vec<String>;

fn check(dirs: &[&str], extensions: &[&str], rule: Rule) {
    let files: Vec<SourceFile> = dirs.iter().flat_map(|dir| files(dir, extensions)).collect();
    let wrong: Vec<String> = files.iter().flat_map(rule).collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// How many complaints `rule` has about a file with this text.
fn complaints(rule: Rule, path: &str, text: &str) -> usize {
    rule(&SourceFile { path: path.to_owned(), text: text.to_owned() }).len()
}

#[test]
fn files_are_short() {
    assert_eq!(complaints(too_long, "broker/src/a.rs", &"//\n".repeat(LINES_MAX + 1)), 1);
    check(&PARTS, &["rs", "py"], too_long);
}

fn too_long(file: &SourceFile) -> Vec<String> {
    let lines = file.text.lines().count();
    let wrong = lines > LINES_MAX;
    wrong.then(|| format!("{}: {lines} lines, at most {LINES_MAX}", file.path)).into_iter().collect()
}

#[test]
fn every_file_says_what_it_is_for() {
    assert_eq!(complaints(without_doc, "broker/src/a.rs", "use std::fmt;\n"), 1);
    check(&PARTS, &["rs"], without_doc);
}

fn without_doc(file: &SourceFile) -> Vec<String> {
    let wrong = !file.text.starts_with("//! ");
    wrong.then(|| format!("{}: begins without a module doc", file.path)).into_iter().collect()
}

#[test]
fn tests_wait_for_events() {
    let pause = concat!("thread::sl", "eep(second)");
    assert_eq!(complaints(sleeping, "tests/tests/a.rs", pause), 1);
    assert_eq!(
        complaints(sleeping, "broker/src/a.rs", &format!("#[cfg(test)]\nmod tests {{\n{pause}\n}}")),
        1
    );
    assert_eq!(complaints(sleeping, "broker/src/a.rs", pause), 0);
    check(&PARTS, &["rs"], sleeping);
}

fn sleeping(file: &SourceFile) -> Vec<String> {
    let pause = concat!("sl", "eep(");
    // The harness is not below a directory of tests, but all of it is.
    let lines: Vec<(usize, &str)> = if file.path.starts_with("tests/") {
        file.numbered_lines().collect()
    } else {
        file.test_lines().collect()
    };
    complain(file, lines.into_iter(), &MAY_SLEEP, |line| line.contains(pause), "waits for a fixed time")
}

#[test]
fn only_the_disk_touches_files() {
    for text in
        ["use std::fs;", "std::fs::read(x)", "use std::{\n    fs,\n};", "File::open(x)", "tokio::fs::read(x)"]
    {
        assert_eq!(complaints(touching_files, "broker/src/vhost/a.rs", text), 1, "{text}");
    }
    assert_eq!(complaints(touching_files, "broker/src/storage/disk.rs", "use std::fs;"), 0);
    assert_eq!(complaints(touching_files, "broker/src/storage/log.rs", "DefinitionsFile::open(x)"), 0);
    assert_eq!(complaints(touching_files, "broker/src/vhost/a.rs", "let offs = xfs::y;"), 0);
    check(&["broker/src"], &["rs"], touching_files);
}

fn touching_files(file: &SourceFile) -> Vec<String> {
    let touches = |line: &str| words(line).any(|word| word == "fs" || word == "File");
    complain(
        file,
        file.code_lines(),
        &MAY_TOUCH_FILES,
        touches,
        "touches files; only the storage's disk does",
    )
}

#[test]
fn only_the_server_spawns() {
    for text in ["tokio::spawn(x)", "thread::spawn(x)", "spawn_blocking(x)", "scope.spawn(x)"] {
        assert_eq!(complaints(spawning, "broker/src/connection/a.rs", text), 1, "{text}");
    }
    assert_eq!(complaints(spawning, "broker/src/server/a.rs", "tokio::spawn(x)"), 0);
    check(&["broker/src"], &["rs"], spawning);
}

fn spawning(file: &SourceFile) -> Vec<String> {
    let spawns =
        |line: &str| words(line).any(|word| matches!(word, "spawn" | "spawn_blocking" | "spawn_local"));
    complain(file, file.code_lines(), &MAY_SPAWN, spawns, "spawns; only the server does")
}

#[test]
fn the_model_knows_no_json() {
    assert_eq!(complaints(serializing, "broker/src/model/a.rs", "#[derive(Serialize)]"), 1);
    check(&["broker/src/model", "broker/src/wire"], &["rs"], serializing);
}

fn serializing(file: &SourceFile) -> Vec<String> {
    let serializes =
        |line: &str| words(line).any(|word| matches!(word, "serde" | "serde_json" | "Serialize"));
    complain(file, file.code_lines(), &[], serializes, "speaks of JSON; its forms belong to the edges")
}

#[test]
fn names_say_something() {
    for text in ["pub struct QueueManager {", "trait Handler {", "enum SessionState {", "mod utils;"] {
        assert_eq!(complaints(empty_names, "broker/src/a.rs", text), 1, "{text}");
    }
    for path in ["broker/src/utils.rs", "broker/src/common/mod.rs"] {
        assert_eq!(complaints(empty_names, path, ""), 1, "{path}");
    }
    assert_eq!(complaints(empty_names, "broker/src/a.rs", "pub struct Handlebar; // a handler"), 0);
    check(&["broker", "clients", "tests/src"], &["rs"], empty_names);
}

fn empty_names(file: &SourceFile) -> Vec<String> {
    let is_empty_name = |name: &str| EMPTY_NAMES.contains(&name);
    let in_path = file.path.split(['/', '.']).any(is_empty_name);
    let mut wrong: Vec<String> =
        in_path.then(|| format!("{}: a name that says nothing", file.path)).into_iter().collect();
    let declares = |line: &str| {
        let code = line.split("//").next().unwrap_or(line);
        let mut words =
            words(code).skip_while(|word| !matches!(*word, "struct" | "enum" | "trait" | "mod" | "type"));
        words.nth(1).is_some_and(|name| parts(name).iter().any(|part| is_empty_name(part)))
    };
    wrong.extend(complain(file, file.numbered_lines(), &[], declares, "a name that says nothing"));
    wrong
}

#[test]
fn no_loose_ends() {
    for text in [concat!("// TO", "DO: later"), concat!("// FIX", "ME"), concat!("see issue", " #12")] {
        assert_eq!(complaints(loose_ends, "broker/src/a.rs", text), 1, "{text}");
    }
    check(&PARTS, &["rs", "py", "md", "toml"], loose_ends);
}

fn loose_ends(file: &SourceFile) -> Vec<String> {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("issue", " #"), concat!("Issue", " #")];
    let is_loose = |line: &str| marks.iter().any(|mark| line.contains(mark));
    complain(file, file.numbered_lines(), &[], is_loose, "a loose end; finish it, or keep it elsewhere")
}

/// The map shows only places that are there.
#[test]
fn the_map_is_true() {
    let map = workspace_root().join("broker/ARCHITECTURE.md");
    let Ok(text) = std::fs::read_to_string(&map) else {
        eprintln!("skipped: there is no {} yet", map.display());
        return;
    };
    let all: Vec<String> = files("", &["rs", "md", "toml", "py"]).into_iter().map(|file| file.path).collect();
    let is_there = |named: &str| all.iter().any(|path| path == named || path.ends_with(&format!("/{named}")));
    let missing: Vec<&str> = named_files(&text).into_iter().filter(|named| !is_there(named)).collect();
    assert!(missing.is_empty(), "{} names files that are not there: {missing:?}", map.display());
}

#[test]
fn file_names_are_found_in_text() {
    let text = "see `model/queue.rs`, [the log](storage/log.rs) and `Queue`.\n  wire/mod.rs   frames; e.g. README.md.";
    assert_eq!(named_files(text), ["model/queue.rs", "storage/log.rs", "wire/mod.rs", "README.md"]);
}

fn named_files(text: &str) -> Vec<&str> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let words = text.split(|c| !is_path(c)).map(|word| word.trim_matches(['.', '/']));
    words
        .filter(|word| word.ends_with(".rs") || word.ends_with(".md"))
        .filter(|word| !word.contains(".."))
        .collect()
}

/// One complaint for each line that is wrong, unless the file may.
fn complain<'a>(
    file: &SourceFile,
    lines: impl Iterator<Item = (usize, &'a str)>,
    may: &[&str],
    is_wrong: impl Fn(&str) -> bool,
    complaint: &str,
) -> Vec<String> {
    if may.iter().any(|allowed| file.path.starts_with(allowed)) {
        return Vec::new();
    }
    let wrong = lines.filter(|(_, line)| is_wrong(line));
    wrong.map(|(number, line)| format!("{}:{number}: {complaint}: {}", file.path, line.trim())).collect()
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// `QueueManager` and `queue_manager` are `queue` and `manager`.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for c in name.chars() {
        let begins = c == '_' || c.is_uppercase();
        if begins && parts.last().is_some_and(|part| !part.is_empty()) {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut().filter(|_| c != '_') {
            part.extend(c.to_lowercase());
        }
    }
    parts
}
