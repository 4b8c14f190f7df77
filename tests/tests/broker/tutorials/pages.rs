//! The pages themselves: links lead somewhere, both languages have the same lessons, every program is named.

use std::path::Path;

use liebre_tests::{
    binaries::workspace_root,
    source::{SourceFile, files},
};

#[test]
fn links_lead_somewhere() {
    let wrong = |path: &str, text: &str| {
        broken_links(&SourceFile { path: path.to_owned(), text: text.to_owned() }).len()
    };
    assert_eq!(
        wrong("tutorials/en/1-a.md", "[a](../README.md), [b](no-such.md) and\n[c](../no/such.md#part)"),
        2
    );
    assert_eq!(wrong("README.md", "[a](https://example.org) [b](#part) [c](tutorials/README.md)"), 0);

    let mut pages = files("tutorials", &["md"]);
    pages.extend(files("", &["md"]).into_iter().filter(|page| page.path == "README.md"));
    assert!(pages.len() > 3, "the pages are found");
    let broken: Vec<String> = pages.iter().flat_map(broken_links).collect();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

fn broken_links(page: &SourceFile) -> Vec<String> {
    let dir = workspace_root().join(Path::new(&page.path).parent().expect("a page is in a directory"));
    let is_broken = |target: &&str| {
        let file = target.split('#').next().unwrap_or_default();
        !target.contains("://") && !file.is_empty() && !dir.join(file).exists()
    };
    let targets = page.text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(is_broken).map(|target| format!("{}: {target}", page.path)).collect()
}

/// A lesson has the same commands to type, questions and tables in both languages.
#[test]
fn both_languages_have_the_same_lessons() {
    let (english, spanish) = (files("tutorials/en", &["md"]), files("tutorials/es", &["md"]));
    assert_eq!(english.len(), spanish.len());
    let shape = |page: &SourceFile| {
        ["```sh\n", "```\n", "<details>", "\n**", "\n|", "\n## ", "]("]
            .map(|mark| page.text.matches(mark).count())
    };
    for (english, spanish) in english.iter().zip(&spanish) {
        assert_eq!(shape(english), shape(spanish), "{} and {}", english.path, spanish.path);
    }
}

#[test]
fn every_program_is_there_twice_and_named() {
    let names = |dir: &str, extension: &str| -> Vec<String> {
        let programs = files(dir, &[extension]).into_iter();
        let stem =
            |path: String| Path::new(&path).file_stem().expect("a name").to_string_lossy().into_owned();
        // What programs share is no program.
        let is_shared = |name: &String| ["chat", "jobs", "lesson"].contains(&name.as_str());
        programs.map(|program| stem(program.path)).filter(|name| !is_shared(name)).collect()
    };
    let programs = names("tutorials/rust/src/bin", "rs");
    assert_eq!(programs, names("tutorials/python", "py"));
    for index in ["tutorials/README.md", "tutorials/LEEME.md"] {
        let text = std::fs::read_to_string(workspace_root().join(index)).expect("the index is there");
        let unnamed: Vec<&String> =
            programs.iter().filter(|name| !text.contains(&format!("`{name}`"))).collect();
        assert!(unnamed.is_empty(), "{index} does not name {unnamed:?}");
    }
}
