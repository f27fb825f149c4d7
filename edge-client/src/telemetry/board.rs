//! All readings of a board, taken at once.

use std::path::PathBuf;

use wire::Telemetry;

use super::files;
use super::firmware::Firmware;

/// Where a board's values come from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// What the kernel tells of this process.
    pub process: PathBuf,
    /// The folder of the thermal zones.
    pub thermal: PathBuf,
    /// The clock of the first core, in kHz.
    pub clock: PathBuf,
    /// The throttling flags, hexadecimal.
    pub throttled: PathBuf,
    /// The program that asks the firmware.
    pub firmware: PathBuf,
}

impl Default for Sources {
    /// Those of a Raspberry Pi, and of any Linux as far as it has them.
    fn default() -> Self {
        Sources {
            process: "/proc/self/status".into(),
            thermal: "/sys/class/thermal".into(),
            clock: "/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq".into(),
            throttled: "/sys/devices/platform/soc/soc:firmware/get_throttled".into(),
            firmware: "vcgencmd".into(),
        }
    }
}

/// A board that is read again and again.
#[derive(Debug)]
pub struct Board {
    sources: Sources,
    firmware: Firmware,
    latest: Reading,
}

/// What a board told at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// All but the energy, which takes time.
    pub telemetry: Telemetry,
    /// Power in mW.
    power: Option<u32>,
    /// Sum and number of the readings of power so far.
    total: (u64, u64),
}

impl Board {
    /// A board that has not been read yet.
    pub fn new(sources: Sources) -> Self {
        let firmware = Firmware::new(sources.firmware.clone());
        Board { sources, firmware, latest: Reading::default() }
    }

    /// Reads all there is. May take seconds where the firmware's program hangs.
    pub fn read(&mut self) -> Reading {
        let Board { sources, firmware, latest } = self;
        latest.telemetry = Telemetry {
            rss_kib: files::resident(&sources.process),
            temperature: files::temperature(&sources.thermal),
            throttled: files::throttled(&sources.throttled).or_else(|| firmware.throttled()),
            clock: files::clock(&sources.clock),
            energy: None,
        };
        latest.power = firmware.power();
        if let Some(power) = latest.power {
            latest.total.0 += u64::from(power);
            latest.total.1 += 1;
        }
        *latest
    }
}

impl Reading {
    /// Mean power in mW from `earlier` until this reading, both included.
    pub(super) fn mean_power_since(&self, earlier: &Reading) -> Option<f64> {
        let before = earlier.power.map_or((0, 0), |power| (u64::from(power), 1));
        let sum = before.0 + (self.total.0 - earlier.total.0);
        let readings = before.1 + (self.total.1 - earlier.total.1);
        (readings > 0).then(|| sum as f64 / readings as f64)
    }
}

#[cfg(test)]
mod tests {
    use wire::Throttling;

    use super::super::examples::{file, sources};
    use super::*;

    #[test]
    fn a_board_tells_what_it_can() {
        let folder = tempfile::tempdir().unwrap();
        let mut board = Board::new(sources(folder.path()));
        assert_eq!(board.read(), Reading::default(), "an empty folder tells nothing");
        for (name, content) in [
            ("status", "VmRSS:\t 6400 kB\n"),
            ("thermal/thermal_zone0/type", "cpu-thermal\n"),
            ("thermal/thermal_zone0/temp", "48312\n"),
            ("get_throttled", "50000\n"),
        ] {
            file(folder.path(), name, content);
        }
        let telemetry = Telemetry {
            rss_kib: Some(6400),
            temperature: Some(483),
            throttled: Some(Throttling(0x5_0000)),
            clock: None,
            energy: None,
        };
        assert_eq!(board.read().telemetry, telemetry);
    }

    #[test]
    fn power_is_the_mean_of_what_was_read_meanwhile() {
        let reading = |power, total| Reading { power, total, ..Reading::default() };
        let before = reading(Some(2000), (9000, 3));
        assert_eq!(before.mean_power_since(&before), Some(2000.0), "a short training: the last reading");
        assert_eq!(reading(Some(5000), (17_000, 5)).mean_power_since(&before), Some(10_000.0 / 3.0));
        assert_eq!(reading(None, (9000, 3)).mean_power_since(&before), Some(2000.0));
        let silent = reading(None, (9000, 3));
        assert_eq!(silent.mean_power_since(&silent), None, "it no longer tells");
        assert_eq!(reading(Some(1000), (1000, 1)).mean_power_since(&Reading::default()), Some(1000.0));
    }
}
