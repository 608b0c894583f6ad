//! Without this PROTOCOL.md would drift from the code, and clients in other languages with it.

mod common;

use common::request_frame;
use forebay_protocol::*;
use uuid::Uuid;

const DOCUMENT: &str = include_str!("../PROTOCOL.md");

/// The rows of the table whose header begins so, as their cells.
fn table(header: &str) -> Vec<Vec<&'static str>> {
    let mut lines = DOCUMENT.lines().skip_while(|line| !line.starts_with(header)).skip(2);
    let rows: Vec<_> = lines.by_ref().take_while(|line| line.starts_with('|')).collect();
    assert!(!rows.is_empty(), "no table begins with {header}");
    rows.iter().map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The bytes of the `index`th example: all code lines that begin with a byte in hex.
fn example(index: usize) -> Vec<u8> {
    let examples = DOCUMENT.split_once("## Example").expect("the examples").1;
    let block = examples
        .split("\n\n")
        .filter(|block| block.starts_with("    "))
        .nth(index)
        .expect("an example");
    let hex = |word: &str| u8::from_str_radix(word, 16).ok().filter(|_| word.len() == 2);
    block
        .lines()
        .flat_map(|line| line.split_whitespace().map_while(hex).collect::<Vec<_>>())
        .collect()
}

#[test]
fn operations() {
    let coded: Vec<_> = Opcode::ALL
        .iter()
        .map(|opcode| {
            let code = format!("{:#04x}", opcode.code());
            vec![code, opcode.name().into(), opcode.reply_name().into(), opcode.sentence().into()]
        })
        .collect();
    assert_eq!(table("| code | request |"), coded);
    for opcode in Opcode::ALL {
        assert_eq!(Opcode::from_code(opcode.code()), Some(*opcode));
        assert!(
            DOCUMENT.contains(&format!("\n### {}\n", opcode.name())),
            "{} has no section",
            opcode.name()
        );
    }
}

#[test]
fn errors() {
    let retry = |code: &ErrorCode| match code.retry() {
        Retry::Never => "never",
        Retry::Later => "later",
        Retry::UnknownOutcome => "unknown outcome",
    };
    let coded: Vec<_> = ErrorCode::ALL
        .iter()
        .map(|code| {
            vec![
                code.code().to_string(),
                code.name().into(),
                retry(code).into(),
                code.sentence().into(),
            ]
        })
        .collect();
    assert_eq!(table("| code | name |"), coded);
    for code in ErrorCode::ALL {
        assert_eq!(ErrorCode::from_code(code.code()), *code);
    }
}

#[test]
fn attributes() {
    let coded: Vec<_> = QueueAttributes::TABLE
        .iter()
        .map(|row| {
            let numbers = [row.default, row.min, row.max].map(|number| number.to_string());
            [vec![row.id.to_string(), row.name.into()], numbers.to_vec(), vec![row.sentence.into()]]
                .concat()
        })
        .collect();
    assert_eq!(table("| id | name | default |"), coded);
    let texts: Vec<_> = QueueAttributes::TEXTS
        .iter()
        .map(|row| {
            let id = format!("{:#06x}", row.id);
            vec![id, row.name.into(), row.type_name.into(), row.sentence.into()]
        })
        .collect();
    assert_eq!(table("| id | name | contents |"), texts);
    for row in QueueAttributes::TABLE {
        assert!((row.min..=row.max).contains(&row.default), "{}", row.name);
        assert_eq!(QueueAttributes::defaults().by_name(row.name), Some(&mut Some(row.default)));
    }
}

#[test]
fn facts() {
    let coded: Vec<_> = Fact::TABLE
        .iter()
        .map(|(kind, name, fields, sentence)| {
            let fields = fields.replace(" :", "").replace("String", "text");
            vec![kind.to_string(), (*name).into(), fields, (*sentence).into()]
        })
        .collect();
    assert_eq!(table("| kind | fact |"), coded);
}

#[test]
fn kinds_of_message_attributes() {
    let trace = OutgoingMessage::new("").group("g").deduplication("d").trace("t");
    let all = trace.attribute(MessageAttribute::string("n", "v")).block.attributes();
    // Each of the first three items has one byte of value behind its header of five.
    let kinds = [all[0], all[6], all[12], all[18]].map(|kind| kind.to_string());
    let documented: Vec<_> = table("| kind | what |").iter().map(|row| row[0].to_owned()).collect();
    assert_eq!(documented, kinds);
}

#[test]
fn examples() {
    assert_eq!(example(0), request_frame(Hello::new("me"), 1));
    let messages = vec![OutgoingMessage::new("hi")];
    assert_eq!(example(1), request_frame(Send::new("orders", messages), 2));
    let message =
        OutgoingMessage::new("hi").group("eu").attribute(MessageAttribute::number("n", 5));
    let send = Send::new("orders", vec![message]);
    assert_eq!(example(2), request_frame(send, 3));
}

#[test]
fn the_message_id() {
    let store_id = Uuid::parse_str("0f1e2d3c-4b5a-4978-8796-a5b4c3d2e1f0").unwrap();
    assert!(DOCUMENT.contains(&store_id.to_string()));
    assert!(DOCUMENT.contains(&MessageId::new(store_id, 7, 42).to_string()));
}
