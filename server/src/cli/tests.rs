//! What the help and the README say of commands and settings, compared with what they are. Without these,
//! what people type would be refused, and what is set by default would surprise them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use clap::{Args, Command, CommandFactory, FromArgMatches};

use super::Arguments;
use super::doors::{LISTEN, SQS_LISTEN};
use super::serve::{DATA, LOG_LEVEL};
use super::settings::{MEMORY_BYTES_MIN, SEGMENT_BYTES, SNAPSHOT_BYTES_MIN, Settings, SqsListen};
use crate::byte_size::ByteSize;
use crate::sqs::{ACCOUNT, PAUSE, REGION};

/// The table of the README that has a row of this name: each row's cells by its first one, whose marks
/// are left out.
pub(super) fn readme_table(row: &str) -> BTreeMap<String, Vec<String>> {
    let lines: Vec<&str> = include_str!("../../../README.md").lines().collect();
    let cells = |line: &&str| {
        let mut cells = line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned());
        // Neither the head nor what divides it from the rows is in marks.
        let name = marked(&cells.next()?)?.to_owned();
        Some((name, cells.collect()))
    };
    let mut tables = lines
        .split(|line| !line.starts_with('|'))
        .map(|lines| lines.iter().filter_map(cells).collect::<BTreeMap<_, _>>());
    tables.find(|table| table.contains_key(row)).expect("the README has the table")
}

/// What stands in marks, if a cell has nothing else.
pub(super) fn marked(cell: &str) -> Option<&str> {
    let inside = cell.strip_prefix('`')?.strip_suffix('`')?;
    (!inside.contains('`')).then_some(inside)
}

/// The long options of a command, without `--help`.
pub(super) fn options(command: &Command) -> BTreeSet<String> {
    let longs = command.get_arguments().filter_map(clap::Arg::get_long);
    longs.filter(|long| *long != "help").map(str::to_owned).collect()
}

#[test]
fn every_command_has_help_with_an_example() {
    let mut commands = Arguments::command();
    commands.build();
    let mut left = vec![commands];
    let mut seen = 0;
    while let Some(mut command) = left.pop() {
        let help = command.render_long_help().to_string();
        assert!(help.contains("\nExample: "), "{:?}: {help}", command.get_bin_name());
        let visible = command.get_subcommands().filter(|sub| !sub.is_hide_set());
        left.extend(visible.filter(|sub| sub.get_name() != "help").cloned());
        seen += 1;
    }
    assert!(seen > 40, "all commands are found: {seen}");
}

fn settings_command() -> Command {
    Settings::augment_args(Command::new("serve"))
}

/// Settings as they would be if each of these were given.
fn given(values: &BTreeMap<String, String>) -> Settings {
    let words = values.iter().map(|(name, value)| format!("--{name}={value}"));
    let matches =
        settings_command().try_get_matches_from(std::iter::once("serve".to_owned()).chain(words));
    Settings::from_arg_matches(&matches.expect("these are settings")).expect("so are these")
}

/// Checks that it changes nothing to give these values, which are said to be the defaults.
fn assert_defaults(values: &BTreeMap<String, String>) {
    let (given, none) = (given(values), Settings::default());
    assert_eq!(format!("{:?}", given.options()), format!("{:?}", none.options()));
    assert_eq!(format!("{:?}", given.limits()), format!("{:?}", none.limits()));
    assert_eq!(given.data.as_deref(), Some(Path::new(DATA)));
    assert_eq!(given.listen, Some(LISTEN));
    assert_eq!(given.sqs_listen, Some(SqsListen::At(SQS_LISTEN)));
    assert_eq!(given.sqs_region.as_deref(), Some(REGION));
    assert_eq!(given.sqs_account.as_deref(), Some(ACCOUNT));
    assert_eq!(given.sqs_pause, Some(PAUSE));
    assert_eq!(given.log_level, Some(LOG_LEVEL));
    for name in
        ["segment-bytes", "snapshot-bytes", "connections-max", "memory-bytes-max", "idle-timeout"]
    {
        assert!(values.contains_key(name), "no default is said of {name}");
    }
}

#[test]
fn the_readme_has_every_setting_with_its_default_and_its_range() {
    let table = readme_table("segment-bytes");
    let command = settings_command();
    assert_eq!(table.keys().cloned().collect::<BTreeSet<_>>(), options(&command));
    let readme = table
        .iter()
        .filter_map(|(name, cells)| Some((name.clone(), marked(&cells[0])?.to_owned())));
    assert_defaults(&readme.collect());
    let helps: BTreeMap<String, String> = command
        .get_arguments()
        .filter_map(|arg| Some((arg.get_long()?.to_owned(), arg.get_help()?.to_string())))
        .collect();
    let defaults = helps.iter().filter_map(|(name, help)| {
        let default = help.split_once("[default: ")?.1.trim_end_matches(']');
        // A sentence is no value.
        (!default.contains(' ')).then(|| (name.clone(), default.to_owned()))
    });
    assert_defaults(&defaults.collect());

    let size = |bytes: u64| ByteSize(bytes).to_string();
    for (name, bounds) in [
        ("segment-bytes", vec![size(*SEGMENT_BYTES.start()), size(*SEGMENT_BYTES.end())]),
        ("snapshot-bytes", vec![size(SNAPSHOT_BYTES_MIN)]),
        ("memory-bytes-max", vec![size(MEMORY_BYTES_MIN)]),
        ("connections-max", vec!["at least 1".to_owned()]),
    ] {
        for bound in bounds {
            let row = table[name].join(" ").replace(" KiB", "KiB").replace(" MiB", "MiB");
            for said in [row.replace(" GiB", "GiB"), helps[name].clone()] {
                assert!(said.contains(&bound), "{name}: {bound} is not in: {said}");
            }
        }
    }
}
