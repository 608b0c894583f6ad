//! Without these, `forebay bench` could fail when it is needed, leave files behind, or change what programs
//! read of it.
//!
//! They measure for a moment, and compare no figure with any time.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Process, forebay, output};

const QUICK: [&str; 6] = ["--rounds", "1", "--segment-bytes", "4MiB", "--json", "--data"];

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Runs a benchmark in a directory that must be empty again behind it; what it printed, line by line.
#[track_caller]
fn bench(arguments: &[&str]) -> Vec<Value> {
    let dir = TempDir::new().unwrap();
    // To empty a queue takes what it takes.
    let seconds: &[&str] = if arguments.contains(&"drain") { &[] } else { &["--seconds", "0.2"] };
    let all = [&["bench"], arguments, seconds, &QUICK].concat();
    let run = forebay(all).arg(dir.path()).output();
    let Output { status, stdout, stderr } = run.unwrap();
    assert_eq!(status.code(), Some(0), "{arguments:?}: {}", text(&stderr));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{arguments:?} left something");
    text(&stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn number(of: &Value, pointer: &str) -> f64 {
    of.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {pointer} in {of}"))
}

#[test]
fn every_workload_over_tcp_runs_and_is_told_beside_its_limit() {
    for (arguments, name) in [
        (
            &["--connections", "2", "--batch", "10"][..],
            "send/batch=10 bytes=1024 connections=2 window=1 durability=sync",
        ),
        (
            &["--connections", "2", "--queues", "5", "--payload", "100", "--durability", "written"],
            "send/batch=64 bytes=100 connections=2 window=1 queues=5 durability=written",
        ),
        (
            &["--workload", "producer", "--connections", "2"],
            "producer/bytes=1024 connections=2 durability=sync",
        ),
        (
            &["--workload", "drain", "--connections", "2", "--messages", "1000", "--batch", "10"],
            "subscribe+ack/batch=10 bytes=1024 connections=2 window=16 messages=1000 \
             durability=sync",
        ),
    ] {
        let all = [&["tcp"], arguments].concat();
        let lines = bench(&all);
        let [line] = lines.as_slice() else { panic!("{arguments:?}: {lines:?}") };
        assert_eq!(line["workload"], name);
        assert_eq!((&line["loop"], &line["rounds"]), (&"closed".into(), &1.into()));
        let (rate, limit) =
            (number(line, "/messages_per_second"), number(line, "/limit/messages_per_second"));
        assert!(rate > 0.0 && limit > 0.0, "{line}");
        assert!((number(line, "/share_of_limit") - rate / limit).abs() < 1e-9, "{line}");
        let [p50, p99, p999] =
            ["p50", "p99", "p999"].map(|name| number(line, &format!("/latency_us/{name}")));
        assert!(0.0 < p50 && p50 <= p99 && p99 <= p999, "{line}");
        assert!(number(line, "/machine/cores") > 0.0);
    }
}

#[test]
fn the_environment_changes_nothing_in_the_server_that_is_measured() {
    let dir = TempDir::new().unwrap();
    let arguments = ["bench", "tcp", "--connections", "2", "--seconds", "0.2"];
    let run = forebay(arguments.iter().chain(&QUICK))
        .arg(dir.path())
        // Too few for two connections, and no value at all.
        .env("FOREBAY_CONNECTIONS_MAX", "1")
        .env("FOREBAY_IDLE_TIMEOUT", "soon")
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stderr));
}

#[test]
fn a_lone_sender_is_told_beside_a_sync_and_a_round_trip() {
    let lines = bench(&["tcp", "--connections", "1", "--batch", "1", "--payload", "100"]);
    for name in ["fdatasync_us", "round_trip_us", "ping_us"] {
        assert!(number(&lines[0], &format!("/{name}/p50")) > 0.0);
    }
}

#[test]
fn sends_and_consumers_at_once_keep_the_queue_short() {
    let lines = bench(&["tcp", "--workload", "both", "--connections", "2", "--batch", "10"]);
    let depth = &lines[0]["depth"][0];
    // Eight times as many as may be in unanswered sends.
    assert_eq!(depth["max"], 8 * 10 * 2);
    assert!(number(depth, "/start") <= 160.0 && number(depth, "/end") <= 160.0, "{depth}");
    assert!(number(&lines[0], "/end_to_end_us/p50") > 0.0);
}

