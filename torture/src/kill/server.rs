//! A Forebay server in a process of its own, to be killed.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::process::Process;

/// How a server is started.
#[derive(Debug, Clone)]
pub(super) struct Launch {
    /// The `forebay` binary.
    pub(super) binary: PathBuf,
    /// What runs it, with arguments; empty: nobody.
    pub(super) wrapper: Vec<String>,
    /// The directory of the store.
    pub(super) data: PathBuf,
    /// Where its log goes.
    pub(super) log: PathBuf,
    /// Settings besides.
    pub(super) settings: Vec<String>,
    /// How long it may take until it listens.
    pub(super) patience: Duration,
}

/// A server that listens. Killed when dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Process,
    /// Kept open: a server need not find out that nobody reads it.
    _stdout: Option<ChildStdout>,
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// How long it took until it did.
    pub(super) took: Duration,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoServer {
    /// The system did not start it.
    #[error("cannot start {}: {source}", binary.display())]
    Unstarted {
        /// What was to be started.
        binary: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It ended before it listened.
    #[error("the server ended with {status} before it listened; its log ends: {log}")]
    Ended {
        /// How.
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// It did neither.
    #[error("the server did not listen within {seconds} s; its log ends: {log}")]
    Silent {
        /// How long it had.
        seconds: u64,
        /// The last lines of its log.
        log: String,
    },
}

impl Launch {
    /// Small segments and frequent snapshots, so that short lives meet rolls and compactions.
    pub(super) fn new(binary: &Path, dir: &Path) -> Self {
        let settings = ["--segment-bytes", "1MiB", "--snapshot-bytes", "256KiB"];
        Self {
            binary: binary.to_owned(),
            wrapper: Vec::new(),
            data: dir.join("store"),
            log: dir.join("server.log"),
            settings: settings.map(str::to_owned).into(),
            patience: Duration::from_secs(60),
        }
    }

    /// Starts a process and returns at once.
    pub(super) fn spawn(&self) -> Result<Process, NoServer> {
        let unstarted = |source| NoServer::Unstarted { binary: self.binary.clone(), source };
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.map_err(unstarted)?;
        let mut command = match self.wrapper.split_first() {
            Some((wrapper, arguments)) => {
                let mut command = Command::new(wrapper);
                command.args(arguments).arg(&self.binary);
                command
            }
            None => Command::new(&self.binary),
        };
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("FOREBAY_") {
                command.env_remove(name);
            }
        }
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--sqs-listen", "off"])
            .args(["--log-level", "warn", "--data"])
            .arg(&self.data)
            .args(&self.settings)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        Process::spawn(&mut command).map_err(unstarted)
    }

    /// Starts a server and waits until it listens.
    pub(super) fn start(&self) -> Result<Server, NoServer> {
        let began = Instant::now();
        let mut child = self.spawn()?;
        let stdout = child.stdout.take().expect("it was asked for");
        let (told, heard) = mpsc::channel();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stdout);
            let mut line = String::new();
            let read = reader.read_line(&mut line).map(|_| line);
            // Nobody listens any more if the server was silent for too long.
            let _ = told.send((read, reader.into_inner()));
        });
        let heard = heard.recv_timeout(self.patience);
        let took = began.elapsed();
        let Ok((line, stdout)) = heard else {
            let _ = child.kill();
            let _ = child.wait();
            let log = self.log_end();
            return Err(NoServer::Silent { seconds: self.patience.as_secs(), log });
        };
        let address = line.ok().and_then(|line| {
            line.strip_prefix("forebay listening on ").and_then(|rest| rest.trim().parse().ok())
        });
        match address {
            Some(address) => Ok(Server { child, _stdout: Some(stdout), address, took }),
            None => {
                let _ = child.kill();
                let status = child.wait();
                let status = status.map_err(|source| NoServer::Unstarted {
                    binary: self.binary.clone(),
                    source,
                })?;
                Err(NoServer::Ended { status, log: self.log_end() })
            }
        }
    }

    /// The last lines of the log, on one.
    pub(super) fn log_end(&self) -> String {
        let read = || {
            let mut file = File::open(&self.log)?;
            let size = file.seek(SeekFrom::End(0))?;
            file.seek(SeekFrom::Start(size.saturating_sub(600)))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            io::Result::Ok(String::from_utf8_lossy(&bytes).trim().replace('\n', " | "))
        };
        read().unwrap_or_else(|error| format!("({error})"))
    }
}

/// Whether a server ends so: with 0 when it was done, with 1 when it failed. A panic, a signal and an abort are none
/// of these.
pub(super) fn is_promised(status: ExitStatus) -> bool {
    matches!(status.code(), Some(0 | 1))
}

impl Server {
    /// Its process.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits for its end.
    pub(super) fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and waits for its end; `None`: it did not come in time, and the server was killed.
    pub(super) fn terminate(mut self, patience: Duration) -> Option<ExitStatus> {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        self.wait(patience)
    }

    /// Waits for its end; `None`: it did not come in time.
    pub(super) fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let began = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if began.elapsed() < patience => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                _ => return None,
            }
        }
    }
}
