//! The past of a row of numbers, in few bytes.
//!
//! ```text
//!         base | level 1: a row a minute | level 0: a row each 5 s | last, seen at the last look
//! time ─────────────────────────────────────────────────────────────>
//! ```
//!
//! A row is written only if something changed, and holds only that: how many intervals after the row before, a mask of
//! the columns that changed, and by how much each; all of it LEB128, changes in zigzag form. What is too old for a level
//! is summed up into the next one, and what is too old for the last into `base`.

use std::{array, collections::VecDeque};

use super::{Look, LookTimes, look::INTERVAL};
use crate::model::timestamp::Timestamp;

/// How finely something is remembered up to an age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Seconds up to which.
    pub span: u64,
    /// Seconds between two rows.
    pub interval: u64,
}

/// Of queues, exchanges, channels and connections, as RabbitMQ has it.
pub const BASIC: &[Level] = &[Level { span: 605, interval: INTERVAL }, Level { span: 3_600, interval: 60 }];
/// Of vhosts, nodes and the whole.
pub const GLOBAL: &[Level] = &[
    Level { span: 605, interval: INTERVAL },
    Level { span: 3_660, interval: 60 },
    Level { span: 29_400, interval: 600 },
    Level { span: 86_400, interval: 1_800 },
];

/// The time over which a rate is taken, at least, seconds. At most it is an interval of the finest level longer, unless
/// looks come late.
const RATE_WINDOW: u64 = 5;

/// A row of numbers over time. Times are seconds since 1970; all levels' are multiples of their intervals.
#[derive(Clone, Debug)]
pub struct History<const N: usize> {
    levels: &'static [Level],
    rows: Vec<Rows>,
    /// When it began.
    begun_at: Timestamp,
    /// Before all rows.
    base: [u64; N],
    /// With all rows but the newest.
    before: [u64; N],
    /// With all rows.
    written: [u64; N],
    /// The time of the newest row.
    written_at: u64,
    /// At the last look that found a change.
    last: [u64; N],
    /// When that was.
    looked_at: u64,
}

/// The rows of one level.
#[derive(Clone, Debug, Default)]
struct Rows {
    bytes: VecDeque<u8>,
    /// The time of the last row that was taken out; the first is so many intervals later.
    from: u64,
    /// The time of the newest row.
    to: u64,
}

impl<const N: usize> History<N> {
    /// Of something that has been what it is for longer than is remembered.
    #[must_use]
    pub fn new(levels: &'static [Level], values: [u64; N], now: Timestamp) -> Self {
        Self {
            levels,
            begun_at: now,
            rows: levels.iter().map(|_| Rows::default()).collect(),
            base: values,
            before: values,
            written: values,
            written_at: 0,
            last: values,
            looked_at: now.seconds(),
        }
    }

    /// A look at the numbers. Whatever changed did so after the look before, even if this one was not looked at then.
    /// Says whether anything did.
    pub fn look(&mut self, look: Look, values: [u64; N]) -> bool {
        if values == self.last {
            return false;
        }
        let (previous, now) = (look.previous.seconds(), look.now.seconds());
        let interval = self.interval();
        let due = self.due();
        if due <= previous {
            self.write(due, self.last);
        }
        (self.last, self.looked_at) = (values, now);
        let boundary = now - now % interval;
        if boundary > previous {
            self.write(boundary, values);
        }
        self.age(now);
        true
    }

    /// Sums up what is too old for its level.
    pub fn age(&mut self, now: u64) {
        for (index, level) in self.levels.iter().enumerate() {
            let oldest = now.saturating_sub(level.span);
            // Rows that are one row in the next level go together.
            let interval = self.levels.get(index + 1).map_or(1, |next| next.interval);
            while let Some(first) = self.rows[index].first_time(level.interval) {
                let group = first.next_multiple_of(interval);
                if group >= oldest {
                    break;
                }
                let mut change = [0; N];
                while self.rows[index].first_time(level.interval).is_some_and(|time| time <= group) {
                    let (_, row) = self.rows[index].take_first(level.interval);
                    add(&mut change, &row);
                }
                match self.rows.get_mut(index + 1) {
                    Some(next) => next.push(group, interval, &change),
                    None => add(&mut self.base, &change),
                }
            }
        }
    }

