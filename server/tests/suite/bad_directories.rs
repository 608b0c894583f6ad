//! Without these, a server could start on a directory that is not its to write, and spoil it; or
//! refuse without saying what is wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use tempfile::TempDir;

use crate::support::{Process, forebay, free_address, output};

/// What a server that must not start says.
#[track_caller]
fn refuses_to_serve(data: &Path) -> String {
    let Output { status, stderr, .. } =
        forebay(["serve", "--listen", "127.0.0.1:0", "--sqs-listen", "off", "--data"])
            .arg(data)
            .output()
            .unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{stderr}");
    let last = stderr.lines().last().unwrap_or_default().to_owned();
    assert!(last.starts_with("forebay: "), "{stderr}");
    last
}

/// The directory of a store that a server has left.
fn store(dir: &TempDir) -> std::path::PathBuf {
    let data = dir.path().join("data");
    let mut server = Process::serve(&data, ([127, 0, 0, 1], 0).into());
    assert!(output(&server, &["queue", "create", "orders"]).status.success());
    assert!(output(&server, &["send", "orders", "one"]).status.success());
    server.terminate();
    assert!(server.wait().success());
    data
}

#[test]
fn a_directory_in_use_is_refused_by_the_name_of_its_holder() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let server = Process::serve(&data, ([127, 0, 0, 1], 0).into());
    let refusal = refuses_to_serve(&data);
    assert!(refusal.contains(&format!("held by process {}", server.id())), "{refusal}");
    let verify = forebay(["verify"]).arg(&data).output().unwrap();
    assert_eq!(verify.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&verify.stderr).contains("in use"));
    assert!(output(&server, &["queue", "list"]).status.success(), "the holder is undisturbed");
}

/// A repair of what is no store would find nothing.
#[test]
fn verify_speaks_of_a_repair_only_where_there_is_a_store() {
    let dir = TempDir::new().unwrap();
    let hint = |data: &Path| {
        let verify = forebay(["verify"]).arg(data).output().unwrap();
        assert_eq!(verify.status.code(), Some(1));
        String::from_utf8_lossy(&verify.stderr).contains("--repair")
    };
    let foreign = dir.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("notes"), "mine").unwrap();
    assert!(!hint(&dir.path().join("missing")));
    assert!(!hint(&foreign));
    let data = store(&dir);
    fs::remove_file(data.join("MANIFEST")).unwrap();
    assert!(hint(&data));
}

#[test]
fn a_directory_of_a_newer_format_is_refused_and_left_as_it_is() {
    let dir = TempDir::new().unwrap();
    let data = store(&dir);
    let path = data.join("store.toml");
    let newer =
        fs::read_to_string(&path).unwrap().replace("format_version = 1", "format_version = 2");
    fs::write(&path, &newer).unwrap();
    let refusal = refuses_to_serve(&data);
    assert!(refusal.contains("format version 2, this Forebay knows up to 1"), "{refusal}");
    assert_eq!(fs::read_to_string(&path).unwrap(), newer);
}

#[test]
fn a_directory_of_something_else_is_refused_and_left_as_it_is() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("thesis.txt"), "chapter 1").unwrap();
    let refusal = refuses_to_serve(dir.path());
    assert!(refusal.contains("thesis.txt"), "{refusal}");
    let names: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|name| name.unwrap().file_name()).collect();
    assert!(names.contains(&"thesis.txt".into()), "{names:?}");
    assert!(!names.contains(&"log".into()), "{names:?}");
}

#[test]
fn a_file_that_is_no_segment_is_named_and_neither_read_nor_removed() {
    let dir = TempDir::new().unwrap();
    let data = store(&dir);
    let stranger = data.join("log/notes.txt");
    fs::write(&stranger, "not a segment").unwrap();
    let server = Process::serve(&data, ([127, 0, 0, 1], 0).into());
    assert!(server.log().contains("notes.txt"), "{}", server.log());
    let received = output(&server, &["receive", "orders", "--ack"]);
    assert_eq!(received.stdout, b"one\n");
    assert_eq!(fs::read_to_string(stranger).unwrap(), "not a segment");
}

#[test]
fn a_segment_that_is_none_is_reported_as_damage() {
    let dir = TempDir::new().unwrap();
    let data = store(&dir);
    for segment in fs::read_dir(data.join("log")).unwrap() {
        let path = segment.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            fs::write(path, "not a segment").unwrap();
        }
    }
    let refusal = refuses_to_serve(&data);
    assert!(refusal.contains("damaged") && refusal.contains(".log"), "{refusal}");
    let verify = forebay(["verify", "--json"]).arg(&data).output().unwrap();
    assert_eq!(verify.status.code(), Some(1));
}

#[test]
fn a_path_that_is_no_directory_is_refused() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("data");
    fs::write(&file, "").unwrap();
    let refusal = refuses_to_serve(&file);
    assert!(refusal.contains(&file.display().to_string()), "{refusal}");
}

#[test]
fn a_read_only_directory_is_refused() {
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: nothing is read-only to root");
        return;
    }
    let dir = TempDir::new().unwrap();
    let data = store(&dir);
    fs::set_permissions(&data, fs::Permissions::from_mode(0o500)).unwrap();
    let refusal = refuses_to_serve(&data);
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(refusal.contains("ermission denied"), "{refusal}");
}

#[test]
fn an_address_in_use_is_refused_before_the_store_is_touched() {
    let dir = TempDir::new().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = dir.path().join("data");
    let served = forebay(["serve", "--listen", &address, "--sqs-listen", "off", "--data"])
        .arg(&data)
        .output()
        .unwrap();
    assert_eq!(served.status.code(), Some(1));
    let stderr = String::from_utf8(served.stderr).unwrap();
    assert!(
        stderr.contains(&format!("--listen: cannot listen on {address}: Address already in use")),
        "{stderr}"
    );
    assert!(!data.exists());
}

/// That it runs already says more than that its address is taken.
#[test]
fn a_server_that_is_started_twice_is_refused_by_the_name_of_the_first() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let server = Process::serve(&data, ([127, 0, 0, 1], 0).into());
    let again = forebay(["serve", "--listen", &server.server(), "--sqs-listen", "off", "--data"])
        .arg(&data)
        .output()
        .unwrap();
    let stderr = String::from_utf8(again.stderr).unwrap();
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr.contains(&format!("held by process {}", server.id())), "{stderr}");
}

/// Both were bound, and only when the store was made one of them could not be listened on.
#[test]
fn one_address_for_two_protocols_is_refused_before_the_store_is_touched() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let address = free_address().to_string();
    let served = forebay(["serve", "--listen", &address, "--sqs-listen", &address, "--data"])
        .arg(&data)
        .output()
        .unwrap();
    let stderr = String::from_utf8(served.stderr).unwrap();
    assert_eq!(served.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("expected two addresses"), "{stderr}");
    assert!(!data.exists());
}
