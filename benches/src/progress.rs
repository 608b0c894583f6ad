//! Progress for people: a bar on stderr when that is a terminal, nothing otherwise.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::print;

/// A bar of so many steps.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// One that has just begun.
    pub(crate) fn of(steps: u64) -> Self {
        let bar = ProgressBar::new(steps);
        let template = "{elapsed_precise} {bar:30} {pos}/{len} {msg}";
        // A template that does not parse is a mistake of ours that costs only looks.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        // A line a second costs the load nothing.
        bar.enable_steady_tick(Duration::from_secs(1));
        Self(bar)
    }

    /// Tells what is being done.
    pub(crate) fn doing(&self, what: impl Into<String>) {
        self.0.set_message(what.into());
    }

    /// A step is done.
    pub(crate) fn step(&self) {
        self.0.inc(1);
    }

    /// Prints a result to stdout, above the bar.
    pub(crate) fn print(&self, line: &str) {
        self.0.suspend(|| print::line(line));
    }

    /// Tells something on stderr, above the bar.
    pub(crate) fn note(&self, line: &str) {
        self.0.suspend(|| print::note(line));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
