//! The loop of a thread that has many connections: whose turn it is, and when to wait.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::time::Duration;

use crate::clock::{Nanos, now};
use crate::error::PerfError;
use crate::gathering::Gathering;
use crate::poller::Poller;
use crate::shared::Shared;
use crate::socket::Socket;

/// No wait is longer than this without a look at whether the run is over.
const WAKE: Duration = Duration::from_millis(100);
/// The shortest wait for a message that is not due yet: what a timer can keep.
const PACE_WAIT_MIN: Duration = Duration::from_micros(100);
/// After the stop, a write that has begun may take this long to end with a whole frame.
const WRITE_REST: Duration = Duration::from_secs(1);

/// A connection that takes turns with others.
pub trait TakesTurns<'a> {
    /// What it is doing, for errors.
    const DOING: &'static str;

    fn socket(&mut self) -> &mut Socket<'a>;

    /// Reads once, writes once.
    fn turn(&mut self, now: Nanos) -> Result<Turn, PerfError>;

    /// Messages and bytes read so far.
    fn read_so_far(&self) -> (u64, usize);

    /// All is done: writes what is still to be said.
    fn conclude(&mut self) -> Result<(), PerfError> {
        Ok(())
    }
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// There is more to do at once.
    Again,
    /// Nothing to do before the socket is ready for more.
    Waits,
    /// Likewise, but not later than this.
    Until(Nanos),
    /// This connection has done what it was asked for.
    Done,
    /// All connections together have.
    AllDone,
}

/// Gives each of `workers` its turns until all are done or the run is stopped. Failures go to `shared`.
/// Says for each whether its bytes end with a whole frame, so that its connection can still be closed politely.
pub fn drive<'a, W: TakesTurns<'a>>(workers: &mut [W], gathering: Gathering, shared: &Shared) -> Vec<bool> {
    let driven = Loop::start(workers).and_then(|mut turns| {
        let is_done = turns.run(workers, gathering, shared)?;
        turns.flush(workers, is_done)?;
        Ok(is_done)
    });
    match driven {
        Ok(true) => shared.finish(),
        Ok(false) => {}
        Err(error) => shared.fail(error),
    }
    workers.iter_mut().map(|worker| worker.socket().has_room()).collect()
}

struct Loop {
    poller: Poller,
    /// Who has something to do, each at most once.
    runnable: VecDeque<usize>,
    is_runnable: Vec<bool>,
    timers: BinaryHeap<Reverse<(Nanos, usize)>>,
    /// The timer of each that counts; others of its are stale.
    due_at: Vec<Option<Nanos>>,
    is_done: Vec<bool>,
    done_count: usize,
}

impl Loop {
    fn start<'a, W: TakesTurns<'a>>(workers: &mut [W]) -> Result<Self, PerfError> {
        let mut poller = Poller::new().map_err(failed::<W>)?;
        for (index, worker) in workers.iter_mut().enumerate() {
            poller.add(&worker.socket().connection.stream, index).map_err(failed::<W>)?;
        }
        let count = workers.len();
        Ok(Self {
            poller,
            runnable: (0..count).collect(),
            is_runnable: vec![true; count],
            timers: BinaryHeap::new(),
            due_at: vec![None; count],
            is_done: vec![false; count],
            done_count: 0,
        })
    }

    /// Says whether all is done; if not, the run was stopped.
    fn run<'a, W: TakesTurns<'a>>(
        &mut self,
        workers: &mut [W],
        gathering: Gathering,
        shared: &Shared,
    ) -> Result<bool, PerfError> {
        let mut read_before = (0, 0);
        while !shared.is_stopping() {
            for _ in 0..self.runnable.len() {
                if self.one_turn(workers)? {
                    workers.iter_mut().try_for_each(W::conclude)?;
                    return Ok(true);
                }
            }
            if self.runnable.is_empty() {
                let read =
                    workers.iter().map(W::read_so_far).fold((0, 0), |all, of| (all.0 + of.0, all.1 + of.1));
                gathering.wait(read.1 - read_before.1, read.0 - read_before.0);
                read_before = read;
            }
            self.wait(workers)?;
        }
        Ok(false)
    }

    /// Says whether that was the last.
    fn one_turn<'a, W: TakesTurns<'a>>(&mut self, workers: &mut [W]) -> Result<bool, PerfError> {
        let Some(index) = self.runnable.pop_front() else { return Ok(false) };
        self.is_runnable[index] = false;
        if self.is_done[index] {
            return Ok(false);
        }
        match workers[index].turn(now())? {
            Turn::Again => self.make_runnable(index),
            Turn::Waits => {}
            Turn::Until(at) => {
                if self.due_at[index] != Some(at) {
                    self.due_at[index] = Some(at);
                    self.timers.push(Reverse((at, index)));
                }
            }
            Turn::Done => {
                self.is_done[index] = true;
                self.done_count += 1;
            }
            Turn::AllDone => return Ok(true),
        }
        Ok(self.done_count == workers.len())
    }

    fn wait<'a, W: TakesTurns<'a>>(&mut self, workers: &mut [W]) -> Result<(), PerfError> {
        let span = match self.timers.peek() {
            _ if !self.runnable.is_empty() => Duration::ZERO,
            Some(Reverse((at, _))) => match at.since(now()) {
                Duration::ZERO => Duration::ZERO,
                span => span.clamp(PACE_WAIT_MIN, WAKE),
            },
            None => WAKE,
        };
        for event in self.poller.wait(span).map_err(failed::<W>)? {
            workers[event.index].socket().note(event);
            if !std::mem::replace(&mut self.is_runnable[event.index], true) {
                self.runnable.push_back(event.index);
            }
        }
        let now = now();
        while let Some(&Reverse((at, index))) = self.timers.peek().filter(|timer| timer.0.0 <= now) {
            self.timers.pop();
            if self.due_at[index] == Some(at) {
                self.due_at[index] = None;
                self.make_runnable(index);
            }
        }
        Ok(())
    }

    fn make_runnable(&mut self, index: usize) {
        if !std::mem::replace(&mut self.is_runnable[index], true) {
            self.runnable.push_back(index);
        }
    }

    /// Writes what sockets did not take yet; when all is done they must, otherwise only so that frames are whole.
    fn flush<'a, W: TakesTurns<'a>>(&mut self, workers: &mut [W], is_done: bool) -> Result<(), PerfError> {
        let deadline = now().plus(WRITE_REST);
        loop {
            let mut is_clear = true;
            for worker in workers.iter_mut() {
                let flushed = worker.socket().flush();
                if is_done {
                    flushed.map_err(failed::<W>)?;
                }
                is_clear &= worker.socket().has_room();
            }
            if is_clear || now() >= deadline {
                return Ok(());
            }
            self.wait(workers)?;
        }
    }
}

fn failed<'a, W: TakesTurns<'a>>(source: io::Error) -> PerfError {
    PerfError::while_doing(W::DOING, source)
}
