//! How long a process has used processors: what is left of a figure when others use the machine too.

use std::time::Duration;

use crate::BenchError;

/// The time that the threads of a process have run, all together. Threads that have ended do not count.
pub(crate) fn processor_time(process: u32) -> Result<Duration, BenchError> {
    let tasks = format!("/proc/{process}/task");
    let unreadable = |error| BenchError::new(format!("cannot read {tasks}: {error}"));
    let mut took = Duration::ZERO;
    for task in std::fs::read_dir(&tasks).map_err(unreadable)? {
        // The thread may be gone meanwhile.
        let Ok(text) = std::fs::read_to_string(task.map_err(unreadable)?.path().join("schedstat"))
        else {
            continue;
        };
        let ran_ns = text.split(' ').next().and_then(|ran_ns| ran_ns.parse().ok());
        let ran_ns = ran_ns.ok_or_else(|| {
            BenchError::new(format!(
                "{tasks}: expected the nanoseconds of a thread, found {text:?}"
            ))
        })?;
        took += Duration::from_nanos(ran_ns);
    }
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_uses_processor_time() {
        let before = processor_time(std::process::id()).unwrap();
        while processor_time(std::process::id()).unwrap() <= before {}
    }
}
