//! Without this, a log that nobody can read would stop the server, and with it everybody's work.

use forebay_protocol::client::Client;
use forebay_protocol::{ErrorCode, Ping};
use tempfile::TempDir;

use crate::support::{Process, Raw, assert_served, forebay, within};

#[tokio::test]
async fn a_server_whose_log_cannot_be_written_serves_and_ends_as_any_other() {
    let dir = TempDir::new().unwrap();
    let mut server = Process::serve_unheard(&dir.path().join("data"), ([127, 0, 0, 1], 0).into());
    let mut bad = Raw::connect(server.address).await;
    bad.request(1, Ping {}).await;
    assert_eq!(bad.error().await.1, ErrorCode::HelloExpected);
    bad.closed().await;
    let healthy = Client::connect(server.server(), Default::default());
    assert_served(&within("a connect", healthy).await.unwrap()).await;
    server.terminate();
    let ended = tokio::task::spawn_blocking(move || server.wait());
    assert_eq!(within("the server's end", ended).await.unwrap().code(), Some(0));
}

#[test]
fn a_command_whose_complaint_nobody_reads_fails_as_any_other() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = forebay(["queue", "list", "--server", "127.0.0.1:1"]);
    assert_eq!(command.stderr(writer).status().unwrap().code(), Some(1));
}
