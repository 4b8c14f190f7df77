//! Inside the broker a module imports only itself and those below it: the layers of its architecture.

use std::collections::BTreeSet;

use liebre_tests::source::{SourceFile, files};

/// From the bottom to the top. What is not named here is on top of all: the command line, the program.
const LAYERS: [&str; 7] = ["wire", "model", "storage", "vhost", "connection", "server", "http"];

/// Constants (and the clock of tests); every layer may import them, and they import nothing.
const SHARED: [&str; 3] = ["limits", "product", "test_clock"];

#[test]
fn modules_import_downwards_only() {
    let files = files("broker/src", &["rs"]);
    assert!(!files.is_empty(), "the broker has no source");
    let wrong: Vec<String> = files.iter().flat_map(upward_imports).collect();
    assert!(wrong.is_empty(), "imports against the layers:\n{}", wrong.join("\n"));
}

#[test]
fn imports_are_found_however_they_are_written() {
    let text = "use crate::wire::Frame;\nuse crate::{\n    model::{queue, name},\n    limits::*, server,\n};\n\
                fn f() { crate::http::start() }\n//! [`crate::vhost`]\nuse std::crates::x;\n";
    let found: Vec<String> = imports(text).into_iter().collect();
    assert_eq!(found, ["http", "limits", "model", "server", "wire"]);
}

#[test]
fn an_upward_import_is_found() {
    let file = |path: &str, text: &str| SourceFile { path: path.to_owned(), text: text.to_owned() };
    let wrong = |path, text| upward_imports(&file(path, text)).len();
    assert_eq!(wrong("broker/src/wire/frame.rs", "use crate::model::name;"), 1);
    assert_eq!(wrong("broker/src/limits.rs", "use crate::wire;"), 1);
    assert_eq!(wrong("broker/src/http/mod.rs", "use crate::{server, vhost, limits};"), 0);
    assert_eq!(wrong("broker/src/http.rs", "use crate::config::Config;"), 1);
    assert_eq!(wrong("broker/src/main.rs", "use crate::config::Config;"), 0);
}

fn upward_imports(file: &SourceFile) -> Vec<String> {
    let own = module(&file.path);
    let Some(level) = level(own) else { return Vec::new() };
    let is_upward = |imported: &&String| {
        let is_allowed = *imported == own || is_shared(imported) && !is_shared(own);
        !is_allowed && self::level(imported).is_none_or(|imported| imported >= level)
    };
    let imports = imports(&file.text);
    imports.iter().filter(is_upward).map(|imported| format!("{}: crate::{imported}", file.path)).collect()
}

/// The module of the crate that a file belongs to.
fn module(path: &str) -> &str {
    let inside = path.strip_prefix("broker/src/").unwrap_or(path);
    let first = inside.split('/').next().unwrap_or(inside);
    first.strip_suffix(".rs").unwrap_or(first)
}

fn is_shared(module: &str) -> bool {
    SHARED.contains(&module)
}

/// None for the top. The shared module is below all.
fn level(module: &str) -> Option<usize> {
    if is_shared(module) {
        return Some(0);
    }
    LAYERS.iter().position(|layer| *layer == module).map(|index| index + 1)
}

/// The modules after every `crate::`, also inside braces.
fn imports(text: &str) -> BTreeSet<String> {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let code: String = text.lines().filter(is_code).flat_map(|line| [line, "\n"]).collect();
    let mut found = BTreeSet::new();
    for (index, keyword) in code.match_indices("crate::") {
        // Not the end of a longer word, nor a macro's `$crate`.
        if code[..index].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[index + keyword.len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(first_words(group)),
            None => found.extend([word(rest)]),
        }
    }
    found
}

/// The first word of each member of a brace group, which ends at its closing brace.
fn first_words(group: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut depth, mut begin) = (0, 0);
    for (index, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' | ',' if depth == 0 => {
                words.push(word(group[begin..index].trim_start()));
                begin = index + 1;
            }
            _ => {}
        }
        if c == '}' && begin == index + 1 {
            break;
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}
