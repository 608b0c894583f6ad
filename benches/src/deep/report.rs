//! The report: a line for each figure as soon as it is known, with what is wanted of it.

use std::fmt::Display;
use std::io::IsTerminal;
use std::time::Duration;

use crate::deep::proc::Resident;
use crate::print;
pub(super) use crate::report::median;
use crate::size::Size;

/// What a figure is wanted to be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

/// The line above the figures: the workload and its settings.
pub(super) fn head(workload: impl Display) {
    print::line(workload);
}

/// A figure of which nothing is wanted.
pub(super) fn row(what: impl Display, value: impl Display) {
    line(what, value, "");
}

/// A figure of which something is wanted, in the same unit.
pub(super) fn judged(what: impl Display, value: f64, unit: &str, wanted: Wanted) {
    let (kept, text) = match wanted {
        Wanted::AtMost(most) => (value <= most, format!("at most {most:.2}{unit}")),
        Wanted::AtLeast(least) => (value >= least, format!("at least {least:.2}{unit}")),
    };
    let verdict = if kept { "kept" } else { "MISSED" };
    let value = match value.is_infinite() {
        true => "never".to_owned(),
        false => format!("{value:.2}{unit}"),
    };
    line(what, value, &format!("   {text}: {verdict}"));
}

/// How far it is: on a terminal, and gone with the next line.
pub(super) fn progress(what: impl Display) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{what}\r");
    }
}

fn line(what: impl Display, value: impl Display, verdict: &str) {
    // Not every value can be padded: texts can.
    let (what, value) = (what.to_string(), value.to_string());
    print::line(format_args!("    {what:<68} {value:>24}{verdict}"));
}

/// The two kinds of a server's memory.
pub(super) fn memory(when: impl Display, resident: Resident) {
    row(format_args!("RssAnon, {when}"), Size(resident.anonymous));
    row(format_args!("RssFile, {when}"), Size(resident.file));
}

/// MiB, for figures that are judged.
pub(super) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Events in a second, as a text.
pub(super) fn per_second(what: &str, rate: f64) -> String {
    format!("{rate:.0} {what}/s")
}

/// Bytes in a time, as a text.
pub(super) fn megabytes_per_second(bytes: u64, took: Duration) -> String {
    format!("{:.1} MB/s", bytes as f64 / 1e6 / took.as_secs_f64())
}

/// The least and the greatest, as a text.
pub(super) fn spread(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{least:.0}..{greatest:.0}")
}
