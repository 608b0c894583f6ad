//! Without these, a module would sooner or later use one that stands below it, and nobody could read a
//! crate from its first module to its last any more.
//!
//! The order is written once, as a table of modules: in the documentation of the module that they are in,
//! the engine's in ARCHITECTURE.md. Each module sees itself and those named before it.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The crates, as directories beside this one's.
const CRATES: [&str; 7] =
    ["engine", "protocol", "torture", "benches", "benches/peers", "server", "fuzz"];

/// A module whose modules have an order.
struct Scope {
    path: Vec<String>,
    file: PathBuf,
    /// The modules that it declares.
    modules: Vec<String>,
    /// The modules that its table names, in order.
    order: Vec<String>,
    /// What it imports from its modules, by which of them.
    imported: HashMap<String, String>,
}

/// A file of a crate.
struct Source {
    file: PathBuf,
    /// Its module: the names on the way to it.
    path: Vec<String>,
    text: String,
}

/// A path that stands in a file, from the crate's root on, and its line.
type Named = (usize, Vec<String>);

#[test]
fn each_module_sees_only_those_named_before_it() {
    let (mut wrong, mut looked_at) = (Vec::new(), 0);
    for name in CRATES {
        let sources = sources(&Path::new("..").join(name));
        let scopes = scopes(name, &sources);
        assert!(
            scopes.iter().any(|scope| scope.path.is_empty()),
            "{name} has no table of its modules"
        );
        for scope in &scopes {
            wrong.extend(not_in_the_table(scope));
            for source in sources.iter().filter(|source| source.path.len() > scope.path.len()) {
                let Some(own) = below(&scope.path, &source.path) else { continue };
                for (line, path) in named(&source.text, &source.path) {
                    let Some(item) = below(&scope.path, &path) else { continue };
                    looked_at += 1;
                    if let Some(reason) = scope.forbids(own, item) {
                        wrong.push(format!("{}:{line}: {reason}", source.file.display()));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(looked_at > 2000, "the imports are found: {looked_at}");
}

/// Modules without a place in the table, and places without a module.
fn not_in_the_table(scope: &Scope) -> Vec<String> {
    let Scope { modules, order, file, .. } = scope;
    let missing = modules.iter().filter(|module| !order.contains(module));
    let missing = missing.map(|module| format!("`{module}` is in no table"));
    let unknown = order.iter().filter(|module| !modules.contains(module));
    let unknown = unknown.map(|module| format!("`{module}` is in the table, and no module"));
    missing.chain(unknown).map(|what| format!("{}: {what}", file.display())).collect()
}

impl Scope {
    /// Why the module `own` must not use what is called `item` here, if it must not.
    fn forbids(&self, own: &str, item: &str) -> Option<String> {
        let module = match self.modules.iter().any(|module| module == item) {
            true => item,
            // What the file itself has stands above all of its modules.
            false => match self.imported.get(item) {
                Some(module) => module,
                None => return Some(format!("{own} uses {item} of the module that it is in")),
            },
        };
        let place = |module| self.order.iter().position(|named| named == module);
        (place(module) > place(own)).then(|| format!("{own} uses {module}, which stands below it"))
    }
}

/// The first name of a path behind that of a scope.
fn below<'p>(scope: &[String], path: &'p [String]) -> Option<&'p str> {
    path.strip_prefix(scope)?.first().map(String::as_str)
}

/// The modules of a crate that have a table.
fn scopes(name: &str, sources: &[Source]) -> Vec<Scope> {
    let scope = |source: &Source| {
        let order = match (name, source.path.is_empty()) {
            ("engine", true) => {
                let text = fs::read_to_string("../ARCHITECTURE.md").unwrap();
                table(text.lines(), "file")
            }
            _ => table(source.text.lines().filter_map(|line| line.strip_prefix("//! ")), "module"),
        };
        let modules: Vec<String> = source.text.lines().filter_map(declared).collect();
        let imported = imports(&source.text)
            .into_iter()
            .filter(|path| modules.contains(&path[0]))
            .map(|path| (path[path.len() - 1].clone(), path[0].clone()))
            .collect();
        let (path, file) = (source.path.clone(), source.file.clone());
        (!order.is_empty()).then_some(Scope { path, file, modules, order, imported })
    };
    sources.iter().filter_map(scope).collect()
}

/// What stands in the first column of the table with this head, as names of modules.
fn table<'t>(lines: impl Iterator<Item = &'t str>, head: &str) -> Vec<String> {
    let first_cell = |line: &'t str| line.strip_prefix('|')?.split('|').next().map(str::trim);
    let lines = lines.skip_while(|line| first_cell(line) != Some(head)).skip(2);
    let mut names: Vec<String> = lines
        .map_while(first_cell)
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(|name| name.trim_end_matches('/').trim_end_matches(".rs").to_owned())
        .collect();
    // A file, and the directory of its own modules.
    names.dedup();
    names
}

fn sources(dir: &Path) -> Vec<Source> {
    let root = dir.join("src");
    let (mut found, mut dirs) = (Vec::new(), vec![root.clone()]);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let file = entry.unwrap().path();
            if file.is_dir() {
                dirs.push(file);
            } else if file.extension().is_some_and(|extension| extension == "rs") {
                let inside = file.strip_prefix(&root).unwrap().with_extension("");
                let mut path: Vec<String> =
                    inside.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
                path.pop_if(|last| ["lib", "main", "mod"].contains(&last.as_str()));
                let text = fs::read_to_string(&file).unwrap();
                found.push(Source { file, path, text });
            }
        }
    }
    found.sort_by(|one, other| one.file.cmp(&other.file));
    found
}

