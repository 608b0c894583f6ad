//! Without these, an operator with a damaged store could lose what is left of it by a slip, or would not know
//! what a command did to it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Process, forebay, output};

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The files of a directory, but for the lock, which whoever looks at a store takes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else if !path.ends_with("LOCK") {
            files.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    files
}

/// A store of which a message, and another one's ack, are not what was written; no snapshot tells of either.
fn damaged_store(dir: &TempDir) -> PathBuf {
    let data = dir.path().join("data");
    let mut server = Process::serve(&data, ([127, 0, 0, 1], 0).into());
    for arguments in [
        &["queue", "create", "orders"][..],
        &["send", "orders", "the first"],
        &["send", "orders", "the second"],
        &["send", "orders", "the third"],
        &["receive", "orders", "--ack"],
        &["send", "orders", "the fourth"],
    ] {
        assert!(output(&server, arguments).status.success(), "{arguments:?}");
    }
    server.terminate();
    assert!(server.wait().success());
    fs::remove_dir_all(data.join("snapshot")).unwrap();
    let log = fs::read_dir(data.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let log = log.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    let mut is_damaged = false;
    for path in log {
        let mut bytes = fs::read(&path).unwrap();
        let place = |text: &[u8]| bytes.windows(text.len()).position(|found| found == text);
        if let (Some(third), Some(fourth)) = (place(b"the third"), place(b"the fourth")) {
            bytes[third] ^= 1;
            // Between the two messages there are the receive and the ack. An entry's header and a record's fields
            // take 96 bytes before the body.
            bytes[third + 16..fourth - 100].fill(0x55);
            fs::write(&path, bytes).unwrap();
            is_damaged = true;
        }
    }
    assert!(is_damaged, "the messages are found in the log");
    data
}

fn verify(data: &Path, arguments: &[&str]) -> Output {
    forebay(["verify"]).arg(data).args(arguments).output().unwrap()
}

#[test]
fn a_damaged_store_is_made_whole_when_that_is_said_and_not_before() {
    let dir = TempDir::new().unwrap();
    let data = damaged_store(&dir);
    let before = files(&data);
    let checked = verify(&data, &[]);
    assert_eq!(checked.status.code(), Some(1), "{}", text(&checked.stdout));

    let new = dir.path().join("data.repaired");
    for (arguments, said) in [
        (&["--repair"][..], "--in-doubt"),
        (&["--repair", "--yes"], "--in-doubt"),
        (&["--repair", "--in-doubt", "deliver"], "--yes"),
    ] {
        let told = verify(&data, arguments);
        assert_eq!(told.status.code(), Some(1), "{arguments:?}");
        let (stdout, stderr) = (text(&told.stdout), text(&told.stderr));
        assert!(stdout.contains("orders: ") && stdout.contains("in doubt"), "{stdout}");
        assert!(stderr.contains(said) && stderr.contains("nothing was written"), "{stderr}");
        assert!(!new.exists(), "{arguments:?}");
    }
    let usage = verify(&data, &["--yes"]);
    assert_eq!(usage.status.code(), Some(2), "{}", text(&usage.stderr));

    let told = verify(&data, &["--repair", "--json"]);
    let json: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(json["queues"][0]["name"], "orders", "{json}");
    assert_eq!(json["lost"], 1, "{json}");
    assert_eq!(json["in_doubt"], 2, "{json}");

    let repaired = verify(&data, &["--repair", "--in-doubt", "deliver", "--yes"]);
    assert_eq!(repaired.status.code(), Some(4), "{}", text(&repaired.stderr));
    assert_eq!(files(&data), before, "the original is as it was");
    assert_eq!(verify(&new, &[]).status.code(), Some(0));
    let again = verify(&data, &["--repair", "--in-doubt", "deliver", "--yes"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("is not empty"), "{}", text(&again.stderr));

    let mut server = Process::serve(&new, ([127, 0, 0, 1], 0).into());
    let received = output(&server, &["receive", "orders", "--max", "0", "--ack"]);
    assert_eq!(text(&received.stdout), "the first\nthe second\nthe fourth\n");
    server.terminate();
    assert!(server.wait().success());
}

#[test]
fn what_was_deleted_does_not_come_if_what_is_in_doubt_is_deleted() {
    let dir = TempDir::new().unwrap();
    let data = damaged_store(&dir);
    let new = dir.path().join("mended");
    let to = format!("--repair={}", new.display());
    let repaired = verify(&data, &[&to, "--in-doubt", "delete", "--yes"]);
    assert_eq!(repaired.status.code(), Some(4), "{}", text(&repaired.stderr));
    let mut server = Process::serve(&new, ([127, 0, 0, 1], 0).into());
    let received = output(&server, &["receive", "orders", "--max", "0", "--ack"]);
    assert_eq!(text(&received.stdout), "the fourth\n");
    server.terminate();
    assert!(server.wait().success());
}

#[test]
fn a_directory_without_an_equals_sign_is_said_how_to_write() {
    let dir = TempDir::new().unwrap();
    let at = |arguments: &[&str]| {
        let told = forebay(["verify"]).args(arguments).current_dir(dir.path()).output().unwrap();
        (told.status.code(), text(&told.stderr).to_owned())
    };
    let told = "forebay: new is a second directory; to write there: --repair=new\n".to_owned();
    assert_eq!(at(&["data", "--repair", "new"]), (Some(2), told));
    let told = "forebay: new is a second directory, expected one\n".to_owned();
    assert_eq!(at(&["data", "new"]), (Some(2), told));
}

#[test]
fn a_whole_store_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let mut server = Process::serve(&data, ([127, 0, 0, 1], 0).into());
    assert!(output(&server, &["queue", "create", "orders"]).status.success());
    server.terminate();
    assert!(server.wait().success());
    let told = verify(&data, &["--repair", "--yes"]);
    assert_eq!(told.status.code(), Some(0));
    assert!(text(&told.stderr).contains("there is nothing to repair"), "{}", text(&told.stderr));
    assert!(!dir.path().join("data.repaired").exists());
}

#[test]
fn a_new_store_inside_the_damaged_one_is_refused() {
    let dir = TempDir::new().unwrap();
    let data = damaged_store(&dir);
    let before = files(&data);
    let to = format!("--repair={}", data.join("mended").display());
    let refused = forebay(["verify", "data", &to, "--in-doubt", "deliver", "--yes"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("lies in the store"), "{}", text(&refused.stderr));
    assert_eq!(files(&data), before);
}
