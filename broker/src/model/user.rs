//! Users, their tags and password hashes.

use crate::model::{limit::LimitSet, name::Name};

/// How a password hash was made (`hashing_algorithm` in definitions).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashingAlgorithm {
    /// `rabbit_password_hashing_sha256`
    Sha256,
    /// `rabbit_password_hashing_sha512`
    Sha512,
    /// `rabbit_password_hashing_md5`
    Md5,
}

/// A salted password hash in RabbitMQ's form: base64(4-byte salt, digest(salt, password)).
/// Empty: the user can't log in with a password.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    /// Salt and digest; empty when there is no password.
    pub bytes: Vec<u8>,
    /// How the digest was made.
    pub algorithm: HashingAlgorithm,
}

/// A user. All fields are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The login.
    pub name: Name,
    /// The stored password hash.
    pub password: PasswordHash,
    /// `administrator`, `monitoring`, `policymaker`, `management`, `impersonator`, or the user's own words.
    pub tags: Vec<String>,
    /// What its connections may use together.
    pub limits: LimitSet,
}

/// Never prints the hash: what is logged must not help anybody to log in.
impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasswordHash").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}