    /// Nothing changed for as long as is remembered.
    #[must_use]
    pub fn is_flat(&self, now: u64) -> bool {
        let span = self.levels.iter().map(|level| level.span).max().unwrap_or(0);
        self.looked_at + span < now
    }

    /// When a look last found a change.
    #[must_use]
    pub fn changed_at(&self) -> u64 {
        self.looked_at
    }

    /// The numbers at the last look.
    #[must_use]
    pub fn last(&self) -> [u64; N] {
        self.last
    }

    /// By how much each number grew in a second, of the five to ten before the last look. What began since then grew as
    /// long as it is there, but at least for five seconds.
    #[must_use]
    pub fn rates(&self, looks: &LookTimes) -> [f64; N] {
        let from = looks.newest().seconds().saturating_sub(RATE_WINDOW);
        let from = from - from % self.interval();
        let begin = self.recent(from);
        // The numbers of a row are those of the look that came first then, not those of its time.
        let begun_at = looks.first_at(from).max(self.begun_at);
        let millis = looks.newest().0.saturating_sub(begun_at.0).max(RATE_WINDOW * 1_000);
        let seconds = millis as f64 / 1_000.0;
        array::from_fn(|column| signed_difference(self.last[column], begin[column]) / seconds)
    }

    /// The numbers at these times, which ascend.
    #[must_use]
    pub fn at(&self, times: &[u64]) -> Vec<[u64; N]> {
        let levels = self.rows.iter().zip(self.levels).rev();
        let mut rows = levels.flat_map(|(rows, level)| rows.iter::<N>(level.interval)).peekable();
        let mut values = self.base;
        let due = self.due();
        let mut found = Vec::with_capacity(times.len());
        for &time in times {
            while let Some((_, change)) = rows.next_if(|(at, _)| *at <= time) {
                add(&mut values, &change);
            }
            found.push(if due <= time { self.last } else { values });
        }
        found
    }

    /// Bytes that it takes, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let rows = |rows: &Rows| size_of::<Rows>() + rows.bytes.capacity();
        size_of::<Self>() + self.rows.iter().map(rows).sum::<usize>()
    }

    /// The numbers at a time that has at most one row behind it.
    fn recent(&self, time: u64) -> [u64; N] {
        if self.due() <= time {
            self.last
        } else if self.written_at <= time {
            self.written
        } else {
            self.before
        }
    }

    /// The time of the first row behind the last look that found a change. That look's own second, if it is a row's, has
    /// its row: what changed in it after its first look belongs to the next one.
    fn due(&self) -> u64 {
        (self.looked_at + 1).next_multiple_of(self.interval())
    }

    fn write(&mut self, time: u64, values: [u64; N]) {
        if values == self.written {
            return;
        }
        let change: [u64; N] = array::from_fn(|column| values[column].wrapping_sub(self.written[column]));
        let interval = self.interval();
        if let Some(finest) = self.rows.first_mut() {
            finest.push(time, interval, &change);
        }
        self.before = self.written;
        (self.written, self.written_at) = (values, time);
    }

    fn interval(&self) -> u64 {
        self.levels.first().map_or(1, |level| level.interval)
    }
}

impl Rows {
    fn push<const N: usize>(&mut self, time: u64, interval: u64, change: &[u64; N]) {
        if self.bytes.is_empty() {
            // Its first row is one interval later, whenever that is.
            (self.from, self.to) = (time - interval, time - interval);
        }
        write_number(&mut self.bytes, time.saturating_sub(self.to) / interval);
        let is_changed = |column: &usize| change[*column] != 0;
        let mask = (0..N).filter(is_changed).fold(0_u64, |mask, column| mask | 1 << column);
        write_number(&mut self.bytes, mask);
        for column in (0..N).filter(is_changed) {
            write_number(&mut self.bytes, zigzag(change[column]));
        }
        self.to = time;
    }

    fn first_time(&self, interval: u64) -> Option<u64> {
        let gap = read_number(&mut self.bytes.iter())?;
        Some(self.from + gap * interval)
    }

