//! PostgreSQL as a queue: a table, rows inserted many at a time, and taken by DELETE with SKIP LOCKED.

use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use rustix::process::Signal;
use tokio_postgres::{NoTls, Statement};

use crate::Error;
use crate::server::{self, Process, directory, free_port};

/// Whom the server runs as: it refuses to be root.
const USER: &str = "postgres";
/// A server that has run for a while writes its log into files of before; these are 16 MiB each.
const LOG_FILES: usize = 32;

/// Why it cannot be measured, if it cannot.
pub fn lacks() -> Option<String> {
    program("postgres").is_err().then(|| "there is no PostgreSQL".to_owned())
}

/// Starts PostgreSQL on a new cluster; `synchronous_commit` says whether a commit waits for its sync.
pub fn start(data_dir: &Path, synchronous_commit: &str) -> Result<Process, Error> {
    let (data, port) = (directory(data_dir)?, free_port()?);
    let cluster = data.path().join("cluster");
    let chown = Command::new("chown").arg("-R").arg(USER).arg(data.path()).status()?;
    if !chown.success() {
        return Err(format!("cannot give {} to {USER}", data.path().display()).into());
    }
    let mut initdb = server::command(program("initdb")?, Some(USER));
    initdb.args(["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C", "-D"]).arg(&cluster);
    let made = initdb.output()?;
    if !made.status.success() {
        return Err(format!("initdb: {}", String::from_utf8_lossy(&made.stderr)).into());
    }
    let mut command = server::command(program("postgres")?, Some(USER));
    command.arg("-D").arg(&cluster).args(["-p", &port.to_string(), "-h", "127.0.0.1"]);
    for setting in [
        "unix_socket_directories=",
        "max_connections=200",
        "shared_buffers=1GB",
        "max_wal_size=8GB",
        "min_wal_size=2GB", // or it keeps none of `LOG_FILES`
        "log_min_messages=fatal",
        &format!("synchronous_commit={synchronous_commit}"),
    ] {
        command.args(["-c", setting]);
    }
    // So it takes its children and its shared memory with it.
    Ok(Process::new(data, port).with(command, port)?.ended_by(Signal::QUIT))
}

/// Debian keeps each version's programs in a directory of its own: the newest.
fn program(name: &str) -> Result<PathBuf, Error> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")?;
    let mut found: Vec<PathBuf> =
        versions.filter_map(|version| Some(version.ok()?.path().join("bin").join(name))).collect();
    found.retain(|path| path.exists());
    found.sort();
    found.pop().ok_or_else(|| format!("/usr/lib/postgresql has no {name}").into())
}

pub struct Client {
    client: tokio_postgres::Client,
    insert: Statement,
    take: Statement,
}

async fn connect(port: u16) -> Result<tokio_postgres::Client, Error> {
    let config = format!("host=127.0.0.1 port={port} user={USER} dbname=postgres");
    // It listens a moment before it takes connections.
    for _ in 0..200 {
        if let Ok((client, connection)) = tokio_postgres::connect(&config, NoTls).await {
            tokio::spawn(connection);
            return Ok(client);
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Err("PostgreSQL takes no connections".into())
}

/// Makes the table, and log files that are there to be written over.
pub async fn prepare(port: u16) -> Result<(), Error> {
    let client = connect(port).await?;
    let table = "CREATE TABLE queue (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, \
                 body bytea NOT NULL)";
    client.batch_execute(table).await?;
    for _ in 0..LOG_FILES {
        let file = "SELECT pg_logical_emit_message(false, '', ''), pg_switch_wal()";
        client.batch_execute(file).await?;
    }
    Ok(client.batch_execute("CHECKPOINT").await?)
}

impl Client {
    pub async fn connect(port: u16) -> Result<Self, Error> {
        let client = connect(port).await?;
        let insert = client.prepare("INSERT INTO queue (body) SELECT unnest($1::bytea[])").await?;
        let take = client
            .prepare(
                "DELETE FROM queue WHERE id = ANY(ARRAY(SELECT id FROM queue ORDER BY id \
                 FOR UPDATE SKIP LOCKED LIMIT $1)) RETURNING id, body",
            )
            .await?;
        Ok(Self { client, insert, take })
    }

    /// Inserts all of them in one statement.
    pub async fn send(&mut self, bodies: &[Bytes]) -> Result<(), Error> {
        let rows: Vec<&[u8]> = bodies.iter().map(Bytes::as_ref).collect();
        let stored = self.client.execute(&self.insert, &[&rows]).await?;
        if stored == bodies.len() as u64 {
            Ok(())
        } else {
            Err(format!("{stored} of {} were stored", bodies.len()).into())
        }
    }

    /// Takes up to `max` and deletes them in one statement, and returns how many they were.
    pub async fn consume(&mut self, max: usize) -> Result<usize, Error> {
        Ok(self.client.query(&self.take, &[&(max as i64)]).await?.len())
    }

    /// Rows in the table.
    pub async fn left(&mut self) -> Result<u64, Error> {
        let row = self.client.query_one("SELECT count(*) FROM queue", &[]).await?;
        Ok(u64::try_from(row.get::<_, i64>(0))?)
    }
}
