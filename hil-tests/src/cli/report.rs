//! `hil report`.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use record::{StoredRun, render};
use scenario::catalogue::Catalogue;
use tempfile::Builder;

use super::common::Ending;

/// Make the report of a run: one that is in progress, was interrupted or is finished
///
///   cargo hil report runs/mnist-trimmed-mean-processes
///   cargo hil report runs/first --out /tmp/first.html
///
/// Shows the rounds up to the last checkpoint, and says which of the three the run is. Whoever writes the run is not
/// disturbed.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct ReportArgs {
    /// The run's directory
    run: PathBuf,
    /// The page [default: report.html in the run's directory]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl ReportArgs {
    /// Writes the page.
    ///
    /// # Errors
    /// If there is no run, it is damaged, or the page cannot be written.
    pub(super) fn run(self, catalogue: &Catalogue) -> anyhow::Result<Ending> {
        let run = StoredRun::open(&self.run, catalogue)?;
        let arm = run.arm(&run.scenario().name)?;
        let page = render(&arm.label, std::slice::from_ref(&arm))?;
        let out = self.out.unwrap_or_else(|| self.run.join("report.html"));
        write(&out, page.as_bytes()).with_context(|| {
            format!("cannot write {}; name a place that can be written with --out", out.display())
        })?;
        link::print(format_args!("{}: {}\nreport: {}", arm.label, arm.progress(), out.display()))?;
        Ok(Ending::Finished)
    }
}

/// Replaces the file `path` at once, with a temporary file that nobody else uses: the run's own process may be writing
/// its report.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let temporary = Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(folder)?;
    std::io::Write::write_all(&mut temporary.as_file(), bytes)?;
    temporary.persist(path)?;
    Ok(())
}
