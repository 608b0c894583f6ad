//! Without this: a store of which a block is lost could never be opened again, and all the messages that nothing is
//! wrong with would be lost with it; or a repair would bring back what was deleted, or lose what it could have kept.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use client::{Client, DAY_MS};
use forebay_engine::attributes::AttributeChanges;
use forebay_engine::command::{Command, Reply};
use forebay_engine::disk::{Disk, Fault, SimDisk};
use forebay_engine::repair::{Repair, plan};
use forebay_engine::verify::Outcome;

const BLOCK_BYTES: usize = 512;

/// A store that was killed, with several segments, and what is in it.
struct Reference {
    client: Client,
    /// The bodies of "jobs", by number.
    there: BTreeMap<u64, String>,
    acked: BTreeSet<u64>,
}

fn body(number: u64) -> String {
    format!("{number:>6} ").repeat(20)
}

impl Reference {
    /// `snapshots`: whether the newest one contains all acks.
    fn new(snapshots: bool) -> Self {
        let mut client = Client::new();
        client.create_for_ever("others");
        client.create_for_ever("jobs");
        let (mut there, mut acked) = (BTreeMap::new(), BTreeSet::new());
        for number in 1..=240 {
            let seq = client.send("jobs", &body(number));
            there.insert(seq, body(number));
            client.send("others", &body(number));
            if number % 8 == 0 {
                for delivery in client.receive_max("jobs", 4, DAY_MS / 2) {
                    client.ack("jobs", delivery.receipt).unwrap();
                    acked.insert(delivery.seq.0);
                    there.remove(&delivery.seq.0);
                }
            }
            if number == 60 {
                client.keep_all();
            }
        }
        if snapshots {
            client.keep_all();
        }
        client.stop();
        Self { client, there, acked }
    }

    fn forked(&self) -> Client {
        self.client.forked()
    }

    fn segments(&self) -> Vec<PathBuf> {
        self.client.files_of("log")
    }
}

fn repair(client: &Client) -> Option<Repair> {
    plan(Arc::new(client.disk.clone()), Path::new(common::DATA)).unwrap()
}

/// What is wrong with a store is repaired; the contents of "jobs" behind it.
fn repaired(client: &mut Client) -> Option<BTreeMap<u64, String>> {
    let repair = repair(client)?;
    assert!(!repair.damages().is_empty() && !repair.steps().is_empty());
    let damaged: Vec<_> = repair.damages().iter().map(|damage| damage.path.clone()).collect();
    let files = client.disk.files();
    let kept = repair.carry_out().unwrap();
    for path in damaged.iter().filter(|path| files.contains(path)) {
        let original = kept.join(path.file_name().unwrap());
        assert!(client.disk.files().contains(&original), "{} is kept", path.display());
    }
    let report = client.verify();
    assert_eq!(report.outcome, Outcome::Clean, "{report}");
    client.open().unwrap();
    Some(jobs(client))
}

/// The contents of "jobs", if that is its name still.
fn jobs(client: &mut Client) -> BTreeMap<u64, String> {
    let text = |(seq, shown): (&u64, &common::Shown)| {
        (*seq, String::from_utf8(shown.body.to_vec()).unwrap())
    };
    let shown = client.show();
    shown.get("jobs").map(|queue| queue.messages.iter().map(text).collect()).unwrap_or_default()
}

/// Bytes of a file are zero.
fn zero(disk: &SimDisk, path: &Path, at: usize, bytes: usize) {
    let mut file = disk.image(path).unwrap();
    let end = (at + bytes).min(file.len());
    file[at..end].fill(0);
    disk.put(path, &file).unwrap();
}

#[test]
fn a_store_without_damage_is_left_alone() {
    let reference = Reference::new(true);
    assert!(repair(&reference.forked()).is_none());
}