#[test]
fn at_a_given_rate_what_was_due_is_answered() {
    for workload in ["send", "both"] {
        let rate = ["--rate", "1000", "--batch", "10", "--connections", "2"];
        let lines = bench(&[&["tcp", "--workload", workload], &rate[..]].concat());
        let line = &lines[0];
        assert_eq!((&line["loop"], &line["unanswered"]), (&"open".into(), &0.into()), "{workload}");
        assert!(number(line, "/messages_per_second") > 0.0);
    }
}

#[test]
fn a_sweep_is_a_workload_for_each_number_and_its_report_has_them_all() {
    let dir = TempDir::new().unwrap();
    let report = dir.path().join("report.html");
    let report = report.to_str().unwrap();
    let lines = bench(&["tcp", "--connections", "1,2,4", "--report", report]);
    assert_eq!(lines.len(), 3);
    let page = fs::read_to_string(report).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    for line in &lines {
        assert!(page.contains(line["workload"].as_str().unwrap()));
    }
    assert!(page.contains("Throughput by connections") && page.contains(&report[1..]));
}

#[test]
fn the_table_runs_what_is_chosen() {
    let lines = bench(&["table", "send/batch=10 bytes=100 connections=16 window=1 "]);
    assert_eq!(lines.len(), 1);
    let listed = forebay(["bench", "table", "--list", "connections=64"]).output().unwrap();
    let names: Vec<&str> = text(&listed.stdout).lines().collect();
    assert!(names.len() == 6 && names.iter().all(|name| name.contains("connections=64")));
}

#[test]
fn a_server_that_runs_is_left_as_it_was() {
    let dir = TempDir::new().unwrap();
    let server = Process::serve(&dir.path().join("data"), ([127, 0, 0, 1], 0).into());
    assert!(output(&server, &["queue", "create", "orders"]).status.success());
    bench(&["tcp", "--queues", "3", "--connections", "2", "--server", &server.server()]);
    let listed = output(&server, &["queue", "list"]);
    let queues: Vec<&str> = text(&listed.stdout).lines().collect();
    assert_eq!(queues.len(), 1, "{queues:?}");
    assert!(queues[0].contains("orders"));
}

