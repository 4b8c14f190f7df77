//! The number by which a queue is known inside the broker.

/// A queue's identity: given once, never used again, so that a queue declared anew under an old name
/// cannot be taken for the old one. Queues are locked in the order of their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub u64);
