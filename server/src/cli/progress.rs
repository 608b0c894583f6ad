//! Progress for people: a line on stderr when that is a terminal, nothing otherwise.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A count that grows to an unknown total.
pub(super) fn counter(unit: &str) -> ProgressBar {
    let template = format!("{{spinner}} {{human_pos}} {unit}, {{per_sec}}, {{elapsed}}");
    styled(ProgressBar::new_spinner(), &template)
}

/// Bytes of a known total.
pub(super) fn bytes(total: u64) -> ProgressBar {
    styled(
        ProgressBar::new(total),
        "{bar:40} {decimal_bytes}/{decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left",
    )
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    // A template that does not parse is a mistake of ours that costs only looks.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
