//! Two stores have nothing in common that is drawn at random, nor have two segments of one.
//!
//! Without it a file of one store would be taken for another's, bytes of a recycled file for new ones,
//! and a receipt of one store would be good in all.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use common::engine::{ask, send, start_at};
use forebay_engine::Options;
use forebay_engine::command::Command;
use forebay_engine::disk::{Disk, RealDisk};
use forebay_engine::log::{SEGMENT_HEADER_BYTES, SegmentHeader};

/// The values of `name` in a store.toml.
fn value(data: &Path, name: &str) -> String {
    let file = std::fs::read_to_string(data.join("store.toml")).unwrap();
    let line = file.lines().find_map(|line| line.strip_prefix(&format!("{name} = ")));
    line.unwrap().to_owned()
}

/// The salts of a store's segments.
fn salts(data: &Path) -> Vec<u64> {
    let mut salts = Vec::new();
    for file in std::fs::read_dir(data.join("log")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let bytes = std::fs::read(path).unwrap();
            let header = SegmentHeader::decode(&bytes[..SEGMENT_HEADER_BYTES as usize]).unwrap();
            salts.push(header.salt.0);
        }
    }
    salts
}

#[test]
fn ids_keys_and_salts_are_drawn_for_each_store_and_segment() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 1 << 20, ..Options::default() };
    let stores = [dir.path().join("one"), dir.path().join("other")];
    for data in &stores {
        // Each opening makes a segment; the one before has an entry.
        for _ in 0..2 {
            let engine = start_at(data, options.clone());
            let (name, attributes) = ("jobs".to_owned(), Default::default());
            ask(&engine, Command::CreateQueue { name, attributes }).unwrap();
            ask(&engine, send("jobs", b"body")).unwrap();
            engine.shutdown().unwrap();
        }
    }
    let [one, other] = &stores;
    for name in ["store_id", "receipt_key"] {
        assert_ne!(value(one, name), value(other, name), "{name}");
    }
    let salts = [salts(one), salts(other)].concat();
    assert!(salts.len() >= 4, "{salts:x?}");
    assert_eq!(salts.iter().collect::<BTreeSet<_>>().len(), salts.len(), "{salts:x?}");
}

#[test]
fn a_draw_is_not_the_one_before() {
    let mut draws = BTreeSet::new();
    for _ in 0..100 {
        let mut draw = [0; 16];
        RealDisk.fill_random(&mut draw).unwrap();
        assert!(draws.insert(draw), "{draw:x?} came twice");
    }
}
