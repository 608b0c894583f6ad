//! Without this: whoever has mended a consumer could not give it the messages again that it failed
//! on, or not all of them, or some twice, or not stop.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;
#[path = "common/letters.rs"]
mod letters;

use client::{Client, receive};
use common::lose_derived;
use forebay_engine::attributes::AttributeChanges;
use forebay_engine::command::{Command, RedriveState, Reply};
use forebay_engine::disk::Fault;
use letters::{
    Told, alter, bodies_in, delete, fifo, jobs_and_dead, let_die, list, newest, policy,
    receive_told, refused, start, start_command,
};

/// A dead-letter queue with so many dead letters, numbered from 0.
fn dead(count: usize) -> Client {
    let mut client = Client::new();
    jobs_and_dead(&mut client, 1);
    let bodies: Vec<_> = (0..count).map(|at| format!("{at:04}").into_bytes()).collect();
    for few in bodies.chunks(50) {
        client.send_all("jobs", few);
    }
    let_die(&mut client, "jobs");
    assert_eq!(client.counts("dead"), [count as u64, 0, 0, 0]);
    client
}

fn numbers(numbers: impl Iterator<Item = usize>) -> Vec<String> {
    numbers.map(|at| format!("{at:04}")).collect()
}

#[test]
fn each_goes_back_to_its_own_source_as_a_new_message() {
    let mut client = Client::new();
    jobs_and_dead(&mut client, 1);
    client.create_with("others", policy("dead", 2));
    for (queue, body) in [("jobs", "a"), ("others", "b"), ("jobs", "c"), ("others", "d")] {
        client.send(queue, body);
    }
    let_die(&mut client, "jobs");
    let_die(&mut client, "others");
    client.advance(5_000);
    let redrive = start(&mut client, "dead", "", 0);
    let started = client.store().now();
    assert_eq!(newest(&mut client, "dead"), (RedriveState::Running, 0, 4));
    client.keep();
    assert_eq!(newest(&mut client, "dead"), (RedriveState::Completed, 4, 4));
    assert_eq!(client.counts("dead"), [0; 4]);
    assert_eq!(bodies_in(&mut client, "jobs"), ["a", "c"]);
    assert_eq!(bodies_in(&mut client, "others"), ["b", "d"]);
    client.advance(1_000);
    let (sent, first_received) = (started, client.store().now());
    let expected = Told {
        body: "a".to_owned(),
        source: None,
        origin: (2, 3),
        receive_count: 1,
        sent,
        first_received,
        reason: String::new(),
    };
    assert_eq!(receive_told(&mut client, "jobs", 0), expected);
    let info = &list(&mut client, "dead")[0];
    assert_eq!((info.redrive, &*info.source, &*info.destination), (redrive, "dead", ""));
    assert_eq!((info.started, info.ended.is_some(), &*info.reason), (started, true, ""));
    // It may die again.
    let_die(&mut client, "jobs");
    assert_eq!(receive_told(&mut client, "dead", 0).origin, (2, 3));
}

#[test]
fn a_named_queue_gets_all_with_its_delay_and_who_waits_there_is_served() {
    let mut client = dead(3);
    let delay_ms = Some(60_000);
    client.create_with("slow", AttributeChanges { delay_ms, ..AttributeChanges::default() });
    start(&mut client, "dead", "slow", 0);
    client.keep();
    assert_eq!(client.counts("slow"), [0, 0, 3, 0]);
    client.advance(60_000);
    assert_eq!(client.bodies("slow", 0), numbers(0..3));

    let mut client = dead(1);
    let waiting = client.begin(receive("jobs", 1, 20_000, 0));
    start(&mut client, "dead", "", 0);
    client.keep();
    assert_eq!(client.received(waiting), Some(numbers(0..1)));
}

