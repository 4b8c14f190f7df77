//! Hostile peers against a live broker, and one well-behaved client that must notice nothing.
//!
//! | module | does |
//! |---|---|
//! | [`siege`] | the campaign: rounds of all attacks, and what must hold afterwards |
//! | [`garbage`] | random and mutated frames on connections that were opened in order |
//! | [`ambushes`] | what is worked out: slow handshakes, half frames, lies about lengths, deep nesting, deafness |
//! | [`crowd`] | thousands of sockets at once |
//! | [`witness`] | the client that must be served all the time |
//! | [`peer`] | a socket with a frame reader that never panics |
//!
//! All of it blocks: an attack is a thread, and the witness has one of its own.

pub mod ambushes;
pub mod crowd;
pub mod garbage;
pub mod peer;
pub mod siege;
pub mod witness;
