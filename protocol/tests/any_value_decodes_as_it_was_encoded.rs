//! Without this a field could be written and read differently: a wrong receipt, a lost delay.

mod common;

use std::array::from_fn;

use bytes::{BufMut, BytesMut};
use common::{any_reply, any_request, only_frame, reply_frame, request_frame, stats_told};
use forebay_protocol::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn requests(request in any_request(), correlation in 1..u32::MAX) {
        let frame = only_frame(request_frame(request.clone(), correlation));
        prop_assert_eq!(frame.correlation, correlation);
        prop_assert_eq!(frame.opcode, request.opcode().code());
        prop_assert_eq!(Request::decode(&frame), Ok(request));
    }

    #[test]
    fn replies(reply in any_reply(), correlation: u32) {
        let frame = only_frame(reply_frame(reply.clone(), correlation));
        prop_assert_eq!(frame.correlation, correlation);
        prop_assert_eq!(Reply::decode(&frame), Ok(reply));
    }

    /// A later version appends fields: this one must not mind.
    #[test]
    fn a_body_with_fields_appended(request in any_request(), reply in any_reply(), appended: [u8; 9]) {
        let mut frame = only_frame(request_frame(request.clone(), 1));
        frame.body = [&frame.body[..], &appended].concat().into();
        prop_assert_eq!(Request::decode(&frame), Ok(request));
        let mut frame = only_frame(reply_frame(reply.clone(), 1));
        frame.body = [&frame.body[..], &appended].concat().into();
        prop_assert_eq!(Reply::decode(&frame), Ok(reply));
    }

    /// Every field is needed, so no beginning of a body is a body.
    #[test]
    fn a_body_cut_anywhere_is_malformed(request in any_request(), reply in any_reply()) {
        let whole = only_frame(request_frame(request, 1));
        for end in 0..whole.body.len() {
            let cut = Frame { body: whole.body.slice(..end), ..whole.clone() };
            prop_assert_eq!(Request::decode(&cut).unwrap_err().code, ErrorCode::Malformed);
        }
        let whole = only_frame(reply_frame(reply, 1));
        for end in 0..whole.body.len() {
            let cut = Frame { body: whole.body.slice(..end), ..whole.clone() };
            prop_assert_eq!(Reply::decode(&cut).unwrap_err().code, ErrorCode::Malformed);
        }
    }
}

#[test]
fn items_with_fields_appended() {
    // The block is the end of a Send of one message.
    let block_of = |text: &'static str| {
        let block_bytes = Block::new(text).encoded_bytes();
        let mut frame = request_frame(Send::new("q", vec![OutgoingMessage::new(text)]), 1);
        frame.split_off(frame.len() - block_bytes)
    };
    let mut body = BytesMut::new();
    body.put_u16_le(2 + 1 + 16 + 8 + 8 + 5);
    body.put_u16_le(1);
    body.put_slice(b"q");
    body.put_bytes(0, 16 + 8 + 8);
    body.put_slice(b"newer");
    body.put_u32_le(2);
    for (delay_ms, text) in [(5, "one"), (u64::MAX, "two")] {
        body.put_u16_le(8 + 5);
        body.put_u64_le(delay_ms);
        body.put_slice(b"newer");
        body.put_slice(&block_of(text));
    }
    let frame = Frame {
        opcode: Opcode::Send.code(),
        flags: 0,
        reserved: 0,
        correlation: 1,
        body: body.freeze(),
    };
    let messages = vec![
        OutgoingMessage { delay_ms: Some(5), block: Block::new("one") },
        OutgoingMessage { delay_ms: None, block: Block::new("two") },
    ];
    assert_eq!(Request::decode(&frame), Ok(Send::new("q", messages).into()));
}

#[test]
fn groups_of_figures_with_fields_appended() {
    let mut body = BytesMut::new();
    (1..=3).for_each(|number| body.put_u64_le(number));
    body.put_u16_le(8 * 8 + 5);
    (11..=18).for_each(|number| body.put_u64_le(number));
    body.put_slice(b"newer");
    body.put_u16_le(16 * 8 + 1 + 5);
    (21..=31).for_each(|number| body.put_u64_le(number));
    body.put_u8(1);
    (32..=36).for_each(|number| body.put_u64_le(number));
    body.put_slice(b"newer");
    body.put_u64_le(4);
    body.put_slice(b"newest");
    let frame = Frame { opcode: 0x83, flags: 0, reserved: 0, correlation: 1, body: body.freeze() };
    let numbered = |first: u64| move |index: usize| first + index as u64;
    let (counts, memory, disk) = (numbered(1), numbered(11), numbered(21));
    let stats = stats_told(from_fn(counts), from_fn(memory), from_fn(disk), true);
    assert_eq!(Reply::decode(&frame), Ok(stats.into()));
}

#[test]
fn a_long_error_text_is_cut_between_characters() {
    let error = ProtocolError::new(ErrorCode::Internal, "é".repeat(600) + "x");
    let Ok(Reply::Error(decoded)) = Reply::decode(&only_frame(reply_frame(error, 1))) else {
        panic!("an error")
    };
    assert_eq!(decoded.text, "é".repeat(512));
}

#[test]
fn what_is_too_long_leaves_no_half_frame() {
    let mut out = BytesMut::from(&b"before"[..]);
    let too_long = Request::from(DeleteQueue { name: "n".repeat(65_536) }).encode(1, &mut out);
    assert_eq!(too_long, Err(TooLong { what: "a text", bytes: 65_536, bytes_max: 65_535 }));
    assert_eq!(out, &b"before"[..]);
}
