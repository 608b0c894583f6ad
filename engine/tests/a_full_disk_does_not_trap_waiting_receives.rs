//! Without this: a message that becomes due while the log has no room to lease it would set off
//! its queue's alarm again and again, and the engine would do nothing else for ever.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{Answers, DATA, Slot, ask, in_group, message, open};
use forebay_engine::attributes::AttributeChanges;
use forebay_engine::command::{Command, Reply};
use forebay_engine::disk::SimDisk;
use forebay_engine::{RequestError, SimClock, Store};

fn create(name: &str) -> Command {
    Command::CreateQueue { name: name.to_owned(), attributes: Default::default() }
}

fn send(queue: &str, body: &[u8], delay_ms: Option<u64>) -> Command {
    Command::Send { queue: queue.to_owned(), messages: vec![message(body, delay_ms)], batch: None }
}

fn receive(queue: &str, wait_ms: u64) -> Command {
    let (wait_ms, visibility_ms) = (Some(wait_ms), Some(0));
    Command::Receive {
        queue: queue.to_owned(),
        max: 1,
        wait_ms,
        visibility_ms,
        bytes_max: 1 << 20,
        attempt: None,
    }
}

/// Receives from another queue until no lease fits the active segment any more.
fn use_up_the_log(store: &mut Store<Slot>, answers: &mut Answers, clock: &SimClock) {
    for _ in 0..1000 {
        match ask(store, answers, receive("busy", 0)) {
            Ok(_) => store.commit().unwrap(),
            Err(RequestError::StorageFull { detail }) => {
                assert!(detail.contains(DATA), "{detail}");
                return;
            }
            Err(other) => panic!("{other}"),
        }
        clock.advance(1);
        store.tick();
    }
    panic!("the log never filled up");
}

#[test]
fn a_wait_ends_on_a_full_disk_and_the_message_comes_when_there_is_space() {
    let send = send("waited-for", b"worth the wait", Some(5_000));
    is_not_trapped("waited-for", create("waited-for"), send, b"worth the wait");
}

#[test]
fn also_in_a_fifo_queue_whose_delay_ends_then() {
    let (name, delay_ms) = ("waited-for.fifo".to_owned(), Some(5_000));
    let delayed = AttributeChanges { fifo: Some(true), delay_ms, ..Default::default() };
    let create = Command::CreateQueue { name: name.clone(), attributes: delayed.into() };
    let message = in_group("g", Some(1), b"worth the wait");
    let payload = message.payload.clone();
    let send = Command::Send { queue: name, messages: vec![message], batch: None };
    is_not_trapped("waited-for.fifo", create, send, &payload);
}

/// A queue, and a message of it that comes after five seconds.
fn is_not_trapped(name: &str, created: Command, sent: Command, payload: &[u8]) {
    let (disk, clock, mut answers) = (SimDisk::new(1), SimClock::new(0), Answers::default());
    let mut store = open(&disk, &clock).unwrap();
    for command in [create("busy"), created, send("busy", b"again and again", None), sent] {
        ask(&mut store, &mut answers, command).unwrap();
    }
    // Two who wait: one for longer than the disk is full, one not.
    let (patient, slot) = answers.slot();
    store.handle(receive(name, 20_000), slot).unwrap();
    let (hasty, slot) = answers.slot();
    store.handle(receive(name, 6_000), slot).unwrap();

    // Room for a manifest, but for no segment.
    disk.set_capacity(Some(disk.used() + (8 << 10)));
    use_up_the_log(&mut store, &mut answers, &clock);
    let refused = ask(&mut store, &mut answers, send("busy", b"no", None));
    assert!(matches!(refused, Err(RequestError::StorageFull { .. })), "{refused:?}");

    // The message is due, and cannot be leased.
    clock.advance(5_000);
    store.tick();
    assert_eq!((answers.take(patient), answers.take(hasty)), (None, None));
    // A wait ends when it ends.
    clock.advance(1_000);
    store.tick();
    let Some(Ok(Reply::Received { deliveries, .. })) = answers.take(hasty) else {
        panic!("the wait has ended");
    };
    assert!(deliveries.is_empty());

    // There is space again: the next segment is prepared, and who still waits is served.
    disk.set_capacity(None);
    store.commit().unwrap();
    let Some(Ok(Reply::Received { deliveries, .. })) = answers.take(patient) else {
        panic!("the message is given as soon as it can be");
    };
    assert_eq!(store.read(&deliveries[0].location).unwrap().payload, payload);
}
