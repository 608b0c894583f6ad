//! Without these, the campaigns that show the promise to others could be green whatever the server
//! does, or not run at all where it is installed.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use forebay_torture::kill::{Options, Report, run};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::forebay;

/// A campaign with something else in the place of the binary.
fn campaign(dir: &Path, binary: PathBuf, restarts: u32) -> Report {
    let (seed, restarts, time) = (1, Some(restarts), None);
    run(&Options { binary, dir: dir.join("campaign"), seed, restarts, time }, &mut |_| {}).unwrap()
}

/// A script that does something to the store, and then is the binary.
fn script(dir: &Path, before: &str) -> PathBuf {
    let path = dir.join("forebay");
    let (binary, store) = (env!("CARGO_BIN_EXE_forebay"), dir.join("campaign/store"));
    let text = format!("#!/bin/sh\ncd '{}' && {before}\nexec '{binary}' \"$@\"\n", store.display());
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
    assert!(told["restarts"].as_u64().unwrap() >= 12, "{told}");
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
