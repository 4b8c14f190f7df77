//! A connection's frames in words: a method on a line, with the content that follows it.

use std::collections::BTreeMap;

use super::{
    content::{describe_body, describe_header},
    methods::{self, Signature},
    table::digits,
};
use crate::codec::{BODY, Frame, HEADER, HEARTBEAT, METHOD, Reader};

/// Methods that content follows: `basic.return`, `basic.deliver`, `basic.get-ok`.
const WITH_CONTENT: [(u16, u16); 3] = [(60, 50), (60, 60), (60, 71)];

/// What one connection has heard of contents that are not complete.
#[derive(Debug, Default)]
pub struct Hearing {
    open: BTreeMap<u16, Content>,
}

#[derive(Debug)]
struct Content {
    method: String,
    properties: String,
    /// None until the header has come.
    size: Option<u64>,
    body: Vec<u8>,
    frame_sizes: Vec<usize>,
}

impl Hearing {
    /// The frame in words; none if it is part of a content of which more is to come.
    pub fn hear(&mut self, frame: &Frame) -> Option<String> {
        let told = match frame.kind {
            METHOD => return self.hear_method(frame),
            HEADER => self.open.get_mut(&frame.channel).map(|content| content.hear_header(&frame.payload)),
            BODY => self.open.get_mut(&frame.channel).map(|content| content.hear_body(&frame.payload)),
            HEARTBEAT => return Some("heartbeat".to_owned()),
            _ => None,
        };
        let Some(is_whole) = told else {
            return Some(format!("frame kind={} payload={}", frame.kind, digits(&frame.payload)));
        };
        if is_whole { self.open.remove(&frame.channel).map(Content::tell) } else { None }
    }

    /// Contents that will never be complete.
    pub fn finish(&mut self) -> Vec<(u16, String)> {
        let open = std::mem::take(&mut self.open);
        open.into_iter()
            .map(|(channel, content)| (channel, format!("{} (cut off)", content.tell())))
            .collect()
    }

    fn hear_method(&mut self, frame: &Frame) -> Option<String> {
        let (class, id) = ids(frame);
        let text = match Signature::of(class, id) {
            Some(signature) => signature.describe(&frame.payload[4..]),
            None => methods::name(class, id),
        };
        if !WITH_CONTENT.contains(&(class, id)) {
            return Some(text);
        }
        let content = Content {
            method: text,
            properties: String::new(),
            size: None,
            body: Vec::new(),
            frame_sizes: Vec::new(),
        };
        self.open.insert(frame.channel, content);
        None
    }
}

/// The class and method of a method frame.
pub fn ids(frame: &Frame) -> (u16, u16) {
    let mut reader = Reader(&frame.payload);
    (reader.u16(), reader.u16())
}

impl Content {
    /// Whether the content is complete.
    fn hear_header(&mut self, payload: &[u8]) -> bool {
        let (size, properties) = describe_header(payload);
        self.properties = properties;
        self.size = Some(size);
        size == 0
    }

    fn hear_body(&mut self, payload: &[u8]) -> bool {
        self.body.extend(payload);
        self.frame_sizes.push(payload.len());
        self.size.is_none_or(|size| self.body.len() as u64 >= size)
    }

    fn tell(self) -> String {
        format!("{}{} body={}", self.method, self.properties, describe_body(&self.body, &self.frame_sizes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method;

    #[test]
    fn content_is_told_when_it_is_complete() {
        let mut hearing = Hearing::default();
        let deliver = b"\0\x3c\0\x3c\x01c\0\0\0\0\0\0\0\x07\x01\0\x01q".to_vec();
        let deliver = Frame { kind: METHOD, channel: 1, payload: deliver };
        assert_eq!(hearing.hear(&deliver), None);
        assert_eq!(hearing.hear(&method::header(4)), None);
        assert_eq!(hearing.hear(&method::body(b"co")), None);
        assert_eq!(
            hearing.hear(&method::body(b"co")).unwrap(),
            "basic.deliver consumer=\"c\" tag=7 redelivered exchange=\"\" key=\"q\" body=\"coco\" in frames of 2+2"
        );
        assert!(hearing.hear(&method::body(b"alone")).unwrap().starts_with("frame kind=3"));
        assert_eq!(hearing.hear(&deliver), None);
        assert_eq!(hearing.finish().len(), 1);
    }
}
