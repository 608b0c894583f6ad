//! Reports for people: one HTML file that needs no other, with its plots drawn in it. Light or dark as the
//! reader's system is.
//!
//! The plots are made by hand (`plot.rs`): they take their colours from the page's style sheet, so one file
//! suits both, and a library for plots is no part of the build.

pub(crate) mod plot;
pub(crate) mod tcp;

use std::fmt::{Display, Write};
use std::time::SystemTime;

use crate::machine::Machine;

/// What a report is about: when, where, by what command.
#[derive(Debug)]
pub(crate) struct Run {
    command: String,
    ended: String,
    machine: Machine,
    rounds: u32,
}

impl Run {
    /// The run of this process, which has just ended.
    pub(crate) fn now(machine: &Machine, rounds: u32) -> Self {
        let ended = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let mut arguments = std::env::args();
        let program = arguments.next().unwrap_or_default();
        let program = program.rsplit('/').next().unwrap_or_default().to_owned();
        let words: Vec<String> = std::iter::once(program).chain(arguments.map(quoted)).collect();
        Self { command: words.join(" "), ended, machine: machine.clone(), rounds }
    }

    /// The section that says what was run, and on what.
    pub(crate) fn section(&self, more: &[(&str, String)]) -> String {
        let Machine { cpu, cores, memory_bytes, kernel, file_system } = &self.machine;
        let gib = *memory_bytes as f64 / f64::from(1 << 30);
        let mut rows = vec![
            ("Command", format!("<code>{}</code>", escaped(&self.command))),
            ("Ended", escaped(&self.ended)),
            ("Forebay", env!("CARGO_PKG_VERSION").to_owned()),
            ("Processor", format!("{cores} x {}", escaped(cpu))),
            ("Memory", format!("{gib:.1} GiB")),
            ("Kernel", escaped(kernel)),
            ("File system of the data", escaped(&file_system.to_string())),
            (
                "Rounds",
                format!(
                    "{}, what is compared taking turns. Figures are medians of the rounds, latencies \
                     those of all rounds together",
                    self.rounds
                ),
            ),
        ];
        rows.extend(more.iter().cloned());
        let rows = rows.iter().fold(String::new(), |rows, (name, value)| {
            rows + &format!("<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>\n")
        });
        format!("<h2>What was run, and on what</h2>\n<table class=\"facts\">\n{rows}</table>\n")
    }
}

/// A whole page. `body` is HTML.
pub(crate) fn page(title: &str, body: &str) -> String {
    let style = include_str!("style.css");
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// A table with heads; the first column is text, the rest are numbers.
pub(crate) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let mut html = String::from("<div class=\"wide\"><table>\n<thead><tr>");
    heads.iter().for_each(|head| put(&mut html, format_args!("<th scope=\"col\">{head}</th>")));
    html.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        html.push_str("<tr>");
        for (index, cell) in row.iter().enumerate() {
            match index {
                0 => put(&mut html, format_args!("<th scope=\"row\">{cell}</th>")),
                _ => put(&mut html, format_args!("<td>{cell}</td>")),
            }
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody>\n</table></div>\n");
    html
}

pub(crate) fn put(out: &mut String, what: impl Display) {
    // Writing to a text cannot fail.
    let _ = write!(out, "{what}");
}

/// Text that is no markup.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// An argument as a shell takes it.
fn quoted(argument: String) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=./,:+".contains(c);
    match !argument.is_empty() && argument.chars().all(is_plain) {
        true => argument,
        false => format!("'{}'", argument.replace('\'', "'\\''")),
    }
}

/// A whole number, as people read it: 1,234,567.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number <= -0.5 { format!("-{text}") } else { text }
}

/// A time that is given in us.
pub(crate) fn time(us: f64) -> String {
    match us {
        us if us.is_nan() => "no figure".to_owned(),
        us if us < 10.0 => format!("{us:.1} µs"),
        us if us < 1000.0 => format!("{us:.0} µs"),
        us if us < 10_000.0 => format!("{:.2} ms", us / 1e3),
        us if us < 1e6 => format!("{:.1} ms", us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    }
}

/// Bytes, where they are round: 4 KiB.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        bytes if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) => {
            format!("{} MiB", bytes >> 20)
        }
        bytes if bytes >= 1 << 10 && bytes.is_multiple_of(1 << 10) => {
            format!("{} KiB", bytes >> 10)
        }
        bytes => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Fails unless every element that is opened is closed, in order.
    pub(crate) fn assert_well_formed(page: &str) {
        let mut open = Vec::new();
        for tag in page.split('<').skip(1) {
            let (tag, _) = tag.split_once('>').expect("a tag ends");
            let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap_or("");
            let is_void = matches!(name, "!doctype" | "meta") || tag.ends_with('/');
            match tag.starts_with('/') {
                true => assert_eq!(open.pop(), Some(name.to_owned())),
                false if !is_void => open.push(name.to_owned()),
                false => {}
            }
        }
        assert_eq!(open, Vec::<String>::new());
    }

    #[test]
    fn numbers_are_written_as_people_read_them() {
        assert_eq!(
            [0.4, 999.0, 1234.0, 1_234_567.0, -1234.0].map(grouped),
            ["0", "999", "1,234", "1,234,567", "-1,234"]
        );
        assert_eq!(
            [9.96, 123.4, 1234.0, 98_765.0, 2.5e6].map(time),
            ["10.0 µs", "123 µs", "1.23 ms", "98.8 ms", "2.50 s"]
        );
        assert_eq!(
            [100, 4096, 1 << 20, 1025].map(size),
            ["100 bytes", "4 KiB", "1 MiB", "1025 bytes"]
        );
    }

    #[test]
    fn a_command_can_be_pasted_and_breaks_no_page() {
        assert_eq!(quoted("--report=a.html".to_owned()), "--report=a.html");
        assert_eq!(quoted("it's <b>".to_owned()), "'it'\\''s <b>'");
        assert_eq!(escaped("<b a=\"&\">"), "&lt;b a=&quot;&amp;&quot;&gt;");
    }
}
