//! Reading big-endian fields off the front of a byte slice.

/// The bytes not yet read. Every read gives none when too few are left, and then reads nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    #[inline]
    pub(crate) fn octet(&mut self) -> Option<u8> {
        self.array().map(|[octet]| octet)
    }

    #[inline]
    pub(crate) fn short(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    pub(crate) fn long(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn long_long(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// The bytes of a short string: one octet of length, then that many.
    #[inline]
    pub(crate) fn short_string(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let length = ahead.octet()?;
        let text = ahead.take(usize::from(length))?;
        *self = ahead;
        Some(text)
    }

    /// The bytes of a long string: four octets of length, then that many.
    #[inline]
    pub(crate) fn long_string(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let length = ahead.long()?;
        let text = ahead.take(usize::try_from(length).ok()?)?;
        *self = ahead;
        Some(text)
    }
}
