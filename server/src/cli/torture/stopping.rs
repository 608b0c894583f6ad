//! Signals: the first one ends a campaign as if its time were over, the second one at once.

use std::time::{Duration, Instant};

use forebay_torture::Stop;
use forebay_torture::kill::end_all;

use crate::cli::failure::Failure;
use crate::cli::say::say;
use crate::cli::signals::Signals;

/// A signal that comes so soon behind the first one is the same.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// A campaign that was told to end has not passed.
pub(super) fn check_done(stop: &Stop) -> Result<(), Failure> {
    match stop.is_set() {
        true => Err(Failure::because("ended by a signal before all was done")),
        false => Ok(()),
    }
}

/// Is set by Ctrl-C, SIGTERM and SIGHUP from here on.
pub(super) fn stop_on_signals() -> Result<Stop, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let runtime = runtime.map_err(|error| Failure::io("cannot listen for signals", &error))?;
    let mut signals = {
        let _runtime = runtime.enter();
        Signals::listen()?
    };
    let stop = Stop::default();
    let stopping = stop.clone();
    // It ends with the process.
    std::thread::spawn(move || {
        runtime.block_on(async {
            signals.next().await;
            stopping.set();
            say("ending: what was seen until now follows; a second signal ends it at once");
            // Who ends a process may tell it twice: once itself, and once with its group.
            let first = Instant::now();
            while first.elapsed() < SAME_SIGNAL {
                signals.next().await;
            }
        });
        end_all();
        std::process::exit(1);
    });
    Ok(stop)
}
