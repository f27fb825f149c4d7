//! Small files of `/proc` and `/sys`, none of which is trusted to be what it should be.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::str::FromStr;

use wire::Throttling;

/// Most that is read of a file, in bytes.
const MAX_BYTES: u64 = 8 << 10;
/// Most entries of a folder that are looked at.
const MAX_ENTRIES: usize = 256;

/// Temperatures that a processor can have, in thousandths of a degree Celsius.
const CREDIBLE_TEMPERATURES: std::ops::RangeInclusive<i32> = -60_000..=200_000;

/// Resident memory from a file like `/proc/self/status`, in KiB.
pub(super) fn resident(path: &Path) -> Option<u32> {
    let text = read(path)?;
    let value = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    value.trim().strip_suffix("kB")?.trim_end().parse().ok()
}

/// Temperature of the processor from a folder like `/sys/class/thermal`, in tenths of a degree Celsius: of the first
/// zone that is a processor's and can be read. The other zones are radios, batteries and the like.
pub(super) fn temperature(folder: &Path) -> Option<i16> {
    let entries = fs::read_dir(folder).ok()?.take(MAX_ENTRIES).flatten();
    let number = |name: &str| name.strip_prefix("thermal_zone")?.parse::<u32>().ok();
    let zone = |entry: fs::DirEntry| Some((number(entry.file_name().to_str()?)?, entry.path()));
    let mut zones: Vec<_> = entries.filter_map(zone).collect();
    zones.sort();
    zones.into_iter().find_map(|(_, zone)| {
        let thousandths: i32 = number_in(&zone.join("temp")).filter(|t| CREDIBLE_TEMPERATURES.contains(t))?;
        is_processor(&read(&zone.join("type"))?).then(|| (f64::from(thousandths) / 100.0).round() as i16)
    })
}

/// Whether a thermal zone of this type is a processor's: `cpu-thermal` on a Raspberry Pi.
fn is_processor(kind: &str) -> bool {
    let kind = kind.trim();
    kind.contains("cpu") || kind.contains("soc") || kind == "x86_pkg_temp"
}

/// Clock from a file like `scaling_cur_freq`, which is in kHz, in MHz.
pub(super) fn clock(path: &Path) -> Option<u16> {
    let kilohertz: u32 = number_in(path)?;
    u16::try_from(kilohertz / 1000).ok().filter(|&megahertz| megahertz > 0)
}

/// Flags from the file `get_throttled`, which holds a hexadecimal number.
pub(super) fn throttled(path: &Path) -> Option<Throttling> {
    u32::from_str_radix(read(path)?.trim(), 16).ok().map(Throttling)
}

fn number_in<T: FromStr>(path: &Path) -> Option<T> {
    read(path)?.trim().parse().ok()
}

/// The beginning of a text file; anything else, a pipe that would block among it, is nothing.
pub(super) fn read(path: &Path) -> Option<String> {
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::super::examples::file;
    use super::*;

    fn zone(folder: &Path, number: u32, kind: &str, temperature: &str) {
        file(folder, &format!("thermal_zone{number}/type"), kind);
        file(folder, &format!("thermal_zone{number}/temp"), temperature);
    }

    #[test]
    fn the_kernel_tells_the_memory_of_this_very_process() {
        let resident = resident(Path::new("/proc/self/status")).unwrap();
        assert!((1 << 10..1 << 30).contains(&resident), "{resident} KiB");
    }

    #[test]
    fn memory_clock_and_flags_are_read_as_they_stand() {
        let home = tempfile::tempdir().unwrap();
        let status = file(home.path(), "status", "Name:\tx\nVmRSS:\t    6400 kB\nThreads:\t3\n");
        assert_eq!(resident(&status), Some(6400));
        assert_eq!(clock(&file(home.path(), "clock", "1500398\n")), Some(1500));
        assert_eq!(throttled(&file(home.path(), "flags", "50005\n")), Some(Throttling(0x5_0005)));
    }

    #[test]
    fn the_first_processors_zone_in_order_of_numbers_counts() {
        let home = tempfile::tempdir().unwrap();
        zone(home.path(), 0, "battery", "25000\n");
        zone(home.path(), 10, "cpu-thermal", "90000\n");
        zone(home.path(), 2, "cpu-thermal\n", "48312\n");
        assert_eq!(temperature(home.path()), Some(483));
        zone(home.path(), 2, "cpu-thermal\n", "");
        assert_eq!(temperature(home.path()), Some(900), "the next one that can be read");
    }

    #[test]
    fn frost_is_a_temperature_too() {
        let home = tempfile::tempdir().unwrap();
        zone(home.path(), 0, "cpu-thermal", "-3250");
        assert_eq!(temperature(home.path()), Some(-33));
    }

    #[test]
    fn without_a_processors_zone_the_temperature_is_unknown() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(temperature(&home.path().join("nowhere")), None);
        zone(home.path(), 0, "battery", "25000");
        file(home.path(), "thermal_zoneX/temp", "25000");
        assert_eq!(temperature(home.path()), None);
    }

    #[test]
    fn what_makes_no_sense_is_unknown() {
        let (home, huge) = (tempfile::tempdir().unwrap(), "9".repeat(1 << 20));
        let hostile: [&[u8]; 8] =
            [b"", b"\n", b"-1", b"nan", b"\xff\xfe\0", b"1.5", b"99999999999999999999", huge.as_bytes()];
        for (number, content) in hostile.into_iter().enumerate() {
            let path = file(home.path(), "hostile", content);
            assert_eq!((clock(&path), throttled(&path)), (None, None), "{number}");
            let status = file(home.path(), "status", [b"VmRSS: ", content, b" kB"].concat());
            assert_eq!(resident(&status), None, "{number}");
        }
        zone(home.path(), 0, "cpu-thermal", "2000000");
        assert_eq!(temperature(home.path()), None, "2000 degrees");
        assert_eq!(clock(&file(home.path(), "zero", "0")), None);
        assert_eq!(clock(home.path()), None, "a folder");
    }

    #[test]
    fn a_pipe_into_which_nobody_writes_does_not_block() {
        let home = tempfile::tempdir().unwrap();
        let pipe = home.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(clock(&pipe), None);
    }
}
