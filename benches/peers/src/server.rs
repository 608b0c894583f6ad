//! A peer's process: started here, on a directory of its own, and ended here.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Error;

/// A server that does not listen after so long does not start.
const PATIENCE: Duration = Duration::from_secs(30);

/// A process that runs until this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Removed with it; dropped after it.
    _data: TempDir,
    pub port: u16,
}

/// A directory for a server, which another user may be given.
pub fn directory(data_dir: &Path) -> Result<TempDir, Error> {
    Ok(tempfile::Builder::new().prefix("forebay-peers-").tempdir_in(data_dir)?)
}

/// A port that nobody listens on now.
pub fn free_port() -> Result<u16, Error> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Process {
    /// Starts a server and waits until it listens on `port`.
    pub fn start(mut command: Command, data: TempDir, port: u16) -> Result<Self, Error> {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let child = child.map_err(|error| format!("cannot start {program}: {error}"))?;
        let mut process = Self { child, _data: data, port };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = process.child.try_wait()? {
                return Err(format!("{program} ended: {status}").into());
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("{program} does not listen on port {port}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(process)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its data goes too: there is nothing to close in good order.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
