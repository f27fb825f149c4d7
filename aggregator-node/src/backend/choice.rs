//! The device of a command line.

use std::fmt;
use std::str::FromStr;

/// Which device; written `cpu`, `cuda:N` or `auto`, and `cuda` for `cuda:0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The processors of the machine.
    #[default]
    Cpu,
    /// The GPU of this number.
    Cuda(u32),
    /// The first GPU if it can be used, else the processors.
    Auto,
}

/// A text that names no device.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("not a device: give cpu, cuda:N with the number of a GPU, as in cuda:0, or auto")]
pub struct UnknownDevice;

impl FromStr for DeviceChoice {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "cpu" => Ok(DeviceChoice::Cpu),
            "auto" => Ok(DeviceChoice::Auto),
            "cuda" => Ok(DeviceChoice::Cuda(0)),
            _ => {
                let number =
                    text.strip_prefix("cuda:").filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
                number.and_then(|digits| digits.parse().ok()).map(DeviceChoice::Cuda).ok_or(UnknownDevice)
            }
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceChoice::Cpu => f.write_str("cpu"),
            DeviceChoice::Cuda(number) => write!(f, "cuda:{number}"),
            DeviceChoice::Auto => f.write_str("auto"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_device_is_parsed_and_displayed_as_itself() {
        for text in ["cpu", "auto", "cuda:0", "cuda:17"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
    }

    #[test]
    fn anything_else_is_answered_with_what_there_is() {
        for text in ["", "CUDA", "gpu", "cuda:", "cuda:-1", "cuda:+1", "cuda: 1", "cuda:99999999999", "cpu:0"]
        {
            assert_eq!(text.parse::<DeviceChoice>(), Err(UnknownDevice), "{text}");
        }
    }
}
