//! Without this: a lower module would sooner or later need an upper one, and nobody could read the
//! engine from its first file to its last any more.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};

/// The engine's modules in import order: each sees those of earlier lines and itself. Those of one
/// line do not see each other, but for the words, which are in order themselves.
const ORDER: [&[&str]; 31] = [
    // Words.
    &["ids"],
    &["broken"],
    &["stats", "progress"],
    &["counters"],
    &["time", "unit", "pace"],
    &["disk"],
    &["crash_sweep"],
    &["error"],
    &["checksum"],
    &["attributes", "facts", "location", "receipt"],
    &["command"],
    // Bytes.
    &["codec"],
    &["attributes_section"],
    &["record"],
    &["entry"],
    &["options"],
    // Files, and what they mean.
    &["log"],
    &["index", "state"],
    &["snapshot"],
    &["upkeep"],
    // Decisions.
    &["core"],
    // What is done beside the log.
    &["compactor"],
    &["keeper"],
    // The whole.
    &["recovery"],
    &["opening"],
    &["store"],
    &["engine"],
    // A look from outside.
    &["verify"],
    &["inspect"],
    &["repair"],
    &["lib"],
];

fn rank(module: &str) -> usize {
    let line = ORDER.iter().position(|line| line.contains(&module));
    line.unwrap_or_else(|| panic!("{module} has no place in the order"))
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let (dirs, mut files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    files.extend(dirs.iter().flat_map(|dir| sources(dir)));
    files.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files
}

/// The module that a file belongs to: the first name of its path in `src`.
fn module(path: &Path) -> String {
    let path = path.strip_prefix("src").unwrap();
    let first = path.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The modules that a line of code names by `crate::`; comments may name anything.
fn imports(line: &str) -> Vec<&str> {
    let code = line.trim_start();
    if code.starts_with("//") {
        return Vec::new();
    }
    let names = code.split("crate::").skip(1);
    names
        .map(|name| name.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap())
        .collect()
}

#[test]
fn no_file_imports_a_later_one() {
    let files = sources(Path::new("src"));
    assert!(files.len() > 40, "the sources are found");
    let mut wrong = Vec::new();
    for path in files {
        let (text, own) = (fs::read_to_string(&path).unwrap(), module(&path));
        for (number, line) in (1..).zip(text.lines()) {
            for import in imports(line) {
                if import != own && rank(import) >= rank(&own) {
                    wrong.push(format!("{}:{number}: {own} imports {import}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
