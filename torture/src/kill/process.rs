//! A program that a campaign has started. Whatever ends the campaign ends it too.

use std::collections::BTreeSet;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process};

/// Those that run.
static RUNNING: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// One of them. Killed when dropped.
#[derive(Debug)]
pub(super) struct Process(Child);

impl Process {
    /// Starts it in a process group of its own: what a terminal sends to the campaign's is not for it.
    pub(super) fn spawn(command: &mut Command) -> io::Result<Self> {
        // Held until it is noted, so that nobody ends all of them in between.
        let mut running = running();
        let child = command.process_group(0).spawn()?;
        running.insert(Pid::from_child(&child).as_raw_nonzero().get());
        Ok(Self(child))
    }
}

impl Deref for Process {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Process {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut running = running();
        running.remove(&Pid::from_child(&self.0).as_raw_nonzero().get());
        // It may have ended already; there is nothing to do about an error here.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ends all of them at once: the campaign itself is about to be ended.
pub fn end_all() {
    let running = running();
    for pid in running.iter().filter_map(|pid| Pid::from_raw(*pid)) {
        let _ = kill_process(pid, Signal::KILL);
    }
    // Nothing is started any more.
    std::mem::forget(running);
}

fn running() -> MutexGuard<'static, BTreeSet<i32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}
