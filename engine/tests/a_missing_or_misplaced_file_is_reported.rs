//! Without this: a segment that someone deleted, renamed, or restored from the wrong backup would
//! be skipped, and the store would serve what is left as if that were all.

mod common;
#[path = "common/reference.rs"]
mod reference;

use std::path::{Path, PathBuf};

use common::{DATA, open};
use forebay_engine::OpenError;
use reference::{Judgement, Reference, is_dispensable};

#[test]
fn a_deleted_file_is_reported() {
    let reference = Reference::build();
    for path in reference.files.keys() {
        let what = format!("{} deleted", path.display());
        let disk = reference.disk(|files| drop(files.remove(path)));
        if path.ends_with("store.toml") {
            // Without it the directory is none of ours, and is left alone.
            let refused = open(&disk, &reference.clock).map(drop);
            assert!(matches!(refused, Err(OpenError::NotAStore { .. })), "{refused:?}");
            continue;
        }
        let (judgement, damages) = reference.judge(&disk, &what);
        assert_eq!(judgement == Judgement::Whole, is_dispensable(path), "{what}");
        assert!(damages.len() <= 1 && damages.iter().all(|d| d.path == *path), "{damages:?}");
    }
}

#[test]
fn a_renamed_file_is_reported_and_stays_where_it_is() {
    let reference = Reference::build();
    let renamed = |path: &Path, name: &str| path.parent().unwrap().join(name);
    for path in reference.files.keys().filter(|path| !is_dispensable(path)) {
        for name in ["other", "other.tmp", "other.log", "00000000000000ff.log"] {
            let (to, what) = (renamed(path, name), format!("{} as {name}", path.display()));
            let disk = reference.disk(|files| {
                let bytes = files.remove(path).unwrap();
                files.insert(to.clone(), bytes);
            });
            let refused = open(&disk, &reference.clock).map(drop);
            assert!(
                matches!(refused, Err(OpenError::Damaged(_) | OpenError::NotAStore { .. })),
                "{what}: {refused:?}"
            );
            // Whoever renamed it can rename it back.
            assert_eq!(disk.image(&to).unwrap(), reference.files[path], "{what}");
        }
    }
}

#[test]
fn a_segment_under_another_name_is_reported() {
    let reference = Reference::build();
    for from in reference.segments() {
        for to in reference.segments().into_iter().filter(|to| *to != from) {
            let what = format!("{} copied over {}", from.display(), to.display());
            let disk = reference.disk(|files| {
                let bytes = files[from].clone();
                files.insert(to.to_path_buf(), bytes);
            });
            let (judgement, damages) = reference.judge(&disk, &what);
            assert_eq!(judgement, Judgement::Refused, "{what}");
            assert_eq!(damages.len(), 1, "{what}");
            assert_eq!(damages[0].path, to, "{what}");
        }
    }
}

#[test]
fn a_segment_that_nobody_listed_is_reported_if_it_holds_anything() {
    let reference = Reference::build();
    let stray = Path::new(DATA).join("log/0000000000ffffff.log");
    for from in reference.segments() {
        let what = format!("a copy of {} as a stray segment", from.display());
        let with_stray = |bytes: &[u8]| {
            reference.disk(|files| drop(files.insert(stray.clone(), bytes.to_vec())))
        };
        let bytes = &reference.files[from];
        let (judgement, damages) = reference.judge(&with_stray(bytes), &what);
        assert_eq!((judgement, &*damages[0].path), (Judgement::Refused, &*stray), "{what}");
        // An interrupted roll leaves a header page and zeros.
        let mut empty = bytes.clone();
        empty[4096..].fill(0);
        let disk = with_stray(&empty);
        assert_eq!(reference.judge(&disk, &what).0, Judgement::Whole, "{what}, empty");
        assert!(!disk.files().contains(&stray), "{what}, empty, stays");
    }
}

#[test]
fn a_file_of_another_store_is_reported() {
    let (reference, other) = (Reference::build(), Reference::build());
    for path in ["MANIFEST", "log/0000000000000001.log"] {
        let path: PathBuf = Path::new(DATA).join(path);
        let disk =
            reference.disk(|files| drop(files.insert(path.clone(), other.files[&path].clone())));
        let (judgement, damages) = reference.judge(&disk, "a foreign file");
        assert_eq!((judgement, &damages[0].path), (Judgement::Refused, &path));
        assert!(damages[0].detail.contains("belongs to store"), "{}", damages[0]);
    }
}
