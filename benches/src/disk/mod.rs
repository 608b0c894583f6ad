//! `forebay bench disk`: what this disk gives a log, and what that means for a queue.
//!
//! Each module uses only those named before it:
//!
//! | module | what |
//! | --- | --- |
//! | `file` | files that grow, or were prepared in different ways |
//! | `cell` | what is measured: one kind of file, way of writing and size of block |
//! | `words` | what the figures mean for a queue |
//! | `page` | the report of a disk |

mod cell;
mod file;
mod page;
mod words;

use std::path::PathBuf;
use std::time::Duration;

use crate::BenchError;
use crate::blocking::{Stop, blocking};
use crate::html::Run;
use crate::measured::{report_file, seconds, write_page};
use crate::place::Place;
use crate::print;
use crate::progress::Progress;
use crate::server::scratch_directory;
use crate::size::Size;
use cell::{Cell, Found};
use words::words;

/// Measure what this disk gives a log: syncs a second and bytes a second, by size of block
///
/// Each is measured on files that grow, that were preallocated (fallocate), written with zeros before, and
/// recycled (written with other data before, and not in memory); through the page cache and past it
/// (O_DIRECT). In the end it says what that means for a queue.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: forebay bench disk --data . --report disk.html")]
pub(crate) struct Disk {
    #[command(flatten)]
    place: Place,
    /// Seconds for each figure in each round, at most: it ends before where its file ends
    #[arg(long, value_name = "S", default_value_t = 0.4, value_parser = seconds)]
    seconds: f64,
    /// How often each is measured, all of them taking turns
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Bytes of a file
    #[arg(long, value_name = "SIZE", default_value = "256MiB")]
    file_bytes: Size,
    /// Print one JSON object a figure instead of the table
    #[arg(long)]
    json: bool,
    /// Write a report with plots, for people, to this file
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
}

impl Disk {
    /// Measures, and reports.
    pub(crate) async fn run(self) -> Result<(), BenchError> {
        if self.file_bytes.0 < cell::FILE_BYTES_MIN {
            let least = cell::FILE_BYTES_MIN >> 20;
            return Err(BenchError::usage(format!("--file-bytes: expected at least {least}MiB")));
        }
        let machine = self.place.machine()?;
        let report = report_file(self.report.as_ref())?;
        let (json, path, rounds) = (self.json, self.report.clone(), self.rounds);
        let found = blocking(move |stop| self.measure(stop)).await?;
        if json {
            for found in &found {
                print::line(found.json(&machine)?);
            }
        } else {
            print::line(format_args!("{machine}\n{}", Found::heads()));
            found.iter().for_each(|found| print::line(found.line()));
            print::line("\nWhat that means for a queue:");
            words(&found).iter().for_each(|words| print::line(format_args!("- {words}")));
        }
        if let (Some(file), Some(path)) = (report, path) {
            let page = page::page(&Run::now(&machine, rounds), &found);
            write_page(file, &path, &page)?;
        }
        Ok(())
    }

    /// Every figure in each round.
    fn measure(self, stop: &Stop) -> Result<Vec<Found>, BenchError> {
        let scratch = scratch_directory(&self.place.data_dir)?;
        let (seconds, file_bytes) = (Duration::from_secs_f64(self.seconds), self.file_bytes.0);
        let mut found: Vec<Found> = Cell::all().into_iter().map(Found::new).collect();
        let progress = Progress::of(u64::from(self.rounds) * found.len() as u64);
        for _ in 0..self.rounds {
            for found in &mut found {
                stop.check()?;
                progress.doing(found.cell.to_string());
                match found.cell.measure(scratch.path(), file_bytes, seconds)? {
                    Some(run) => found.runs.push(run),
                    None => progress
                        .note(&format!("{}: this file system has no direct access", found.cell)),
                }
                progress.step();
            }
        }
        found.retain(|found| !found.runs.is_empty());
        Ok(found)
    }
}
