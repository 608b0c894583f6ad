//! Without this: what expires of a fair dead-letter queue would take others along, stay, or come in another order.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;
#[path = "common/letters.rs"]
mod letters;

use client::Client;
use forebay_engine::attributes::AttributeChanges;
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
fn each_when_its_time_has_come_and_no_other() {
    const LETTERS: usize = 400;
    let mut client = client();
    let began = client.store().now();
    for at in 0..LETTERS {
        send(&mut client, "jobs", at % 150, &at.to_string());
        client.advance(10);
    }
    // Others are in flight meanwhile.
    for at in 0..100 {
        send(&mut client, "dead", 1_000 + at, "in flight");
    }
    assert_eq!(client.receive_max("dead", 1_000, 3_600_000).len(), 100);
    let_die(&mut client, "jobs");
    assert_eq!(client.counts("dead"), [LETTERS as u64, 100, 0, 0]);
    // Some have been received, others only passed by the walk.
    assert_eq!(client.receive_max("dead", 50, 0).len(), 50);
    client.clock.advance(RETENTION_MS - 10 * LETTERS as u64);
    for gone in [200, 201, 231, 400] {
        let now = 10 * (gone as u64 - 1);
        let past = client.store().now().0 - began.0 - RETENTION_MS;
        client.clock.advance(now - past);
        assert_eq!(client.counts("dead"), [(LETTERS - gone) as u64, 100, 0, 0]);
        let received = client.receive_max("dead", 1_000, 0);
        let bodies: Vec<_> = received.iter().map(|delivery| client.body(delivery)).collect();
        let expected: Vec<_> = (gone..LETTERS).map(|at| at.to_string()).collect();
        assert_eq!(bodies, expected);
    }
}