/// The block holds parts of a few messages: no more are lost, and nothing that was acked comes back.
#[test]
fn a_lost_block_costs_no_message_that_is_not_in_it() {
    let reference = Reference::new(true);
    let mut repairs = 0;
    for path in reference.segments() {
        let size = reference.client.disk.image(&path).unwrap().len();
        for block in (0..size.div_ceil(BLOCK_BYTES)).step_by(3) {
            let mut client = reference.forked();
            zero(&client.disk, &path, block * BLOCK_BYTES, BLOCK_BYTES);
            let Some(found) = repaired(&mut client) else { continue };
            repairs += 1;
            let place = format!("{} block {block}", path.display());
            let lost = reference.there.iter().filter(|(seq, _)| !found.contains_key(seq)).count();
            assert!(lost <= 5, "{place}: {lost} messages are lost");
            for (seq, body) in &found {
                assert!(!reference.acked.contains(seq), "{place}: {seq} was acked");
                assert_eq!(body, &reference.there[seq], "{place}");
            }
        }
    }
    assert!(repairs > 20, "{repairs} repairs");
}

#[test]
fn without_a_snapshot_an_ack_that_is_lost_is_told_and_no_other_comes_back() {
    let reference = Reference::new(false);
    let (mut came_back, mut repairs) = (0, 0);
    for path in reference.segments() {
        let size = reference.client.disk.image(&path).unwrap().len();
        for block in (8..size.div_ceil(BLOCK_BYTES)).step_by(7) {
            let mut client = reference.forked();
            client.files_of("snap").iter().for_each(|path| client.disk.remove(path).unwrap());
            zero(&client.disk, &path, block * BLOCK_BYTES, BLOCK_BYTES);
            let Some(repair) = repair(&client) else { continue };
            let told = repair.losses().join("\n");
            drop(repair);
            let found = repaired(&mut client).unwrap();
            repairs += 1;
            let back = found.keys().filter(|seq| reference.acked.contains(seq)).count();
            assert!(back <= 12, "{} block {block}: {back} come back", path.display());
            assert!(back == 0 || told.contains("comes again"), "{told}");
            came_back += back;
        }
    }
    assert!(repairs > 10 && came_back > 0, "{repairs} repairs, {came_back}");
}

#[test]
fn a_number_that_may_have_been_given_is_not_given_again() {
    let reference = Reference::new(true);
    let newest = 240;
    for path in reference.segments().iter().rev().take(2) {
        let mut client = reference.forked();
        client.disk.remove(path).unwrap();
        repaired(&mut client).expect("it is damaged");
        let seq = client.send("jobs", "another");
        assert!(seq > newest, "{seq} was given");
    }
}

/// What lay behind the cut may have been answered. `forebay torture rot` found that nothing was told.
#[test]
fn what_may_be_lost_behind_a_cut_is_told() {
    let reference = Reference::new(true);
    let active = reference.segments().pop().unwrap();
    let mut client = reference.forked();
    let file = client.disk.image(&active).unwrap();
    client.disk.put(&active, &file[..5_000]).unwrap();
    let told = repair(&client).unwrap().losses().join("; ");
    assert!(told.contains("records are lost") && told.contains("comes again"), "{told}");
    let found = repaired(&mut client).unwrap();
    assert!(found.iter().all(|(seq, body)| reference.there.get(seq) == Some(body)));
    assert!(client.send("jobs", "another") > 240);
}

/// The times of a segment's messages are counted from its creation, which is in there: without it they seemed to be
/// very old, and expired. `forebay torture rot` found it.
#[test]
fn a_lost_header_page_costs_no_message() {
    let mut reference = Reference::new(true);
    reference.client.open().unwrap();
    let retention_ms = Some(4 * DAY_MS);
    let attributes = AttributeChanges { retention_ms, ..Default::default() }.into();
    let alter = Command::AlterQueue { name: "jobs".to_owned(), attributes };
    assert_eq!(reference.client.ask(alter), Ok(Reply::Altered));
    reference.client.stop();
    for path in reference.segments() {
        let mut client = reference.forked();
        zero(&client.disk, &path, 0, 4096);
        let found = repaired(&mut client).unwrap_or_else(|| panic!("{}", path.display()));
        assert!(found == reference.there, "{}: {} messages", path.display(), found.len());
    }
}

