//! Files that are replaced as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Replaces the file at `path`, with the permissions `mode` less those that the process gives nobody: whoever reads it, also
/// after a power failure, sees the old content or what `write_into` writes. The temporary file beside it has the name with
/// `.tmp` added, so that there must be one writer at a time.
///
/// # Errors
/// What the operating system says.
pub fn replace(
    path: &Path,
    mode: u32,
    write_into: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    // One that a crash has left may be open to others.
    if let Err(error) = fs::remove_file(&temporary)
        && error.kind() != ErrorKind::NotFound
    {
        return Err(error);
    }
    // Made here and now: whatever else has this name is not followed.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    write_into(&mut file)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    // The rename itself is durable once the directory is.
    match path.parent() {
        Some(parent) if parent != Path::new("") => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}
