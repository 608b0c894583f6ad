//! Without this: a redrive would sleep for the delay that a FIFO queue had, though nothing is held back any more.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;
#[path = "common/letters.rs"]
mod letters;

use client::Client;
use forebay_engine::attributes::AttributeChanges;
use forebay_engine::command::{Command, RedriveState, Reply};
use letters::{alter, bodies_in, fifo, newest, policy, start};

const HOUR_MS: u64 = 3_600_000;

/// A redrive that waits for a message which its queue holds back for an hour.
fn resting() -> Client {
    let mut client = Client::new();
    client.create_with("dead.fifo", fifo(delay(HOUR_MS)));
    client.create_with("jobs.fifo", fifo(policy("dead.fifo", 1)));
    client.create_fifo("target.fifo");
    client.send_in_groups("dead.fifo", &[("a", Some(1), "held back")]);
    start(&mut client, "dead.fifo", "target.fifo", 0);
    client.keep();
    assert_eq!(newest(&mut client, "dead.fifo"), (RedriveState::Running, 0, 1));
    client
}

fn delay(delay_ms: u64) -> AttributeChanges {
    AttributeChanges { delay_ms: Some(delay_ms), ..AttributeChanges::default() }
}

#[test]
fn it_takes_what_a_shorter_delay_does_not_hold_back() {
    let mut client = resting();
    alter(&mut client, "dead.fifo", delay(1_000));
    client.keep();
    assert_eq!(newest(&mut client, "dead.fifo").1, 0, "it is not older than that");
    client.advance(1_000);
    client.keep();
    assert_eq!(newest(&mut client, "dead.fifo"), (RedriveState::Completed, 1, 1));
    assert_eq!(bodies_in(&mut client, "target.fifo"), ["held back"]);

    let mut client = resting();
    alter(&mut client, "dead.fifo", delay(0));
    client.keep();
    assert_eq!(newest(&mut client, "dead.fifo"), (RedriveState::Completed, 1, 1));
}

#[test]
fn it_ends_when_nothing_is_left() {
    let mut client = resting();
    let purged = client.ask(Command::PurgeQueue { name: "dead.fifo".to_owned() });
    assert_eq!(purged, Ok(Reply::Purged { count: 1 }));
    client.keep();
    assert_eq!(newest(&mut client, "dead.fifo"), (RedriveState::Completed, 0, 1));
}
