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
        if let Ok(accepted) = MessageAttributes::accept(section.clone()) {
            prop_assert_eq!(accepted.encode(), section, "the same bytes again");
            prop_assert_eq!(Ok(accepted), read);
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
        let _ = MessageAttributes::decode(section.clone());
        if let Ok(accepted) = MessageAttributes::accept(section.clone()) {
            prop_assert_eq!(accepted.encode(), section, "the same bytes again");
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
    let whole = only_frame(request_frame(Send { queue: "q".into(), messages }, 1));
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
    assert_eq!(create(&[(1, 7), (9, 8)]), Err(ErrorCode::UnknownAttribute));
    assert_eq!(create(&[(1, 7), (1, 7)]), Err(ErrorCode::Malformed));
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
