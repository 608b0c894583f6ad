//! A server's process: started here, listened to, and ended here.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::BenchError;

/// Of what a server says on stderr, so many lines are kept to explain its end.
const LAST_LINES: usize = 20;
/// A process whose connection broke is given so long to be gone.
const DYING: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(10);

/// This program, which is the server as well.
pub(crate) fn this_program() -> Result<PathBuf, BenchError> {
    std::env::current_exe().map_err(BenchError::doing("cannot find this program"))
}

/// A server that runs until this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    program: String,
    /// Until the line is read that says where it listens.
    stdout: Option<ChildStdout>,
    stderr: Option<JoinHandle<()>>,
    last_lines: Arc<Mutex<VecDeque<String>>>,
    address: String,
}

impl Process {
    /// Starts a server, with none of the environment's settings of Forebay: what is measured is what the
    /// command says. It is not there yet: [`Process::heard`] wants its first line.
    pub(crate) fn spawn(mut command: Command) -> Result<Self, BenchError> {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("FOREBAY_") {
                command.env_remove(name);
            }
        }
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(BenchError::doing(format_args!("cannot start {program}")))?;
        let stdout = child.stdout.take();
        let stderr = child.stderr.take().expect("it was asked for");
        let last_lines = Arc::default();
        let lines = Arc::clone(&last_lines);
        let stderr = Some(std::thread::spawn(move || pass_on(stderr, &lines)));
        Ok(Self { child, program, stdout, stderr, last_lines, address: String::new() })
    }

    /// What the server writes to stdout; once.
    pub(crate) fn stdout(&mut self) -> ChildStdout {
        self.stdout.take().expect("stdout is taken once")
    }

    /// Takes the server's first line, which says where it listens.
    pub(crate) fn heard(&mut self, line: &str) -> Result<(), BenchError> {
        if let Some((_, address)) = line.trim().split_once("listening on ") {
            self.address = address.to_owned();
            return Ok(());
        }
        let program = &self.program;
        let said = format!("{program} did not say where it listens, but {line:?}");
        Err(self.explain(BenchError::new(said)))
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGKILL and waits until the process is gone.
    pub(crate) fn kill(&mut self) -> Result<(), BenchError> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// How it ended, if it did, with its last words.
    pub(crate) fn death(&mut self) -> Option<BenchError> {
        let status = match self.child.try_wait() {
            Ok(status) => status?,
            Err(error) => return Some(error.into()),
        };
        // Its stderr is complete when the thread has come to the end of it.
        if let Some(stderr) = self.stderr.take() {
            let _ = stderr.join();
        }
        let lines = self.last_lines.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, mut text) = (self.child.id(), String::from("nothing"));
        if !lines.is_empty() {
            text = lines.iter().fold(String::new(), |text, line| text + "\n    " + line);
        }
        let program = &self.program;
        Some(BenchError::new(format!("{program} ({id}) ended: {status}; on stderr: {text}")))
    }

    /// A failure of what was asked of the server: if the server is gone, that is the cause.
    pub(crate) fn explain(&mut self, error: BenchError) -> BenchError {
        for _ in 0..DYING.as_millis() / POLL.as_millis() {
            if let Some(death) = self.death() {
                return BenchError::new(format!("{error}\n{death}"));
            }
            std::thread::sleep(POLL);
        }
        error
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its data goes too: there is nothing to close in good order.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first line of what a server writes; waits for it. Empty if the server ends before.
pub(crate) fn first_line(stdout: ChildStdout) -> Result<String, BenchError> {
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    Ok(line)
}

/// Copies the server's stderr to ours and keeps its end.
fn pass_on(stderr: ChildStderr, last_lines: &Mutex<VecDeque<String>>) {
    for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        // That nobody reads it must not end the measurement.
        let _ = writeln!(io::stderr(), "{line}");
        let mut lines = last_lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LAST_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}
