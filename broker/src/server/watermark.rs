//! Limits of memory and disk in RabbitMQ's notation: `2GB`, `500MiB`, or a share of the machine's memory.

use std::{error, fmt, str::FromStr};

/// Free space below this sets the disk alarm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DiskFreeLimit {
    /// Bytes.
    Absolute(u64),
    /// So many times the machine's memory.
    Relative(f64),
}

/// Memory in use above this sets the memory alarm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MemoryWatermark {
    /// Bytes.
    Absolute(u64),
    /// A share of the machine's memory, 0 to 1. 0 blocks all publishers.
    Relative(f64),
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub u64);

/// What a limit can't be. Displayed with what it can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatermarkError {
    /// Not a size.
    Size(String),
    /// Not a share of memory.
    Share(String),
    /// Not a factor of memory.
    Factor(String),
}

impl DiskFreeLimit {
    /// So many times the machine's memory.
    pub fn relative(factor: f64) -> Result<Self, WatermarkError> {
        match factor.is_finite() && factor >= 0.0 {
            true => Ok(Self::Relative(factor)),
            false => Err(WatermarkError::Factor(factor.to_string())),
        }
    }

    /// In bytes, on a machine with that much memory.
    #[must_use]
    pub fn bytes(self, memory_total: Option<u64>) -> u64 {
        match self {
            Self::Absolute(bytes) => bytes,
            Self::Relative(factor) => share(factor, memory_total.unwrap_or(0)),
        }
    }
}

impl MemoryWatermark {
    /// A share of the machine's memory.
    pub fn relative(share: f64) -> Result<Self, WatermarkError> {
        match (0.0..=1.0).contains(&share) {
            true => Ok(Self::Relative(share)),
            false => Err(WatermarkError::Share(share.to_string())),
        }
    }

    /// In bytes, on a machine with that much memory; none if it has to be known and is not.
    #[must_use]
    pub fn bytes(self, memory_total: Option<u64>) -> Option<u64> {
        match self {
            Self::Absolute(bytes) => Some(bytes),
            Self::Relative(fraction) => memory_total.map(|total| share(fraction, total)),
        }
    }
}

impl FromStr for DiskFreeLimit {
    type Err = WatermarkError;

    fn from_str(text: &str) -> Result<Self, WatermarkError> {
        text.parse().map(|ByteSize(bytes)| Self::Absolute(bytes))
    }
}

/// `0.4` and `1` are shares, `2GB` is a size.
impl FromStr for MemoryWatermark {
    type Err = WatermarkError;

    fn from_str(text: &str) -> Result<Self, WatermarkError> {
        match text.parse::<f64>() {
            Ok(fraction) if fraction <= 1.0 || text.contains('.') => Self::relative(fraction),
            _ => text.parse().map(|ByteSize(bytes)| Self::Absolute(bytes)),
        }
    }
}

/// `k`, `M`, `G`, `T`, `P`, alone or with `i` or `iB`, count in steps of 1,024; with `B`, of 1,000. Upper and lower
/// case are the same.
impl FromStr for ByteSize {
    type Err = WatermarkError;

    fn from_str(text: &str) -> Result<Self, WatermarkError> {
        let refusal = || WatermarkError::Size(text.to_owned());
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| refusal())?;
        let unit = unit.to_ascii_lowercase();
        let power = match unit.chars().next() {
            None => return Ok(Self(number)),
            Some(letter) => "kmgtp".find(letter).ok_or_else(refusal)? as u32 + 1,
        };
        let step: u64 = match &unit[1..] {
            "" | "i" | "ib" => 1_024,
            "b" => 1_000,
            _ => return Err(refusal()),
        };
        number.checked_mul(step.pow(power)).map(Self).ok_or_else(refusal)
    }
}

impl fmt::Display for WatermarkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(text) => {
                write!(f, "'{text}' is no size: bytes, or a number with a unit as in 500MiB or 2GB")
            }
            Self::Share(text) => write!(f, "'{text}' is no share of memory: 0.0 to 1.0 it may be"),
            Self::Factor(text) => write!(f, "'{text}' is no factor of memory: 0.0 or more it may be"),
        }
    }
}

impl error::Error for WatermarkError {}

/// A share of so many bytes. What is too large to count is the largest there is.
fn share(factor: f64, bytes: u64) -> u64 {
    (factor * bytes as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_rabbitmqs_units() {
        let cases = [
            ("0", Some(0)),
            ("50000000", Some(50_000_000)),
            ("1k", Some(1_024)),
            ("1kB", Some(1_000)),
            ("2KiB", Some(2_048)),
            ("500MiB", Some(500 << 20)),
            ("50MB", Some(50_000_000)),
            ("3m", Some(3 << 20)),
            ("2GB", Some(2_000_000_000)),
            ("2Gi", Some(2 << 30)),
            ("2g", Some(2 << 30)),
            ("1PB", Some(1_000_000_000_000_000)),
            ("1TiB", Some(1 << 40)),
            ("100000PB", None),
            ("", None),
            ("GB", None),
            ("-1", None),
            ("1.5GB", None),
            ("2 GB", None),
            ("2GBB", None),
            ("2xB", None),
            ("2é", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(text.parse().ok(), bytes.map(ByteSize), "{text}");
        }
    }

    #[test]
    fn a_memory_watermark_is_a_share_or_a_size() {
        let cases = [
            ("0.4", Some(MemoryWatermark::Relative(0.4))),
            ("0", Some(MemoryWatermark::Relative(0.0))),
            ("1", Some(MemoryWatermark::Relative(1.0))),
            ("1.5", None),
            ("-0.1", None),
            ("nan", None),
            ("2GB", Some(MemoryWatermark::Absolute(2_000_000_000))),
            ("1048576", Some(MemoryWatermark::Absolute(1 << 20))),
        ];
        for (text, watermark) in cases {
            assert_eq!(text.parse().ok(), watermark, "{text}");
        }
        assert_eq!(MemoryWatermark::Relative(0.5).bytes(Some(1_000)), Some(500));
        assert_eq!(MemoryWatermark::Relative(0.5).bytes(None), None);
        assert_eq!(MemoryWatermark::Absolute(7).bytes(None), Some(7));
    }

    #[test]
    fn a_disk_limit_may_be_a_multiple_of_memory() {
        assert_eq!("2GB".parse(), Ok(DiskFreeLimit::Absolute(2_000_000_000)));
        assert_eq!(DiskFreeLimit::relative(1.5).map(|limit| limit.bytes(Some(1_000))), Ok(1_500));
        for factor in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(DiskFreeLimit::relative(factor).is_err(), "{factor}");
        }
    }
}
