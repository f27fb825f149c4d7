//! Output that takes its place when all of it is written.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::TempDir;

/// Files and folders that are being written in a hidden folder of the one that they are for. What is not published is removed.
pub struct Staging {
    out: PathBuf,
    hidden: TempDir,
    /// What is written, and where in `out` it belongs.
    moves: Vec<(PathBuf, PathBuf)>,
    /// What it takes the place of under other names.
    replaced: Vec<PathBuf>,
}

impl Staging {
    /// For the folder `out`, which it makes.
    ///
    /// # Errors
    /// If nothing can be written there.
    pub(super) fn into(out: &Path) -> anyhow::Result<Self> {
        let made = fs::create_dir_all(out)
            .and_then(|()| tempfile::Builder::new().prefix(".hil-export-").tempdir_in(out));
        let hidden = made.with_context(|| {
            format!("cannot write to {}; name a folder that can be written with --out", out.display())
        })?;
        Ok(Staging { out: out.to_owned(), hidden, moves: Vec::new(), replaced: Vec::new() })
    }

    /// The folder that all is for.
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// A new file, which will be `place` in the folder.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn file(&mut self, place: impl Into<PathBuf>) -> io::Result<File> {
        File::create_new(self.add(place.into()))
    }

    /// A new folder, which will be `place` in the folder, and take the place of one that is there.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn folder(&mut self, place: impl Into<PathBuf>) -> io::Result<PathBuf> {
        let folder = self.add(place.into());
        fs::create_dir(&folder).map(|()| folder)
    }

    /// Has what is at `place` in the folder removed when the rest takes its place.
    pub fn replace(&mut self, place: PathBuf) {
        self.replaced.push(place);
    }

    /// Where something is written. Numbered, so that nobody who looks for files of a name takes it for one that is complete.
    fn add(&mut self, place: PathBuf) -> PathBuf {
        let staged = self.hidden.path().join(self.moves.len().to_string());
        self.moves.push((staged.clone(), place));
        staged
    }

    /// Moves everything to its place, one after the other: each takes the place of what is there as a whole.
    pub(super) fn publish(self) -> anyhow::Result<()> {
        let old = |number: usize| self.hidden.path().join(format!("old-{number}"));
        for (number, (staged, place)) in self.moves.iter().enumerate() {
            let place = self.out.join(place);
            let publish = || {
                if let Some(folder) = place.parent() {
                    fs::create_dir_all(folder)?;
                }
                if staged.is_file() {
                    File::open(staged)?.sync_all()?;
                } else if place.symlink_metadata().is_ok() {
                    // No folder can be moved onto another one. It is removed with the hidden one.
                    fs::rename(&place, old(number))?;
                }
                fs::rename(staged, &place)
            };
            publish().with_context(|| format!("cannot write {}", place.display()))?;
        }
        for place in &self.replaced {
            let place = self.out.join(place);
            fs::remove_file(&place).with_context(|| format!("cannot remove {}", place.display()))?;
            // A folder that holds something else stays.
            let _ = place.parent().map(fs::remove_dir);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn nothing_changes_before_all_is_written_and_then_everything_as_a_whole() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::create_dir_all(at("folder/old")).unwrap();
        fs::write(at("file"), "old").unwrap();
        let write = || {
            let mut staging = Staging::into(home.path()).unwrap();
            staging.file("file").unwrap().write_all(b"new").unwrap();
            fs::write(staging.folder("folder").unwrap().join("inside"), "new").unwrap();
            staging.file("below/another").unwrap();
            staging
        };
        drop(write());
        assert_eq!(fs::read(at("file")).unwrap(), b"old");
        assert!(at("folder/old").exists() && !at("below").exists());
        write().publish().unwrap();
        assert_eq!(fs::read(at("file")).unwrap(), b"new");
        assert_eq!(fs::read(at("folder/inside")).unwrap(), b"new");
        assert!(at("below/another").exists() && !at("folder/old").exists());
        let hidden = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(hidden.filter(|name| name.to_string_lossy().starts_with('.')).count(), 0);
    }
}
