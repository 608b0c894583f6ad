//! Without this: a receive or an ack of thousands of messages could need more log than a segment
//! has, and the engine would find that out when it is too late to refuse.

mod common;

use common::{Answers, ask, message, open, tiny};
use forebay_engine::command::{BATCH_MESSAGES_MAX, Command, Reply};
use forebay_engine::disk::SimDisk;
use forebay_engine::{RequestError, SimClock};

#[test]
fn thousands_of_messages_pass_through_tiny_segments() {
    let (disk, clock, mut answers) = (SimDisk::new(1), SimClock::new(0), Answers::default());
    let mut store = open(&disk, &clock).unwrap();
    let create = Command::CreateQueue { name: "q".to_owned(), attributes: Default::default() };
    ask(&mut store, &mut answers, create).unwrap();

    // A batch of sends that no segment holds is refused with both numbers.
    let all = BATCH_MESSAGES_MAX;
    let send = |count: usize| Command::Send {
        queue: "q".to_owned(),
        messages: (0..count).map(|n| message(&(n as u32).to_le_bytes(), None)).collect(),
        batch: None,
    };
    let refused = ask(&mut store, &mut answers, send(all)).unwrap_err();
    let max = tiny().command_bytes_max();
    assert_eq!(refused, RequestError::BatchTooLarge { bytes: all as u64 * (4 + 40 + 8), max });
    for _ in 0..all / 64 {
        ask(&mut store, &mut answers, send(64)).unwrap();
    }

    // A receive gives as many as can be leased at once; their receipts come back the same way.
    let mut receipts = Vec::new();
    while receipts.len() < all {
        let receive = Command::Receive {
            queue: "q".to_owned(),
            max: all as u32,
            wait_ms: None,
            visibility_ms: None,
            bytes_max: u64::MAX,
            attempt: None,
        };
        let answer = ask(&mut store, &mut answers, receive).unwrap();
        store.commit().unwrap();
        let Reply::Received { deliveries, .. } = answer else { panic!("{answer:?}") };
        assert!(!deliveries.is_empty(), "{} of {all} were received", receipts.len());
        receipts.extend(deliveries.iter().map(|delivery| delivery.receipt));
    }
    let queue = || "q".to_owned();
    for command in [
        Command::Ack { queue: queue(), receipts: receipts.clone() },
        Command::ChangeVisibility {
            queue: queue(),
            changes: receipts.iter().map(|receipt| (*receipt, 1000)).collect(),
        },
        Command::ReturnUndelivered { queue: queue(), receipts: receipts.clone(), delay_ms: 0 },
    ] {
        let refused = ask(&mut store, &mut answers, command).unwrap_err();
        assert!(matches!(refused, RequestError::BatchTooLarge { .. }), "{refused}");
    }
    for receipts in receipts.chunks(256) {
        let ack = Command::Ack { queue: queue(), receipts: receipts.to_vec() };
        let answer = ask(&mut store, &mut answers, ack);
        assert_eq!(answer, Ok(Reply::Changed { failures: Vec::new() }));
    }
    drop(store);
    let mut store = open(&disk, &clock).unwrap();
    let describe = Command::DescribeQueue { name: queue() };
    let Ok(Reply::Described(info)) = ask(&mut store, &mut answers, describe) else {
        panic!("the queue is there");
    };
    assert_eq!((info.counts, info.next_seq.0), (Default::default(), all as u64 + 1));
}