#[test]
fn it_takes_what_is_visible_of_what_was_there_the_oldest_first() {
    let mut client = dead(6);
    let held = client.receive_max("dead", 2, 60_000);
    client.send_delayed("dead", "delayed", Some(60_000));
    client.create("target");
    start(&mut client, "dead", "target", 0);
    client.send("dead", "later");
    client.keep();
    assert_eq!(bodies_in(&mut client, "target"), numbers(2..6));
    assert_eq!(newest(&mut client, "dead"), (RedriveState::Completed, 4, 7));
    assert_eq!(client.counts("dead"), [1, 2, 1, 0]);
    client.ack("dead", held[0].receipt).unwrap();
    // What is visible by now has its turn.
    client.advance(60_000);
    start(&mut client, "dead", "target", 0);
    client.keep();
    let rest = [numbers(2..6), numbers(1..2), vec!["delayed".into(), "later".into()]].concat();
    assert_eq!(bodies_in(&mut client, "target"), rest);
}

#[test]
fn it_keeps_to_its_rate_to_the_message() {
    for (rate, step_ms, per_step) in [(1, 1_000, 1), (10, 100, 1), (500, 10, 5), (200, 50, 10)] {
        let mut client = dead(100);
        start(&mut client, "dead", "", rate);
        client.keep();
        let mut before = newest(&mut client, "dead").1;
        assert_eq!(before, 1, "the first goes at once");
        for _ in 0..8 {
            // As an engine does it: whenever something is due.
            for _ in 0..step_ms {
                client.advance(1);
                client.keep();
            }
            let now = newest(&mut client, "dead").1;
            assert_eq!(now - before, per_step, "{rate} a second");
            before = now;
        }
        // Time in which nothing was done is not made up for.
        client.advance(3_600_000);
        client.keep();
        let now = newest(&mut client, "dead").1;
        assert!(now - before <= 1 + rate / 100, "{} at once", now - before);
    }
}

#[test]
fn it_goes_on_after_a_restart_whatever_is_lost() {
    for lose in [false, true] {
        let mut client = dead(40);
        start(&mut client, "dead", "", 10);
        for _ in 0..15 {
            client.advance(100);
            client.keep();
        }
        let (_, moved, _) = newest(&mut client, "dead");
        assert!((10..20).contains(&moved), "{moved}");
        client.keep_all();
        let (_, moved, _) = newest(&mut client, "dead");
        client.store().commit().unwrap();
        client.stop();
        if lose {
            lose_derived(&client.disk, u64::MAX);
        }
        client.open().unwrap();
        assert_eq!(newest(&mut client, "dead"), (RedriveState::Running, moved, 40));
        for _ in 0..300 {
            client.advance(100);
            client.keep();
        }
        assert_eq!(newest(&mut client, "dead"), (RedriveState::Completed, 40, 40));
        assert_eq!(bodies_in(&mut client, "jobs"), numbers(0..40));
        client.kill();
        assert_eq!(newest(&mut client, "dead"), (RedriveState::Completed, 40, 40));
    }
}

#[test]
fn how_far_it_has_come_outlives_the_messages_that_it_moved() {
    let mut client = dead(60);
    start(&mut client, "dead", "", 100);
    for _ in 0..20 {
        client.advance(10);
        client.keep();
        client.consume("jobs", 100, |_| true);
    }
    let (_, moved, _) = newest(&mut client, "dead");
    // What it moved is acked and compacted, and only what it has to say of it is left.
    for _ in 0..6 {
        for _ in 0..3 {
            client.send_all("jobs", &vec![vec![b'x'; 900]; 5]);
        }
        client.consume("jobs", 1000, |_| true);
        let redrive = list(&mut client, "dead")[0].redrive;
        assert_eq!(redrive.count(), 1);
        client.store().commit().unwrap();
        for _ in 0..40 {
            client.store().keep().unwrap();
            client.store().commit().unwrap();
        }
    }
    assert!(client.stats().disk.compactions > 0);
    let (state, now, _) = newest(&mut client, "dead");
    assert!(state == RedriveState::Running && now >= moved);
    client.stop();
    lose_derived(&client.disk, u64::MAX);
    client.open().unwrap();
    assert_eq!(newest(&mut client, "dead"), (RedriveState::Running, now, 60));
}

