//! What is measured on: a figure without its machine says nothing.

use std::fs;
use std::path::Path;

use serde::Serialize;

/// A machine, as far as its figures depend on it. What cannot be found out is "unknown".
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    /// Of the directory in which data is kept.
    pub(crate) file_system: Mount,
}

/// Where a directory is mounted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Mount {
    /// What kind of file system it is.
    pub(crate) kind: String,
    pub(crate) device: String,
    pub(crate) mounted_on: String,
    pub(crate) options: String,
}

const UNKNOWN: &str = "unknown";

impl Machine {
    /// This one, with its data in `directory`.
    pub(crate) fn of(directory: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let uname = rustix::system::uname();
        let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
        let directory = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
        Self {
            cpu: field(&read("/proc/cpuinfo"), "model name")
                .unwrap_or_else(|| format!("{UNKNOWN} {}", text(uname.machine()))),
            cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            memory_bytes: memory(&read("/proc/meminfo")),
            kernel: format!("{} {}", text(uname.sysname()), text(uname.release())),
            file_system: mount_of(&directory, &read("/proc/self/mountinfo")),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cpu, cores, memory_bytes, kernel, file_system } = self;
        let gib = *memory_bytes as f64 / f64::from(1 << 30);
        write!(f, "{cores} x {cpu}, {gib:.0} GiB, {kernel}, {file_system}")
    }
}

impl std::fmt::Display for Mount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, device, mounted_on, options } = self;
        write!(f, "{kind} on {device}, mounted on {mounted_on} ({options})")
    }
}

impl Mount {
    /// Whether what is written to it reaches no disk.
    pub(crate) fn is_in_memory(&self) -> bool {
        matches!(self.kind.as_str(), "tmpfs" | "ramfs")
    }
}

/// The value of the first line `name : value`.
fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn memory(meminfo: &str) -> u64 {
    let total = field(meminfo, "MemTotal");
    let kib = total.and_then(|total| total.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

/// The mount that a directory is on: the one with the longest path above it, and of these the last.
fn mount_of(directory: &Path, mountinfo: &str) -> Mount {
    let mut found = Mount {
        kind: UNKNOWN.to_owned(),
        device: UNKNOWN.to_owned(),
        mounted_on: UNKNOWN.to_owned(),
        options: String::new(),
    };
    let mut longest = 0;
    for line in mountinfo.lines() {
        // 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
        let Some((before, behind)) = line.split_once(" - ") else { continue };
        let before: Vec<&str> = before.split(' ').collect();
        let behind: Vec<&str> = behind.split(' ').collect();
        let (Some(mounted_on), Some(options)) = (before.get(4), before.get(5)) else { continue };
        let mounted_on = mounted_on.replace("\\040", " ");
        let components = Path::new(&mounted_on).components().count();
        if directory.starts_with(&mounted_on) && components >= longest {
            longest = components;
            let word = |index: usize| (*behind.get(index).unwrap_or(&UNKNOWN)).to_owned();
            let options = (*options).to_owned();
            found = Mount { kind: word(0), device: word(1), mounted_on, options };
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_on_the_innermost_mount_above_it() {
        let mountinfo = "\
            21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro\n\
            22 21 0:5 / /tmp rw,nosuid shared:2 - tmpfs tmpfs rw,size=1024k\n\
            23 21 8:2 / /srv/my\\040data rw,noatime - xfs /dev/vdb rw\n";
        let on = |path: &str| mount_of(Path::new(path), mountinfo);
        assert_eq!(on("/home/x").to_string(), "ext4 on /dev/vda1, mounted on / (rw,relatime)");
        assert!(on("/tmp/x").is_in_memory());
        assert_eq!(on("/srv/my data/store").device, "/dev/vdb");
        assert_eq!(on("/tmpfs").kind, "ext4", "a name that only begins the same is another");
    }

    #[test]
    fn this_machine_is_known() {
        let machine = Machine::of(Path::new("."));
        assert!(machine.cores > 0 && machine.memory_bytes > 0, "{machine}");
        assert_ne!(machine.file_system.kind, UNKNOWN);
        assert!(machine.kernel.starts_with("Linux "), "{machine}");
    }
}
