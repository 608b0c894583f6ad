//! Whether a server syncs what it writes, as a trace shows of a run in which nothing failed.
//!
//! A sync that is missing is no site that could fail, and a process that ends leaves its writes in the page
//! cache, where the next one finds them: only the trace shows that it is missing.

use std::collections::BTreeSet;

use super::trace::{Object, Traced};

/// What each run syncs: an opening replaces the manifest and writes an entry, in a segment that it made.
const ALWAYS: [(&str, &str); 4] = [
    ("log/*.log", "any segment of the log"),
    ("MANIFEST.tmp", "a new manifest"),
    ("log", "the directory of the log"),
    ("", "the directory of the store"),
];

/// What an opening syncs before it changes anything: the process before may have been killed between a write, or a
/// rename, and its sync.
const FIRST: [(&str, &str); 3] = [
    ("log/*.log", "the newest segment"),
    ("log", "the directory of the log"),
    ("", "the directory of the store"),
];

/// What was written, renamed, and not synced.
#[derive(Default)]
struct Unsynced<'t> {
    /// Files that were written since their last sync.
    files: BTreeSet<&'t str>,
    /// Directories in which a file got another name since their last sync.
    dirs: BTreeSet<&'t str>,
    /// Files that got another name when they were not synced, by their kind.
    renamed: BTreeSet<&'t str>,
    /// What was synced, by its kind.
    synced: BTreeSet<&'t str>,
    /// What was synced when a file was renamed for the first time.
    synced_first: Option<BTreeSet<&'t str>>,
}

/// What the server did not sync, in words. Its run must have begun on a store that was killed, and ended in order.
pub(super) fn unsynced(calls: &[Traced]) -> Vec<String> {
    let mut state = Unsynced::default();
    for Traced { site, file, .. } in calls {
        let (Some(file), Object::File(kind) | Object::Files(kind)) = (file, &site.object) else {
            continue;
        };
        match site.call.as_str() {
            "pwrite64" => drop(state.files.insert(file)),
            "fdatasync" | "fsync" => {
                state.files.remove(file.as_str());
                state.dirs.remove(file.as_str());
                state.synced.insert(kind);
            }
            "rename" | "renameat" => {
                state.synced_first.get_or_insert_with(|| state.synced.clone());
                if state.files.remove(file.as_str()) {
                    state.renamed.insert(kind);
                }
                state.dirs.insert(file.rsplit_once('/').map_or("", |(dir, _)| dir));
            }
            _ => {}
        }
    }
    let never = ALWAYS.iter().filter(|(kind, _)| !state.synced.contains(kind));
    let first = state.synced_first.unwrap_or_default();
    let first = FIRST.iter().filter(|(kind, _)| !first.contains(kind));
    let segments = state.files.iter().filter(|file| file.ends_with(".log"));
    never
        .map(|(_, what)| format!("the server never synced {what}"))
        .chain(first.map(|(_, what)| format!("the opening did not sync {what} that it found")))
        .chain(segments.map(|file| format!("the server never synced what it wrote last to {file}")))
        .chain(state.renamed.iter().map(|kind| {
            format!("the server renamed {kind} and had not synced what it wrote to it")
        }))
        .chain(state.dirs.iter().map(|dir| {
            format!("the server never synced {dir:?} of its store after it renamed a file there")
        }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::trace::calls;
    use super::*;

    /// An opening and a roll.
    const RUN: &str = "\
        1<f> fdatasync(3</s/log/00000000.log>) = 0\n\
        1<f> fsync(4</s/log>) = 0\n\
        1<f> fsync(3</s>) = 0\n\
        1<f> pwrite64(5</s/MANIFEST.tmp>, \"FOREBAYM\", 208, 0) = 208\n\
        1<f> fdatasync(5</s/MANIFEST.tmp>) = 0\n\
        1<f> renameat(AT_FDCWD</>, \"/s/MANIFEST.tmp\", AT_FDCWD</>, \"/s/MANIFEST\") = 0\n\
        1<f> fsync(6</s>) = 0\n\
        1<f> pwrite64(7</s/log/next.tmp>, \"FOREBAYL\", 4096, 0) = 4096\n\
        1<f> fdatasync(7</s/log/next.tmp>) = 0\n\
        1<f> renameat(AT_FDCWD</>, \"/s/log/next.tmp\", AT_FDCWD</>, \"/s/log/00000001.log\") = 0\n\
        1<f> fsync(8</s/log>) = 0\n\
        2<c> pwrite64(9</s/log/00000001.log>, \"FBEN\", 4096, 4096 <unfinished ...>\n\
        1<f> pwrite64(4</s/LOCK>, \"4711\", 4, 0) = 4\n\
        2<c> <... pwrite64 resumed>) = 4096\n\
        2<c> fdatasync(7</s/log/00000001.log>) = 0\n";

    /// What is said of the run without the calls on one line, or none.
    fn without(left_out: &str) -> Vec<String> {
        let trace: String =
            RUN.lines().filter(|line| !line.contains(left_out)).map(|l| format!("{l}\n")).collect();
        unsynced(&calls(&trace, "/s"))
    }

    #[test]
    fn each_sync_that_is_missing_is_told() {
        assert_eq!(without("nothing of it"), [""; 0]);
        let manifest = without("fdatasync(5");
        assert_eq!(manifest.len(), 2, "{manifest:?}");
        assert!(manifest[0].contains("a new manifest"), "{manifest:?}");
        assert!(manifest[1].contains("renamed MANIFEST.tmp"), "{manifest:?}");
        let next = without("fdatasync(7</s/log/next.tmp>");
        assert_eq!(
            next,
            ["the server renamed log/next.tmp and had not synced what it wrote to it"]
        );
        let segment = without("fdatasync(7</s/log/00000001.log>");
        assert_eq!(segment, ["the server never synced what it wrote last to log/00000001.log"]);
        for dir in ["fsync(6", "fsync(8"] {
            let dir = without(dir);
            assert!(dir.len() == 1 && dir[0].contains("after it renamed a file"), "{dir:?}");
        }
        for found in ["fdatasync(3", "fsync(4", "fsync(3"] {
            let found = without(found);
            assert!(found.len() == 1 && found[0].contains("that it found"), "{found:?}");
        }
        assert!(without("sync(")[0].contains("any segment of the log"));
        assert_eq!(
            without("/s").len(),
            ALWAYS.len() + FIRST.len(),
            "a trace in which there is nothing"
        );
    }

    #[test]
    fn an_entry_behind_the_last_sync_is_told() {
        let more = "2<c> pwrite64(9</s/log/00000001.log>, \"FBEN\", 4096, 8192) = 4096\n";
        let told = unsynced(&calls(&format!("{RUN}{more}"), "/s"));
        assert_eq!(told, ["the server never synced what it wrote last to log/00000001.log"]);
    }
}