#[test]
fn a_cancelled_one_stops_and_another_may_start() {
    let mut client = dead(10);
    let redrive = start(&mut client, "dead", "", 10);
    client.keep();
    let second = refused(&mut client, start_command("dead", "", 0));
    let text = format!("redrive {redrive} of queue \"dead\" is running, expected none");
    assert_eq!(second.to_string(), text);
    // What is being read when it is cancelled stays.
    client.clock.advance(100);
    client.store().tick();
    let cancelled = client.ask(Command::CancelRedrive { redrive });
    assert_eq!(cancelled, Ok(Reply::RedriveCancelled { moved: 1 }));
    client.advance(10_000);
    client.keep();
    assert_eq!(newest(&mut client, "dead"), (RedriveState::Cancelled, 1, 10));
    assert_eq!((client.counts("dead")[0], client.counts("jobs")[0]), (9, 1));
    let gone = refused(&mut client, Command::CancelRedrive { redrive });
    let text = format!("redrive {redrive} does not run: it was cancelled before");
    assert_eq!(gone.to_string(), text);
    let next = start(&mut client, "dead", "", 0);
    assert_eq!((next.queue(), next.count()), (redrive.queue(), redrive.count() + 1));
    client.keep();
    assert_eq!(newest(&mut client, "dead"), (RedriveState::Completed, 9, 9));
}

#[test]
fn it_fails_where_a_message_has_nowhere_to_go() {
    // Its source is gone, ...
    let mut client = dead(3);
    start(&mut client, "dead", "", 10);
    client.keep();
    delete(&mut client, "jobs");
    client.advance(100);
    client.keep();
    assert_eq!(newest(&mut client, "dead"), (RedriveState::Failed, 1, 3));
    assert_eq!(list(&mut client, "dead")[0].reason, "queue \"jobs\" does not exist");
    assert_eq!(client.bodies("dead", 0), numbers(1..3), "what is left can be received");
    // ... or the destination that was named is gone.
    let mut client = dead(0);
    client.send("dead", "by hand");
    client.create("target");
    start(&mut client, "dead", "target", 0);
    delete(&mut client, "target");
    client.keep();
    assert_eq!(newest(&mut client, "dead"), (RedriveState::Failed, 0, 1));
    assert_eq!(client.bodies("dead", 0), ["by hand"]);
}

/// One message that was sent by hand would keep all dead letters behind it where they are.
#[test]
fn it_leaves_what_was_sent_to_the_dead_letter_queue_and_says_so() {
    let mut client = Client::new();
    jobs_and_dead(&mut client, 1);
    let by_hand = |number: u64| format!("by hand {number}");
    for number in 0..600 {
        client.send("dead", &by_hand(number));
        if number.is_multiple_of(200) {
            client.send("jobs", &format!("dead {number}"));
            let_die(&mut client, "jobs");
        }
    }
    // One of them goes while the redrive runs.
    let gone = client.receive_max("dead", 1, 1_000).remove(0);
    start(&mut client, "dead", "", 0);
    client.keep();
    client.store().commit().unwrap();
    client.ack("dead", gone.receipt).unwrap();
    client.keep();
    assert_eq!(newest(&mut client, "dead"), (RedriveState::Completed, 3, 603));
    let reason = "599 messages were left: they came from no other queue";
    assert_eq!(list(&mut client, "dead")[0].reason, reason);
    assert_eq!(bodies_in(&mut client, "jobs"), ["dead 0", "dead 200", "dead 400"]);
    let left: Vec<_> = (1..600).map(by_hand).collect();
    assert_eq!(bodies_in(&mut client, "dead"), left);
    client.commit_and_kill();
    assert_eq!(list(&mut client, "dead")[0].reason, reason);
    // With a destination they go there.
    client.create("target");
    start(&mut client, "dead", "target", 0);
    client.keep();
    assert_eq!(bodies_in(&mut client, "target"), left);
}