    fn take_first<const N: usize>(&mut self, interval: u64) -> (u64, [u64; N]) {
        let mut bytes = self.bytes.iter();
        let (time, change) = read_row(&mut bytes, self.from, interval).unwrap_or((self.to, [0; N]));
        let size = self.bytes.len() - bytes.len();
        self.bytes.drain(..size);
        self.from = time;
        if self.bytes.is_empty() {
            self.bytes.shrink_to_fit();
        }
        (time, change)
    }

    fn iter<const N: usize>(&self, interval: u64) -> impl Iterator<Item = (u64, [u64; N])> + '_ {
        let (mut bytes, mut before) = (self.bytes.iter(), self.from);
        std::iter::from_fn(move || {
            let (time, change) = read_row(&mut bytes, before, interval)?;
            before = time;
            Some((time, change))
        })
    }
}

fn read_row<'a, const N: usize>(
    bytes: &mut impl Iterator<Item = &'a u8>,
    before: u64,
    interval: u64,
) -> Option<(u64, [u64; N])> {
    let gap = read_number(bytes)?;
    let mask = read_number(bytes)?;
    let mut change = [0; N];
    for (column, place) in change.iter_mut().enumerate() {
        if mask & 1 << column != 0 {
            *place = unzigzag(read_number(bytes)?);
        }
    }
    Some((before + gap * interval, change))
}

fn write_number(bytes: &mut VecDeque<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push_back(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push_back(number.to_le_bytes()[0]);
}

fn read_number<'a>(bytes: &mut impl Iterator<Item = &'a u8>) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = *bytes.next()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// 0, -1, 1, -2 … as 0, 1, 2, 3 …; a change that wrapped around is a negative one.
fn zigzag(change: u64) -> u64 {
    (change << 1) ^ (change.cast_signed() >> 63).cast_unsigned()
}

fn unzigzag(number: u64) -> u64 {
    (number >> 1) ^ (number & 1).wrapping_neg()
}

fn add<const N: usize>(values: &mut [u64; N], change: &[u64; N]) {
    for (value, change) in values.iter_mut().zip(change) {
        *value = value.wrapping_add(*change);
    }
}

