//! Limits that operators set for vhosts and users (<https://www.rabbitmq.com/docs/vhosts#limits>).

use std::collections::BTreeMap;

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitName {
    /// Open channels of a user.
    MaxChannels,
    /// Open connections of a user, or to a vhost.
    MaxConnections,
    /// Queues in a vhost.
    MaxQueues,
}

/// Limits by name. All are durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitSet(BTreeMap<LimitName, i64>);

impl LimitName {
    /// Those that a vhost may have.
    pub const OF_VHOSTS: &[Self] = &[Self::MaxConnections, Self::MaxQueues];
    /// Those that a user may have.
    pub const OF_USERS: &[Self] = &[Self::MaxChannels, Self::MaxConnections];

    /// The limit of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::MaxChannels, Self::MaxConnections, Self::MaxQueues]
            .into_iter()
            .find(|limit| limit.as_str() == name)
    }

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MaxChannels => "max-channels",
            Self::MaxConnections => "max-connections",
            Self::MaxQueues => "max-queues",
        }
    }
}

impl LimitSet {
    /// How many there may be; none if that is not limited, which a negative number says, too.
    #[must_use]
    pub fn max(&self, name: LimitName) -> Option<usize> {
        usize::try_from(*self.0.get(&name)?).ok()
    }

    /// Sets a limit.
    pub fn set(&mut self, name: LimitName, value: i64) {
        self.0.insert(name, value);
    }

    /// Removes a limit.
    pub fn clear(&mut self, name: LimitName) {
        self.0.remove(&name);
    }

    /// Sets all limits of another set; the others stay.
    pub fn merge(&mut self, others: &Self) {
        self.0.extend(&others.0);
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them as they were set, by name.
    pub fn iter(&self) -> impl Iterator<Item = (LimitName, i64)> + '_ {
        self.0.iter().map(|(name, value)| (*name, *value))
    }
}

impl FromIterator<(LimitName, i64)> for LimitSet {
    fn from_iter<T: IntoIterator<Item = (LimitName, i64)>>(limits: T) -> Self {
        Self(limits.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_limits_are_none() {
        for (value, expected) in [(-2, None), (-1, None), (0, Some(0)), (7, Some(7))] {
            let limits: LimitSet = [(LimitName::MaxQueues, value)].into_iter().collect();
            assert_eq!(limits.max(LimitName::MaxQueues), expected);
            assert_eq!(limits.max(LimitName::MaxConnections), None);
        }
    }

    #[test]
    fn names_come_back() {
        for name in LimitName::OF_VHOSTS.iter().chain(LimitName::OF_USERS) {
            assert_eq!(LimitName::parse(name.as_str()), Some(*name));
        }
        assert_eq!(LimitName::parse("max-nonsense"), None);
    }
}
