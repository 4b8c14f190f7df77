//! Passwords and their hashes, as RabbitMQ stores them.
//!
//! ```text
//! base64( salt: 4 bytes, digest(salt, password) )
//! ```
//!
//! Hashes are never rewritten, so that exported definitions equal what was imported.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use md5::Md5;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use crate::model::user::{HashingAlgorithm, PasswordHash};

/// Bytes of a salt.
pub const SALT_LEN: usize = 4;

/// The password is empty: RabbitMQ never lets anybody in with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlankPassword;

/// Why stored text is no password hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseHashError {
    /// Not base64.
    Encoding,
    /// Not as long as the algorithm's salt and digest.
    Length,
}

impl HashingAlgorithm {
    /// The algorithm with RabbitMQ's name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "rabbit_password_hashing_sha256" => Self::Sha256,
            "rabbit_password_hashing_sha512" => Self::Sha512,
            "rabbit_password_hashing_md5" => Self::Md5,
            _ => return None,
        })
    }

    /// RabbitMQ's name for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "rabbit_password_hashing_sha256",
            Self::Sha512 => "rabbit_password_hashing_sha512",
            Self::Md5 => "rabbit_password_hashing_md5",
        }
    }

    fn digest_len(self) -> usize {
        match self {
            Self::Sha256 => <Sha256 as Digest>::output_size(),
            Self::Sha512 => <Sha512 as Digest>::output_size(),
            Self::Md5 => <Md5 as Digest>::output_size(),
        }
    }

    fn digest(self, salt: &[u8], password: &[u8]) -> Vec<u8> {
        fn run<D: Digest>(salt: &[u8], password: &[u8]) -> Vec<u8> {
            D::new().chain_update(salt).chain_update(password).finalize().to_vec()
        }
        match self {
            Self::Sha256 => run::<Sha256>(salt, password),
            Self::Sha512 => run::<Sha512>(salt, password),
            Self::Md5 => run::<Md5>(salt, password),
        }
    }
}

impl PasswordHash {
    /// The hash of a new password under a random salt, which the caller draws.
    pub fn new(
        password: &[u8],
        salt: [u8; SALT_LEN],
        algorithm: HashingAlgorithm,
    ) -> Result<Self, BlankPassword> {
        if password.is_empty() {
            return Err(BlankPassword);
        }
        let mut bytes = salt.to_vec();
        bytes.extend(algorithm.digest(&salt, password));
        Ok(Self { bytes, algorithm })
    }

    /// Of a user who can't log in with a password.
    #[must_use]
    pub fn none() -> Self {
        Self { bytes: Vec::new(), algorithm: HashingAlgorithm::Sha256 }
    }

    /// The hash in definitions and in the HTTP API; empty for a user without a password.
    pub fn from_base64(text: &str, algorithm: HashingAlgorithm) -> Result<Self, ParseHashError> {
        let bytes = STANDARD.decode(text).map_err(|_| ParseHashError::Encoding)?;
        if !bytes.is_empty() && bytes.len() != SALT_LEN + algorithm.digest_len() {
            return Err(ParseHashError::Length);
        }
        Ok(Self { bytes, algorithm })
    }

    /// The hash as definitions and the HTTP API show it.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(&self.bytes)
    }

    /// Whether there is a password at all.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether `password` is the one. The time it takes tells neither how much of the hash was right nor whether
    /// there is one.
    #[must_use]
    pub fn is_of(&self, password: &[u8]) -> bool {
        let (salt, stored) = self.bytes.split_at_checked(SALT_LEN).unwrap_or_default();
        let digest = self.algorithm.digest(salt, password);
        let is_equal = bool::from(digest.ct_eq(stored));
        is_equal && !password.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALGORITHMS: [HashingAlgorithm; 3] =
        [HashingAlgorithm::Sha256, HashingAlgorithm::Sha512, HashingAlgorithm::Md5];

    #[test]
    fn only_the_right_password_is_accepted() {
        for algorithm in ALGORITHMS {
            let hash = PasswordHash::new(b"secret", [1, 2, 3, 4], algorithm).unwrap();
            assert_eq!(hash.bytes[..SALT_LEN], [1, 2, 3, 4]);
            assert!(hash.is_of(b"secret"), "{algorithm:?}");
            for wrong in [b"".as_slice(), b"Secret", b"secre", b"secret ", b"secret\0", b"\x01secret"] {
                assert!(!hash.is_of(wrong), "{algorithm:?} {wrong:?}");
            }
        }
    }

    #[test]
    fn salts_make_equal_passwords_differ() {
        let hash = |salt| PasswordHash::new(b"secret", salt, HashingAlgorithm::Sha256).unwrap();
        assert_ne!(hash([0, 0, 0, 0]), hash([0, 0, 0, 1]));
    }

    #[test]
    fn blank_passwords_are_refused_both_ways() {
        assert_eq!(PasswordHash::new(b"", [0; 4], HashingAlgorithm::Sha256), Err(BlankPassword));
        let digest = HashingAlgorithm::Sha256.digest(&[0; 4], b"");
        let forged =
            PasswordHash { bytes: [vec![0; 4], digest].concat(), algorithm: HashingAlgorithm::Sha256 };
        assert!(!forged.is_of(b""));
    }

    #[test]
    fn users_without_a_password_never_get_in() {
        for password in [b"".as_slice(), b"x", b"null"] {
            assert!(!PasswordHash::none().is_of(password));
        }
        assert!(PasswordHash::none().is_none());
        assert_eq!(PasswordHash::from_base64("", HashingAlgorithm::Md5).unwrap().to_base64(), "");
    }

    #[test]
    fn base64_comes_back_equal() {
        for algorithm in ALGORITHMS {
            let hash = PasswordHash::new(b"secret", [9, 8, 7, 6], algorithm).unwrap();
            assert_eq!(PasswordHash::from_base64(&hash.to_base64(), algorithm), Ok(hash));
        }
    }

    #[test]
    fn foreign_text_is_no_hash() {
        let parse = |text| PasswordHash::from_base64(text, HashingAlgorithm::Sha256);
        assert_eq!(parse("not base64!"), Err(ParseHashError::Encoding));
        assert_eq!(parse("AAAA"), Err(ParseHashError::Length));
        let md5 = PasswordHash::new(b"secret", [0; 4], HashingAlgorithm::Md5).unwrap().to_base64();
        assert_eq!(parse(&md5), Err(ParseHashError::Length));
    }

    /// The examples of RabbitMQ's documentation on credentials and passwords.
    #[test]
    fn documented_hash_is_reproduced() {
        let salt = [0x90, 0x8D, 0xC6, 0x0A];
        let hash = PasswordHash::new(b"test12", salt, HashingAlgorithm::Sha256).unwrap();
        assert_eq!(hash.to_base64(), "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR");
    }

    #[test]
    fn algorithm_names_come_back() {
        for algorithm in ALGORITHMS {
            assert_eq!(HashingAlgorithm::parse(algorithm.as_str()), Some(algorithm));
        }
        assert_eq!(HashingAlgorithm::parse("sha256"), None);
    }
}
