//! beanstalkd: put, reserve and delete, many of them written together.

use std::path::Path;
use std::process::Command;

use crate::Error;
use crate::server::{Process, directory, free_port};
use crate::wire::Wire;

/// Starts beanstalkd with a log, synced as `-f` says: 0 is at each write, its default 50 ms.
pub fn start(data_dir: &Path, sync_ms: Option<u32>) -> Result<Process, Error> {
    let (data, port) = (directory(data_dir)?, free_port()?);
    let mut command = Command::new("beanstalkd");
    command.args(["-l", "127.0.0.1", "-p", &port.to_string()]);
    if let Some(ms) = sync_ms {
        command.args(["-f", &ms.to_string()]);
    }
    command.arg("-b").arg(data.path());
    Process::start(command, data, port)
}

#[derive(Debug)]
pub struct Client {
    wire: Wire,
}

impl Client {
    pub async fn connect(port: u16) -> Result<Self, Error> {
        Ok(Self { wire: Wire::connect(port).await? })
    }

    /// Sends all of them in one write, and returns when each is answered.
    pub async fn send(&mut self, bodies: &[Vec<u8>]) -> Result<(), Error> {
        let mut out = Vec::new();
        for body in bodies {
            out.extend_from_slice(format!("put 0 0 3600 {}\r\n", body.len()).as_bytes());
            out.extend_from_slice(body);
            out.extend_from_slice(b"\r\n");
        }
        self.wire.write(&out).await?;
        for _ in bodies {
            self.expect(b"INSERTED").await?;
        }
        Ok(())
    }

    /// Reserves up to `max`, deletes them, and returns how many they were.
    pub async fn consume(&mut self, max: usize) -> Result<usize, Error> {
        self.wire.write(b"reserve-with-timeout 0\r\n".repeat(max).as_slice()).await?;
        let mut out = Vec::new();
        let mut reserved = 0;
        for _ in 0..max {
            let line = self.wire.line().await?;
            let words: Vec<&[u8]> = line.as_ref().split(|byte| *byte == b' ').collect();
            match words.as_slice() {
                [b"RESERVED", id, bytes] => {
                    out.extend_from_slice(b"delete ");
                    out.extend_from_slice(id);
                    out.extend_from_slice(b"\r\n");
                    let bytes: usize = std::str::from_utf8(bytes)?.parse()?;
                    self.wire.skip(bytes).await?;
                    reserved += 1;
                }
                [b"TIMED_OUT"] => {}
                _ => return Err(unexpected(&line)),
            }
        }
        if reserved > 0 {
            self.wire.write(&out).await?;
            for _ in 0..reserved {
                self.expect(b"DELETED").await?;
            }
        }
        Ok(reserved)
    }

    async fn expect(&mut self, start: &[u8]) -> Result<(), Error> {
        let line = self.wire.line().await?;
        if line.starts_with(start) { Ok(()) } else { Err(unexpected(&line)) }
    }
}

fn unexpected(line: &[u8]) -> Error {
    format!("beanstalkd answered {:?}", String::from_utf8_lossy(line)).into()
}
