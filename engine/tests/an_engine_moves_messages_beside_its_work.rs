//! Without this: what a store on one thread does right could be lost between the threads of an engine:
//! messages marked that nobody reads, or a redrive that keeps the engine from closing.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::sync::Arc;

use common::engine::{Running, deliveries, receive, send, start};
use common::tiny;
use forebay_engine::Options;
use forebay_engine::attributes::AttributeChanges;
use forebay_engine::command::{Command, RedriveState, Reply};
use forebay_engine::disk::SimDisk;

const MESSAGES: usize = 300;

fn options() -> Options {
    Options { segment_bytes: 1 << 20, snapshot_ms: 15_000, ..tiny() }
}

fn create(running: &Running) {
    running.create("dead");
    let attributes = AttributeChanges {
        dead_letter_queue: Some("dead".to_owned()),
        receive_count_max: Some(1),
        visibility_timeout_ms: Some(0),
        ..AttributeChanges::default()
    };
    let (name, attributes) = ("jobs".to_owned(), attributes.into());
    assert!(running.ask(Command::CreateQueue { name, attributes }).is_ok());
}

fn let_die(running: &Running) {
    for _ in 0..MESSAGES {
        running.ask(send("jobs", &[b'x'; 500])).unwrap();
    }
    let mut received = 0;
    while received < MESSAGES {
        received += deliveries(running.ask(receive("jobs", 100, 0))).len();
    }
    // Whoever waits at the dead-letter queue gets them as they come.
    let mut dead = 0;
    while dead < MESSAGES {
        assert!(deliveries(running.ask(receive("jobs", 100, 0))).is_empty());
        dead += deliveries(running.ask(receive("dead", 100, 20_000))).len();
    }
}

fn redrive(running: &Running, rate: u64) {
    let (queue, destination) = ("dead".to_owned(), String::new());
    let started = running.ask(Command::StartRedrive { queue, destination, rate });
    assert!(matches!(started, Ok(Reply::RedriveStarted { .. })), "{started:?}");
}

fn state(running: &Running) -> RedriveState {
    match running.ask(Command::ListRedrives { queue: "dead".to_owned() }) {
        Ok(Reply::RedrivesListed { redrives }) => redrives[0].state,
        other => panic!("{other:?}"),
    }
}

#[test]
fn dead_letters_reach_who_waits_for_them_and_come_back() {
    let running = start(Arc::new(SimDisk::new(1)), options());
    create(&running);
    let_die(&running);
    // Those leases have the default timeout, and end by being purged: others take their place.
    running.ask(Command::PurgeQueue { name: "dead".to_owned() }).unwrap();
    for _ in 0..MESSAGES {
        running.ask(send("dead", &[b'x'; 500])).unwrap();
    }
    let (queue, destination, rate) = ("dead".to_owned(), "jobs".to_owned(), 0);
    running.ask(Command::StartRedrive { queue, destination, rate }).unwrap();
    let mut back = 0;
    while back < MESSAGES {
        back += deliveries(running.ask(receive("jobs", 1, 20_000))).len();
    }
    while state(&running) == RedriveState::Running {
        deliveries(running.ask(receive("dead", 1, 10)));
    }
    assert_eq!(state(&running), RedriveState::Completed);
    running.engine.shutdown().unwrap();
}

#[test]
fn an_engine_closes_in_the_middle_of_a_redrive_and_the_next_goes_on() {
    let disk = SimDisk::new(1);
    let running = start(Arc::new(disk.clone()), options());
    create(&running);
    for _ in 0..MESSAGES {
        running.ask(send("jobs", &[b'x'; 500])).unwrap();
    }
    while deliveries(running.ask(receive("jobs", 100, 0))).len() == 100 {}
    while deliveries(running.ask(receive("dead", 1, 20_000))).is_empty() {
        deliveries(running.ask(receive("jobs", 100, 0)));
    }
    redrive(&running, 20);
    running.engine.shutdown().unwrap();
    let running = start(Arc::new(disk), options());
    assert_eq!(state(&running), RedriveState::Running);
    running.engine.shutdown().unwrap();
}
