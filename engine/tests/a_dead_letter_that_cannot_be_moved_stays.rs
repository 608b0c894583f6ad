//! Without this: a dead letter on a full or a rotten disk would be delivered without end, be lost,
//! or hold up its queue; and one that fits no segment would end the process at every start.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;
#[path = "common/letters.rs"]
mod letters;

use client::{Client, receive, send};
use forebay_engine::command::RedriveState;
use forebay_engine::disk::Fault;
use forebay_engine::{Options, RequestError};
use letters::{bodies_in, fifo, jobs_and_dead, let_die, list, newest, policy, start};

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
    let mut client = Client::with(Options { segment_bytes: 4 << 20, ..common::tiny() });
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

/// A store that was opened with segments of 64 KiB, and is opened again with smaller ones.
fn with_large_segments() -> Client {
    Client::with(Options { segment_bytes: 64 << 10, ..common::tiny() })
}

fn with_smaller_segments(client: &mut Client) {
    client.keep();
    client.close();
    client.options = common::tiny();
    client.open().unwrap();
}

#[test]
fn one_that_no_segment_holds_any_more_is_delivered_as_before() {
    let mut client = with_large_segments();
    jobs_and_dead(&mut client, 1);
    let large = "large".repeat(4_000);
    for body in ["first", &large, "last"] {
        client.send("jobs", body);
    }
    with_smaller_segments(&mut client);
    assert_eq!(client.bodies("jobs", 0).len(), 3);
    // Also where a receive waits for dead letters.
    let waiting = client.begin(receive("jobs", 1, 20_000, 1_000));
    client.keep();
    assert_eq!(client.received(waiting), Some(vec![large.clone()]));
    client.advance(1_000);
    client.receive("jobs", 0);
    client.keep();
    assert_eq!(bodies_in(&mut client, "dead"), ["first", "last"]);
    client.commit_and_kill();
    let delivery = client.receive_one("jobs", 1_000);
    assert!(delivery.receive_count > 2 && client.body(&delivery) == large);
    client.ack("jobs", delivery.receipt).unwrap();
    assert_eq!(client.counts("jobs"), [0; 4]);
}

#[test]
fn in_a_fifo_queue_its_group_does_not_wait_for_it() {
    let mut client = with_large_segments();
    client.create_fifo("dead.fifo");
    client.create_with("jobs.fifo", fifo(policy("dead.fifo", 1)));
    let large = "large".repeat(4_000);
    client.send_in_groups("jobs.fifo", &[("a", Some(1), &large), ("a", Some(2), "next")]);
    with_smaller_segments(&mut client);
    client.receive_max("jobs.fifo", 1, 0);
    for _ in 0..2 {
        let delivery = client.receive_one("jobs.fifo", 1_000);
        client.ack("jobs.fifo", delivery.receipt).unwrap();
    }
    assert_eq!(client.counts("jobs.fifo"), [0; 4]);
}

#[test]
fn a_redrive_leaves_what_no_segment_holds_any_more_and_says_so() {
    let mut client = with_large_segments();
    jobs_and_dead(&mut client, 1);
    let large = "large".repeat(4_000);
    for body in ["first", &large, "last"] {
        client.send("jobs", body);
    }
    let_die(&mut client, "jobs");
    client.send("dead", "by hand");
    with_smaller_segments(&mut client);
    start(&mut client, "dead", "", 0);
    client.keep();
    assert_eq!(newest(&mut client, "dead"), (RedriveState::Completed, 2, 4));
    let reason = "1 message was left: it came from no other queue; 1 message was left: it does not fit a segment";
    assert_eq!(list(&mut client, "dead")[0].reason, reason);
    assert_eq!(bodies_in(&mut client, "jobs"), ["first", "last"]);
    assert_eq!(bodies_in(&mut client, "dead"), [large, "by hand".to_owned()]);
}

/// What may be sent may be moved, although a move takes more.
#[test]
fn the_largest_that_may_be_sent_is_moved() {
    let mut client = Client::new();
    jobs_and_dead(&mut client, 1);
    let most = client.options.command_bytes_max() as usize;
    let is_sent = |client: &mut Client, bytes: usize| {
        client.ask(send("jobs", &"x".repeat(bytes), None)).is_ok()
    };
    let bytes = (0..most).rev().find(|bytes| is_sent(&mut client, *bytes)).unwrap();
    assert!(most - bytes < 200, "{bytes} of {most}");
    let_die(&mut client, "jobs");
    assert_eq!((client.counts("jobs"), client.counts("dead")[0]), ([0; 4], 1));
}
