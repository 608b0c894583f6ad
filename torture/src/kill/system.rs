//! What some campaigns need of the machine: tools, loop devices, mounts. Whatever is made here is undone
//! when it is dropped, also after a failure.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why a campaign is not run on this machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("skipped: {0}")]
pub struct Lacking(pub String);

/// A file system that is mounted. Unmounted when dropped.
#[derive(Debug)]
pub(super) struct Mount {
    pub(super) at: PathBuf,
    device: Option<LoopDevice>,
}

/// A loop device. Given back when dropped.
#[derive(Debug)]
pub(super) struct LoopDevice(pub(super) PathBuf);

/// Whether all of these programs are there.
pub(super) fn need(programs: &[&str]) -> Result<(), Lacking> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Where administrators' programs are, whoever asks.
    let dirs: Vec<_> =
        std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).collect();
    match programs.iter().find(|program| !dirs.iter().any(|dir| dir.join(program).exists())) {
        Some(program) => Err(Lacking(format!("this machine has no {program}"))),
        None => Ok(()),
    }
}

/// Whether file systems may be mounted.
pub(super) fn need_root() -> Result<(), Lacking> {
    match rustix::process::geteuid().is_root() {
        true => Ok(()),
        false => Err(Lacking("mounting file systems needs root".to_owned())),
    }
}

/// Runs a program to its end; what it says on stdout.
pub(super) fn run<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> io::Result<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output()?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(io::Error::other(format!("{program} ended with {}: {said}", output.status)))
        }
    }
}

impl LoopDevice {
    /// A device whose bytes are those of a file.
    pub(super) fn of(file: &Path) -> io::Result<Self> {
        let device =
            run("losetup", &[OsStr::new("--find"), OsStr::new("--show"), file.as_os_str()])?;
        Ok(Self(device.into()))
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        // Whatever holds it, nothing more can be done here.
        let _ = run("losetup", &[OsStr::new("--detach"), self.0.as_os_str()]);
    }
}

impl Mount {
    /// A tmpfs of that size.
    pub(super) fn tmpfs(at: &Path, bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(at)?;
        let size = format!("size={bytes}");
        let arguments: [&OsStr; 6] = [
            "-t".as_ref(),
            "tmpfs".as_ref(),
            "-o".as_ref(),
            size.as_ref(),
            "tmpfs".as_ref(),
            at.as_ref(),
        ];
        run("mount", &arguments)?;
        Ok(Self { at: at.to_owned(), device: None })
    }

    /// The file system in a file.
    pub(super) fn image(image: &Path, at: &Path) -> io::Result<Self> {
        fs::create_dir_all(at)?;
        let device = LoopDevice::of(image)?;
        run("mount", &[device.0.as_os_str(), at.as_os_str()])?;
        Ok(Self { at: at.to_owned(), device: Some(device) })
    }

    /// Unmounts it, and says whether that worked.
    pub(super) fn unmount(mut self) -> io::Result<()> {
        let done = run("umount", &[self.at.as_os_str()]).map(drop);
        if done.is_ok() {
            self.at = PathBuf::new();
        }
        done
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if !self.at.as_os_str().is_empty() {
            // One that is busy goes when its last user does.
            let _ = run("umount", &[OsStr::new("--lazy"), self.at.as_os_str()]);
        }
        drop(self.device.take());
    }
}

/// A file of that size in which nothing is stored yet.
pub(super) fn sparse(path: &Path, bytes: u64) -> io::Result<()> {
    fs::File::create(path)?.set_len(bytes)
}

/// Copies a directory, which must not be there yet.
pub(super) fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), &to)?;
        }
    }
    Ok(())
}
