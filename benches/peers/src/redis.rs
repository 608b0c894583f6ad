//! Redis streams: XADD, a consumer group, and for each message XACK and XDEL.

use std::path::Path;
use std::process::Command;

use crate::Error;
use crate::server::{Process, directory, free_port};
use crate::wire::Wire;

const STREAM: &str = "bench";
const GROUP: &str = "bench";

/// Starts redis-server with an append-only file, synced as `appendfsync` says.
pub fn start(data_dir: &Path, appendfsync: &str) -> Result<Process, Error> {
    let (data, port) = (directory(data_dir)?, free_port()?);
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
    command.args(["--appendonly", "yes", "--appendfsync", appendfsync]);
    command.arg("--dir").arg(data.path());
    Process::start(command, data, port)
}

#[derive(Debug)]
pub struct Client {
    wire: Wire,
    name: String,
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
        Ok(Self { wire: Wire::connect(port).await?, name: format!("consumer-{number}") })
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
    pub async fn send(&mut self, bodies: &[Vec<u8>]) -> Result<(), Error> {
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

    /// Receives up to `max`, acks and deletes them, and returns how many they were.
    pub async fn consume(&mut self, max: usize) -> Result<usize, Error> {
        let mut out = Vec::new();
        let count = max.to_string();
        let words =
            ["XREADGROUP", "GROUP", GROUP, &self.name, "COUNT", &count, "STREAMS", STREAM, ">"];
        command(&mut out, &words.map(str::as_bytes));
        self.wire.write(&out).await?;
        let ids = self.read_stream().await?;
        if ids.is_empty() {
            return Ok(0);
        }
        out.clear();
        for name in ["XACK", "XDEL"] {
            let mut words: Vec<&[u8]> = vec![name.as_bytes(), STREAM.as_bytes()];
            if name == "XACK" {
                words.push(GROUP.as_bytes());
            }
            words.extend(ids.iter().map(Vec::as_slice));
            command(&mut out, &words);
        }
        self.wire.write(&out).await?;
        for _ in 0..2 {
            let deleted = self.number(b':').await?;
            if deleted != ids.len() as i64 {
                return Err(format!("{deleted} of {} were acked", ids.len()).into());
            }
        }
        Ok(ids.len())
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
        self.wire.skip(usize::try_from(bytes)?).await
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
