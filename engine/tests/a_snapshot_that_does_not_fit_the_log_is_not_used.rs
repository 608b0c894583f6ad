//! Without this: a snapshot out of a backup or of another store would be believed, and bring back
//! messages whose acks the compactor has long left out of the log.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use std::path::PathBuf;

use client::Client;
use forebay_engine::OpenError;
use forebay_engine::ids::Position;

/// A store with two snapshots, the messages of its queue all there.
fn filled() -> Client {
    let mut client = Client::new();
    client.create("jobs");
    for round in 0..10_u8 {
        client.send_all("jobs", &(0..5).map(|n| vec![round * 5 + n; 700]).collect::<Vec<_>>());
        client.keep();
    }
    client
}

/// Two snapshots that were good once; then everything in them was acked, but for every seventh,
/// and compacted away.
fn outlived() -> (Client, Vec<(PathBuf, Vec<u8>)>) {
    let mut client = filled();
    let snapshots = client.files_of("snap");
    assert_eq!(snapshots.len(), 2);
    let aside = snapshots.into_iter().map(|path| (path.clone(), client.disk.image(&path).unwrap()));
    let aside = aside.collect();
    while client.consume("jobs", 5, |seq| !seq.is_multiple_of(7)) > 0 {
        client.keep_all();
    }
    // Until the acks themselves are gone from the log.
    for _ in 0..10 {
        client.send_all("jobs", &[vec![1; 3000]]);
        client.consume("jobs", 100, |_| true);
        client.keep_all();
    }
    assert!(client.stats().disk.compactions > 1, "{:?}", client.stats().disk);
    (client, aside)
}

#[test]
fn one_from_before_a_compaction() {
    let (mut client, aside) = outlived();
    let queues = client.show();
    assert_eq!(queues["jobs"].messages.len(), 7);
    client.stop();
    let kept = client.files_of("snap");
    for is_alone in [true, false] {
        let (mut restored, opening) = client
            .copied(|files| {
                files.extend(aside.iter().cloned());
                files.retain(|path, _| !is_alone || !kept.contains(path));
            })
            .unwrap();
        if is_alone {
            assert_eq!(opening.snapshot, Position(0), "the log alone is believed");
        }
        assert_eq!(restored.show(), queues);
        // Nor later, when it lies beside newer ones that go bad.
        restored.send("jobs", "more");
        restored.keep_all();
        let queues = restored.show();
        restored.stop();
        let newer = restored.files_of("snap").into_iter();
        newer.filter(|path| !aside.iter().any(|(old, _)| old == path)).for_each(|path| {
            restored.disk.flip_bit(path, 70, 1).unwrap();
        });
        restored.open().unwrap();
        assert_eq!(restored.show(), queues);
    }
}

#[test]
fn one_from_before_a_compaction_under_a_newer_name() {
    let (mut client, aside) = outlived();
    let queues = client.show();
    client.stop();
    let newest = client.files_of("snap").pop().unwrap();
    for (_, bytes) in &aside {
        let put = |files: &mut std::collections::BTreeMap<_, _>| {
            files.insert(newest.clone(), bytes.clone());
        };
        let (mut restored, opening) = client.copied(put).unwrap();
        let [warning] = &*opening.warnings else { panic!("{:?}", opening.warnings) };
        assert!(warning.contains("is of position"), "{warning}");
        assert_eq!(restored.show(), queues);
    }
}

#[test]
fn one_of_another_store() {
    let (mut client, mut other) = (filled(), filled());
    while other.consume("jobs", 10, |_| true) > 0 {}
    other.keep();
    let queues = client.show();
    client.stop();
    for path in client.files_of("snap") {
        for theirs in other.files_of("snap") {
            let bytes = other.disk.image(&theirs).unwrap();
            let put = |files: &mut std::collections::BTreeMap<_, _>| {
                files.insert(path.clone(), bytes);
            };
            let (mut opened, opening) = client.copied(put).unwrap();
            assert_eq!(opened.show(), queues);
            // The older one is not read as long as the newest is good.
            for warning in &opening.warnings {
                assert!(warning.contains("belongs to store"), "{warning}");
            }
            assert_ne!(opening.snapshot, Position(0));
        }
    }
}

#[test]
fn one_that_is_newer_than_the_log_shows_that_the_log_is_not_whole() {
    let mut client = filled();
    client.stop();
    let old = client.files();
    client.open().unwrap();
    // In the same segment, so that nothing but the snapshot tells of it.
    client.consume("jobs", 3, |_| true);
    client.keep();
    client.stop();
    let newest = client.files_of("snap").pop().unwrap();
    let bytes = client.disk.image(&newest).unwrap();
    let refused = client.copied(|files| {
        *files = old;
        files.insert(newest.clone(), bytes);
    });
    let Err(error) = refused else { panic!("a log that lost its end is not served") };
    assert!(matches!(error, OpenError::Damaged(_)), "{error}");
}
