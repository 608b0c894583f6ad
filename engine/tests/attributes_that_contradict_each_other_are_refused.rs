//! Without this: a queue could be half FIFO, send its dead letters nowhere, to itself or to a queue
//! that does not want them, and whoever set it so would find out from the messages.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use client::Client;
use forebay_engine::attributes::{
    AttributeChanges, Attributes, DeduplicationScope, FifoThroughputLimit, RedrivePermission,
};
use forebay_engine::command::{Command, Reply};

fn create(name: &str, attributes: AttributeChanges) -> Command {
    Command::CreateQueue { name: name.to_owned(), attributes: attributes.into() }
}

fn alter(name: &str, attributes: AttributeChanges) -> Command {
    Command::AlterQueue { name: name.to_owned(), attributes: attributes.into() }
}

fn fifo() -> AttributeChanges {
    AttributeChanges { fifo: Some(true), ..AttributeChanges::default() }
}

fn dead_letters(queue: &str, receive_count_max: u64) -> AttributeChanges {
    AttributeChanges {
        dead_letter_queue: Some(queue.to_owned()),
        receive_count_max: Some(receive_count_max),
        ..AttributeChanges::default()
    }
}

fn permission(redrive_permission: RedrivePermission, sources: &[&str]) -> AttributeChanges {
    AttributeChanges {
        redrive_permission: Some(redrive_permission),
        redrive_sources: Some(sources.iter().map(|name| (*name).to_owned()).collect()),
        ..AttributeChanges::default()
    }
}

/// A store with a queue of each type.
fn client() -> Client {
    let mut client = Client::new();
    client.create("jobs");
    client.create_with("jobs.fifo", fifo());
    client
}

fn refusal(client: &mut Client, command: Command) -> String {
    client.ask(command).unwrap_err().to_string()
}

/// What both an old queue and a new one are refused.
fn assert_refused(client: &mut Client, old: &str, attributes: &AttributeChanges, text: &str) {
    let before = client.describe(old);
    assert_eq!(refusal(client, alter(old, attributes.clone())), text);
    assert_eq!(client.describe(old), before, "what is refused changes nothing");
    let (new, given) = match before.attributes.fifo {
        true => ("new.fifo", AttributeChanges { fifo: Some(true), ..attributes.clone() }),
        false => ("new", attributes.clone()),
    };
    assert_eq!(refusal(client, create(new, given)), text);
    let describe = Command::DescribeQueue { name: new.to_owned() };
    assert!(client.ask(describe).is_err(), "it was not created");
}

#[test]
fn a_name_says_whether_the_queue_is_fifo() {
    let mut client = client();
    let rule =
        "a name is 1 to 80 characters of A-Z a-z 0-9 _ -, and ends in .fifo if the queue is FIFO";
    let long = format!("{}.fifo", "x".repeat(76));
    for (name, attributes, reason) in [
        ("new.fifo", AttributeChanges::default(), "it ends in .fifo, and the queue is not FIFO"),
        ("new", fifo(), "it does not end in .fifo, and the queue is FIFO"),
        ("new.FIFO", fifo(), "it has another character"),
        ("a.fifo.fifo", fifo(), "it has another character"),
        (".fifo", fifo(), "nothing is before .fifo"),
        (&long, fifo(), "it is too long"),
    ] {
        let text = refusal(&mut client, create(name, attributes));
        assert_eq!(text, format!("queue name {name:?}: {reason}; {rule}"));
    }
    client.create_with(&long[1..], fifo());
    client.create("fifo");
}

#[test]
fn a_queue_keeps_its_type() {
    let mut client = client();
    let standard = AttributeChanges { fifo: Some(false), ..AttributeChanges::default() };
    let text = "fifo is true, expected false: a queue keeps its type";
    assert_eq!(refusal(&mut client, alter("jobs", fifo())), text);
    let text = "fifo is false, expected true: a queue keeps its type";
    assert_eq!(refusal(&mut client, alter("jobs.fifo", standard.clone())), text);
    // To say what is so changes nothing.
    assert_eq!(client.ask(alter("jobs", standard)), Ok(Reply::Altered));
    assert_eq!(client.ask(alter("jobs.fifo", fifo())), Ok(Reply::Altered));
    // Only what is given is compared.
    client.create("jobs.fifo");
    let text = "queue \"jobs\" exists with fifo false, not true";
    assert_eq!(refusal(&mut client, create("jobs", fifo())), text);
}

