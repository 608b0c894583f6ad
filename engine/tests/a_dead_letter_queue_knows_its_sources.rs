//! Without this: nobody could tell whose dead letters are in a queue before deleting it.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use client::Client;
use forebay_engine::attributes::{AttributeChanges, TextMap};
use forebay_engine::command::{Command, LIST_TEXTS_BYTES_MAX, Reply};
use forebay_engine::{Options, RequestError};

fn dead_letters(queue: &str, receive_count_max: u64) -> AttributeChanges {
    AttributeChanges {
        dead_letter_queue: Some(queue.to_owned()),
        receive_count_max: Some(receive_count_max),
        ..AttributeChanges::default()
    }
}

fn sources(client: &mut Client, name: &str, after: &str, max: u32) -> (Vec<String>, bool) {
    let (name, after) = (name.to_owned(), after.to_owned());
    match client.ask(Command::ListDeadLetterSources { name, after, max }) {
        Ok(Reply::DeadLetterSources { names, more }) => (names, more),
        other => panic!("{other:?}"),
    }
}

#[test]
fn by_name_and_a_page_at_a_time() {
    let mut client = Client::new();
    client.create("dead");
    client.create("other");
    for name in ["c", "a", "e", "b", "d"] {
        client.create_with(name, dead_letters("dead", 3));
    }
    client.create_with("f", dead_letters("other", 3));
    for restart in [false, true] {
        if restart {
            client.commit_and_kill();
        }
        let mut page = |after, max| {
            let (names, more) = sources(&mut client, "dead", after, max);
            (names.join(""), more)
        };
        assert_eq!(page("", 1000), ("abcde".to_owned(), false));
        assert_eq!(page("", 2), ("ab".to_owned(), true));
        assert_eq!(page("b", 3), ("cde".to_owned(), false));
        assert_eq!(page("bb", 1), ("c".to_owned(), true));
        assert_eq!(page("e", 1), (String::new(), false));
        assert_eq!(sources(&mut client, "other", "", 9), (vec!["f".to_owned()], false));
    }
    let alter = |name: &str, attributes| Command::AlterQueue { name: name.to_owned(), attributes };
    client.ask(alter("a", dead_letters("", 0).into())).unwrap();
    client.ask(alter("b", dead_letters("other", 1).into())).unwrap();
    client.ask(Command::DeleteQueue { name: "c".to_owned() }).unwrap();
    assert_eq!(sources(&mut client, "dead", "", 9).0, ["d", "e"]);
    assert_eq!(sources(&mut client, "other", "", 9).0, ["b", "f"]);
}

#[test]
fn those_of_no_queue_are_refused() {
    let mut client = Client::new();
    let list = |name: &str, max| Command::ListDeadLetterSources {
        name: name.to_owned(),
        after: String::new(),
        max,
    };
    let unknown = RequestError::UnknownQueue { name: "dead".to_owned() };
    assert_eq!(client.ask(list("dead", 1)), Err(unknown));
    for max in [0, 1001] {
        let text = client.ask(list("dead", max)).unwrap_err().to_string();
        assert_eq!(text, format!("max is {max}, expected 1 to 1000"));
    }
}

/// A list of queues goes into one frame, whatever is noted on them.
#[test]
fn a_list_of_queues_with_many_texts_is_cut_and_goes_on() {
    let mut client = Client::with(Options { segment_bytes: 512 << 10, ..common::tiny() });
    let notes = TextMap::from([("n".to_owned(), "x".repeat(20_000))]);
    let attributes = AttributeChanges { notes: Some(notes), ..AttributeChanges::default() };
    for number in 0..120 {
        client.create_with(&format!("queue-{number:03}"), attributes.clone());
    }
    let (mut after, mut listed, mut pages) = (String::new(), 0, 0);
    loop {
        let list = Command::ListQueues { prefix: String::new(), after, max: 1000 };
        let Ok(Reply::Listed { queues, more }) = client.ask(list) else { panic!() };
        let bytes: usize = queues.iter().map(|queue| queue.attributes.texts_bytes()).sum();
        assert!(!queues.is_empty() && bytes <= LIST_TEXTS_BYTES_MAX, "{bytes}");
        (listed, pages) = (listed + queues.len(), pages + 1);
        if !more {
            break;
        }
        after = queues.last().unwrap().name.clone();
    }
    assert_eq!((listed, pages), (120, 3));
}
