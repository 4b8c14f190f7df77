//! `name=value&name=value`: queries, and the form of a login. `+` is a space, `%2B` a plus.

use percent_encoding::percent_decode;

use super::HttpError;

/// The pairs as bytes; a name without `=` has a blank value.
pub(super) fn pairs(text: &[u8]) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        (decode(&pair[..end]), decode(pair.get(end + 1..).unwrap_or_default()))
    })
}

/// The pairs as texts.
pub(super) fn texts(query: &str) -> impl Iterator<Item = Result<(String, String), HttpError>> {
    let text = |bytes| String::from_utf8(bytes).map_err(|_| HttpError::Malformed);
    pairs(query.as_bytes()).map(move |(name, value)| Ok((text(name)?, text(value)?)))
}

/// The value of a name; of several the first. One that is no text counts as not there.
pub(super) fn value(query: &str, name: &str) -> Option<String> {
    let (_, value) = pairs(query.as_bytes()).find(|(key, _)| key == name.as_bytes())?;
    String::from_utf8(value).ok()
}

fn decode(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaced).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded() {
        let of = |query| texts(query).collect::<Result<Vec<_>, _>>().unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [pair("a", "b c"), pair("d+", "="), pair("e", ""), pair("", "f=g"), pair("a", "h")];
        assert_eq!(of("a=b+c&d%2b=%3D&&e&=f=g&a=h"), expected);
        assert_eq!(of(""), []);
        assert_eq!(texts("a=%ff").next(), Some(Err(HttpError::Malformed)));
        assert_eq!(pairs(b"a=%ff").next(), Some((b"a".to_vec(), vec![0xff])));
    }

    #[test]
    fn the_first_value_counts() {
        assert_eq!(value("a=1&b=2&a=3", "a").as_deref(), Some("1"));
        assert_eq!(value("a=1", "A"), None);
        assert_eq!(value("a", "a").as_deref(), Some(""));
    }
}
