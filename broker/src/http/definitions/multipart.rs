//! Forms with a file in them (`multipart/form-data`, RFC 7578), as browsers and `curl -F` send them.

/// A field of a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part<'a> {
    pub(super) name: &'a str,
    pub(super) body: &'a [u8],
}

/// What stands between the parts of a body with this content type; none if it is no form.
pub(super) fn boundary(content_type: &str) -> Option<&str> {
    let mut words = content_type.split(';').map(str::trim);
    words.next().filter(|kind| kind.eq_ignore_ascii_case("multipart/form-data"))?;
    words.find_map(|word| value_of(word, "boundary")).filter(|boundary| !boundary.is_empty())
}

/// The parts of a form. One that is cut off, or has no name, is none.
pub(super) fn parts<'a>(body: &'a [u8], boundary: &str) -> Vec<Part<'a>> {
    let mark = format!("--{boundary}");
    let mut parts = Vec::new();
    // The first mark may begin the body; all others begin a line.
    let mut rest = match find(body, mark.as_bytes()) {
        Some(at) => &body[at + mark.len()..],
        None => return parts,
    };
    let mark = format!("\r\n{mark}");
    while let Some(end) = find(rest, mark.as_bytes()) {
        parts.extend(rest[..end].strip_prefix(b"\r\n").and_then(part));
        rest = &rest[end + mark.len()..];
    }
    parts
}

fn part(text: &[u8]) -> Option<Part<'_>> {
    const BLANK_LINE: &[u8] = b"\r\n\r\n";
    let end = find(text, BLANK_LINE)?;
    let (head, body) = (std::str::from_utf8(&text[..end]).ok()?, &text[end + BLANK_LINE.len()..]);
    let name = head.lines().find_map(|line| {
        let (header, value) = line.split_once(':')?;
        header.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    let name = name.split(';').find_map(|word| value_of(word.trim(), "name"))?;
    Some(Part { name, body })
}

/// The value in `key=value` or `key="value"`.
fn value_of<'a>(word: &'a str, key: &str) -> Option<&'a str> {
    let (name, value) = word.split_once('=')?;
    name.eq_ignore_ascii_case(key).then(|| value.trim_matches('"'))
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_as_curl_sends_it() {
        let body = b"--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"d.json\"\r\n\
                     Content-Type: application/json\r\n\r\n{\r\n\"a\":1}\r\n--XX\r\n\
                     content-disposition: form-data; name=redirect\r\n\r\n../#x\r\n--XX--\r\n";
        let parts = parts(body, boundary("multipart/form-data; boundary=XX").unwrap());
        assert_eq!(
            parts,
            [Part { name: "file", body: b"{\r\n\"a\":1}" }, Part { name: "redirect", body: b"../#x" },]
        );
    }

    #[test]
    fn only_forms_have_a_boundary() {
        assert_eq!(boundary("Multipart/Form-Data; charset=utf-8; boundary=\"a b\""), Some("a b"));
        for other in ["", "application/json", "multipart/form-data", "multipart/form-data; boundary="] {
            assert_eq!(boundary(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_cut_off_or_nameless_is_no_part() {
        for body in [
            "",
            "--X",
            "--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nbody",
            "--X\r\nContent-Disposition: form-data\r\n\r\nbody\r\n--X--",
            "--X\r\nContent-Type: a\r\n\r\nbody\r\n--X--",
            "--X\r\nname=\"a\"\r\n--X--",
            "--X--\r\n",
        ] {
            assert_eq!(parts(body.as_bytes(), "X"), [], "{body:?}");
        }
        assert_eq!(
            parts(b"--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n--X--", "X"),
            [Part { name: "a", body: b"" }]
        );
    }
}
