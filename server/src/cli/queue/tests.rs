//! The attributes as the README and the help have them, compared with the protocol's table.

use std::collections::BTreeSet;

use clap::{CommandFactory, Parser};
use forebay_protocol::AttributeRow;

use super::attributes::words;
use super::*;
use crate::cli::tests::{marked, options, readme_table};

#[derive(Debug, Parser)]
struct Typed {
    #[command(flatten)]
    queue: Queue,
}

/// What a queue is created with, if these arguments are given.
fn given(arguments: &[String]) -> QueueAttributes {
    let words = ["queue", "create", "q"].map(str::to_owned);
    let typed = Typed::try_parse_from(words.iter().chain(arguments)).expect("these are attributes");
    match typed.queue.action {
        Action::Create { attributes, .. } => attributes.given(),
        _ => unreachable!("a queue is created"),
    }
}

/// The number that an attribute has, given so.
fn number(row: &AttributeRow, value: &str) -> Option<u64> {
    // 120,000 and 5 min are for people.
    let value = value.replace(',', "");
    let given = given(&[format!("--{}={}", option(row), value.trim())]);
    given.values().find(|(known, _)| known.id == row.id).and_then(|(_, value)| value)
}

/// The option that sets an attribute.
fn option(row: &AttributeRow) -> String {
    row.name.trim_end_matches("_ms").replace('_', "-")
}

/// The two ends of a range that a text begins with: `1 KiB to 16 MiB; ...`.
fn range(text: &str) -> (&str, &str) {
    let (min, max) = text.split_once(" to ").expect("a range");
    let ends = [";", ", "].iter().filter_map(|end| max.find(end));
    (min, &max[..ends.min().unwrap_or(max.len())])
}

#[test]
fn the_readme_has_every_attribute_with_its_default_and_its_range() {
    let table = readme_table("--visibility-timeout");
    let command = Typed::command();
    let subcommand = |name| command.find_subcommand(name).expect("there is this command");
    let (create, show) = (options(subcommand("create")), options(subcommand("show")));
    let documented: BTreeSet<String> = table
        .keys()
        .map(|name| name.trim_start_matches("--").split(' ').next().unwrap_or_default().to_owned())
        .collect();
    let attributes: BTreeSet<String> = create.difference(&show).cloned().collect();
    assert_eq!(documented, attributes);

    for row in QueueAttributes::TABLE {
        let [default, rest] = &table[&format!("--{}", option(row))][..] else {
            panic!("{}: expected a default and a range", row.name);
        };
        match words(row.name) {
            Some(words) if marked(default).is_some() => {
                let known: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
                assert!(rest.starts_with(&known.join(", ")), "{}: {rest}", row.name);
                assert_eq!(marked(default), Some(words[row.default as usize]), "{}", row.name);
            }
            // Switches are off.
            Some(_) => assert_eq!((default.as_str(), row.default), ("no", 0), "{}", row.name),
            None => {
                let (min, max) = range(rest);
                assert_eq!(number(row, max), Some(row.max), "{}: {max}", row.name);
                match default.as_str() {
                    // Beside what it may be, it may be missing.
                    "none" => assert_eq!((row.default, row.min), (0, 0), "{}", row.name),
                    default => {
                        assert_eq!(number(row, min), Some(row.min), "{}: {min}", row.name);
                        assert_eq!(number(row, default), Some(row.default), "{}", row.name);
                    }
                }
            }
        }
    }
}

#[test]
fn the_help_says_what_a_queue_has_that_is_created_without_attributes() {
    let command = Typed::command();
    let create = command.find_subcommand("create").expect("there is this command");
    let help = create.get_after_help().expect("it has an example").to_string();
    let (_, said) = help.split_once("Not given, they are: ").expect("it says so");
    let (said, _) = said.split_once(", no dead-letter queue").expect("the last of them");
    let said: Vec<String> = said.split_whitespace().map(str::to_owned).collect();
    for (row, value) in given(&said).values() {
        assert_eq!(value.unwrap_or(row.default), row.default, "{}", row.name);
    }
    assert_eq!(said.len(), 16, "eight attributes and their values");
}
