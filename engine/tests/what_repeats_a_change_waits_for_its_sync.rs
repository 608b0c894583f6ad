//! Without this: who repeats what it is not sure of, while the first one is still on its way to the
//! disk, would get an answer that a power cut can take back.

mod common;

use std::sync::Arc;
use std::sync::mpsc::TryRecvError;

use common::engine::{Running, receive, send, start};
use common::gate::GatedDisk;
use common::{in_group, message};
use forebay_engine::Options;
use forebay_engine::attributes::AttributeChanges;
use forebay_engine::command::{Command, ProducerBatch, Reply};
use forebay_engine::disk::SimDisk;
use forebay_engine::ids::ProducerId;

/// The command is made twice, the second time while the first one's sync hangs.
fn is_answered_after_the_sync_of_the_first(prepare: impl Fn(&Running), command: Command) {
    let disk = GatedDisk::new(SimDisk::new(1));
    let running = start(Arc::new(disk.clone()), Options::default());
    running.create("empty");
    prepare(&running);
    disk.close();
    let first = running.submit(command.clone());
    disk.wait_for_a_sync();
    let repeated = running.submit(command);
    // The core has decided it once it answers this, and gives answers in the order of decisions.
    running.ask(receive("empty", 1, 0)).expect("nothing is there");
    assert_eq!(repeated.try_recv(), Err(TryRecvError::Empty), "the first one is not synced");
    assert_eq!(first.try_recv(), Err(TryRecvError::Empty), "it is not synced");
    disk.open(false);
    let first = first.recv().expect("every command is answered");
    let repeated = repeated.recv().expect("every command is answered");
    match (first.expect("it is done"), repeated.expect("it was done")) {
        (Reply::Sent(first), Reply::Sent(repeated)) => assert_eq!(first.first, repeated.first),
        (Reply::Created { queue, .. }, Reply::Created { queue: again, created }) => {
            assert_eq!((again, created), (queue, false));
        }
        others => panic!("{others:?}"),
    }
    running.engine.shutdown().expect("nothing failed");
}

#[test]
fn a_copy_of_a_message_of_a_fifo_queue() {
    let create = |running: &Running| {
        let fifo = AttributeChanges { fifo: Some(true), ..Default::default() };
        let (name, attributes) = ("line.fifo".to_owned(), fifo.into());
        running.ask(Command::CreateQueue { name, attributes }).expect("it is created");
    };
    let messages = vec![in_group("a", Some(7), b"body")];
    let send = Command::Send { queue: "line.fifo".to_owned(), messages, batch: None };
    is_answered_after_the_sync_of_the_first(create, send);
}

#[test]
fn a_batch_of_a_producer() {
    let batch = ProducerBatch { producer: ProducerId(7), number: 1, oldest: 1 };
    let (queue, messages) = ("jobs".to_owned(), vec![message(b"body", None)]);
    let send = Command::Send { queue, messages, batch: Some(batch) };
    is_answered_after_the_sync_of_the_first(|running| running.create("jobs"), send);
}

#[test]
fn the_creation_of_a_queue() {
    let (name, attributes) = ("jobs".to_owned(), Default::default());
    let create = Command::CreateQueue { name, attributes };
    is_answered_after_the_sync_of_the_first(|_| (), create);
}

/// What changes nothing waits for nothing.
#[test]
fn but_not_what_is_refused() {
    let disk = GatedDisk::new(SimDisk::new(1));
    let running = start(Arc::new(disk.clone()), Options::default());
    running.create("jobs");
    disk.close();
    let first = running.submit(send("jobs", b"body"));
    disk.wait_for_a_sync();
    running.ask(send("none", b"body")).expect_err("there is no such queue");
    assert_eq!(first.try_recv(), Err(TryRecvError::Empty), "it is not synced");
    disk.open(false);
    first.recv().expect("every command is answered").expect("sent");
    running.engine.shutdown().expect("nothing failed");
}
