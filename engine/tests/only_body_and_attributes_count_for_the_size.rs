//! Without this: a message as large as its queue allows would be refused for being in a group.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use client::Client;
use common::message;
use forebay_engine::attributes::AttributeChanges;
use forebay_engine::command::{Command, NewMessage, Reply};
use forebay_engine::{RequestError, checksum};

fn item(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind][..], &(value.len() as u32).to_le_bytes(), value].concat()
}

fn send(section: &[u8], body_bytes: usize) -> Command {
    let payload = [section, &vec![7; body_bytes]].concat();
    let attributes_bytes = section.len() as u32;
    let checksum = checksum::message(attributes_bytes, &payload);
    let message =
        NewMessage { attributes_bytes, checksum, payload: payload.into(), ..message(b"", None) };
    Command::Send { queue: "jobs".to_owned(), messages: vec![message], batch: None }
}

#[test]
fn ids_and_trace_header_do_not_count_and_attributes_do_without_their_lengths() {
    let mut client = Client::new();
    let message_bytes_max = Some(1024);
    client.create_with("jobs", AttributeChanges { message_bytes_max, ..Default::default() });
    let ids = [item(1, &[b'g'; 128]), item(2, &[b'd'; 128]), item(3, &[b't'; 1024])].concat();
    assert!(matches!(client.ask(send(&ids, 1024)), Ok(Reply::Sent(_))));
    let too_large = |bytes| {
        Err(RequestError::MessageTooLarge { queue: "jobs".to_owned(), index: 0, bytes, max: 1024 })
    };
    assert_eq!(client.ask(send(&ids, 1025)), too_large(1025));
    // Name, type and value: 13 bytes.
    let with_attribute = [ids, item(16, b"\x04\0name\x06\0String123")].concat();
    assert!(matches!(client.ask(send(&with_attribute, 1024 - 13)), Ok(Reply::Sent(_))));
    assert_eq!(client.ask(send(&with_attribute, 1024 - 12)), too_large(1025));
}
