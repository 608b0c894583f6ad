//! Without this: messages, leases or settings of a deleted queue could turn up in a new one that
//! happens to have its name.

#[path = "common/client.rs"]
mod client;
mod common;

use client::{Client, send};
use forebay_engine::RequestError;
use forebay_engine::attributes::{AttributeChanges, Attributes};
use forebay_engine::command::{Command, Counts, Reply};

fn delete(name: &str) -> Command {
    Command::DeleteQueue { name: name.to_owned() }
}

#[test]
fn it_begins_empty_with_default_attributes_and_a_number_of_its_own() {
    let mut client = Client::new();
    let visibility_timeout_ms = Some(1);
    let old = client
        .create_with("jobs", AttributeChanges { visibility_timeout_ms, ..Default::default() });
    for body in ["a", "b", "c"] {
        client.send("jobs", body);
    }
    client.send_delayed("jobs", "d", Some(5_000));
    client.receive_one("jobs", 60_000);
    client.ask(delete("jobs")).unwrap();
    let unknown = Err(RequestError::UnknownQueue { name: "jobs".to_owned() });
    assert_eq!(client.ask(delete("jobs")), unknown);
    let new = client.create("jobs");
    assert!(new > old);
    for restart in [false, true] {
        if restart {
            client.commit_and_kill();
        }
        client.advance(60_000);
        let info = client.describe("jobs");
        assert_eq!((info.id.0, info.next_seq.0), (new, 1));
        assert_eq!((info.counts, &*info.attributes), (Counts::default(), &Attributes::default()));
    }
    assert_eq!(client.send("jobs", "fresh"), 1);
    assert_eq!(client.bodies("jobs", 1_000), ["fresh"]);
}

#[test]
fn a_number_is_never_given_again_over_restarts() {
    let mut client = Client::new();
    let mut last = 0;
    for round in 0..6 {
        let number = client.create("jobs");
        assert!(number > last, "{number} after {last}");
        last = number;
        client.ask(delete("jobs")).unwrap();
        if round % 2 == 0 {
            client.commit_and_kill();
        }
    }
}

#[test]
fn a_send_under_way_when_its_queue_is_deleted_goes_nowhere() {
    let mut client = Client::new();
    client.create("jobs");
    let lost = client.begin(send("jobs", "lost", None));
    let deleted = client.begin(delete("jobs"));
    let created =
        client.begin(Command::CreateQueue { name: "jobs".to_owned(), attributes: Box::default() });
    let kept = client.begin(send("jobs", "kept", None));
    client.store().commit().unwrap();
    let first = |answer| match answer {
        Some(Ok(Reply::Sent(stored))) => (stored.queue.0, stored.first.0),
        other => panic!("{other:?}"),
    };
    assert_eq!(first(client.answer(lost)), (1, 1));
    assert_eq!(client.answer(deleted), Some(Ok(Reply::Deleted)));
    assert!(matches!(client.answer(created), Some(Ok(Reply::Created { created: true, .. }))));
    assert_eq!(first(client.answer(kept)), (2, 1));
    for _ in 0..2 {
        assert_eq!(client.counts("jobs"), [1, 0, 0, 0]);
        assert_eq!(client.bodies("jobs", 0), ["kept"]);
        client.commit_and_kill();
    }
}

#[test]
fn a_queue_that_lives_for_less_than_an_entry_leaves_nothing() {
    let mut client = Client::new();
    let create =
        || Command::CreateQueue { name: "brief".to_owned(), attributes: Default::default() };
    client.begin(create());
    client.begin(send("brief", "gone", Some(10)));
    client.begin(delete("brief"));
    client.store().commit().unwrap();
    client.commit_and_kill();
    let list = Command::ListQueues { prefix: String::new(), after: String::new(), max: 10 };
    assert_eq!(client.ask(list), Ok(Reply::Listed { queues: Vec::new(), more: false }));
    assert_eq!(client.create("brief"), 2);
}

#[test]
fn a_deletion_that_a_crash_took_has_deleted_nothing() {
    let mut client = Client::new();
    client.create("jobs");
    client.send("jobs", "kept");
    client.begin(delete("jobs"));
    client.kill();
    assert_eq!(client.bodies("jobs", 1), ["kept"]);
}