/// In a FIFO queue the walk along the backlog stopped as soon as there were enough of those, although
/// none of them moves.
#[test]
fn however_many_it_leaves_those_behind_them_move_in_a_fifo_queue_too() {
    let mut client = Client::new();
    client.create_fifo("dead.fifo");
    client.create_with("jobs.fifo", fifo(policy("dead.fifo", 1)));
    for batch in 0..60 {
        let by_hand: Vec<_> = (0..50).map(|n| ("by hand", Some(batch * 50 + n), "x")).collect();
        client.send_in_groups("dead.fifo", &by_hand);
    }
    client.send_in_groups("jobs.fifo", &[("jobs", Some(1), "dead")]);
    let_die(&mut client, "jobs.fifo");
    start(&mut client, "dead.fifo", "", 0);
    client.keep();
    assert_eq!(newest(&mut client, "dead.fifo"), (RedriveState::Completed, 1, 3001));
    let reason = "3000 messages were left: they came from no other queue";
    assert_eq!(list(&mut client, "dead.fifo")[0].reason, reason);
    assert_eq!(bodies_in(&mut client, "jobs.fifo"), ["dead"]);
}

#[test]
fn a_redrive_that_leaves_messages_ends_also_over_a_crash_and_at_a_rate() {
    let mut client = dead(2);
    for number in 0..3 {
        client.send("dead", &format!("by hand {number}"));
    }
    start(&mut client, "dead", "", 1);
    client.keep();
    client.commit_and_kill();
    for _ in 0..20 {
        client.advance(1_000);
        client.keep();
    }
    assert_eq!(newest(&mut client, "dead"), (RedriveState::Completed, 2, 5));
    let reason = "3 messages were left: they came from no other queue";
    assert_eq!(list(&mut client, "dead")[0].reason, reason);
}

#[test]
fn too_many_messages_that_came_from_nowhere_end_it() {
    let mut client = dead(0);
    let bodies = vec![b"by hand".to_vec(); 100];
    for _ in 0..660 {
        client.send_all("dead", &bodies);
    }
    start(&mut client, "dead", "", 0);
    client.keep();
    let info = list(&mut client, "dead").remove(0);
    let text = "more than 65536 messages came from no other queue: they need a destination";
    assert_eq!((info.state, &*info.reason), (RedriveState::Failed, text));
    assert_eq!(client.counts("dead")[0], 66_000);
}

#[test]
fn a_queue_that_goes_takes_its_redrives_along() {
    let mut client = dead(5);
    let redrive = start(&mut client, "dead", "", 10);
    client.keep();
    client.clock.advance(100);
    client.store().tick();
    delete(&mut client, "dead");
    client.keep();
    client.advance(10_000);
    client.keep();
    assert_eq!(client.counts("jobs"), [1, 0, 0, 0]);
    client.create("dead");
    assert_eq!(list(&mut client, "dead"), []);
    refused(&mut client, Command::CancelRedrive { redrive });
    client.kill();
    client.keep();
    assert_eq!(list(&mut client, "dead"), []);
}

#[test]
fn the_last_ten_that_ended_are_remembered() {
    let mut client = dead(1);
    client.create("target");
    let mut started = Vec::new();
    for round in 0..13 {
        started.push(start(&mut client, "dead", "target", 0));
        if round == 5 {
            client.keep_all();
        }
        client.keep();
    }
    started.push(start(&mut client, "dead", "target", 1));
    let expected: Vec<_> = started.iter().rev().take(11).copied().collect();
    for lose in [0, u64::MAX] {
        let listed = list(&mut client, "dead");
        assert_eq!(listed.iter().map(|info| info.redrive).collect::<Vec<_>>(), expected);
        assert!(listed[1..].iter().all(|info| info.state == RedriveState::Completed));
        assert_eq!(listed[0].state, RedriveState::Running);
        client.store().commit().unwrap();
        client.stop();
        lose_derived(&client.disk, lose);
        client.open().unwrap();
    }
}

