//! A block device of our own: an image that `qemu-storage-daemon` exports as a file, through FUSE, below a
//! loop device. What is between the file system and the image is seen, and can fail.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::process::Process;
use super::system::{Lacking, Mount, need, need_root, run};

/// So long a daemon may take to come or to go.
const PATIENCE: Duration = Duration::from_secs(10);

/// A process that is ended when this is dropped.
#[derive(Debug)]
pub(super) struct Daemon(Process);

/// A mounted file system whose device is exported. Undone in this order when dropped.
#[derive(Debug)]
pub(super) struct Exported {
    pub(super) mount: Mount,
    daemon: Daemon,
}

impl Daemon {
    pub(super) fn start(program: &str, arguments: &[String], log: &Path) -> io::Result<Self> {
        let log = fs::File::create(log)?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Process::spawn(&mut command).map(Self)
    }

    /// Waits until something is so, or the daemon has ended.
    pub(super) fn until(&mut self, is_so: impl Fn() -> bool, log: &Path) -> io::Result<()> {
        let began = Instant::now();
        while !is_so() {
            let has_ended = self.0.try_wait()?.is_some();
            if has_ended || began.elapsed() > PATIENCE {
                let said = fs::read_to_string(log).unwrap_or_default();
                return Err(io::Error::other(format!("it does not come: {}", said.trim())));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Asks it to end, and waits for that.
    pub(super) fn end(&mut self) {
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let began = Instant::now();
        while matches!(self.0.try_wait(), Ok(None)) && began.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}

impl Exported {
    /// Exports the node `node` of these block devices, and mounts the file system on it.
    pub(super) fn mount(
        dir: &Path,
        blockdevs: &[String],
        node: &str,
        bytes: u64,
    ) -> io::Result<Self> {
        let export = dir.join("export");
        fs::File::create(&export)?;
        let mut arguments = Vec::new();
        for blockdev in blockdevs {
            arguments.extend(["--blockdev".to_owned(), blockdev.clone()]);
        }
        let mountpoint = export.display();
        arguments.extend([
            "--export".to_owned(),
            format!(
                "type=fuse,id=e0,node-name={node},mountpoint={mountpoint},writable=on,\
                 growable=off,allow-other=off"
            ),
        ]);
        let log = dir.join("storage-daemon.log");
        let mut daemon = Daemon::start("qemu-storage-daemon", &arguments, &log)?;
        let is_there = || fs::metadata(&export).is_ok_and(|file| file.len() == bytes);
        daemon.until(is_there, &log)?;
        Ok(Self { mount: Mount::image(&export, &dir.join("disk"))?, daemon })
    }

    /// Unmounts, and ends the daemon, so that everything is where it belongs.
    pub(super) fn unmount(self) -> io::Result<()> {
        let Self { mount, mut daemon } = self;
        let done = mount.unmount();
        daemon.end();
        done
    }
}

/// Makes an ext4 file system in a new image.
pub(super) fn make_ext4(image: &Path, bytes: u64) -> io::Result<()> {
    super::system::sparse(image, bytes)?;
    let options = "lazy_itable_init=0,lazy_journal_init=0";
    let image: PathBuf = image.to_owned();
    run("mkfs.ext4", &["-q", "-F", "-E", options, &image.display().to_string()]).map(drop)
}

/// Whether file systems can be exported and mounted here, with these programs.
pub(super) fn need_exports(programs: &[&str]) -> Result<(), Lacking> {
    need_root()?;
    need(programs)?;
    match Path::new("/dev/fuse").exists() && Path::new("/dev/loop-control").exists() {
        true => Ok(()),
        false => Err(Lacking("this machine has no FUSE, or no loop devices".to_owned())),
    }
}
