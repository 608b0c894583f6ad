//! Without this: to add a tag could take away another one's, or make a queue that no record holds.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use client::Client;
use forebay_engine::attributes::{AttributeChanges, TextMap};
use forebay_engine::command::{Command, Reply};
use forebay_engine::{Options, RequestError};

fn tags(pairs: &[(&str, &str)]) -> TextMap {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn tag(pairs: &[(&str, &str)]) -> Command {
    Command::TagQueue { name: "jobs".to_owned(), tags: tags(pairs) }
}

fn untag(keys: &[&str]) -> Command {
    let keys = keys.iter().map(|key| (*key).to_owned()).collect();
    Command::UntagQueue { name: "jobs".to_owned(), keys }
}

/// Segments that hold the most tags.
fn client() -> Client {
    let mut client = Client::with(Options { segment_bytes: 512 << 10, ..common::tiny() });
    client.create("jobs");
    client
}

fn shown(client: &mut Client) -> TextMap {
    client.describe("jobs").attributes.tags.clone()
}

#[test]
fn the_others_stay() {
    let mut client = client();
    assert_eq!(client.ask(tag(&[("team", "water"), ("stage", "test")])), Ok(Reply::Tagged));
    assert_eq!(client.ask(tag(&[("stage", "live"), ("empty", "")])), Ok(Reply::Tagged));
    let all = tags(&[("empty", ""), ("stage", "live"), ("team", "water")]);
    assert_eq!(shown(&mut client), all);
    client.commit_and_kill();
    assert_eq!(shown(&mut client), all);
    assert_eq!(client.ask(untag(&["stage", "nobody"])), Ok(Reply::Untagged));
    assert_eq!(shown(&mut client), tags(&[("empty", ""), ("team", "water")]));
    assert_eq!(client.ask(untag(&["empty", "team"])), Ok(Reply::Untagged));
    client.commit_and_kill();
    assert_eq!(shown(&mut client), TextMap::new());
    // As an attribute they are set all at once.
    let set = |tags| AttributeChanges { tags: Some(tags), ..AttributeChanges::default() };
    client.ask(tag(&[("old", "1")])).unwrap();
    let attributes = set(tags(&[("new", "2")]));
    client
        .ask(Command::AlterQueue { name: "jobs".to_owned(), attributes: attributes.into() })
        .unwrap();
    assert_eq!(shown(&mut client), tags(&[("new", "2")]));
}

#[test]
fn of_an_unknown_queue_is_refused() {
    let mut client = Client::new();
    let unknown = Err(RequestError::UnknownQueue { name: "jobs".to_owned() });
    assert_eq!(client.ask(tag(&[("a", "b")])), unknown);
    assert_eq!(client.ask(untag(&["a"])), unknown);
}

#[test]
fn what_is_no_tag_is_refused() {
    let mut client = client();
    client.ask(tag(&[("team", "water")])).unwrap();
    let (long_key, long_value) = ("\u{fc}".repeat(129), "\u{fc}".repeat(257));
    let cut = |text: &str| format!("\"{}", &text[..2 * 99]);
    let characters = "letters, digits, spaces and _ . : / = + - @";
    let (of_key, of_value) = ("the key of a tag", "the value of a tag");
    for (key, value, part, found, expected) in [
        ("", "a", of_key, "\"\"", "1 to 128 characters"),
        (&long_key, "", of_key, &cut(&long_key), "1 to 128 characters"),
        ("a", &long_value, of_value, &cut(&long_value), "at most 256 characters"),
        ("aws:a", "", of_key, "\"aws:a\"", "one that does not begin with aws:"),
        ("AWS:", "", of_key, "\"AWS:\"", "one that does not begin with aws:"),
        ("a,b", "", of_key, "\"a,b\"", characters),
        ("a", "{}", of_value, "\"{}\"", characters),
        ("a", "a\nb", of_value, "\"a\\nb\"", characters),
    ] {
        let text = client.ask(tag(&[(key, value)])).unwrap_err().to_string();
        assert_eq!(text, format!("{part} is {found}, expected {expected}"));
    }
    assert_eq!(shown(&mut client), tags(&[("team", "water")]), "what is refused changes nothing");
    let odd =
        [("aws", "aws:"), ("_ .:/=+-@", "A\u{df}9 \u{4e2d}"), (&long_key[2..], &long_value[2..])];
    client.ask(tag(&odd)).unwrap();
    assert_eq!(shown(&mut client).len(), 4);
}

#[test]
fn there_are_at_most_50_and_32_kib() {
    let mut client = client();
    for number in 0..50 {
        client.ask(tag(&[(&number.to_string(), "")])).unwrap();
    }
    let text = client.ask(tag(&[("one more", "")])).unwrap_err().to_string();
    assert_eq!(text, "tags is 51 tags, expected at most 50");
    client.ask(tag(&[("49", "in its place")])).unwrap();
    let mut text = None;
    for number in 0..50 {
        // Three bytes a character: 772 bytes with the key.
        let answer = client.ask(tag(&[(&number.to_string(), &"\u{4e2d}".repeat(256))]));
        if let Err(error) = answer {
            text = Some((number, error.to_string()));
            break;
        }
    }
    let (number, text) = text.expect("50 of them are too many bytes");
    assert_eq!(number, 42);
    assert!(
        text.starts_with("tags is 33") && text.ends_with(" bytes, expected at most 32768"),
        "{text}"
    );
    client.commit_and_kill();
    assert_eq!(shown(&mut client)["41"].len(), 768);
}