#[test]
fn what_cannot_be_started_is_refused_and_why() {
    let mut client = dead(1);
    client.create("plain");
    client.create_with("plain.fifo", fifo(AttributeChanges::default()));
    client.create_with("dead.fifo", fifo(AttributeChanges::default()));
    client.create_with("jobs.fifo", fifo(policy("dead.fifo", 1)));
    for (queue, destination, rate, text) in [
        ("nobody", "", 0, "queue \"nobody\" does not exist"),
        ("plain", "", 0, "queue \"plain\" is the dead-letter queue of no queue"),
        ("dead", "nobody", 0, "queue \"nobody\" does not exist"),
        ("dead", "dead", 0, "the destination is queue \"dead\", expected another queue"),
        (
            "dead",
            "plain.fifo",
            0,
            "the destination is queue \"plain.fifo\", expected a queue that is not FIFO, as the \
             dead-letter queue is not",
        ),
        (
            "dead.fifo",
            "plain",
            0,
            "the destination is queue \"plain\", expected a FIFO queue, as the dead-letter queue is",
        ),
        ("dead", "", 100_001, "rate is 100001, expected 0 to 100000"),
    ] {
        let error = refused(&mut client, start_command(queue, destination, rate));
        assert_eq!(error.to_string(), text);
    }
    assert_eq!(list(&mut client, "dead"), []);
    refused(&mut client, Command::ListRedrives { queue: "nobody".to_owned() });
}

#[test]
fn a_hundred_run_at_once_and_each_has_its_turn() {
    let mut client = Client::new();
    for number in 0..101 {
        client.create(&format!("dead-{number}"));
        let name = format!("jobs-{number}");
        client.create_with(&name, policy(&format!("dead-{number}"), 1));
        client.send(&name, "poison");
        client.receive_one(&name, 0);
        client.receive(&name, 0);
        client.store().keep().unwrap();
    }
    client.store().commit().unwrap();
    for number in 0..100 {
        start(&mut client, &format!("dead-{number}"), "", 1);
    }
    let error = refused(&mut client, start_command("dead-100", "", 1));
    assert_eq!(error.to_string(), "100 redrives are running, expected fewer");
    // An entry has no room for all their ends.
    (0..3).for_each(|_| client.keep());
    for number in 0..100 {
        let (state, moved, _) = newest(&mut client, &format!("dead-{number}"));
        assert_eq!((state, moved), (RedriveState::Completed, 1), "{number}");
    }
    start(&mut client, "dead-100", "", 1);
}

#[test]
fn on_a_full_disk_and_after_a_failed_read_it_waits_and_goes_on() {
    let mut client = dead(20);
    let redrive = start(&mut client, "dead", "", 0);
    client.store().commit().unwrap();
    client.disk.set_capacity(Some(client.disk.used() + (4 << 10)));
    for _ in 0..100 {
        if client.ask(client::send("jobs", &"x".repeat(900), None)).is_err() {
            break;
        }
    }
    client.keep();
    assert_eq!(newest(&mut client, "dead"), (RedriveState::Running, 0, 20));
    client.disk.set_capacity(None);
    client.store().commit().unwrap();
    client.disk.fail_at(client.disk.operations() + 1, Fault::ReadIo);
    client.keep();
    client.disk.clear_faults();
    for _ in 0..3 {
        client.advance(1_000);
        client.keep();
    }
    assert_eq!(newest(&mut client, "dead"), (RedriveState::Completed, 20, 20));
    assert_eq!(list(&mut client, "dead")[0].redrive, redrive);
}

