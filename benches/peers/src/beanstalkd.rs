//! beanstalkd: put, reserve and delete, many of them written together.

use std::path::Path;

use bytes::Bytes;

use crate::Error;
use crate::server::{Process, command, directory, find, free_port};
use crate::wire::Wire;

/// Reserves that are asked for at once: more only find nothing more often.
const RESERVES: usize = 64;

/// Why it cannot be measured, if it cannot.
pub fn lacks() -> Option<String> {
    find("beanstalkd").is_none().then(|| "there is no beanstalkd".to_owned())
}

/// Starts beanstalkd with a log, synced as `-f` says: 0 is at each write, its default 50 ms.
pub fn start(data_dir: &Path, sync_ms: Option<u32>) -> Result<Process, Error> {
    let (data, port) = (directory(data_dir)?, free_port()?);
    let mut command = command("beanstalkd", None);
    command.args(["-l", "127.0.0.1", "-p", &port.to_string()]);
    // Or it takes no message of 64 KiB.
    command.args(["-z", &(16 << 20).to_string()]);
    if let Some(ms) = sync_ms {
        command.args(["-f", &ms.to_string()]);
    }
    command.arg("-b").arg(data.path());
    Process::new(data, port).with(command, port)
}

#[derive(Debug)]
pub struct Client {
    wire: Wire,
    /// The ids of what is reserved.
    held: Vec<Vec<u8>>,
}

impl Client {
    pub async fn connect(port: u16) -> Result<Self, Error> {
        Ok(Self { wire: Wire::connect(port).await?, held: Vec::new() })
    }

    /// Sends all of them in one write, and returns when each is answered.
    pub async fn send(&mut self, bodies: &[Bytes]) -> Result<(), Error> {
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

    /// Deletes what it holds and reserves more, in one write, and returns how many were deleted.
    pub async fn consume(&mut self, max: usize) -> Result<usize, Error> {
        let max = max.min(RESERVES);
        let reserves = b"reserve-with-timeout 0\r\n".repeat(max);
        if self.held.is_empty() {
            self.wire.write(&reserves).await?;
            self.reserved(max).await?;
        }
        if self.held.is_empty() {
            return Ok(0);
        }
        let deleted = std::mem::take(&mut self.held);
        let mut out = Vec::new();
        for id in &deleted {
            out.extend_from_slice(b"delete ");
            out.extend_from_slice(id);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(&reserves);
        self.wire.write(&out).await?;
        for _ in &deleted {
            self.expect(b"DELETED").await?;
        }
        self.reserved(max).await?;
        Ok(deleted.len())
    }

    /// Reads the replies to so many reserves.
    async fn reserved(&mut self, reserves: usize) -> Result<(), Error> {
        for _ in 0..reserves {
            let line = self.wire.line().await?;
            let words: Vec<&[u8]> = line.as_ref().split(|byte| *byte == b' ').collect();
            match words.as_slice() {
                [b"RESERVED", id, bytes] => {
                    self.held.push(id.to_vec());
                    let bytes: usize = std::str::from_utf8(bytes)?.parse()?;
                    self.wire.block(bytes).await?;
                }
                [b"TIMED_OUT"] => {}
                _ => return Err(unexpected(&line)),
            }
        }
        Ok(())
    }

    /// Jobs that are ready or reserved.
    pub async fn left(&mut self) -> Result<u64, Error> {
        self.wire.write(b"stats-tube default\r\n").await?;
        let line = self.wire.line().await?;
        let bytes = line.strip_prefix(b"OK ").ok_or_else(|| unexpected(&line))?;
        let bytes: usize = std::str::from_utf8(bytes)?.parse()?;
        let stats = self.wire.block(bytes).await?;
        let mut left = 0;
        for stat in std::str::from_utf8(&stats)?.lines() {
            if let Some(("current-jobs-ready" | "current-jobs-reserved", jobs)) =
                stat.split_once(": ")
            {
                left += jobs.parse::<u64>()?;
            }
        }
        Ok(left)
    }

    async fn expect(&mut self, start: &[u8]) -> Result<(), Error> {
        let line = self.wire.line().await?;
        if line.starts_with(start) { Ok(()) } else { Err(unexpected(&line)) }
    }
}

fn unexpected(line: &[u8]) -> Error {
    format!("beanstalkd answered {:?}", String::from_utf8_lossy(line)).into()
}
