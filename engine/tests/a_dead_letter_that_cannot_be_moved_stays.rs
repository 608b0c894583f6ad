//! Without this: a dead letter on a full or a rotten disk would be delivered without end, be lost,
//! or hold up its queue.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;
#[path = "common/letters.rs"]
mod letters;

use client::{Client, receive, send};
use forebay_engine::RequestError;
use forebay_engine::disk::Fault;
use letters::{bodies_in, jobs_and_dead, let_die};

/// Room for a manifest, but for no segment; and sends are refused already.
fn fill(client: &mut Client, queue: &str) {
    client.disk.set_capacity(Some(client.disk.used() + (4 << 10)));
    for _ in 0..100 {
        match client.ask(send(queue, &"x".repeat(900), None)) {
            Ok(_) => {}
            Err(RequestError::StorageFull { .. }) => return,
            Err(other) => panic!("{other}"),
        }
    }
    panic!("the disk is never full");
}

#[test]
fn on_a_full_disk_it_is_neither_moved_nor_delivered_and_others_are() {
    let mut client = Client::new();
    jobs_and_dead(&mut client, 1);
    client.send("jobs", "poison");
    client.receive_one("jobs", 0);
    fill(&mut client, "jobs");
    let waiting = client.counts("jobs")[0];
    let others = client.bodies("jobs", 600_000);
    assert!(!others.is_empty() && !others.contains(&"poison".to_owned()));
    client.keep();
    client.store().commit().unwrap();
    client.advance(60_000);
    assert_eq!(client.counts("jobs")[0], waiting - others.len() as u64);
    assert_eq!(client.counts("dead"), [0; 4]);
    // There is space again.
    client.disk.set_capacity(None);
    client.store().commit().unwrap();
    client.receive_max("jobs", 1, 0);
    client.keep();
    assert_eq!(bodies_in(&mut client, "dead")[0], "poison");
}

#[test]
fn a_disk_that_fills_up_while_it_is_read_changes_nothing() {
    let mut client = Client::new();
    jobs_and_dead(&mut client, 1);
    client.create("others");
    client.send("jobs", "poison");
    client.receive_one("jobs", 0);
    let waiting = client.begin(receive("jobs", 1, 20_000, 0));
    fill(&mut client, "others");
    client.keep();
    assert_eq!(client.counts("dead"), [0; 4]);
    client.disk.set_capacity(None);
    client.store().commit().unwrap();
    client.keep();
    // Who waits for the next one sees to it.
    assert_eq!(bodies_in(&mut client, "dead"), ["poison"]);
    assert_eq!(client.answer(waiting), None);
}

#[test]
fn one_that_rotted_is_set_aside() {
    let mut client = Client::new();
    jobs_and_dead(&mut client, 1);
    for body in ["a", "b", "c"] {
        client.send("jobs", &body.repeat(3000));
    }
    let received = client.receive("jobs", 0);
    let location = &received[1].location;
    let at = u64::from(location.offset + 200);
    client.disk.flip_bit(&location.segment.path, at, 0).unwrap();
    let_die(&mut client, "jobs");
    assert_eq!(client.counts("jobs"), [0, 0, 0, 1]);
    let there: Vec<_> = bodies_in(&mut client, "dead").iter().map(|b| b[..1].to_owned()).collect();
    assert_eq!(there, ["a", "c"]);
}

#[test]
fn a_read_that_failed_is_tried_again_after_a_while() {
    let mut client = Client::new();
    jobs_and_dead(&mut client, 1);
    client.send("jobs", &"poison".repeat(500));
    // More than the tail cache keeps.
    client.create("others");
    client.send("others", &"x".repeat(4000));
    client.receive("jobs", 0);
    let waiting = client.begin(receive("jobs", 1, 20_000, 0));
    client.disk.fail_at(client.disk.operations(), Fault::ReadIo);
    assert!(client.store().keep().is_ok());
    client.disk.clear_faults();
    client.keep();
    assert_eq!((client.counts("jobs")[0], client.counts("dead")[0]), (1, 0));
    client.advance(1_000);
    client.keep();
    assert_eq!((client.counts("jobs"), client.counts("dead")[0]), ([0; 4], 1));
    assert_eq!(client.answer(waiting), None);
}

#[test]
fn many_and_large_ones_are_moved_a_bounded_number_at_a_time() {
    let mut client =
        Client::with(forebay_engine::Options { segment_bytes: 4 << 20, ..common::tiny() });
    jobs_and_dead(&mut client, 1);
    for _ in 0..30 {
        client.send_all("jobs", &vec![vec![b'x'; 100]; 100]);
    }
    for _ in 0..20 {
        client.send("jobs", &"large".repeat(200_000));
    }
    let_die(&mut client, "jobs");
    assert_eq!((client.counts("jobs"), client.counts("dead")[0]), ([0; 4], 3020));
}
