//! `liebre-cat` in a terminal: the real program against the real broker.

mod endings;
mod reconnecting;
mod relay;
mod running;
mod streams;
