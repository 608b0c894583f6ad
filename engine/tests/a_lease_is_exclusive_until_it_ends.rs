//! Without this: two consumers could work on one message at the same time, or a message could stay
//! hidden long after its consumer has died.

#[path = "common/client.rs"]
mod client;
mod common;

use client::{Client, DAY_MS};
use forebay_engine::RequestError;
use forebay_engine::attributes::{AttributeChanges, VISIBILITY_MS_MAX};
use forebay_engine::command::Command;
use forebay_engine::unit::Unit;

#[test]
fn nobody_else_gets_the_message_before_the_last_millisecond() {
    let mut client = Client::new();
    client.create("jobs");
    client.send("jobs", "work");
    for count in 1..=3 {
        let delivery = client.receive_one("jobs", 30_000);
        assert_eq!(delivery.receive_count, count);
        assert_eq!(client.counts("jobs"), [0, 1, 0, 0]);
        client.advance(29_999);
        assert_eq!(client.bodies("jobs", 1), [""; 0]);
        client.advance(1);
        assert_eq!(client.counts("jobs"), [1, 0, 0, 0]);
    }
}

#[test]
fn how_long_is_said_by_the_receive_or_by_the_queue() {
    let mut client = Client::new();
    let visibility_timeout_ms = Some(7_000);
    client.create_with("jobs", AttributeChanges { visibility_timeout_ms, ..Default::default() });
    client.send("jobs", "work");
    let receive = Command::Receive {
        queue: "jobs".to_owned(),
        max: 1,
        wait_ms: None,
        visibility_ms: None,
        bytes_max: 0,
        attempt: None,
    };
    assert_eq!(client::deliveries(client.ask(receive)).len(), 1, "one is given, however large");
    client.advance(6_999);
    assert_eq!(client.counts("jobs"), [0, 1, 0, 0]);
    client.advance(1);
    assert_eq!(client.counts("jobs"), [1, 0, 0, 0]);
    // Nothing is a length too.
    client.receive_one("jobs", 0);
    assert_eq!(client.counts("jobs"), [1, 0, 0, 0]);
    assert_eq!(client.receive_one("jobs", 0).receive_count, 3);
}

#[test]
fn it_can_be_changed_and_ends_then() {
    let mut client = Client::new();
    client.create("jobs");
    client.send("jobs", "work");
    let receipt = client.receive_one("jobs", 10_000).receipt;
    client.advance(9_000);
    client.change("jobs", receipt, 5_000).unwrap();
    client.advance(4_999);
    assert_eq!(client.bodies("jobs", 1), [""; 0]);
    client.advance(1);
    // It has ended, and nobody has received the message since: it may be taken up again.
    client.change("jobs", receipt, 1_000).unwrap();
    assert_eq!(client.bodies("jobs", 1), [""; 0]);
    client.change("jobs", receipt, 0).unwrap();
    assert_eq!(client.bodies("jobs", 60_000), ["work"]);
    let stale = client.change("jobs", receipt, 0);
    assert!(matches!(stale, Err(RequestError::ReceiptStale { .. })), "{stale:?}");
}

#[test]
fn it_lasts_twelve_hours_from_the_receive_however_often_it_is_changed() {
    let mut client = Client::new();
    client.create("jobs");
    client.send("jobs", "work");
    let receipt = client.receive_one("jobs", 1_000).receipt;
    for hour in 0..12 {
        let left = VISIBILITY_MS_MAX - hour * 3_600_000;
        let beyond = client.change("jobs", receipt, left + 1);
        let (parameter, unit) = ("visibility", Unit::Milliseconds);
        let (value, min, max) = (left + 1, 0, left);
        assert_eq!(beyond, Err(RequestError::OutOfRange { parameter, unit, value, min, max }));
        client.change("jobs", receipt, left).unwrap();
        if hour == 5 {
            client.commit_and_kill();
        }
        client.advance(3_600_000);
    }
    assert_eq!(client.bodies("jobs", 1_000), ["work"]);
}

#[test]
fn a_restart_leaves_of_it_between_nothing_and_all() {
    // How far the wall clock is set over the restart, and whether the lease is then over.
    let jumps = [(0, false), (1_000, false), (30_001, true), (365 * DAY_MS as i64, true)];
    for (jump, over) in jumps.into_iter().chain([(-1_000, false), (-365 * DAY_MS as i64, false)]) {
        let mut client = Client::new();
        client.create_for_ever("jobs");
        client.send("jobs", "work");
        let receipt = client.receive_one("jobs", 30_000).receipt;
        client.store().commit().unwrap();
        use forebay_engine::Clock;
        client.clock.set_wall(client.clock.wall_ms().strict_add_signed(jump));
        client.kill();
        let visible = client.counts("jobs")[0] == 1;
        assert_eq!(visible, over, "clock set by {jump}");
        client.advance(30_000);
        assert_eq!(client.counts("jobs"), [1, 0, 0, 0], "it never lasts longer than it was to");
        client.ack("jobs", receipt).unwrap();
    }
}

#[test]
fn a_clock_set_by_any_amount_while_the_store_runs_moves_nothing() {
    use forebay_engine::Clock;
    for jump in [1_000, DAY_MS, 365 * DAY_MS] {
        for ahead in [true, false] {
            let mut client = Client::new();
            client.create("jobs");
            client.send("jobs", "work");
            client.receive_one("jobs", 30_000);
            let wall = client.clock.wall_ms();
            client.clock.set_wall(if ahead { wall + jump } else { wall - jump });
            client.advance(29_999);
            assert_eq!(client.counts("jobs"), [0, 1, 0, 0]);
            client.advance(1);
            assert_eq!(client.counts("jobs"), [1, 0, 0, 0]);
        }
    }
}
