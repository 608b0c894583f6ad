//! Without this: of many consumers that wait one could be served twice and another never, or a
//! message could go to a connection that is closed and lie leased there.

#[path = "common/client.rs"]
mod client;
mod common;

use client::{Client, deliveries, receive, send};

#[test]
fn who_came_first_gets_the_first_message() {
    let mut client = Client::new();
    client.create("jobs");
    let waits: Vec<_> = (0..5).map(|_| client.begin(receive("jobs", 1, 20_000, 60_000))).collect();
    for number in 0..3 {
        client.begin(send("jobs", &number.to_string(), None));
    }
    client.store().commit().unwrap();
    let received: Vec<_> = waits.iter().map(|wait| client.received(*wait)).collect();
    let one = |body: &str| Some(vec![body.to_owned()]);
    assert_eq!(received, [one("0"), one("1"), one("2"), None, None]);
    client.send("jobs", "3");
    assert_eq!(client.received(waits[3]), one("3"));
    assert_eq!(client.received(waits[4]), None);
    assert_eq!(client.counts("jobs"), [0, 4, 0, 0], "each is leased once");
}

#[test]
fn a_receive_that_comes_later_does_not_overtake_one_that_waits() {
    let mut client = Client::new();
    client.create("jobs");
    client.send_delayed("jobs", "due", Some(1_000));
    let first = client.begin(receive("jobs", 1, 20_000, 60_000));
    // The clock has moved, and nobody has told the store.
    client.clock.advance(1_000);
    let second = client.begin(receive("jobs", 1, 20_000, 60_000));
    assert_eq!(client.received(first), Some(vec!["due".to_owned()]));
    assert_eq!(client.received(second), None);
}

#[test]
fn a_waiter_who_asked_for_many_takes_what_is_there() {
    let mut client = Client::new();
    client.create("jobs");
    let greedy = client.begin(receive("jobs", 10, 20_000, 60_000));
    let second = client.begin(receive("jobs", 10, 20_000, 60_000));
    for number in 0..12 {
        client.begin(send("jobs", &number.to_string(), None));
    }
    client.store().commit().unwrap();
    let numbers = |range: std::ops::Range<u32>| Some(range.map(|n| n.to_string()).collect());
    assert_eq!(client.received(greedy), numbers(0..10));
    assert_eq!(client.received(second), numbers(10..12));
}

#[test]
fn without_a_visibility_timeout_each_waiter_gets_the_message_once() {
    let mut client = Client::new();
    client.create("jobs");
    let waits: Vec<_> = (0..3).map(|_| client.begin(receive("jobs", 1, 20_000, 0))).collect();
    client.send("jobs", "for all");
    for (count, wait) in (1..).zip(waits) {
        let received = deliveries(client.answer(wait).expect("it was served"));
        assert_eq!((received.len(), received[0].receive_count), (1, count));
    }
    assert_eq!(client.counts("jobs"), [1, 0, 0, 0]);
}

#[test]
fn who_has_gone_is_passed_over() {
    let mut client = Client::new();
    client.create("jobs");
    let mut gone = Vec::new();
    for _ in 0..3 {
        let (number, slot) = client.answers.slot_of_the_gone();
        client.store().handle(receive("jobs", 1, 20_000, 60_000), slot).unwrap();
        gone.push(number);
    }
    let here = client.begin(receive("jobs", 1, 20_000, 60_000));
    client.send("jobs", "for who is here");
    assert_eq!(client.received(here), Some(vec!["for who is here".to_owned()]));
    assert!(gone.into_iter().all(|number| client.answer(number).is_none()));
}

#[test]
fn when_all_have_gone_the_message_stays_in_the_queue() {
    let mut client = Client::new();
    client.create("jobs");
    let (_, slot) = client.answers.slot_of_the_gone();
    client.store().handle(receive("jobs", 1, 20_000, 60_000), slot).unwrap();
    client.send("jobs", "patient");
    assert_eq!(client.counts("jobs"), [1, 0, 0, 0]);
    assert_eq!(client.bodies("jobs", 1_000), ["patient"]);
}
