//! Without this: a dead letter that came while others expired would be counted for up to a minute after its time.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;
#[path = "common/letters.rs"]
mod letters;

use client::{Client, receive};
use forebay_engine::attributes::AttributeChanges;
use forebay_engine::command::Command;
use letters::{let_die, policy};

const RETENTION_MS: u64 = 100_000;

fn client() -> Client {
    let mut client = Client::new();
    let retention_ms = Some(RETENTION_MS);
    client.create_with("dead", AttributeChanges { retention_ms, ..AttributeChanges::default() });
    client.create_with("jobs", policy("dead", 1));
    client
}

fn send(client: &mut Client, queue: &str, tenant: usize, body: &str) {
    client.send_in_groups(queue, &[(&format!("tenant {tenant}"), None, body)]);
}

#[test]
fn also_if_its_move_is_not_durable_when_others_expire() {
    let mut client = client();
    send(&mut client, "jobs", 1, "first");
    let_die(&mut client, "jobs");
    client.advance(10);
    send(&mut client, "jobs", 2, "second");
    assert_eq!(client.bodies("jobs", 0), ["second"]);
    client.clock.advance(RETENTION_MS - 10);
    // It is found to be a dead letter, and moved; the other one expires before that is synced.
    client.begin(receive("jobs", 1, 0, 0));
    client.store().keep().unwrap();
    client.begin(Command::DescribeQueue { name: "dead".to_owned() });
    client.store().commit().unwrap();
    assert_eq!(client.counts("jobs"), [0; 4], "it has moved");
    assert_eq!(client.counts("dead"), [1, 0, 0, 0]);
    client.clock.advance(9);
    assert_eq!(client.counts("dead"), [1, 0, 0, 0]);
    client.clock.advance(1);
    assert_eq!(client.counts("dead"), [0; 4]);
}
