//! Signals: the first one ends a campaign as if its time were over, the second one at once.

use std::time::{Duration, Instant};

use forebay_torture::Stop;
use forebay_torture::kill::end_all;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::failure::Failure;
use crate::cli::say::say;

/// A signal that comes so soon behind the first one is the same.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// Is set by Ctrl-C and SIGTERM from here on.
pub(super) fn stop_on_signals() -> Result<Stop, Failure> {
    let failed = |error: std::io::Error| Failure::io("cannot listen for signals", &error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let runtime = runtime.map_err(failed)?;
    let (mut interrupt, mut terminate) = {
        let _runtime = runtime.enter();
        let listen = |kind| signal(kind).map_err(failed);
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?)
    };
    let stop = Stop::default();
    let stopping = stop.clone();
    // It ends with the process.
    std::thread::spawn(move || {
        runtime.block_on(async {
            either(&mut interrupt, &mut terminate).await;
            stopping.set();
            say("ending: what was seen until now follows; a second signal ends it at once");
            // Who ends a process may tell it twice: once itself, and once with its group.
            let first = Instant::now();
            while first.elapsed() < SAME_SIGNAL {
                either(&mut interrupt, &mut terminate).await;
            }
        });
        end_all();
        std::process::exit(1);
    });
    Ok(stop)
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
