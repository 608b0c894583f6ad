//! Progress for people: a line on stderr when that is a terminal, nothing otherwise.

use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work that takes no longer is not worth a line.
const PATIENCE: Duration = Duration::from_secs(1);

/// The line that is shown, if there is one: a process has one at a time.
static LINE: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Does what writes to stderr with the line taken away meanwhile.
pub(super) fn without_line(write: impl FnOnce()) {
    let line = LINE.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match line.filter(|line| !line.is_finished()) {
        Some(line) => line.suspend(write),
        None => write(),
    }
}

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

/// Bytes of an unknown total, as they are read.
pub(super) fn bytes_read() -> ProgressBar {
    let template = "{spinner} {decimal_bytes} read, {decimal_bytes_per_sec}, {elapsed}";
    styled(ProgressBar::new_spinner(), template)
}

/// Bytes of an unknown total, of `what`. Not shown before [`while_slow`] does.
pub(super) fn hidden_bytes(what: &str) -> ProgressBar {
    let template =
        format!("{{spinner}} {{decimal_bytes}} {what}, {{decimal_bytes_per_sec}}, {{elapsed}}");
    styled(ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()), &template)
}

/// Shows a hidden bar as soon as `work` has taken a second, until it ends, and calls `say_slow` then:
/// who has no terminal is to know too.
pub(super) async fn while_slow<W: Future>(
    bar: &ProgressBar,
    say_slow: impl FnOnce(),
    work: W,
) -> W::Output {
    let mut work = pin!(work);
    let done = match tokio::time::timeout(PATIENCE, &mut work).await {
        Ok(done) => done,
        Err(_) => {
            say_slow();
            bar.set_draw_target(ProgressDrawTarget::stderr());
            work.await
        }
    };
    bar.finish_and_clear();
    done
}

/// Steps of a campaign, of a known total or without an end; what was found so far is its message.
pub(super) fn campaign(total: Option<u64>, unit: &str) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (
            ProgressBar::new(total),
            format!("{{bar:30}} {{human_pos}}/{{human_len}} {unit}, {{msg}}, {{eta}} left"),
        ),
        None => (
            ProgressBar::new_spinner(),
            format!("{{spinner}} {{human_pos}} {unit}, {{msg}}, {{elapsed}}"),
        ),
    };
    styled(bar, &template)
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    // A template that does not parse is a mistake of ours that costs only looks.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    *LINE.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
    bar
}

#[cfg(test)]
mod tests {
    use std::io::IsTerminal;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_takes_a_second_is_said_and_shown_on_a_terminal() {
        for (ms, is_slow) in [(999, false), (1001, true)] {
            let is_shown = is_slow && std::io::stderr().is_terminal();
            let bar = hidden_bytes("read");
            let work = async {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                !bar.is_hidden()
            };
            let mut is_said = false;
            assert_eq!(while_slow(&bar, || is_said = true, work).await, is_shown, "after {ms} ms");
            assert_eq!(is_said, is_slow, "after {ms} ms");
            assert!(bar.is_finished());
        }
    }
}