#[test]
fn an_interrupted_benchmark_leaves_no_queue_on_a_server_that_goes_on() {
    let dir = TempDir::new().unwrap();
    let server = Process::serve(&dir.path().join("data"), ([127, 0, 0, 1], 0).into());
    let mut child = forebay(["bench", "tcp", "--queues", "3", "--server", &server.server()])
        .args(["--seconds", "3600", "--segment-bytes", "4MiB", "--data"])
        .arg(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let queues = || text(&output(&server, &["queue", "list"]).stdout).lines().count();
    while queues() < 3 {
        assert!(child.try_wait().unwrap().is_none(), "it measures for an hour");
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    assert_eq!((status.code(), text(&stderr)), (Some(1), "forebay: interrupted\n"));
    assert_eq!(queues(), 0);
}

/// What a server says to no request was taken for an answer to one: each connection panicked.
#[test]
fn a_server_that_is_stopped_ends_a_benchmark_and_is_named_as_the_cause() {
    let dir = TempDir::new().unwrap();
    let mut server = Process::serve(&dir.path().join("data"), ([127, 0, 0, 1], 0).into());
    let mut child = forebay(["bench", "tcp", "--batch", "1", "--server", &server.server()])
        .args(["--seconds", "3600", "--segment-bytes", "4MiB", "--data"])
        .arg(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let has_some = || {
        let shown = output(&server, &["queue", "list"]);
        text(&shown.stdout).lines().any(|line| line.split_whitespace().nth(1) > Some("0"))
    };
    while !has_some() {
        assert!(child.try_wait().unwrap().is_none(), "it measures for an hour");
        std::thread::yield_now();
    }
    server.terminate();
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    assert_eq!(status.code(), Some(1));
    let stderr = text(&stderr);
    assert!(stderr.lines().all(|line| line.starts_with("forebay")), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    server.wait();
}

#[test]
fn a_queue_of_somebody_else_is_not_measured_with() {
    let dir = TempDir::new().unwrap();
    let server = Process::serve(&dir.path().join("data"), ([127, 0, 0, 1], 0).into());
    // With the attributes that the benchmark itself would give it.
    let create = ["queue", "create", "bench", "--visibility-timeout", "1h"];
    assert!(output(&server, &create).status.success());
    assert!(output(&server, &["send", "bench", "keep me"]).status.success());
    let arguments = ["bench", "tcp", "--server", &server.server(), "--data"];
    let refused = forebay(arguments).arg(dir.path()).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("has a queue \"bench\""), "{}", text(&refused.stderr));
    let received = output(&server, &["receive", "bench"]);
    assert_eq!(text(&received.stdout), "keep me\n");
}

#[test]
fn without_a_server_it_ends_and_says_why() {
    let dir = TempDir::new().unwrap();
    // Nothing listens on port 1.
    let arguments = ["bench", "tcp", "--server", "127.0.0.1:1", "--data"];
    let failed = forebay(arguments).arg(dir.path()).output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    let told = "forebay: cannot connect to 127.0.0.1:1: Connection refused\n";
    assert_eq!(text(&failed.stderr), told);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn an_interrupted_benchmark_leaves_nothing_behind() {
    for arguments in [
        &["tcp", "--connections", "1,2", "--segment-bytes", "4MiB"][..],
        &["log", "--batch", "1,2", "--in-flight", "1", "--segment-bytes", "4MiB"],
    ] {
        let dir = TempDir::new().unwrap();
        let quick = ["--rounds", "1", "--seconds", "2", "--data"];
        let mut child = forebay(["bench"].iter().chain(arguments).chain(&quick))
            .arg(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The machine, the heads, and the first workload: it is at the second.
        assert_eq!(lines.take(3).filter(Result::is_ok).count(), 3, "{arguments:?}");
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let Output { status, stderr, .. } = child.wait_with_output().unwrap();
        assert_eq!(status.code(), Some(1), "{arguments:?}");
        assert!(text(&stderr).ends_with("forebay: interrupted\n"), "{}", text(&stderr));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{arguments:?}");
    }
}

#[test]
fn a_benchmark_that_nobody_reads_ends_quietly_and_leaves_nothing_behind() {
    let dir = TempDir::new().unwrap();
    let many =
        ["bench", "tcp", "--connections", "1,2,3", "--segment-bytes", "4MiB", "--rounds", "1"];
    let mut child = forebay(many)
        .args(["--seconds", "0.2", "--data"])
        .arg(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    drop(stdout);
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    assert_eq!((status.code(), text(&stderr)), (Some(0), ""));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_measured_is_wrong_usage() {
    for (arguments, named) in [
        (&["disk", "--data", "/nonexistent"][..], "--data /nonexistent"),
        // As it was called before.
        (&["disk", "--data-dir", "/nonexistent"], "--data /nonexistent"),
        (&["disk", "--file-bytes", "1MiB"], "--file-bytes: expected at least 16MiB"),
        (&["tcp", "--workload", "drain", "--rate", "5"], "--rate"),
        (&["tcp", "--messages", "5000"], "--messages is of --workload drain"),
        (&["tcp", "--connections", "0"], "--connections"),
        (&["tcp", "--seconds", "0"], "0.1 to 86400"),
        (&["sqs", "--seconds", "0"], "0.1 to 86400"),
        (&["sqs", "--seconds", "1e18"], "0.1 to 86400"),
        (&["table", "no such workload"], "--list shows them"),
        // Nobody listens there: it is refused before anything is measured.
        (&["table", "--count-syncs", "--server", "127.0.0.1:1"], "'--server <ADDR>'"),
        (&["log", "--batch", "0"], "--batch"),
        // These would take more memory than there is.
        (&["fair", "--noise", "99999999999999"], "--noise"),
        (&["fair", "--noise", "10000000", "--bytes", "1000"], "--noise 10000000 of --bytes 1000"),
        (&["fair", "--bytes", "99999999999999"], "--bytes"),
        (
            &["fair", "--tenants", "1000000", "--messages", "1000000"],
            "--tenants 1000000 with --messages 1000000",
        ),
        (&["fifo", "--groups", "4294967295", "--messages", "200"], "--groups"),
        (
            &["fifo", "--groups", "10000000", "--messages", "200"],
            "--groups 10000000 of --messages 200",
        ),
        (&["delayed", "--messages", "2000", "--turns", "100"], "--messages 2000 in --turns 100"),
        (&["delayed", "--due-span", "99999999999999"], "--due-span"),
        (&["deep", "queues", "--queues", "999999", "--bytes", "10000"], "--queues 999999"),
        (&["deep", "backlog", "--bytes", "99999999999999"], "--bytes"),
    ] {
        let failed = forebay(["bench"].iter().chain(arguments)).output().unwrap();
        assert_eq!(failed.status.code(), Some(2), "{arguments:?}");
        assert!(text(&failed.stderr).contains(named), "{arguments:?}: {}", text(&failed.stderr));
    }
}
