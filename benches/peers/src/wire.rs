//! A connection whose replies are lines, some with bytes behind: Redis's and beanstalkd's are.

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Error;

#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    arrived: BytesMut,
}

impl Wire {
    pub async fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, arrived: BytesMut::with_capacity(256 << 10) })
    }

    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// The next line, without its end.
    pub async fn line(&mut self) -> Result<BytesMut, Error> {
        let mut looked = 0;
        loop {
            if let Some(end) = self.arrived[looked..].windows(2).position(|two| two == b"\r\n") {
                let line = self.arrived.split_to(looked + end);
                self.arrived.advance(2);
                return Ok(line);
            }
            looked = self.arrived.len().saturating_sub(1);
            self.fill().await?;
        }
    }

    /// Takes so many bytes and the end of a line behind them.
    pub async fn block(&mut self, bytes: usize) -> Result<BytesMut, Error> {
        while self.arrived.len() < bytes + 2 {
            self.fill().await?;
        }
        let block = self.arrived.split_to(bytes);
        self.arrived.advance(2);
        Ok(block)
    }

    async fn fill(&mut self) -> Result<(), Error> {
        self.arrived.reserve(64 << 10);
        match self.stream.read_buf(&mut self.arrived).await? {
            0 => Err("the server closed the connection".into()),
            _ => Ok(()),
        }
    }
}