#[test]
fn one_that_rotted_is_set_aside_and_left() {
    let mut client = Client::new();
    jobs_and_dead(&mut client, 1);
    for body in ["a", "b", "c"] {
        client.send("jobs", &body.repeat(3000));
    }
    let_die(&mut client, "jobs");
    let received = client.receive_max("dead", 3, 0);
    let location = &received[1].location;
    let at = u64::from(location.offset + 300);
    client.disk.flip_bit(&location.segment.path, at, 0).unwrap();
    start(&mut client, "dead", "", 0);
    client.keep();
    assert_eq!(newest(&mut client, "dead"), (RedriveState::Completed, 2, 3));
    assert_eq!(client.counts("dead"), [0, 0, 0, 1]);
}

#[test]
fn a_dead_letter_queue_of_a_fifo_queue_gives_back_in_order() {
    let mut client = Client::new();
    client.create_with("dead.fifo", fifo(AttributeChanges::default()));
    client.create_with("jobs.fifo", fifo(policy("dead.fifo", 1)));
    for number in 0..30 {
        client.send_in_groups("jobs.fifo", &[("a", Some(number), &format!("{number:04}"))]);
    }
    let_die(&mut client, "jobs.fifo");
    start(&mut client, "dead.fifo", "", 0);
    client.keep();
    assert_eq!(bodies_in(&mut client, "jobs.fifo"), numbers(0..30));
    alter(&mut client, "jobs.fifo", policy("", 0));
    assert_eq!(client.receive_max("jobs.fifo", 100, 0).len(), 30);
    assert_eq!(client.receive_max("jobs.fifo", 100, 0).len(), 30, "nobody dies any more");
}

#[test]
fn a_message_that_comes_to_a_fifo_queue_waits_for_the_delay_of_the_queue_whenever_that_is_changed()
{
    let mut client = Client::new();
    client.create_with("dead.fifo", fifo(AttributeChanges::default()));
    let delayed = AttributeChanges { delay_ms: Some(60_000), ..policy("dead.fifo", 1) };
    client
        .create_with("jobs.fifo", fifo(AttributeChanges { delay_ms: Some(0), ..delayed.clone() }));
    client.send_in_groups("jobs.fifo", &[("a", Some(1), "first")]);
    let_die(&mut client, "jobs.fifo");
    alter(&mut client, "jobs.fifo", delayed);
    start(&mut client, "dead.fifo", "", 0);
    client.keep();
    client.send_in_groups("jobs.fifo", &[("a", Some(2), "second")]);
    assert_eq!(client.receive_max("jobs.fifo", 10, 0).len(), 0, "the delay has not passed");
    alter(&mut client, "jobs.fifo", AttributeChanges { delay_ms: Some(0), ..policy("", 0) });
    let received = client.receive_max("jobs.fifo", 10, 0);
    let bodies: Vec<_> =
        received.iter().map(|delivery| letters::told(&mut client, delivery).body).collect();
    assert_eq!(bodies, ["first", "second"]);
}

#[test]
fn what_is_on_its_way_holds_back_its_group_also_when_the_order_is_made_anew() {
    let mut client = Client::new();
    client.create_with("dead.fifo", fifo(AttributeChanges::default()));
    client.create_with("jobs.fifo", fifo(policy("dead.fifo", 1)));
    client.send_in_groups("jobs.fifo", &[("a", Some(1), "first")]);
    let_die(&mut client, "jobs.fifo");
    start(&mut client, "dead.fifo", "", 0);
    client.store().tick();
    // It is marked now, and not read yet.
    client.send_in_groups("dead.fifo", &[("a", Some(2), "second")]);
    let longer = AttributeChanges { delay_ms: Some(1), ..AttributeChanges::default() };
    alter(&mut client, "dead.fifo", longer);
    client.clock.advance(10);
    let received = client.receive_max("dead.fifo", 10, 0);
    assert_eq!(received.len(), 0, "the first of the group is on its way");
}