fn signed_difference(later: u64, earlier: u64) -> f64 {
    later.wrapping_sub(earlier).cast_signed() as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: u64 = 1_000_000_020;

    fn at(seconds: u64) -> Timestamp {
        Timestamp(seconds * 1_000)
    }

    /// Looks once a second from `START` on; the numbers are what `values` says.
    fn history(seconds: u64, values: impl Fn(u64) -> u64) -> History<1> {
        let mut history = History::new(BASIC, [0], at(START - 1));
        for second in 0..seconds {
            let now = at(START + second);
            history.look(Look { previous: at(START + second - 1), now }, [values(second)]);
        }
        history
    }

    fn values(history: &History<1>, times: &[u64]) -> Vec<u64> {
        history.at(times).into_iter().map(|[value]| value).collect()
    }

    #[test]
    fn what_was_is_found_at_the_times_of_rows() {
        let history = history(61, |second| second * 10);
        let times: Vec<u64> = (0..=6).map(|index| START + index * 10).collect();
        assert_eq!(values(&history, &times), [0, 100, 200, 300, 400, 500, 600]);
        assert_eq!(values(&history, &[START - 500]), [0]);
    }

    #[test]
    fn a_burst_between_two_rows_is_at_the_next_one() {
        let history = history(30, |second| if second < 12 { 0 } else { 7 });
        assert_eq!(values(&history, &[START + 10, START + 15, START + 20]), [0, 7, 7]);
    }

    #[test]
    fn a_rate_is_that_of_the_last_seconds() {
        let steady = history(60, |second| second * 50);
        let rates = |history: &History<1>, seconds| history.rates(&LookTimes::at(at(START + seconds)));
        assert_eq!(rates(&steady, 59), [50.0]);
        let new = history(1, |_| 50);
        assert_eq!(rates(&new, 0), [10.0]);
        let ended = history(30, |second| second.min(10) * 50);
        assert_eq!(rates(&ended, 29), [0.0]);
        let falling = history(30, |second| 10_000 - second * 10);
        assert_eq!(rates(&falling, 29), [-10.0]);
    }

    /// Looks come somewhat late, and more often while somebody asks.
    #[test]
    fn a_steady_flow_shows_as_what_it_is_from_the_second_row_on() {
        const PER_SECOND: f64 = 96.0;
        for (begun_millis, pause_millis, is_new) in
            [(0, 1_003, true), (3_700, 1_003, false), (4_990, 1_250, false), (2_345, 317, true)]
        {
            let begin = START * 1_000 + begun_millis;
            let count = |now: u64| (now.saturating_sub(begin) as f64 * PER_SECOND / 1_000.0) as u64;
            let mut history = (!is_new).then(|| History::new(BASIC, [0], at(START - 600)));
            let (mut looks, mut previous) = (LookTimes::default(), Timestamp(START * 1_000 - 999));
            while previous.0 < begin + 60_000 {
                let look = Look { previous, now: previous.plus_millis(pause_millis) };
                previous = look.now;
                looks.note(look);
                let values = [count(look.now.0)];
                if values == [0] {
                    continue;
                }
                let history = history.get_or_insert_with(|| History::new(BASIC, [0], look.previous));
                history.look(look, values);
                let (age, [rate]) = (look.now.0 - begin, history.rates(&looks));
                let is_shown = (rate - PER_SECOND).abs() < PER_SECOND / 20.0;
                assert!(age < 10_000 || is_shown, "{rate} after {age} ms, a look each {pause_millis}");
                assert!(rate < PER_SECOND * 1.05, "{rate} after {age} ms, a look each {pause_millis}");
            }
        }
    }

    #[test]
    fn an_hour_is_kept_and_then_nothing() {
        let mut history = history(10_000, |second| second);
        let now = START + 9_999;
        // By the minute, as far as the hour goes.
        let minutes: Vec<u64> = (0..60).rev().map(|ago| now - now % 60 - ago * 60).collect();
        let expected: Vec<u64> = minutes.iter().map(|time| time - START).collect();
        assert_eq!(values(&history, &minutes), expected);
        assert!(history.memory_bytes() < 1_600, "{}", history.memory_bytes());
        assert!(!history.is_flat(now + 3_600));
        assert!(history.is_flat(now + 3_601));
        history.age(now + 4_300);
        assert!(history.rows.iter().all(|rows| rows.bytes.is_empty()));
        assert_eq!(values(&history, &[now + 4_300]), [9_999]);
    }

    #[test]
    fn numbers_of_all_sizes_come_back() {
        for number in [0, 1, 127, 128, u64::from(u32::MAX), u64::MAX / 2, u64::MAX] {
            let mut bytes = VecDeque::new();
            write_number(&mut bytes, zigzag(number));
            assert_eq!(read_number(&mut bytes.iter()).map(unzigzag), Some(number));
        }
    }

    proptest! {
        /// Against all looks, kept: rows that are not too old for the finest level are exact, whenever looks came.
        #[test]
        fn the_finest_level_is_exact(
            looks in proptest::collection::vec((0_u64..9, any::<[u16; 3]>(), any::<bool>()), 1..200),
        ) {
            let mut history = History::new(BASIC, [0; 3], at(START));
            let (mut previous, mut seen) = (START, vec![(START, [0; 3])]);
            for (pause, row, is_changed) in looks {
                let now = previous + pause;
                let row = if is_changed { row.map(u64::from) } else { seen[seen.len() - 1].1 };
                history.look(Look { previous: at(previous), now: at(now) }, row);
                seen.push((now, row));
                previous = now;
            }
            let last = previous - previous % 5;
            let times: Vec<u64> = (0..100).rev().map(|ago| last - ago * 5).filter(|time| *time > START).collect();
            let expected: Vec<[u64; 3]> = times
                .iter()
                .map(|time| {
                    // A number belongs to the time of a row if it was seen then, or at the first look after that.
                    let first = seen.iter().position(|(at, _)| at >= time).unwrap();
                    seen[first].1
                })
                .collect();
            let found = history.at(&times);
            for ((found, expected), time) in found.iter().zip(&expected).zip(&times) {
                // A pause longer than an interval leaves times without a look of their own: the numbers before count.
                let is_looked_at = seen.iter().any(|(at, _)| at >= time && *at < time + 5);
                prop_assert!(!is_looked_at || found == expected, "{found:?} {expected:?} at {time}");
            }
        }
    }
}
