//! Without this: one tenant with a large backlog would keep all others waiting until it is done.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use client::Client;

/// A thousand messages of one tenant, then one each of ten others.
fn client() -> Client {
    let mut client = Client::new();
    client.create("jobs");
    for _ in 0..10 {
        client.send_in_groups("jobs", &[("loud", None, "loud"); 100]);
    }
    for tenant in 0..10 {
        let group = format!("quiet-{tenant}");
        client.send_in_groups("jobs", &[(group.as_str(), None, group.as_str())]);
    }
    client
}

fn bodies(client: &mut Client, max: u32) -> Vec<String> {
    let received = client.receive_max("jobs", max, 60_000);
    received.iter().map(|delivery| client.body(delivery)).collect()
}

#[test]
fn the_quiet_come_first_as_soon_as_the_noisy_has_thirty_in_flight() {
    let mut client = client();
    assert_eq!(bodies(&mut client, 30), ["loud"; 30]);
    let quiet: Vec<_> = (0..10).map(|tenant| format!("quiet-{tenant}")).collect();
    assert_eq!(bodies(&mut client, 10), quiet);
    assert_eq!(bodies(&mut client, 10), ["loud"; 10], "and the noisy when none of them waits");
}

#[test]
fn after_a_restart_too() {
    let mut client = client();
    bodies(&mut client, 30);
    client.close();
    client.open().unwrap();
    bodies(&mut client, 1);
    assert!(bodies(&mut client, 10).iter().all(|body| body.starts_with("quiet")));
}

#[test]
fn messages_without_a_group_are_never_noisy() {
    let mut client = client();
    bodies(&mut client, 30);
    client.send("jobs", "alone");
    assert_eq!(bodies(&mut client, 11).last().map(String::as_str), Some("alone"));
}

#[test]
fn delayed_messages_of_tenants_come_when_they_are_due() {
    let mut client = Client::new();
    client.create("jobs");
    client.send_in_groups("jobs", &[("a", None, "first")]);
    let mut late = common::in_group("b", None, b"late");
    late.delay_ms = Some(1_000);
    let send = forebay_engine::command::Command::Send {
        queue: "jobs".to_owned(),
        messages: vec![late],
        batch: None,
    };
    client.ask(send).unwrap();
    assert_eq!(bodies(&mut client, 9), ["first"]);
    client.advance(1_000);
    assert_eq!(bodies(&mut client, 9), ["late"]);
}
