//! PostgreSQL as a queue: a table, rows inserted many at a time, and taken by DELETE with SKIP LOCKED.

use std::path::{Path, PathBuf};
use std::process::Command;

use tokio_postgres::{NoTls, Statement};

use crate::Error;
use crate::server::{Process, directory, free_port};

/// Whom the server runs as: it refuses to be root.
const USER: &str = "postgres";

/// Starts PostgreSQL on a new cluster; `synchronous_commit` says whether a commit waits for its sync.
pub fn start(data_dir: &Path, synchronous_commit: &str) -> Result<Process, Error> {
    let (data, port) = (directory(data_dir)?, free_port()?);
    let cluster = data.path().join("cluster");
    let chown = Command::new("chown").arg("-R").arg(USER).arg(data.path()).status()?;
    if !chown.success() {
        return Err(format!("cannot give {} to {USER}", data.path().display()).into());
    }
    let mut initdb = as_user(&program("initdb")?);
    initdb.args(["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C", "-D"]).arg(&cluster);
    let made = initdb.output()?;
    if !made.status.success() {
        return Err(format!("initdb: {}", String::from_utf8_lossy(&made.stderr)).into());
    }
    let mut command = as_user(&program("postgres")?);
    command.arg("-D").arg(&cluster).args(["-p", &port.to_string(), "-h", "127.0.0.1"]);
    for setting in [
        "unix_socket_directories=",
        "max_connections=200",
        "shared_buffers=1GB",
        "max_wal_size=8GB",
        "log_min_messages=fatal",
        &format!("synchronous_commit={synchronous_commit}"),
    ] {
        command.args(["-c", setting]);
    }
    Process::start(command, data, port)
}

fn as_user(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--clear-groups", "--pdeathsig", "KILL", "--"]);
    command.arg(program).stderr(std::process::Stdio::null());
    command
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

/// Makes the table.
pub async fn prepare(port: u16) -> Result<(), Error> {
    let client = connect(port).await?;
    let table = "CREATE TABLE queue (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, \
                 body bytea NOT NULL)";
    Ok(client.batch_execute(table).await?)
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
    pub async fn send(&mut self, bodies: &[Vec<u8>]) -> Result<(), Error> {
        let stored = self.client.execute(&self.insert, &[&bodies]).await?;
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
}