#[test]
fn each_file_may_be_missing() {
    let reference = Reference::new(true);
    let manifest = Path::new(common::DATA).join("MANIFEST");
    let mut files = reference.segments();
    files.push(manifest.clone());
    for path in files {
        let mut client = reference.forked();
        client.disk.remove(&path).unwrap();
        let found = repaired(&mut client).unwrap_or_else(|| panic!("{}", path.display()));
        for (seq, body) in &found {
            assert!(!reference.acked.contains(seq), "{}: {seq} was acked", path.display());
            assert_eq!(body, &reference.there[seq]);
        }
        if path == manifest {
            assert_eq!(found.len(), reference.there.len(), "nothing but the list was lost");
        }
    }
}

#[test]
fn a_manifest_with_any_bit_flipped_costs_nothing_else() {
    let reference = Reference::new(true);
    let manifest = Path::new(common::DATA).join("MANIFEST");
    let size = reference.client.disk.image(&manifest).unwrap().len() as u64;
    for byte in (0..size).step_by(5) {
        // A version that is newer is not damage.
        if (8..12).contains(&byte) {
            continue;
        }
        let mut client = reference.forked();
        client.disk.flip_bit(&manifest, byte, (byte % 8) as u8).unwrap();
        let found = repaired(&mut client).unwrap_or_else(|| panic!("byte {byte}"));
        assert!(found == reference.there, "byte {byte}: {} messages", found.len());
    }
}

#[test]
fn a_queue_whose_creation_is_lost_is_created_again_with_its_messages() {
    for has_snapshots in [true, false] {
        let reference = Reference::new(has_snapshots);
        let mut client = reference.forked();
        if !has_snapshots {
            client.files_of("snap").iter().for_each(|path| client.disk.remove(path).unwrap());
        }
        let first = reference.segments().remove(0);
        // What is first in it is the creation of the queues.
        zero(&client.disk, &first, 4096, 600);
        let Some(repair) = repair(&client) else { panic!("it is damaged") };
        let told = repair.losses().join("\n");
        repair.carry_out().unwrap();
        client.open().unwrap();
        let shown = client.show();
        let messages: usize = shown.values().map(|queue| queue.messages.len()).sum();
        assert!(messages > 200, "{messages} are left, {told}");
        if has_snapshots {
            assert_eq!(shown.keys().collect::<Vec<_>>(), ["jobs", "others"]);
        }
    }
}

/// Until the manifest is replaced the store is as damaged as it was; behind that it is repaired.
#[test]
fn a_crash_at_any_disk_operation_loses_nothing_more() {
    let reference = Reference::new(true);
    let segments = reference.segments();
    for path in [&segments[segments.len() / 2], &segments[segments.len() - 1]] {
        let damaged = reference.forked();
        zero(&damaged.disk, path, 8192, BLOCK_BYTES);
        let expected = repaired(&mut damaged.forked()).expect("it is damaged");
        let mut at = 0;
        loop {
            let mut client = damaged.forked();
            let disk = client.disk.clone();
            let repair = repair(&client).expect("it is damaged");
            disk.fail_at(disk.operations() + at, Fault::Crash);
            let is_done = repair.carry_out().is_ok();
            disk.clear_faults();
            disk.crash(at);
            let found = repaired(&mut client).unwrap_or_else(|| {
                client.open().unwrap();
                jobs(&mut client)
            });
            assert!(found == expected, "{} operation {at}", path.display());
            if is_done {
                break;
            }
            at += 1;
        }
        assert!(at > 20, "{at} operations were struck");
    }
}
