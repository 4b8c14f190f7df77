//! Values of keys, from text.

use std::time::Duration;

use crate::server::watermark::ByteSize;

/// Why a text is no such value: what it may be.
pub(super) type Refused = String;

pub(super) fn flag(text: &str) -> Result<bool, Refused> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Ok(true),
        "false" | "off" | "no" | "0" => Ok(false),
        _ => Err(format!("'{text}' is neither true nor false")),
    }
}

/// A number from `least` to `most`.
pub(super) fn number_within<T: TryFrom<u64>>(text: &str, least: u64, most: u64) -> Result<T, Refused> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("'{text}' is no number from {least} to {most}"))
}

/// How many there may be; `infinity` is no limit.
pub(super) fn limit(text: &str) -> Result<Option<usize>, Refused> {
    if matches!(text, "infinity" | "unlimited") {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| format!("'{text}' is neither a number nor infinity"))
}

pub(super) fn size(text: &str) -> Result<u64, Refused> {
    text.parse().map(|ByteSize(bytes)| bytes).map_err(|error| error.to_string())
}

/// Milliseconds, above 0.
pub(super) fn millis(text: &str) -> Result<Duration, Refused> {
    match text.parse() {
        Ok(millis) if millis > 0 => Ok(Duration::from_millis(millis)),
        _ => Err(format!("'{text}' is no number of milliseconds above 0")),
    }
}

/// A number from `least` to `most`, where 0 and more than `most` mean as much as there can be. Gives what was made of it,
/// too, if that is another number.
pub(super) fn clamped(text: &str, least: u64, most: u64) -> Result<(u64, Option<String>), Refused> {
    match text.parse::<u64>() {
        Ok(number) if number == 0 || number > most => {
            let no_limit = if number == 0 { " (no limit)" } else { "" };
            Ok((most, Some(format!("{number}{no_limit} is taken as {most}, the most there is here"))))
        }
        _ => number_within(text, least, most).map(|number| (number, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_borders() {
        assert_eq!((limit("0"), limit("infinity")), (Ok(Some(0)), Ok(None)));
        assert_eq!(number_within::<u16>("2047", 1, 2_047), Ok(2_047));
        assert!(limit("many").is_err() && limit("-1").is_err());
        assert!(
            number_within::<u16>("2048", 1, 2_047).is_err() && number_within::<u8>("300", 0, 500).is_err()
        );
        assert_eq!(clamped("7", 1, 9), Ok((7, None)));
        for text in ["0", "10"] {
            assert!(clamped(text, 1, 9).is_ok_and(|(number, note)| number == 9 && note.is_some()));
        }
        assert!(clamped("1", 2, 9).is_err() && clamped("x", 1, 9).is_err());
        assert!(millis("0").is_err() && millis("1.5").is_err());
        assert_eq!(millis("1500"), Ok(Duration::from_millis(1_500)));
    }

    #[test]
    fn flags_have_several_words() {
        assert_eq!(
            ["true", "ON", "false", "off"].map(|text| flag(text).unwrap()),
            [true, true, false, false]
        );
        assert!(flag("maybe").is_err());
    }
}
