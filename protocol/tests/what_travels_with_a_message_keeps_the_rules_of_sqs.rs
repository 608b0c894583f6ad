//! Without this a message could be stored that no SQS client can be given, or be refused for nothing;
//! and an SDK that compares digests would fail each send.

mod common;

use bytes::{BufMut, Bytes, BytesMut};
use common::message_attributes;
use forebay_protocol::*;
use proptest::prelude::*;

fn of(attribute: MessageAttribute) -> MessageAttributes {
    MessageAttributes { attributes: vec![attribute], ..MessageAttributes::default() }
}

/// What the attributes are refused for, by whoever checks them.
#[track_caller]
fn refusal(attributes: &MessageAttributes) -> String {
    let error = attributes.check().expect_err("they break a rule");
    assert_eq!(error.code, ErrorCode::BadMessageAttribute);
    let refused = MessageAttributes::accept(&attributes.encode()).expect_err("so");
    assert_eq!(refused.code, ErrorCode::BadMessageAttribute);
    assert!(refused.text.ends_with(&error.text), "{}", refused.text);
    error.text
}

proptest! {
    #[test]
    fn what_keeps_the_rules_is_accepted_and_read_as_it_was_written(attributes in message_attributes()) {
        let section = attributes.encode();
        prop_assert_eq!(MessageAttributes::accept(&section), Ok(attributes.ids()));
        let block = Block::with_attributes(&attributes, "a body, which is no part of it");
        prop_assert_eq!(block.accept_attributes(), Ok(attributes.ids()));
        prop_assert_eq!(MessageAttributes::decode(section), Ok(attributes.clone()));
        let one_by_one = OutgoingMessage::new("body");
        let one_by_one = match attributes.group.clone() {
            Some(group) => one_by_one.group(group),
            None => one_by_one,
        };
        let one_by_one = match attributes.deduplication.clone() {
            Some(id) => one_by_one.deduplication(id),
            None => one_by_one,
        };
        let one_by_one = match attributes.trace.clone() {
            Some(header) => one_by_one.trace(header),
            None => one_by_one,
        };
        let one_by_one = attributes.attributes.iter().cloned().fold(one_by_one, OutgoingMessage::attribute);
        prop_assert_eq!(one_by_one, OutgoingMessage::new("body").with_attributes(&attributes));
    }

    #[test]
    fn a_section_cut_anywhere_is_no_section(attributes in message_attributes(), at: prop::sample::Index) {
        let section = attributes.encode();
        prop_assume!(!section.is_empty());
        let cut = section.slice(..at.index(section.len()));
        // Where an item ends, fewer items are left.
        if MessageAttributes::accept(&cut).is_ok() {
            let fewer = MessageAttributes::decode(cut.clone()).expect("it was accepted");
            prop_assert_eq!(fewer.encode(), cut);
        }
    }
}

#[test]
fn ids_are_short_and_printable() {
    let group = |id: &str| MessageAttributes { group: Some(id.into()), ..Default::default() };
    let deduplication =
        |id: &str| MessageAttributes { deduplication: Some(id.into()), ..Default::default() };
    let all: String = (b'!'..=b'~').map(char::from).collect();
    for good in ["a", &all, &"x".repeat(128)] {
        assert_eq!(group(good).check(), Ok(()));
        assert_eq!(deduplication(good).check(), Ok(()));
    }
    for bad in ["", " ", "a b", "é", "\n", "\x7f", &"x".repeat(129)] {
        assert!(refusal(&group(bad)).starts_with("group id \""), "{bad}");
        assert!(refusal(&deduplication(bad)).starts_with("deduplication id \""), "{bad}");
    }
}

#[test]
fn a_trace_header_is_short_text() {
    let trace =
        |header: &str| MessageAttributes { trace: Some(header.into()), ..Default::default() };
    assert_eq!(trace(&"x".repeat(1024)).check(), Ok(()));
    for bad in ["", "\0", &"x".repeat(1025)] {
        assert!(refusal(&trace(bad)).contains("expected text of 1 to 1024 bytes"));
    }
}

