//! Redis streams: XADD, a consumer group, and for each message XACK and XDEL.

use std::path::Path;

use bytes::Bytes;

use crate::Error;
use crate::server::{self, Process, directory, find, free_port};
use crate::wire::Wire;

const STREAM: &str = "bench";
const GROUP: &str = "bench";

/// Why it cannot be measured, if it cannot.
pub fn lacks() -> Option<String> {
    find("redis-server").is_none().then(|| "there is no redis-server".to_owned())
}

/// Starts redis-server with an append-only file, synced as `appendfsync` says.
pub fn start(data_dir: &Path, appendfsync: &str) -> Result<Process, Error> {
    let (data, port) = (directory(data_dir)?, free_port()?);
    let mut command = server::command("redis-server", None);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
    command.args(["--appendonly", "yes", "--appendfsync", appendfsync]);
    command.arg("--dir").arg(data.path());
    Process::new(data, port).with(command, port)
}

#[derive(Debug)]
pub struct Client {
    wire: Wire,
    name: String,
    /// The ids of what was received and is not acked.
    held: Vec<Vec<u8>>,
}

/// A command as Redis takes it.
fn command(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

impl Client {
    pub async fn connect(port: u16, number: usize) -> Result<Self, Error> {
        let wire = Wire::connect(port).await?;
        Ok(Self { wire, name: format!("consumer-{number}"), held: Vec::new() })
    }

    /// Makes the stream and its group.
    pub async fn prepare(&mut self) -> Result<(), Error> {
        let mut out = Vec::new();
        let words = ["XGROUP", "CREATE", STREAM, GROUP, "0", "MKSTREAM"];
        command(&mut out, &words.map(str::as_bytes));
        self.wire.write(&out).await?;
        self.ok().await
    }

    /// Sends all of them in one write, and returns when each is answered.
    pub async fn send(&mut self, bodies: &[Bytes]) -> Result<(), Error> {
        let mut out = Vec::new();
        for body in bodies {
            command(&mut out, &[b"XADD", STREAM.as_bytes(), b"*", b"body", body]);
        }
        self.wire.write(&out).await?;
        for _ in bodies {
            self.bulk().await?;
        }
        Ok(())
    }

    /// Acks and deletes what it holds and reads more, in one write, and returns how many were acked.
    pub async fn consume(&mut self, max: usize) -> Result<usize, Error> {
        let mut read = Vec::new();
        let count = max.to_string();
        let words =
            ["XREADGROUP", "GROUP", GROUP, &self.name, "COUNT", &count, "STREAMS", STREAM, ">"];
        command(&mut read, &words.map(str::as_bytes));
        if self.held.is_empty() {
            self.wire.write(&read).await?;
            self.held = self.read_stream().await?;
        }
        if self.held.is_empty() {
            return Ok(0);
        }
        let acked = std::mem::take(&mut self.held);
        let mut out = Vec::new();
        let ids = acked.iter().map(Vec::as_slice);
        let mut words: Vec<&[u8]> = vec![b"XACK", STREAM.as_bytes(), GROUP.as_bytes()];
        words.extend(ids.clone());
        command(&mut out, &words);
        let mut words: Vec<&[u8]> = vec![b"XDEL", STREAM.as_bytes()];
        words.extend(ids);
        command(&mut out, &words);
        out.extend_from_slice(&read);
        self.wire.write(&out).await?;
        for command in ["XACK", "XDEL"] {
            let done = self.number(b':').await?;
            if done != acked.len() as i64 {
                return Err(format!("{command} of {} ids did {done}", acked.len()).into());
            }
        }
        self.held = self.read_stream().await?;
        Ok(acked.len())
    }

    /// Messages in the stream, acked or not.
    pub async fn left(&mut self) -> Result<u64, Error> {
        let mut out = Vec::new();
        command(&mut out, &[b"XLEN", STREAM.as_bytes()]);
        self.wire.write(&out).await?;
        Ok(u64::try_from(self.number(b':').await?)?)
    }

    /// `[[stream, [[id, [name, body]], ...]]]`, or nothing: the ids.
    async fn read_stream(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        if self.number(b'*').await? < 0 {
            return Ok(Vec::new());
        }
        self.number(b'*').await?;
        self.bulk().await?;
        let count = self.number(b'*').await?;
        let mut ids = Vec::new();
        for _ in 0..count {
            self.number(b'*').await?;
            let bytes = self.number(b'$').await?;
            let id = self.wire.line().await?;
            if id.len() as i64 != bytes {
                return Err(format!("an id has {} bytes, expected {bytes}", id.len()).into());
            }
            ids.push(id.to_vec());
            let fields = self.number(b'*').await?;
            for _ in 0..fields {
                self.bulk().await?;
            }
        }
        Ok(ids)
    }

    async fn bulk(&mut self) -> Result<(), Error> {
        let bytes = self.number(b'$').await?;
        self.wire.block(usize::try_from(bytes)?).await?;
        Ok(())
    }

    async fn ok(&mut self) -> Result<(), Error> {
        let line = self.wire.line().await?;
        if line.as_ref() == b"+OK" { Ok(()) } else { Err(unexpected(&line)) }
    }

    async fn number(&mut self, kind: u8) -> Result<i64, Error> {
        let line = self.wire.line().await?;
        match line.split_first() {
            Some((first, digits)) if *first == kind => Ok(std::str::from_utf8(digits)?.parse()?),
            _ => Err(unexpected(&line)),
        }
    }
}

fn unexpected(line: &[u8]) -> Error {
    format!("Redis answered {:?}", String::from_utf8_lossy(line)).into()
}
