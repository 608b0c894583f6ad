//! A store under load: a data directory, and the server that runs on it now.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::BenchError;
use crate::deep::proc::{self, Resident};
use crate::deep::setup::Setup;
use crate::process::{Process, first_line};
use crate::server::{scratch_directory, serve as serve_forebay};

/// How often a server under load is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// A server that answers nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// Others need the disk, too.
const LEFT_FREE_BYTES: u64 = 2 << 30;

/// A server, and its data, which goes with it.
#[derive(Debug)]
pub(super) struct Store {
    process: Process,
    /// The most memory of its own that the server had while a load was watched, in bytes.
    pub(super) anonymous_peak: u64,
    program: PathBuf,
    segment_bytes: u64,
    /// Dropped after the process.
    data: TempDir,
}

impl Store {
    /// Starts a server on an empty directory.
    pub(super) async fn fresh(setup: &Setup) -> Result<Self, BenchError> {
        let data = scratch_directory(&setup.directory()?)?;
        let (program, segment_bytes) = (setup.program()?, setup.segment_bytes.0);
        let process = Process::spawn(serve(&program, segment_bytes, data.path()))?;
        let mut store = Self { process, anonymous_peak: 0, program, segment_bytes, data };
        store.listening().await?;
        Ok(store)
    }

    /// Kills the server, as a loss of power to the process: SIGKILL.
    pub(super) fn kill(&mut self) -> Result<(), BenchError> {
        match self.process.death() {
            Some(death) => Err(death),
            None => self.process.kill(),
        }
    }

    /// Starts a server on what a killed one left; returns when it listens.
    pub(super) async fn start(&mut self) -> Result<(), BenchError> {
        self.process = Process::spawn(serve(&self.program, self.segment_bytes, self.data.path()))?;
        self.listening().await
    }

    async fn listening(&mut self) -> Result<(), BenchError> {
        // Not waited for on this thread, which has signals to hear. If the process is killed, the
        // line ends.
        let stdout = self.process.stdout();
        let line = tokio::task::spawn_blocking(move || first_line(stdout)).await;
        self.process.heard(&line.map_err(|error| BenchError::new(error.to_string()))??)
    }

    /// Where the server listens.
    pub(super) fn address(&self) -> String {
        self.process.address().to_owned()
    }

    /// The server's process.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The data directory.
    pub(super) fn directory(&self) -> &Path {
        self.data.path()
    }

    /// The server's memory now.
    pub(super) fn resident(&mut self) -> Result<Resident, BenchError> {
        proc::resident(self.id()).map_err(|error| self.process.explain(error))
    }

    /// Does `work`, which counts what is answered, and fails as soon as the server ends or hangs,
    /// or the disk is nearly full.
    pub(super) async fn under<T>(
        &mut self,
        answered: &AtomicU64,
        work: impl Future<Output = Result<T, BenchError>>,
    ) -> Result<T, BenchError> {
        let mut work = std::pin::pin!(work);
        let mut look = tokio::time::interval(LOOK);
        let (mut seen, mut since) = (answered.load(Ordering::Relaxed), Instant::now());
        loop {
            tokio::select! {
                done = &mut work => return done.map_err(|error| self.process.explain(error)),
                _ = look.tick() => {}
            }
            self.check()?;
            let now = answered.load(Ordering::Relaxed);
            if now != seen {
                (seen, since) = (now, Instant::now());
            } else if since.elapsed() > PATIENCE {
                let text = format!("nothing was answered for {PATIENCE:?}, after {seen}");
                return Err(BenchError::new(text));
            }
        }
    }

    /// Fails if the server has ended or the disk is nearly full; notes the server's memory.
    pub(super) fn check(&mut self) -> Result<(), BenchError> {
        if let Some(death) = self.process.death() {
            return Err(death);
        }
        let disk = rustix::fs::statvfs(self.data.path())?;
        if disk.f_bavail * disk.f_frsize < LEFT_FREE_BYTES {
            return Err(BenchError::new("the disk has less than 2 GiB left"));
        }
        self.anonymous_peak = self.anonymous_peak.max(self.resident()?.anonymous);
        Ok(())
    }
}

fn serve(program: &Path, segment_bytes: u64, data: &Path) -> Command {
    let mut command = serve_forebay(program);
    command.args(["--segment-bytes", &segment_bytes.to_string(), "--data"]).arg(data);
    command
}
