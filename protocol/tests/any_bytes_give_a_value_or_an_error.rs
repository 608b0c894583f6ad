//! Without this one client's garbage could stop the server, or make it reserve memory for a lie.

mod common;

use bytes::{BufMut, Bytes, BytesMut};
use common::{any_reply, any_request, decoder, only_frame, reply_frame, request_frame};
use forebay_protocol::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// Decodes a stream as both sides would, until it ends or breaks. Returns the frames found.
fn decode_all(stream: &[u8]) -> usize {
    let mut buffer = BytesMut::from(stream);
    let mut frames = 0;
    while let Ok(Some(frame)) = decoder().decode(&mut buffer) {
        let _ = Request::decode(&frame);
        let _ = Reply::decode(&frame);
        frames += 1;
    }
    frames
}

fn frame(opcode: u8, body: impl Into<Bytes>) -> Frame {
    Frame { opcode, flags: 0, reserved: 0, correlation: 1, body: body.into() }
}

proptest! {
    #[test]
    fn a_stream_of_any_bytes(stream in vec(any::<u8>(), 0..300)) {
        decode_all(&stream);
    }

    #[test]
    fn any_body_under_any_opcode(opcode: u8, body in vec(any::<u8>(), 0..200)) {
        let frame = frame(opcode, body);
        if let Err(error) = Request::decode(&frame) {
            prop_assert!(!error.text.is_empty());
        }
        let _ = Reply::decode(&frame);
    }

    #[test]
    fn any_bytes_as_attributes(section in vec(any::<u8>(), 0..60)) {
        let section = Bytes::from(section);
        let read = MessageAttributes::decode(section.clone());
        if let Ok(accepted) = MessageAttributes::accept(&section) {
            let read = read.expect("it was accepted");
            prop_assert_eq!(accepted, read.ids());
            prop_assert_eq!(read.encode(), section, "the same bytes again");
        }
    }

    /// Well-formed items, so that what they hold is reached.
    #[test]
    fn any_items_as_attributes(
        items in vec((prop_oneof![0..4_u8, 15..18_u8], vec(any::<u8>(), 0..12)), 0..14),
    ) {
        let mut section = BytesMut::new();
        for (kind, value) in &items {
            section.put_u8(*kind);
            section.put_u32_le(value.len() as u32);
            section.put_slice(value);
        }
        let section = section.freeze();
        let read = MessageAttributes::decode(section.clone());
        if let Ok(accepted) = MessageAttributes::accept(&section) {
            let read = read.expect("it was accepted");
            prop_assert_eq!(accepted, read.ids());
            prop_assert_eq!(read.encode(), section, "the same bytes again");
        }
    }

    #[test]
    fn a_frame_with_any_bits_flipped(
        request in any_request(),
        reply in any_reply(),
        flips in vec(any::<prop::sample::Index>(), 1..4),
    ) {
        for mut bytes in [request_frame(request, 1), reply_frame(reply, 1)] {
            for flip in &flips {
                let bit = flip.index(bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            decode_all(&bytes);
        }
    }
}

#[test]
fn a_count_larger_than_what_is_left_is_refused() {
    for count in [2, 60_000, LIST_ITEMS_MAX] {
        let mut body = BytesMut::new();
        body.put_slice(b"\x01\0q");
        body.put_u32_le(count);
        body.put_slice(&[0, 0]);
        let error = Request::decode(&frame(Opcode::Ack.code(), body)).unwrap_err();
        assert_eq!(error.code, ErrorCode::Malformed);
        assert_eq!(
            error.text,
            format!("Ack: receipts: expected at least {} bytes, found 2", count * 2)
        );
    }
}

#[test]
fn a_list_of_more_items_than_any_batch_is_refused() {
    let body = [&b"\x01\0q"[..], &(LIST_ITEMS_MAX + 1).to_le_bytes(), &[0; 200_000]].concat();
    let error = Request::decode(&frame(Opcode::Ack.code(), body)).unwrap_err();
    assert_eq!(error.code, ErrorCode::BatchTooLarge);
}

#[test]
fn an_error_names_the_field_and_its_place() {
    let messages = vec![OutgoingMessage::new("one"), OutgoingMessage::new("two")];
    let whole = only_frame(request_frame(Send::new("q", messages), 1));
    let cut = frame(Opcode::Send.code(), whole.body.slice(..whole.body.len() - 1));
    let error = Request::decode(&cut).unwrap_err();
    assert_eq!(error.text, "Send: messages[1].block: expected at least 3 bytes, found 2");
}

#[test]
fn an_attribute_is_never_ignored() {
    let create = |pairs: &[(u16, u64)]| {
        let mut body = BytesMut::from(&b"\x01\0q"[..]);
        body.put_u16_le(pairs.len() as u16);
        for &(id, value) in pairs {
            body.put_u16_le(id);
            body.put_u64_le(value);
        }
        Request::decode(&frame(Opcode::CreateQueue.code(), body)).map_err(|error| error.code)
    };
    assert!(create(&[(1, 7), (2, 8)]).is_ok());
    assert_eq!(create(&[(1, 7), (99, 8)]), Err(ErrorCode::UnknownAttribute));
    assert_eq!(create(&[(1, 7), (1, 7)]), Err(ErrorCode::Malformed));
}

/// A list with one text attribute, as a body of CreateQueue has it.
fn one_text(id: u16, contents: &[u8]) -> BytesMut {
    let mut body = BytesMut::new();
    body.put_u16_le(1);
    body.put_u16_le(id);
    body.put_u16_le(contents.len() as u16);
    body.put_slice(contents);
    body
}

#[test]
fn a_text_attribute_is_what_its_contents_say() {
    let create = |id, contents: &[u8]| {
        let body = [&b"\x01\0q"[..], &one_text(id, contents)].concat();
        match Request::decode(&frame(Opcode::CreateQueue.code(), body)) {
            Ok(Request::CreateQueue(create)) => Ok(create.attributes),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err((error.code, error.text)),
        }
    };
    let none = QueueAttributes::default;
    let dead = QueueAttributes { dead_letter_queue: Some("dead".to_owned()), ..none() };
    assert_eq!(create(0x8001, b"dead"), Ok(dead));
    let sources = Some(vec!["b".to_owned(), String::new()]);
    assert_eq!(
        create(0x8002, b"\x01\0b\0\0"),
        Ok(QueueAttributes { redrive_sources: sources, ..none() })
    );
    let tags = TextMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())]);
    // In any order.
    assert_eq!(
        create(0x8003, b"\x01\0b\0\0\x01\0a\x01\x001"),
        Ok(QueueAttributes { tags: Some(tags), ..none() })
    );
    for (id, contents, text) in [
        (0x8001, &b"\xff"[..], "dead_letter_queue: not UTF-8"),
        (0x8002, b"\x02\0b", "redrive_sources: expected at least 2 bytes, found 1"),
        (0x8003, b"\x01\0b", "tags: expected at least 2 bytes, found 0"),
        (0x8004, b"\x01\0b\0\0\x01\0b\0\0", "notes: \"b\" is named twice"),
    ] {
        let (code, found) = create(id, contents).unwrap_err();
        assert_eq!(code, ErrorCode::Malformed);
        assert!(found.starts_with(&format!("CreateQueue: attributes.{text}")), "{found}");
    }
    for id in [0x8000, 0x8005, 0xffff] {
        assert_eq!(create(id, b"new").unwrap_err().0, ErrorCode::UnknownAttribute);
    }
}