#[test]
fn names_are_as_sqs_has_them() {
    for good in ["a", "A-Z_0.9", "AWSome", "amazon", "aws-x", "øßä字", &"é".repeat(128)] {
        assert_eq!(of(MessageAttribute::string(good, "v")).check(), Ok(()), "{good}");
    }
    for (bad, rule) in [
        ("", "a name is 1 to 256 bytes"),
        ("a b", "a name is 1 to 256 bytes"),
        ("a:b", "a name is 1 to 256 bytes"),
        ("€", "a name is 1 to 256 bytes"),
        (&"é".repeat(129), "a name is 1 to 256 bytes"),
        (&"x".repeat(257), "a name is 1 to 256 bytes"),
        (&"x".repeat(100_000), "a name is 1 to 256 bytes"),
        (".a", "no dot at an end"),
        ("a.", "no dot at an end"),
        ("AWS.x", "reserved"),
        ("aws.x", "reserved"),
        ("aMaZon.x", "reserved"),
    ] {
        let attributes = of(MessageAttribute::string(bad, "v"));
        let text = attributes.check().unwrap_err().text;
        assert!(text.starts_with("message attribute \"") && text.contains(rule), "{text}");
        assert!(MessageAttributes::accept(&attributes.encode()).is_err());
        assert!(text.len() < 300, "what is shown of it is short");
    }
    let twice = vec![MessageAttribute::string("a", "1"), MessageAttribute::number("a", 2)];
    let text = refusal(&MessageAttributes { attributes: twice, ..Default::default() });
    assert_eq!(text, "message attribute \"a\": the name is given twice");
}

#[test]
fn types_are_three_and_may_have_labels() {
    let longest = format!("String.{}", "é".repeat(249));
    for good in ["String", "String.x", "String.a.b", "String. ", &longest] {
        assert_eq!(of(MessageAttribute::new("a", good, "v")).check(), Ok(()), "{good}");
    }
    let longer = format!("{longest}x");
    for bad in ["", "string", "Strings", "String.", ".String", "Text", "String.\0", &longer] {
        let text = refusal(&of(MessageAttribute::new("a", bad, "v")));
        assert!(text.contains("expected String, Number or Binary"), "{text}");
    }
    assert_eq!(MessageAttribute::new("a", "Number.int", "1").data_type(), Some(DataType::Number));
}

#[test]
fn values_are_what_their_types_say() {
    assert_eq!(of(MessageAttribute::binary("a", &b"\0\xff"[..])).check(), Ok(()));
    assert_eq!(of(MessageAttribute::string("a", "\t\r\n é\u{fffd}\u{10ffff}")).check(), Ok(()));
    for data_type in ["String", "Number", "Binary"] {
        let text = refusal(&of(MessageAttribute::new("a", data_type, "")));
        assert_eq!(text, "message attribute \"a\": the value is empty");
    }
    for bad in ["\0", "\x0b", "\u{fffe}", "\u{ffff}"] {
        assert!(refusal(&of(MessageAttribute::string("a", bad))).contains("the value has "));
    }
    let not_text = of(MessageAttribute::new("a", "String", &b"\xff"[..]));
    assert!(refusal(&not_text).contains("not UTF-8"));
}

#[test]
fn numbers_have_38_digits_and_a_range() {
    let nines = "9".repeat(38);
    let small = format!("0.{}1", "0".repeat(127));
    for good in [
        "0",
        "-0",
        "+7",
        "5.",
        ".5",
        "-12.50",
        "1e9",
        "1E+9",
        "1e-128",
        "1e126",
        "-1e128",
        "-9.99e127",
        "-10e127",
        "9e-129",
        "-1e-2000",
        &nines,
        &small,
        "9.99e125",
        "0e999",
        "00012000000000000000000000000000000000000000000000",
    ] {
        assert_eq!(of(MessageAttribute::number("n", good)).check(), Ok(()), "{good}");
    }
    let longer = format!("{nines}9");
    for (bad, rule) in [
        ("five", "a decimal number"),
        (" 5", "a decimal number"),
        ("", "the value is empty"),
        (".", "a decimal number"),
        ("-", "a decimal number"),
        ("--5", "a decimal number"),
        ("1e", "a decimal number"),
        ("1e5.5", "a decimal number"),
        ("0x10", "a decimal number"),
        ("1_000", "a decimal number"),
        ("NaN", "a decimal number"),
        ("inf", "a decimal number"),
        ("٣", "a decimal number"),
        (&longer, "at most 38 digits"),
        ("1.1e126", "expected -10^128 to 10^126"),
        ("1e127", "expected -10^128"),
        ("-1.1e128", "expected -10^128"),
        ("-1e129", "expected -10^128"),
    ] {
        let text = refusal(&of(MessageAttribute::number("n", bad)));
        assert!(text.contains(rule), "{bad}: {text}");
    }
}

#[test]
fn there_are_ten_at_most_however_many_are_announced() {
    let attributes = |count: usize| MessageAttributes {
        attributes: (0..count).map(|n| MessageAttribute::number(format!("n{n}"), n)).collect(),
        ..MessageAttributes::default()
    };
    assert_eq!(attributes(10).check(), Ok(()));
    assert!(refusal(&attributes(11)).ends_with("more than 10 message attributes"));
    // A consumer has no use for more either, and would need memory for them.
    let many = MessageAttributes::decode(attributes(100_000).encode());
    assert_eq!(many.unwrap_err().code, ErrorCode::BadMessageAttribute);
}

