//! Bringing a release onto a device, without putting it to use.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail, ensure};
use time::OffsetDateTime;

use super::architecture::{Architecture, advice};
use super::release::{Release, ReleaseFile};
use super::ssh::Ssh;
use crate::fleet::boards::Board;
use crate::fleet::inventory::{Device, Service};

/// Room that must be left beside the upload.
const SPARE_KIB: u64 = 4096;

/// What a device says when it is looked at.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    machine: String,
    free_kib: u64,
    /// Whether its kernel limits no program's memory.
    memory_unlimited: bool,
    /// The release in use.
    pub(super) current: Option<String>,
    /// Name and digest of the files of the release in use.
    files: Vec<(String, String)>,
}

/// Makes sure that the release is there: its name, and how many files were sent. `None` if interrupted.
pub(crate) fn place(
    device: &Device,
    ssh: &Ssh,
    release: &Release,
    survey: &Survey,
    stop: &AtomicBool,
    tell: &dyn Fn(&str),
) -> anyhow::Result<Option<(String, usize)>> {
    if survey.memory_unlimited && device.service == Service::Systemd {
        tell(
            "warning: its kernel runs without the memory cgroup, so MemoryMax of the unit limits nothing: add \
             `cgroup_enable=memory cgroup_memory=1` to the line in /boot/firmware/cmdline.txt, and start it anew",
        );
    }
    let is_there = |file: &&ReleaseFile| {
        survey.files.iter().any(|(name, digest)| name == file.name && *digest == file.digest)
    };
    let (unchanged, changed): (Vec<&ReleaseFile>, Vec<&ReleaseFile>) =
        release.files.iter().partition(is_there);
    if let (Some(current), true) = (&survey.current, changed.is_empty()) {
        return Ok(Some((current.clone(), 0)));
    }
    let bytes: u64 = changed.iter().map(|file| file.bytes.len() as u64).sum();
    let needed = bytes.div_ceil(1024) + SPARE_KIB;
    if survey.free_kib < needed {
        let (root, free) = (&device.root, survey.free_kib);
        bail!("{root} has {free} KiB left, and this needs {needed}; remove something there");
    }
    let name = release.name(OffsetDateTime::now_utc());
    let kept = unchanged.iter().map(|file| file.name);
    ssh.run("stage", &[name.as_str()].into_iter().chain(kept).collect::<Vec<_>>(), stop)?;
    for file in &changed {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        tell(&format!("sending {}, {}", file.name, indicatif::BinaryBytes(file.bytes.len() as u64)));
        let arguments = [name.as_str(), file.name, file.mode, &file.digest];
        ssh.run_with("put", &arguments, file.bytes.to_vec(), stop)?;
    }
    ssh.run("complete", &[&name], stop)?;
    Ok(Some((name, changed.len())))
}

impl Survey {
    /// Looks at `device`, and makes sure that it can run `release`.
    pub(crate) fn at(
        device: &Device,
        ssh: &Ssh,
        release: &Release,
        stop: &AtomicBool,
    ) -> anyhow::Result<Self> {
        let survey = Survey::parse(&ssh.run("look", &[], stop)?).context("an answer that cannot be read")?;
        let machine = &survey.machine;
        if let Some(board) = &device.board {
            let target = Board::find(board)?.target;
            let fits = Architecture::of_target(&target).is_none_or(|it| it.runs_on(machine));
            let advice = advice(machine);
            ensure!(
                fits,
                "it calls itself {machine}, but its board {board} is for {target}; correct the inventory{advice}"
            );
        }
        if let Some(architecture) = release.architecture {
            ensure!(
                architecture.runs_on(machine),
                "it calls itself {machine}, but the client is for {architecture}{}",
                advice(machine)
            );
        }
        Ok(survey)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut survey = Survey::default();
        for line in text.lines() {
            match line.split(' ').collect::<Vec<_>>().as_slice() {
                ["machine", machine] => (*machine).clone_into(&mut survey.machine),
                ["free", free] => survey.free_kib = free.parse().ok()?,
                ["memory", "unlimited"] => survey.memory_unlimited = true,
                ["current", release] => survey.current = Some(plain(release)?),
                ["file", digest, name] => survey.files.push(((*name).to_owned(), (*digest).to_owned())),
                _ => {}
            }
        }
        (!survey.machine.is_empty()).then_some(survey)
    }
}

/// The name of a release, which goes back into commands.
fn plain(release: &str) -> Option<String> {
    let plain = !release.is_empty() && release.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    plain.then(|| release.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_device_says_is_read_and_nothing_else_believed() {
        let said = "Welcome to device-000\nmachine aarch64\nfree 1000\nmemory unlimited\ncurrent 20260101-000000-0a1b2c3d\n\
                    file 00ff client.toml\n";
        let survey = Survey {
            machine: "aarch64".to_owned(),
            free_kib: 1000,
            memory_unlimited: true,
            current: Some("20260101-000000-0a1b2c3d".to_owned()),
            files: vec![("client.toml".to_owned(), "00ff".to_owned())],
        };
        assert_eq!(Survey::parse(said), Some(survey));
        for hostile in ["", "free 1\n", "machine x\nfree many\n", "machine x\ncurrent ../../etc\n"] {
            assert_eq!(Survey::parse(hostile), None, "{hostile:?}");
        }
    }
}
