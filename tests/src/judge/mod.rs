//! RabbitMQ as the judge: scripted sessions are played against two brokers, and what comes back is compared.
//!
//! `tests/JUDGE.md` says how scripts, recordings and expected differences look and what the command can do.
//!
//! | module | what |
//! |---|---|
//! | [`catalogue`] | the scripts of `tests/judge/scripts` |
//! | [`step`] | one line of a script: what is sent by whom |
//! | [`words`], [`table`] | the text of lines and of field tables |
//! | [`methods`], [`content`] | every method and every property, by hand, in text and on the wire |
//! | [`player`], `listening` | plays a script against a broker and writes down what comes back |
//! | [`peer`], [`hearing`] | one connection of a script; its frames in words |
//! | [`masks`] | what legitimately varies between two runs, by named rules |
//! | [`transcript`] | what came back, and files of it |
//! | [`differences`] | the differences that are expected, each with its reason |
//! | [`verdict`] | plays many scripts at once and judges them |
//! | [`tools`] | the admin tools of a broker, and what they print |
//! | [`target`], [`rabbitmq`] | a broker to play against; a RabbitMQ of our own |
//! | [`command`] | the command line |

pub use crate::campaign::trouble::{Doing, Trouble};

pub mod catalogue;
pub mod command;
pub mod content;
pub mod differences;
pub mod hearing;
mod listening;
pub mod masks;
pub mod methods;
pub mod peer;
pub mod player;
pub mod rabbitmq;
pub mod step;
pub mod table;
pub mod target;
pub mod tools;
pub mod transcript;
pub mod verdict;
pub mod words;
