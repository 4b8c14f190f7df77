//! What became of the messages of a run.

use std::fmt;

use crate::exit::Code;

/// How many messages ended how. Each counts once, however often it was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Given to the connection at least once.
    pub sent: u64,
    /// Confirmed, and not returned.
    pub accepted: u64,
    /// The broker could not or would not take it (`basic.nack`), for instance because the queue is full.
    pub refused: u64,
    /// No queue is bound that way (`basic.return`).
    pub returned: u64,
    /// Sent, and gone without a confirm, since none was asked for.
    pub unknown: u64,
    /// Sent to an exchange that is not there.
    pub astray: u64,
    /// Read, and not sent before the end.
    pub unsent: u64,
    /// Sent once more after a connection was lost. A consumer may see such a message twice.
    pub repeated: u64,
}

impl Tally {
    /// Sent, and nothing heard of them yet.
    pub fn unconfirmed(&self) -> u64 {
        self.sent - self.accepted - self.refused - self.returned - self.unknown - self.astray
    }

    /// The exchange is not there. If the broker has answered for none, it has taken none; otherwise the exchange was
    /// deleted meanwhile, and some may have come before that.
    pub fn find_no_exchange(&mut self) {
        if self.unconfirmed() == self.sent {
            self.astray = self.sent;
        }
    }

    /// How the run ends.
    pub fn code(&self) -> Code {
        if self.refused + self.returned + self.astray + self.unconfirmed() + self.unsent == 0 {
            Code::Ok
        } else {
            Code::NotAccepted
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.accepted, "accepted"),
            (self.refused, "refused (nack)"),
            (self.returned, "returned: no queue is bound that way"),
            (self.unknown, "not to be confirmed"),
            (self.astray, "not accepted: there is no such exchange"),
            (self.unconfirmed(), "not confirmed: lost or not, nobody knows"),
            (self.unsent, "not sent"),
            (self.repeated, "sent again, so perhaps doubled"),
        ];
        write!(f, "{}", counted(self.sent))?;
        let told = parts.iter().filter(|(count, _)| *count > 0);
        for (index, (count, what)) in told.enumerate() {
            write!(f, "{} {count} {what}", if index == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}

fn counted(sent: u64) -> String {
    match sent {
        1 => "1 message sent".to_owned(),
        _ => format!("{sent} messages sent"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_happened_is_told() {
        assert_eq!(Tally::default().to_string(), "0 messages sent");
        assert_eq!(
            Tally { sent: 1, accepted: 1, ..Tally::default() }.to_string(),
            "1 message sent: 1 accepted"
        );
        let tally = Tally { sent: 9, accepted: 4, refused: 2, repeated: 3, ..Tally::default() };
        assert_eq!(
            tally.to_string(),
            "9 messages sent: 4 accepted, 2 refused (nack), 3 not confirmed: lost or not, nobody knows, \
             3 sent again, so perhaps doubled"
        );
    }

    #[test]
    fn without_an_exchange_none_is_accepted() {
        let mut tally = Tally { sent: 2, unsent: 1, ..Tally::default() };
        tally.find_no_exchange();
        assert_eq!(
            tally.to_string(),
            "2 messages sent: 2 not accepted: there is no such exchange, 1 not sent"
        );
        assert_eq!(tally.code(), Code::NotAccepted);
        let mut tally = Tally { sent: 2, accepted: 1, ..Tally::default() };
        tally.find_no_exchange();
        assert_eq!((tally.astray, tally.unconfirmed()), (0, 1));
    }

    #[test]
    fn anything_not_accepted_shows_in_the_exit_code() {
        let all = Tally { sent: 5, accepted: 3, unknown: 2, repeated: 1, ..Tally::default() };
        assert_eq!(all.code(), Code::Ok);
        for tally in [
            Tally { refused: 1, accepted: 2, ..all },
            Tally { returned: 1, accepted: 2, ..all },
            Tally { accepted: 2, ..all },
            Tally { unsent: 1, ..all },
        ] {
            assert_eq!(tally.code(), Code::NotAccepted, "{tally}");
        }
    }
}
