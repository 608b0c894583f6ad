//! Without this: whoever repairs a store would learn of its damage one place at a time, and could
//! not tell how much is lost.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;
#[path = "common/reference.rs"]
mod reference;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use common::{Answers, DATA, ask, message, open};
use forebay_engine::command::{Command, NewMessage};
use forebay_engine::disk::SimDisk;
use forebay_engine::verify::{Outcome, Progress, VerifyReport, verify};
use forebay_engine::{Damage, OpenError, SimClock};
use reference::Reference;

fn check(disk: &SimDisk) -> VerifyReport {
    verify(disk, Path::new(DATA), &mut |_| {}).unwrap()
}

fn damages(report: VerifyReport) -> Vec<Damage> {
    match report.outcome {
        Outcome::Damaged(damages) => damages,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_spoiled_entry_is_named_with_its_extent_and_the_rest_is_read() {
    let reference = Reference::build();
    let whole = check(&reference.disk(|_| {}));
    assert_eq!(whole.outcome, Outcome::Clean);
    // The body or the header of the second and the fourth entry of each segment.
    let mut expected = BTreeSet::new();
    let disk = reference.disk(|_| {});
    for (path, entries) in &reference.entries {
        for (index, byte) in [(1, 60), (3, 20)] {
            let (start, end) = entries[index];
            disk.flip_bit(path, start + byte, 1).unwrap();
            expected.insert((path.clone(), start, end - start));
        }
    }
    let report = check(&disk);
    assert_eq!(report.entries, whole.entries - expected.len() as u64);
    let found = damages(report);
    assert!(found.iter().all(|damage| damage.detail.contains("is lost")), "{found:?}");
    let extents = found.into_iter().map(|damage| (damage.path, damage.offset, damage.bytes));
    assert_eq!(extents.collect::<BTreeSet<_>>(), expected);
}

#[test]
fn a_spoiled_body_says_which_message_is_concerned() {
    let reference = Reference::build();
    let disk = reference.disk(|_| {});
    // An entry that large ends with a message's body.
    let path = reference.segments()[0];
    let entries = reference.entries[path].iter().filter(|(start, end)| end - start > 1000);
    let (_, end) = *entries.clone().next().unwrap();
    disk.flip_bit(path, end - 20, 0).unwrap();
    let damages = damages(check(&disk));
    let [Damage { detail, position: Some(_), .. }] = &damages[..] else { panic!("{damages:?}") };
    assert!(detail.contains(" are intact, ") && detail.contains("message "), "{detail}");
}

#[test]
fn missing_and_spoiled_segments_are_all_named() {
    let reference = Reference::build();
    let segments: Vec<PathBuf> = reference.segments().iter().map(|p| p.to_path_buf()).collect();
    let disk = reference.disk(|files| {
        files.remove(&segments[0]);
        files.get_mut(&segments[1]).unwrap()[20] ^= 1;
        files.insert(segments[2].clone(), Vec::new());
    });
    disk.flip_bit(&segments[3], 4096 + 9, 1).unwrap();
    let damages = damages(check(&disk));
    let paths: Vec<_> = damages.iter().map(|damage| damage.path.clone()).collect();
    assert_eq!(paths, segments[..4]);
    let refused = open(&disk, &reference.clock).map(drop);
    assert!(matches!(refused, Err(OpenError::Damaged(damage)) if damage == damages[0]));
}

#[test]
fn progress_reaches_the_total_and_nothing_is_changed() {
    let reference = Reference::build();
    let disk = reference.disk(|_| {});
    let mut seen = Vec::new();
    verify(&disk, Path::new(DATA), &mut |progress| seen.push(progress)).unwrap();
    assert!(seen.windows(2).all(|pair| pair[0].bytes <= pair[1].bytes));
    let Progress { bytes, bytes_total } = *seen.last().unwrap();
    assert!(bytes <= bytes_total);
    for (path, bytes) in &reference.files {
        assert_eq!(&disk.image(path).unwrap(), bytes, "{}", path.display());
    }
}

#[test]
fn a_message_stored_with_a_wrong_checksum_is_named_with_its_file() {
    let (disk, clock, mut answers) = (SimDisk::new(1), SimClock::new(0), Answers::default());
    let mut store = open(&disk, &clock).unwrap();
    let create = Command::CreateQueue { name: "q".to_owned(), attributes: Default::default() };
    ask(&mut store, &mut answers, create).unwrap();
    let wrong = NewMessage { checksum: 1, ..message(b"whose fault", None) };
    let send = Command::Send { queue: "q".to_owned(), messages: vec![wrong], batch: None };
    ask(&mut store, &mut answers, send).unwrap();
    drop(store);
    let damages = damages(check(&disk));
    assert_eq!(damages[0].path, Path::new(DATA).join("log/0000000000000001.log"));
    assert!(damages[0].detail.contains("message 1/1 has checksum"), "{}", damages[0]);
}
