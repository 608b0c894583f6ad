//! Without these, the campaigns that show the promise to others could be green whatever the server
//! does, or not run at all where it is installed.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use forebay_torture::Stop;
use forebay_torture::kill::{Options, Report, run};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::forebay;

/// A campaign with something else in the place of the binary.
fn campaign(dir: &Path, binary: PathBuf, restarts: u32) -> Report {
    let (seed, restarts, time) = (1, Some(restarts), None);
    let (dir, stop) = (dir.join("campaign"), Stop::default());
    run(&Options { binary, dir, seed, restarts, time, stop }, &mut |_| {}).unwrap()
}

/// A script that does something to the store, and then is the binary.
///
/// A kill in an opening may hit the script and leave the `rm` or `cp` that it has begun at work. The next one
/// waits for that: it holds the lock too, until it ends.
fn script(dir: &Path, before: &str) -> PathBuf {
    let path = dir.join("forebay");
    let (binary, store) = (env!("CARGO_BIN_EXE_forebay"), dir.join("campaign/store"));
    let (lock, store) = (dir.join("lock"), store.display());
    let text = format!(
        "#!/bin/sh\nexec 9>'{}' && flock 9 || exit\ncd '{store}' && {before}\nexec '{binary}' \"$@\" 9>&-\n",
        lock.display()
    );
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}

fn json(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn a_few_kills_find_nothing_and_leave_nothing() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("campaign");
    let arguments = ["torture", "kill", "--restarts", "12", "--seed", "7", "--json", "--data"];
    let output = forebay(arguments).arg(&data).output().unwrap();
    let told = json(&output);
    assert!(output.status.success(), "{told}");
    assert_eq!(told["restarts"], 12, "{told}");
    assert!(told["messages_deleted"].as_u64().unwrap() > 0, "{told}");
    assert_eq!(told["violations"], Value::Array(Vec::new()));
    assert!(!data.exists(), "it is removed when all is well");
}

#[test]
fn a_server_that_forgets_everything_is_found_out_and_the_history_kept() {
    let dir = TempDir::new().unwrap();
    let forgetful = script(dir.path(), "rm -rf store.toml MANIFEST log snapshot");
    let report = campaign(dir.path(), forgetful, 5);
    assert!(report.violations.iter().any(|one| one.rule == "loss"), "{:?}", report.violations);
    let history = fs::read_to_string(report.history.unwrap()).unwrap();
    assert!(history.lines().any(|line| line.contains(r#""call":"send""#)), "{history}");
}

#[test]
fn a_server_that_goes_back_to_an_older_store_is_found_out() {
    let dir = TempDir::new().unwrap();
    let keep = "if [ -d ../old ]; then rm -rf log MANIFEST snapshot; cp -r ../old/. .; \
                elif [ -d log ]; then cp -r . ../old; fi";
    let report = campaign(dir.path(), script(dir.path(), keep), 6);
    let rules: Vec<_> = report.violations.iter().map(|one| one.rule).collect();
    assert!(rules.contains(&"loss"), "{:?}", report.violations);
}

#[test]
fn a_directory_with_something_in_it_is_left_alone() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("letter"), "dear").unwrap();
    let output = forebay(["torture", "kill", "--data"]).arg(dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not empty"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_part_of_the_rot_is_survived_and_a_case_can_be_looked_at() {
    let output = forebay(["torture", "rot", "--cases", "400", "--json"]).output().unwrap();
    let told = json(&output);
    assert!(output.status.success(), "{told}");
    assert_eq!(told["cases"], 400);
    for judgement in ["rebuilt", "refused", "verified"] {
        assert!(told["judgements"][judgement].as_u64() > Some(0), "{told}");
    }
    let dir = TempDir::new().unwrap();
    let one = ["torture", "rot", "--case", "12345", "--json", "--keep"];
    let output = forebay(one).arg(dir.path()).output().unwrap();
    assert_eq!(json(&output)["cases"], 1);
    assert!(dir.path().join("data/store.toml").exists());
}

#[test]
fn a_case_that_is_not_there_is_refused_and_nothing_is_written() {
    let dir = TempDir::new().unwrap();
    let kept = dir.path().join("kept");
    for keep in [false, true] {
        let mut command = forebay(["torture", "rot", "--case", "999999999999"]);
        if keep {
            command.arg("--keep").arg(&kept);
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("expected 0 to "), "{told}");
        assert!(!kept.exists());
    }
    let output = forebay(["torture", "rot", "--keep"]).arg(&kept).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "--keep without --case");
}

#[test]
fn a_case_says_what_it_does_to_which_file() {
    let output = forebay(["torture", "rot", "--case", "0"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}");
    assert!(told.contains("case 0: data/LOCK is deleted"), "{told}");
}

/// Minutes may have fractions, and none is refused.
#[test]
fn a_campaign_lasts_as_long_as_it_is_told_to() {
    let output = forebay(["torture", "rot", "--minutes", "0.01", "--json"]).output().unwrap();
    assert!(json(&output)["cases"].as_u64() > Some(0));
    for campaign in ["kill", "rot"] {
        let output = forebay(["torture", campaign, "--minutes", "0"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{campaign}");
    }
}

/// A server that a campaign left running would hold its directory and its port.
#[test]
fn a_campaign_that_is_told_to_end_ends_its_server_and_says_what_it_saw() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("campaign");
    let mut command = forebay(["torture", "kill", "--minutes", "10", "--json", "--data"]);
    command.arg(&data).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    // The first server is there as soon as it has a store.
    while !data.join("store/MANIFEST").exists() {
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = json(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert_eq!(told["violations"], Value::Array(Vec::new()));
    assert_eq!(told["rounds"], 1, "what was seen is checked: {told}");
    // Its store's lock names the server: it is gone with the store.
    assert!(!data.exists(), "it is removed when all is well");
}

/// What a sweep or a simulation has seen until a signal comes is told, with a status that says that it was not all.
#[test]
fn a_sweep_that_is_told_to_end_says_what_it_saw() {
    for (campaign, signal) in [("rot", Signal::INT), ("rot", Signal::TERM), ("sim", Signal::TERM)] {
        let mut command = forebay(["torture", campaign, "--minutes", "10", "--json"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The first thread that it starts waits for signals. (That they are caught, as the system says it, is true
        // a moment before anybody would hear of one.)
        let threads = format!("/proc/{}/task", child.id());
        while std::fs::read_dir(&threads).is_ok_and(|threads| threads.count() < 2) {
            std::thread::yield_now();
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{campaign}");
        assert!(json(&output).is_object(), "{campaign}");
    }
}

#[test]
fn an_exhaustive_campaign_without_time_for_all_cases_has_not_passed() {
    let output =
        forebay(["torture", "sim", "--exhaustive", "--minutes", "0.0001"]).output().unwrap();
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
    assert!(stdout.contains("0 violations"), "{stdout}");
    assert!(stderr.contains("cases were done"), "{stderr}");
}
