//! Forebay, measured by its own benchmark: the same portions over as many connections.

use std::path::Path;
use std::process::Command;

use crate::Error;
use crate::found::Figures;
use crate::load::{Kind, Workload};

/// Runs `forebay bench tcp` once.
pub fn measure(
    program: &Path,
    workload: &Workload,
    durability: &str,
    seconds: f64,
    data_dir: &Path,
) -> Result<Figures, Error> {
    let mut command = Command::new(program);
    command.args(["bench", "tcp", "--rounds", "1", "--json"]);
    command.args(["--connections", &workload.connections.to_string()]);
    command.args(["--batch", &workload.batch.to_string()]);
    command.args(["--payload", &workload.payload.to_string()]);
    command.args(["--durability", durability]);
    command.arg("--data").arg(data_dir).arg("--workload");
    let seconds = seconds.to_string();
    match workload.kind {
        Kind::Send => command.args(["send", "--seconds", &seconds]),
        Kind::Both => command.args(["both", "--seconds", &seconds]),
        Kind::Drain { messages } => command.args(["drain", "--messages", &messages.to_string()]),
    };
    let output = command.output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{} bench tcp: {said}", program.display()).into());
    }
    let told: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let number = |pointer: &str| {
        let number = told.pointer(pointer).and_then(serde_json::Value::as_f64);
        number.ok_or_else(|| format!("forebay bench tcp told no {pointer}"))
    };
    let latency_ms = match workload.kind {
        Kind::Drain { .. } => None,
        Kind::Send | Kind::Both => {
            Some([number("/latency_us/p50")? / 1000.0, number("/latency_us/p99")? / 1000.0])
        }
    };
    let messages_per_second = number("/messages_per_second")?;
    Ok(Figures { messages_per_second, latency_ms, load_cores: None })
}
