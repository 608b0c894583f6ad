//! Without this: a retry that was to wait an hour could come at once, after a restart or because
//! an administrator set the clock.

#[path = "common/client.rs"]
mod client;
mod common;

use client::{Client, DAY_MS};
use forebay_engine::Clock;
use forebay_engine::attributes::{AttributeChanges, DELAY_MS_MAX};
use forebay_engine::command::Command;

fn delayed_queue(client: &mut Client, name: &str, delay_ms: u64) {
    client.create_with(name, AttributeChanges { delay_ms: Some(delay_ms), ..Default::default() });
}

#[test]
fn the_queue_says_how_long_unless_the_message_does() {
    let mut client = Client::new();
    delayed_queue(&mut client, "later", 10_000);
    client.send("later", "by the queue");
    client.send_delayed("later", "by itself", Some(20_000));
    client.send_delayed("later", "not at all", Some(0));
    assert_eq!(client.counts("later"), [1, 0, 2, 0]);
    assert_eq!(client.bodies("later", 60_000), ["not at all"]);
    client.advance(9_999);
    assert_eq!(client.bodies("later", 60_000), [""; 0]);
    client.advance(1);
    assert_eq!(client.bodies("later", 60_000), ["by the queue"]);
    client.advance(9_999);
    assert_eq!(client.bodies("later", 60_000), [""; 0]);
    client.advance(1);
    assert_eq!(client.bodies("later", 60_000), ["by itself"]);
    assert_eq!(client.counts("later"), [0, 3, 0, 0]);
}

#[test]
fn a_queue_altered_later_changes_nothing_that_was_sent() {
    let mut client = Client::new();
    delayed_queue(&mut client, "later", 10_000);
    client.send("later", "old");
    let attributes = AttributeChanges { delay_ms: Some(0), ..Default::default() };
    client
        .ask(Command::AlterQueue { name: "later".to_owned(), attributes: attributes.into() })
        .unwrap();
    client.send("later", "new");
    assert_eq!(client.bodies("later", 60_000), ["new"]);
    client.advance(10_000);
    assert_eq!(client.bodies("later", 60_000), ["old"]);
}

#[test]
fn it_waits_for_years_and_over_restarts() {
    let mut client = Client::new();
    client.create_for_ever("later");
    client.send_delayed("later", "next year", Some(365 * DAY_MS));
    client.send_delayed("later", "in a hundred years", Some(DELAY_MS_MAX));
    for _ in 0..4 {
        client.commit_and_kill();
        assert_eq!(client.counts("later"), [0, 0, 2, 0]);
        client.advance(91 * DAY_MS);
    }
    client.advance(DAY_MS - 1);
    assert_eq!(client.bodies("later", DAY_MS / 4), [""; 0]);
    client.advance(1);
    assert_eq!(client.bodies("later", DAY_MS / 4), ["next year"]);
    client.advance(DELAY_MS_MAX - 365 * DAY_MS);
    assert!(client.bodies("later", 1_000).contains(&"in a hundred years".to_owned()));
}

#[test]
fn a_clock_set_by_any_amount_while_the_store_runs_moves_nothing() {
    for jump in [1_000, 3_600_000, DAY_MS, 365 * DAY_MS] {
        for ahead in [true, false] {
            let mut client = Client::new();
            client.create("later");
            client.send_delayed("later", "in ten seconds", Some(10_000));
            let wall = client.clock.wall_ms();
            client.clock.set_wall(if ahead { wall + jump } else { wall - jump });
            client.advance(9_999);
            assert_eq!(client.bodies("later", 1_000), [""; 0], "{jump} ahead: {ahead}");
            client.advance(1);
            assert_eq!(client.bodies("later", 1_000), ["in ten seconds"]);
        }
    }
}

#[test]
fn a_clock_set_back_before_a_restart_makes_it_late_by_the_time_that_was_down_at_most() {
    for jump in [1_000, DAY_MS, 365 * DAY_MS] {
        let mut client = Client::new();
        client.create("later");
        client.send_delayed("later", "in ten seconds", Some(10_000));
        client.clock.advance(4_000);
        client.clock.set_wall(client.clock.wall_ms() - jump);
        client.commit_and_kill();
        // Log time goes on at the newest moment in the log, whatever the wall clock says.
        let left = 10_000 - client.store().now().0.saturating_sub(1_800_000_000_000);
        assert!((6_000..=10_000).contains(&left), "{left} ms are left");
        client.advance(left - 1);
        assert_eq!(client.bodies("later", 1_000), [""; 0]);
        client.advance(1);
        assert_eq!(client.bodies("later", 1_000), ["in ten seconds"]);
    }
}
