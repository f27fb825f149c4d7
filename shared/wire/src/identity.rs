//! Names of devices, runs and content.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// One device of the fleet, by its index `0..devices`. Displayed and parsed as `device-007`, which
/// is also its name in topics and certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceId(pub u32);

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device-{:03}", self.0)
    }
}

/// A text that is no device name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a device name; expected `device-` and at least three digits, as in `device-007`")]
pub struct InvalidDeviceId(String);

impl FromStr for DeviceId {
    type Err = InvalidDeviceId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = text.strip_prefix("device-").and_then(|digits| digits.parse().ok()).map(DeviceId);
        // Only the canonical spelling: two names for one device would be two topics.
        id.filter(|id| id.to_string() == text).ok_or_else(|| InvalidDeviceId(text.to_owned()))
    }
}

/// One run of a scenario. Drawn once when a run directory is made and kept with it, so that a message of
/// an earlier run on the same broker is recognised as such. Displayed as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub u64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for RunId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(RunId)
    }
}

/// A digest of 256 bits; on the wire a byte string of 32 bytes, displayed in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// SHA-256 of `content`: what files, scenarios and results are named by, for `sha256sum` to check.
    pub fn of(content: &[u8]) -> Self {
        Digest(Sha256::digest(content).into())
    }

    /// SHA-256 of all that `content` has, which is never in memory as a whole.
    ///
    /// # Errors
    /// If it cannot be read to its end.
    pub fn of_content(mut content: impl Read) -> io::Result<Self> {
        let (mut hash, mut bytes) = (Sha256::new(), vec![0; 64 << 10]);
        loop {
            match content.read(&mut bytes) {
                Ok(0) => return Ok(Digest(hash.finalize().into())),
                Ok(read) => hash.update(&bytes[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// BLAKE3 of `content`: what transfers are named by. Every one is digested at both ends, and few boards have
    /// instructions for SHA-256.
    pub fn blake3(content: &[u8]) -> Self {
        Digest(blake3::hash(content).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// A text that is no digest.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a digest; expected 64 hexadecimal digits")]
pub struct InvalidDigest(String);

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut digest = Digest([0; 32]);
        for (position, byte) in digest.0.iter_mut().enumerate() {
            let digits = text.get(2 * position..2 * position + 2);
            let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            *byte = value.ok_or_else(|| InvalidDigest(text.to_owned()))?;
        }
        // Only the canonical spelling: `+f` is a number, too.
        if digest.to_string() == text { Ok(digest) } else { Err(InvalidDigest(text.to_owned())) }
    }
}

/// Bytes on the wire, hexadecimal digits in files that people read.
impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
        } else {
            serde_bytes::ByteArray::<32>::deserialize(deserializer).map(|bytes| Digest(bytes.into_array()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_spelling_names_a_device() {
        assert_eq!("device-007".parse(), Ok(DeviceId(7)));
        assert_eq!(DeviceId(1234).to_string().parse(), Ok(DeviceId(1234)));
        for wrong in ["device-7", "device-0007", "device-+07", "device-", "007", "device-007 "] {
            assert!(wrong.parse::<DeviceId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_the_canonical_spelling_is_a_digest() {
        let digest = Digest::of(b"abc");
        let text = digest.to_string();
        assert_eq!(text.parse(), Ok(digest));
        for wrong in [&text[1..], &text.to_uppercase(), &format!("{text}0"), &format!("+{}", &text[1..]), "ä"]
        {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_digest_is_the_one_of_fips_180() {
        assert_eq!(
            Digest::of(b"abc").to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        let long = vec![3; 200_000];
        assert_eq!(Digest::of_content(&long[..]).unwrap(), Digest::of(&long));
    }
}