fn section(items: &[(u8, &[u8])]) -> Bytes {
    let mut section = BytesMut::new();
    for (kind, value) in items {
        section.put_u8(*kind);
        section.put_u32_le(value.len() as u32);
        section.put_slice(value);
    }
    section.freeze()
}

#[test]
fn a_kind_of_a_later_version_is_not_stored_half_understood_but_may_be_delivered() {
    let later =
        section(&[(1, b"g"), (9, b"?"), (9, b"?"), (16, b"\x01\0n\x06\0Stringv"), (200, b"")]);
    let error = MessageAttributes::accept(&later).unwrap_err();
    assert_eq!(
        (error.code, &*error.text),
        (ErrorCode::Malformed, "attributes: [1]: kind 9 is not known")
    );
    let read = MessageAttributes::decode(later).unwrap();
    assert_eq!(read.group.as_deref(), Some("g"));
    assert_eq!(read.attributes, [MessageAttribute::string("n", "v")]);
}

#[test]
fn what_is_no_section_is_refused_with_its_place() {
    for (bad, text) in [
        (
            section(&[(1, b"g"), (1, b"g")]),
            "attributes: [1]: kind 1 follows kind 1, expected ascending kinds",
        ),
        (
            section(&[(2, b"d"), (1, b"g")]),
            "attributes: [1]: kind 1 follows kind 2, expected ascending kinds",
        ),
        (section(&[(0, b"")]), "attributes: [0]: kind 0 is not known"),
        (
            Bytes::from_static(b"\x01\x05\0\0\0four"),
            "attributes: [0].value: expected at least 5 bytes, found 4",
        ),
        (section(&[(1, b"\xff")]), "attributes: [0]: not UTF-8: "),
        (
            section(&[(16, b"\x01\0n\x09\0String")]),
            "attributes: [0].type: expected at least 9 bytes, found 6",
        ),
    ] {
        let error = MessageAttributes::accept(&bad).unwrap_err();
        assert_eq!(error.code, ErrorCode::Malformed);
        assert!(error.text.starts_with(text), "{}", error.text);
    }
}

#[test]
fn only_attributes_count() {
    let attributes = MessageAttributes {
        group: Some("g".repeat(128)),
        deduplication: Some("d".repeat(128)),
        trace: Some("t".repeat(1024)),
        attributes: vec![MessageAttribute::binary("name", vec![0; 7])],
    };
    assert_eq!(attributes.counted_bytes(), "nameBinary".len() + 7);
}

#[test]
fn digests_are_those_that_sqs_gives() {
    let md5 = |attributes: &[MessageAttribute]| md5_of_message_attributes(attributes).unwrap();
    let string = |name: &str, value: &str| MessageAttribute::string(name, value);
    assert_eq!(md5(&[string("MyAttribute", "foobar")]), "adb59cd4678ea5a855436b949cd07ab6");
    let [help, hello, general] =
        [("Help.Me", "Me"), ("Hello", "There"), ("General", "Kenobi")].map(|(n, v)| string(n, v));
    // In whatever order they are.
    let all = "4c360f3fdafd970e05fae2f149d997f5";
    assert_eq!(md5(&[help.clone(), hello.clone(), general.clone()]), all);
    assert_eq!(md5(&[general.clone(), hello.clone(), help.clone()]), all);
    assert_eq!(md5(&[hello.clone(), general]), "fca026605781cb4126a1e9044df24232");
    assert_eq!(md5(std::slice::from_ref(&hello)), "a311262e065454b75da111d535b8dacd");
    assert_eq!(md5(&[hello, help]), "83fee93c1bcd8b9a5a923ffacdc636c7");
    let timestamp = MessageAttribute::number("timestamp", 1_493_147_359_900_u64);
    assert_eq!(md5(&[timestamp]), "235c5c510d26fb653d073faed50ae77c");
    let parent = "traceparent\x1e00-774062d6c37081a5a0b9b5b88e30627c-2d2482211f6489da-01";
    let parent = MessageAttribute::binary("attr1", parent);
    assert_eq!(md5(&[parent]), "8cbe4db156db8a94db8b801b7addb984");
    let trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    let traced = MessageAttributes { trace: Some(trace.into()), ..Default::default() };
    let system = traced.md5_of_system_attributes();
    assert_eq!(system.as_deref(), Some("5ae4d5d7636402d80f4eb6d213245a88"));
    assert_eq!(md5_of_message_attributes(&traced.attributes), None);
    assert_eq!(md5_of_body(b""), "d41d8cd98f00b204e9800998ecf8427e");
    assert_eq!(md5_of_body(b"This is a test message"), "fafb00f5732ab283681e124bf8747ed1");
}