/// The module that a line declares as a file of its own; tests aside.
fn declared(line: &str) -> Option<String> {
    let name = without_visibility(line).strip_prefix("mod ")?.strip_suffix(';')?;
    (name != "tests").then(|| name.to_owned())
}

fn without_visibility(line: &str) -> &str {
    let Some(rest) = line.strip_prefix("pub") else { return line };
    let rest =
        rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or(rest, |(_, rest)| rest);
    rest.trim_start()
}

/// A file's text without its comments, line by line.
fn code(text: &str) -> String {
    let is_comment = |line: &str| line.trim_start().starts_with("//");
    text.lines()
        .map(|line| if is_comment(line) { "\n".to_owned() } else { format!("{line}\n") })
        .collect()
}

/// The paths that a file of the module `own` names by `crate`, `super` and `self`.
fn named(text: &str, own: &[String]) -> Vec<Named> {
    let code = code(text);
    // How many modules inside the file each line is in, by the lines that close them.
    let (mut open, mut found) = (Vec::<String>::new(), Vec::new());
    let mut start = 0;
    for (number, line) in (1..).zip(code.lines()) {
        let trimmed = line.trim_start();
        if open.last().is_some_and(|end| end == line) {
            open.pop();
        } else if without_visibility(trimmed).starts_with("mod ") && trimmed.ends_with('{') {
            open.push(format!("{}}}", &line[..line.len() - trimmed.len()]));
        }
        let here = own.len() + open.len();
        for (at, root) in roots(line) {
            let base = match root {
                "crate" => 0,
                "super" => here.saturating_sub(1),
                _ => here,
            };
            for path in Tree::paths(&code[start + at + root.len() + 2..]) {
                let ups = path.iter().take_while(|name| *name == "super").count();
                let base = base.saturating_sub(ups);
                // What is in a module inside the file is the file's own.
                if base <= own.len() {
                    let path = own[..base].iter().chain(&path[ups..]).cloned().collect();
                    found.push((number, path));
                }
            }
        }
        start += line.len() + 1;
    }
    found
}

/// Where paths begin in a line, and with what.
fn roots(line: &str) -> Vec<(usize, &'static str)> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    let mut found = Vec::new();
    for root in ["crate", "super", "self"] {
        for (at, _) in line.match_indices(&format!("{root}::")) {
            let before = &line[..at];
            let is_inside = before.bytes().last().is_some_and(is_name);
            // `pub(in crate::x)` uses nothing.
            if !is_inside && !before.ends_with("(in ") {
                found.push((at, root));
            }
        }
    }
    found
}

/// The paths of a file's `use`s, without `self` and `crate` in front.
fn imports(text: &str) -> Vec<Vec<String>> {
    let code = code(text);
    let uses = code
        .match_indices("use ")
        .filter(|(at, _)| matches!(code[..*at].bytes().last(), None | Some(b'\n' | b' ')));
    uses.flat_map(|(at, word)| Tree::paths(&code[at + word.len()..]))
        .map(|path| path.into_iter().skip_while(|name| name == "self" || name == "crate").collect())
        .filter(|path: &Vec<String>| path.len() > 1)
        .collect()
}

/// A path, or several that begin alike: `a::{b, c::d}`.
struct Tree<'t> {
    rest: &'t str,
}

impl<'t> Tree<'t> {
    fn paths(text: &'t str) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        Self { rest: text }.read(&[], &mut found);
        found
    }

    fn read(&mut self, before: &[String], found: &mut Vec<Vec<String>>) {
        self.rest = self.rest.trim_start();
        if let Some(rest) = self.rest.strip_prefix('{') {
            self.rest = rest;
            loop {
                self.rest = self.rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
                if let Some(rest) = self.rest.strip_prefix('}') {
                    self.rest = rest;
                    return;
                }
                let left = self.rest.len();
                self.read(before, found);
                // A new name behind `as`.
                let end = self.rest.find([',', '}']).unwrap_or(self.rest.len());
                self.rest = &self.rest[end..];
                assert!(self.rest.len() < left, "no path: {:.40}", self.rest);
            }
        }
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let end = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        let mut path = before.to_vec();
        if !name.is_empty() {
            path.push(name.to_owned());
            if let Some(rest) = rest.strip_prefix("::") {
                self.rest = rest;
                return self.read(&path, found);
            }
        }
        found.push(path);
    }
}

/// Without it, imports that are not found would be no imports.
#[test]
fn imports_are_found_however_they_are_written() {
    let text = "\
use super::{a::{self, B}, c as d};
pub(in crate::no) fn f() -> crate::e::F { super::super::g() }
// crate::no
mod tests {
    use super::*;
    use super::super::h;
}
";
    let own = ["x", "y"].map(str::to_owned);
    let found: Vec<String> = named(text, &own)
        .iter()
        .map(|(line, path)| format!("{line} {}", path.join("::")))
        .collect();
    assert_eq!(found, ["1 x::a::self", "1 x::a::B", "1 x::c", "2 e::F", "2 g", "5 x::y", "6 x::h"]);
    assert_eq!(
        imports("pub use a::{B, c::D};\nuse self::e::F;\n").concat().join(" "),
        "a B a c D e F"
    );
    assert_eq!(declared("pub(crate) mod a;"), Some("a".to_owned()));
    assert_eq!(
        table(
            "| module | what |\n| --- | --- |\n| `a.rs` `a/`, `b` | c |\n\n| `d` |".lines(),
            "module"
        ),
        ["a", "b"]
    );
}