#[test]
fn a_client_skips_the_attributes_of_a_newer_server() {
    let mut known = BytesMut::new();
    known.put_u16_le(4);
    known.put_u16_le(2);
    known.put_u64_le(7);
    known.put_u16_le(99);
    known.put_u64_le(8);
    known.put_u16_le(0x8005);
    known.put_u16_le(3);
    known.put_slice(b"new");
    known.put_u16_le(0x8001);
    known.put_u16_le(4);
    known.put_slice(b"dead");
    let mut info = BytesMut::from(&b"\x01\0q"[..]);
    info.put_bytes(0, 4 + 8 + 8);
    info.put_slice(&known);
    info.put_bytes(0, 5 * 8);
    let mut body = BytesMut::new();
    body.put_u16_le(info.len() as u16);
    body.put_slice(&info);
    let Ok(Reply::QueueDescribed(described)) = Reply::decode(&frame(0x92, body)) else {
        panic!("a description");
    };
    let expected = QueueAttributes {
        delay_ms: Some(7),
        dead_letter_queue: Some("dead".to_owned()),
        ..QueueAttributes::default()
    };
    assert_eq!(described.queue.attributes, expected);
}

#[test]
fn what_is_reserved_must_be_zero() {
    let sound = frame(Opcode::Ping.code(), Bytes::new());
    assert!(Request::decode(&sound).is_ok());
    for wrong in [
        Frame { flags: 1, ..sound.clone() },
        Frame { reserved: 1, ..sound.clone() },
        Frame { correlation: CONNECTION, ..sound.clone() },
    ] {
        assert_eq!(Request::decode(&wrong).unwrap_err().code, ErrorCode::Malformed);
    }
}

#[test]
fn another_protocol_is_told_apart() {
    let hello = only_frame(request_frame(Hello::new("x"), 1));
    let other = frame(hello.opcode, [b"AYBF", &hello.body[4..]].concat());
    assert_eq!(Request::decode(&other).unwrap_err().code, ErrorCode::BadMagic);
    assert_eq!(
        Request::decode(&frame(0x7e, Bytes::new())).unwrap_err().code,
        ErrorCode::UnknownOperation
    );
    let newer = Hello { version_min: VERSION_MAX + 1, version_max: u16::MAX, ..Hello::new("x") };
    assert_eq!(newer.choose_version().unwrap_err().code, ErrorCode::VersionUnsupported);
    let wider = Hello { version_min: 0, version_max: u16::MAX, ..Hello::new("x") };
    assert_eq!(wider.choose_version(), Ok(VERSION_MAX));
}

#[test]
fn an_error_from_a_newer_server_keeps_its_number() {
    let newer =
        ProtocolError { code: ErrorCode::Other(999), retry: Retry::Later, text: "new".into() };
    let decoded = Reply::decode(&only_frame(reply_frame(newer.clone(), 1)));
    assert_eq!(decoded, Ok(Reply::Error(newer)));
}