#[test]
fn only_a_fifo_queue_has_what_is_for_fifo_queues() {
    let mut client = client();
    let none = AttributeChanges::default;
    let (scope, limit) = (DeduplicationScope::Group, FifoThroughputLimit::Group);
    for (attributes, found, expected) in [
        (
            AttributeChanges { content_based_deduplication: Some(true), ..none() },
            "content-based-deduplication is true",
            "false",
        ),
        (
            AttributeChanges { deduplication_scope: Some(scope), ..none() },
            "deduplication-scope is group",
            "queue",
        ),
        (
            AttributeChanges {
                deduplication_scope: None,
                fifo_throughput_limit: Some(limit),
                ..none()
            },
            "fifo-throughput-limit is group",
            "queue",
        ),
        (
            AttributeChanges { deduplication_window_ms: Some(300_001), ..none() },
            "deduplication-window is 5m1ms",
            "5m",
        ),
    ] {
        let text = format!("{found}, expected {expected}, for the queue is not FIFO");
        assert_refused(&mut client, "jobs", &attributes, &text);
        let with_scope = AttributeChanges { deduplication_scope: Some(scope), ..attributes };
        assert_eq!(client.ask(alter("jobs.fifo", with_scope)), Ok(Reply::Altered));
    }
    // Their defaults are what every queue has.
    let defaults = AttributeChanges { fifo: None, ..Attributes::default().as_changes() };
    assert_eq!(client.ask(alter("jobs", defaults)), Ok(Reply::Altered));
}

#[test]
fn throughput_is_by_group_only_where_deduplication_is() {
    let mut client = client();
    let limit = AttributeChanges {
        fifo_throughput_limit: Some(FifoThroughputLimit::Group),
        ..AttributeChanges::default()
    };
    let text =
        "fifo-throughput-limit is group, expected queue, unless deduplication-scope is group";
    assert_refused(&mut client, "jobs.fifo", &limit, text);
    let scope = |deduplication_scope| AttributeChanges {
        deduplication_scope: Some(deduplication_scope),
        ..AttributeChanges::default()
    };
    client.ask(alter("jobs.fifo", scope(DeduplicationScope::Group))).unwrap();
    client.ask(alter("jobs.fifo", limit)).unwrap();
    assert_eq!(
        refusal(&mut client, alter("jobs.fifo", scope(DeduplicationScope::Queue))),
        text,
        "what was good together is not taken apart"
    );
}

#[test]
fn a_dead_letter_queue_and_a_count_come_and_go_together() {
    let mut client = client();
    client.create("dead");
    let one = |changes: AttributeChanges| AttributeChanges { receive_count_max: None, ..changes };
    let no_count = "receive-count-max is 0, expected 1 to 1000 with a dead-letter-queue";
    assert_refused(&mut client, "jobs", &one(dead_letters("dead", 0)), no_count);
    assert_refused(&mut client, "jobs", &dead_letters("dead", 0), no_count);
    let no_queue = "receive-count-max is 5, expected 0 without a dead-letter-queue";
    assert_refused(&mut client, "jobs", &dead_letters("", 5), no_queue);

    client.ask(alter("jobs", dead_letters("dead", 5))).unwrap();
    let attributes = client.describe("jobs").attributes;
    assert_eq!((&*attributes.dead_letter_queue, attributes.receive_count_max), ("dead", 5));
    assert_eq!(refusal(&mut client, alter("jobs", one(dead_letters("", 0)))), no_queue);
    client.ask(alter("jobs", dead_letters("", 0))).unwrap();
    assert_eq!(client.describe("jobs").attributes.dead_letter_queue, "");
}

#[test]
fn a_dead_letter_queue_is_there_and_of_the_same_type() {
    let mut client = client();
    let refused = |client: &mut Client, queue: &str, dead: &str, expected: &str| {
        let text = format!("dead-letter-queue is {dead:?}, expected {expected}");
        assert_eq!(refusal(client, alter(queue, dead_letters(dead, 5))), text);
    };
    refused(&mut client, "jobs", "nobody", "a queue that exists");
    refused(&mut client, "jobs", "a b", "a queue's name");
    refused(&mut client, "jobs", "jobs.fifo", "a queue that is not FIFO, as this one is not");
    refused(&mut client, "jobs.fifo", "jobs", "a FIFO queue, as this one is");
    let text = "dead-letter-queue is \"new\", expected a queue that exists";
    assert_eq!(refusal(&mut client, create("new", dead_letters("new", 5))), text);

    client.create_with("dead.fifo", fifo());
    client.ask(alter("jobs.fifo", dead_letters("dead.fifo", 5))).unwrap();
}

