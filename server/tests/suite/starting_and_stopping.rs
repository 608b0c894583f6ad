//! Without these, a server could end without its last snapshot, be open to the world unnoticed, or leave
//! behind what nobody asked for.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{Process, forebay};

const LOCALHOST: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

/// A terminal that closes says so with SIGHUP, and so do service managers.
#[test]
fn a_hang_up_ends_the_server_in_order() {
    let dir = TempDir::new().unwrap();
    let mut server = Process::serve(&dir.path().join("data"), LOCALHOST.into());
    server.signal(Signal::HUP);
    assert!(server.wait().success());
    let log = server.log();
    assert!(log.contains("SIGHUP") && log.contains("shut down"), "{log}");
}

#[test]
fn a_hang_up_that_is_to_be_ignored_is_ignored() {
    let dir = TempDir::new().unwrap();
    let binary = forebay([""; 0]).get_program().to_owned();
    let mut server = Command::new("sh")
        .args(["-c", "trap '' HUP; exec \"$0\" \"$@\""])
        .arg(binary)
        .args(["serve", "--listen", "127.0.0.1:0", "--sqs-listen", "off"])
        .args(["--segment-bytes", "1MiB", "--data"])
        .arg(dir.path().join("data"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    for signal in [Signal::HUP, Signal::TERM] {
        kill_process(Pid::from_child(&server), signal).unwrap();
    }
    let (ended_well, log) = end_of(server);
    assert!(ended_well && log.contains("SIGTERM") && !log.contains("SIGHUP"), "{log}");
}

#[test]
fn a_port_that_others_may_reach_is_warned_of() {
    let dir = TempDir::new().unwrap();
    for (address, is_warned) in [(LOCALHOST.into(), false), (([0, 0, 0, 0], 0).into(), true)] {
        let server = Process::serve(&dir.path().join("data"), address);
        let warning = "other machines may reach the native protocol, which has no authentication";
        assert_eq!(server.log().contains(warning), is_warned, "{}", server.log());
        server.kill();
    }
}

/// Whether a server succeeded, and what it said on stderr.
fn end_of(mut server: Child) -> (bool, String) {
    let mut log = String::new();
    server.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    (server.wait().unwrap().success(), log)
}
