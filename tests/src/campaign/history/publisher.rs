//! What one publisher has said and was told: a byte a message.

/// Bits of a message's byte.
mod bit {
    pub(super) const PERSISTENT: u8 = 1;
    pub(super) const ACKED: u8 = 2;
    pub(super) const NACKED: u8 = 4;
    pub(super) const RETURNED: u8 = 8;
    /// Published in a transaction.
    pub(super) const TRANSACTION: u8 = 16;
    /// In a transaction whose commit was not sent (yet).
    pub(super) const UNCOMMITTED: u8 = 32;
}

/// The messages of one publisher, by number.
#[derive(Debug, Default)]
pub(super) struct Publisher {
    messages: Vec<u8>,
    /// The first number of the broker's present life.
    life_begin: u32,
}

impl Publisher {
    /// How many numbers are used.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.messages.len()).expect("a publisher numbers with 32 bits")
    }

    /// Takes the next number into use. False if `number` is not the next one.
    pub(super) fn publish(&mut self, number: u32, is_persistent: bool, in_transaction: bool) -> bool {
        let mut message = 0;
        if is_persistent {
            message |= bit::PERSISTENT;
        }
        if in_transaction {
            message |= bit::TRANSACTION | bit::UNCOMMITTED;
        }
        let is_next = number == self.len();
        if is_next {
            self.messages.push(message);
        }
        is_next
    }

    pub(super) fn is_published(&self, number: u32) -> bool {
        number < self.len()
    }

    /// False if the message had its verdict already.
    pub(super) fn settle(&mut self, number: u32, is_ack: bool) -> bool {
        let message = &mut self.messages[number as usize];
        let is_first = *message & (bit::ACKED | bit::NACKED) == 0;
        *message |= if is_ack { bit::ACKED } else { bit::NACKED };
        is_first
    }

    pub(super) fn mark_returned(&mut self, number: u32) {
        self.messages[number as usize] |= bit::RETURNED;
    }

    pub(super) fn is_returned(&self, number: u32) -> bool {
        self.has(number, bit::RETURNED)
    }

    pub(super) fn is_acked(&self, number: u32) -> bool {
        self.has(number, bit::ACKED)
    }

    pub(super) fn is_persistent(&self, number: u32) -> bool {
        self.has(number, bit::PERSISTENT)
    }

    pub(super) fn is_transactional(&self, number: u32) -> bool {
        self.has(number, bit::TRANSACTION)
    }

    pub(super) fn is_uncommitted(&self, number: u32) -> bool {
        self.has(number, bit::UNCOMMITTED)
    }

    /// The commit is on its way.
    pub(super) fn commit(&mut self, number: u32) {
        self.messages[number as usize] &= !bit::UNCOMMITTED;
    }

    /// Whether the message could still be there: of this life, or persistent in a durable queue.
    pub(super) fn outlives(&self, number: u32, is_durable_queue: bool) -> bool {
        number >= self.life_begin || is_durable_queue && self.has(number, bit::PERSISTENT)
    }

    /// The first message of this life without a verdict, transactions aside.
    pub(super) fn first_unsettled(&self) -> Option<u32> {
        let settled = bit::ACKED | bit::NACKED | bit::TRANSACTION;
        (self.life_begin..self.len()).find(|number| !self.has(*number, settled))
    }

    pub(super) fn end_life(&mut self) {
        self.life_begin = self.len();
    }

    fn has(&self, number: u32, bits: u8) -> bool {
        self.messages.get(number as usize).is_some_and(|message| message & bits != 0)
    }
}
