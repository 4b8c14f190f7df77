//! Positions of one queue as ranges: in a record, and as the set of those that are live.

use std::collections::BTreeMap;

use crate::model::queue::Position;

/// Some positions of a queue, as ascending ranges that neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PositionRanges(Vec<(u64, u64)>);

impl PositionRanges {
    /// The ranges, each from its first to its last position.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied()
    }

    /// Every position, ascending.
    pub fn positions(&self) -> impl Iterator<Item = Position> + '_ {
        self.0.iter().flat_map(|&(first, last)| (first..=last).map(Position))
    }

    /// Writes `count, (gap, extent) ...` as LEB128 numbers: gap from the last range's end, positions after
    /// the first.
    pub(super) fn encode(&self, out: &mut impl Extend<u8>) {
        encode_ranges(self.ranges(), out);
    }

    /// Reads what [`Self::encode`] wrote; none if it is anything else.
    pub(super) fn decode(input: &mut &[u8]) -> Option<Self> {
        let count = usize::try_from(read_number(input)?).ok()?;
        // Two bytes a range at least: no memory is taken for what is not there.
        if count > input.len() / 2 {
            return None;
        }
        let mut ranges = Vec::with_capacity(count);
        let mut end = 0_u64;
        for index in 0..count {
            let gap = read_number(input)?;
            let first = end.checked_add(gap)?;
            let last = first.checked_add(read_number(input)?)?;
            if index > 0 && gap < 2 {
                return None;
            }
            ranges.push((first, last));
            end = last;
        }
        Some(Self(ranges))
    }
}

impl From<PositionRanges> for PositionSet {
    fn from(ranges: PositionRanges) -> Self {
        Self(ranges.0.into_iter().collect())
    }
}

impl FromIterator<Position> for PositionRanges {
    fn from_iter<I: IntoIterator<Item = Position>>(positions: I) -> Self {
        let mut sorted: Vec<u64> = positions.into_iter().map(|position| position.0).collect();
        sorted.sort_unstable();
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for position in sorted {
            match ranges.last_mut() {
                Some((_, last)) if position <= last.saturating_add(1) => *last = position,
                _ => ranges.push((position, position)),
            }
        }
        Self(ranges)
    }
}

/// A set of positions that mostly grows at its end and shrinks at its beginning.
#[derive(Debug, Default)]
pub(super) struct PositionSet(BTreeMap<u64, u64>);

impl PositionSet {
    /// What [`PositionRanges`] of the same positions encodes to.
    pub(super) fn encode(&self, out: &mut impl Extend<u8>) {
        encode_ranges(self.0.iter().map(|(&first, &last)| (first, last)), out);
    }

    /// The ranges of what is there from `from` on.
    pub(super) fn ranges_from(&self, from: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let before = self.0.range(..from).next_back().filter(|(_, last)| **last >= from);
        let cut = before.map(|(_, &last)| (from, last));
        cut.into_iter().chain(self.0.range(from..).map(|(&first, &last)| (first, last)))
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    pub(super) fn contains(&self, position: u64) -> bool {
        self.0.range(..=position).next_back().is_some_and(|(_, &last)| position <= last)
    }

    /// False if it was there.
    pub(super) fn insert(&mut self, position: u64) -> bool {
        // Nearly always the next one.
        if let Some(mut newest) = self.0.last_entry()
            && newest.get().checked_add(1) == Some(position)
        {
            *newest.get_mut() = position;
            return true;
        }
        let mut begin = position;
        if let Some((&first, last)) = self.0.range_mut(..=position).next_back() {
            if position <= *last {
                return false;
            }
            if *last + 1 == position {
                *last = position;
                begin = first;
            }
        }
        let end = position.checked_add(1).and_then(|next| self.0.remove(&next)).unwrap_or(position);
        self.0.insert(begin, end);
        true
    }

    /// Takes out all from `first` to `last` and tells which ranges of it were there.
    pub(super) fn remove(&mut self, first: u64, last: u64) -> Vec<(u64, u64)> {
        let mut removed = Vec::new();
        while let Some((&begin, &end)) = self.0.range(..=last).next_back().filter(|(_, end)| **end >= first) {
            self.0.remove(&begin);
            if begin < first {
                self.0.insert(begin, first - 1);
            }
            if end > last {
                self.0.insert(last + 1, end);
            }
            removed.push((begin.max(first), end.min(last)));
        }
        removed
    }
}

fn encode_ranges(ranges: impl ExactSizeIterator<Item = (u64, u64)>, out: &mut impl Extend<u8>) {
    write_number(out, ranges.len() as u64);
    let mut end = 0;
    for (first, last) in ranges {
        write_number(out, first - end);
        write_number(out, last - first);
        end = last;
    }
}

/// Writes a number as LEB128.
pub(super) fn write_number(out: &mut impl Extend<u8>, mut number: u64) {
    while number >= 0x80 {
        out.extend([number.to_le_bytes()[0] | 0x80]);
        number >>= 7;
    }
    out.extend([number.to_le_bytes()[0]]);
}

/// Reads what [`write_number`] wrote; none if it is anything else.
pub(super) fn read_number(input: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = input.split_first()?;
        *input = rest;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_come_back_as_they_went_in(
            positions in prop::collection::vec(prop_oneof![0..200_u64, any::<u64>()], 0..60)
        ) {
            let ranges: PositionRanges = positions.iter().copied().map(Position).collect();
            let mut bytes = Vec::new();
            ranges.encode(&mut bytes);
            let mut input = bytes.as_slice();
            prop_assert_eq!(PositionRanges::decode(&mut input), Some(ranges.clone()));
            prop_assert!(input.is_empty());
            prop_assert!(ranges.ranges().all(|(first, last)| first <= last));
        }

        #[test]
        fn set_is_a_set(steps in prop::collection::vec((any::<bool>(), 0..40_u64, 0..6_u64), 0..80)) {
            let (mut set, mut model) = (PositionSet::default(), BTreeSet::new());
            for (is_insert, position, extent) in steps {
                if is_insert {
                    prop_assert_eq!(set.insert(position), model.insert(position));
                } else {
                    let removed = set.remove(position, position + extent);
                    let count: u64 = removed.iter().map(|(first, last)| last - first + 1).sum();
                    let gone = (position..=position + extent).filter(|gone| model.remove(gone)).count();
                    prop_assert_eq!(count, gone as u64);
                }
                prop_assert_eq!(set.count(), model.len() as u64);
                for position in 0..50 {
                    prop_assert_eq!(set.contains(position), model.contains(&position));
                    let from: Vec<u64> =
                        set.ranges_from(position).flat_map(|(first, last)| first..=last).collect();
                    prop_assert_eq!(from, model.range(position..).copied().collect::<Vec<u64>>());
                }
            }
        }
    }
}