#[test]
fn a_queue_that_is_its_own_dead_letter_queue_has_no_dead_letters() {
    let mut client = client();
    client.ask(alter("jobs", dead_letters("jobs", 1))).unwrap();
    client.send("jobs", "again");
    for receives in 1..=3 {
        assert_eq!(client.receive_one("jobs", 0).receive_count, receives);
    }
}

#[test]
fn a_dead_letter_queue_says_whose_it_is() {
    let mut client = client();
    client.create("dead");
    let text =
        "dead-letter-queue is \"dead\", expected a queue whose redrive-permission permits this one";
    let permit = |client: &mut Client, permission, sources: &[&str]| {
        client.ask(alter("dead", self::permission(permission, sources))).unwrap();
    };
    permit(&mut client, RedrivePermission::None, &[]);
    assert_refused(&mut client, "jobs", &dead_letters("dead", 5), text);
    permit(&mut client, RedrivePermission::ByQueue, &["other", "new2"]);
    assert_refused(&mut client, "jobs", &dead_letters("dead", 5), text);
    client.ask(create("new2", dead_letters("dead", 5))).unwrap();
    permit(&mut client, RedrivePermission::ByQueue, &["other", "jobs"]);
    client.ask(alter("jobs", dead_letters("dead", 5))).unwrap();
    // What was permitted stays, and goes on to be changed in other ways.
    permit(&mut client, RedrivePermission::None, &[]);
    let count = AttributeChanges { receive_count_max: Some(6), ..AttributeChanges::default() };
    client.ask(alter("jobs", count)).unwrap();
    assert_eq!(client.describe("jobs").attributes.dead_letter_queue, "dead");
}

#[test]
fn sources_are_named_only_where_they_are_asked_for() {
    let mut client = client();
    let text = "redrive-sources is [\"a\"], expected none, unless redrive-permission is by-queue";
    for redrive_permission in [RedrivePermission::All, RedrivePermission::None] {
        assert_refused(&mut client, "jobs", &permission(redrive_permission, &["a"]), text);
    }
    let by_queue = |sources: &[&str]| permission(RedrivePermission::ByQueue, sources);
    let text = "redrive-sources is 11 queues, expected at most 10";
    assert_refused(&mut client, "jobs", &by_queue(&["a"; 11]), text);
    let text = "redrive-sources is \"a\" twice, expected each queue once";
    assert_refused(&mut client, "jobs", &by_queue(&["a", "b", "a"]), text);
    let text = "redrive-sources is \"a b\", expected a queue's name";
    assert_refused(&mut client, "jobs", &by_queue(&["a b"]), text);
    client.ask(alter("jobs", by_queue(&["b", "a.fifo"]))).unwrap();
    assert_eq!(client.describe("jobs").attributes.redrive_sources, ["b", "a.fifo"]);
    let all = AttributeChanges {
        redrive_permission: Some(RedrivePermission::All),
        ..AttributeChanges::default()
    };
    assert!(refusal(&mut client, alter("jobs", all)).starts_with("redrive-sources is "));
    client.ask(alter("jobs", permission(RedrivePermission::All, &[]))).unwrap();
}

#[test]
fn a_policy_outlives_its_target() {
    let mut client = client();
    client.create("dead");
    client.ask(alter("jobs", dead_letters("dead", 5))).unwrap();
    client.ask(Command::DeleteQueue { name: "dead".to_owned() }).unwrap();
    for restart in [false, true] {
        if restart {
            client.commit_and_kill();
        }
        let attributes = client.describe("jobs").attributes;
        assert_eq!((&*attributes.dead_letter_queue, attributes.receive_count_max), ("dead", 5));
        let delay = AttributeChanges { delay_ms: Some(1), ..AttributeChanges::default() };
        client.ask(alter("jobs", delay)).unwrap();
    }
    // The queue is what it was asked to be: to ask for it again finds it.
    client.ask(create("jobs", dead_letters("dead", 5))).unwrap();
    let text = "dead-letter-queue is \"dead\", expected a queue that exists";
    assert_eq!(refusal(&mut client, alter("jobs", dead_letters("dead", 5))), text);
}
