//! Frames and their primitives, written by hand: the broker must not be tested with its own codec.
//!
//! ```text
//! frame   0      1         3         7                 7+size
//!         | kind | channel | size    | payload         | 0xCE |
//! ```

/// Frame kinds (AMQP 0-9-1 section 4.2.3).
pub const METHOD: u8 = 1;
pub const HEADER: u8 = 2;
pub const BODY: u8 = 3;
pub const HEARTBEAT: u8 = 8;

/// The octet after every frame.
pub const FRAME_END: u8 = 0xCE;

/// One frame, right or wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub channel: u16,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The frame's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let size = u32::try_from(self.payload.len()).expect("a test's frame is small");
        let mut bytes = vec![self.kind];
        bytes.extend(self.channel.to_be_bytes());
        bytes.extend(size.to_be_bytes());
        bytes.extend(&self.payload);
        bytes.push(FRAME_END);
        bytes
    }
}

/// A field-table value, as far as tests send any.
#[derive(Debug, Clone)]
pub enum Value {
    Bool(bool),
    Int(i32),
    Long(i64),
    Text(&'static str),
    Table(Vec<(&'static str, Value)>),
    /// A type octet and bytes as they are.
    Raw(u8, Vec<u8>),
}

/// Appends primitives to a payload.
#[derive(Debug, Clone, Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    pub fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// A short string; its length is cut to one octet, so that tests can lie.
    pub fn short(mut self, text: impl AsRef<[u8]>) -> Self {
        let bytes = text.as_ref();
        self.0.push(bytes.len() as u8);
        self.0.extend(bytes);
        self
    }

    /// Bytes as they are.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// A long string.
    pub fn long(mut self, bytes: &[u8]) -> Self {
        self.0.extend((bytes.len() as u32).to_be_bytes());
        self.0.extend(bytes);
        self
    }

    pub fn table(self, fields: &[(&str, Value)]) -> Self {
        let body =
            fields.iter().fold(Writer::default(), |writer, (name, value)| writer.short(name).value(value));
        self.long(&body.0)
    }

    fn value(self, value: &Value) -> Self {
        match value {
            Value::Bool(value) => self.u8(b't').u8((*value).into()),
            Value::Int(value) => self.u8(b'I').u32(value.cast_unsigned()),
            Value::Long(value) => self.u8(b'l').u64(value.cast_unsigned()),
            Value::Text(text) => self.u8(b'S').long(text.as_bytes()),
            Value::Table(fields) => self.u8(b'F').table(fields),
            Value::Raw(kind, bytes) => self.u8(*kind).raw(bytes),
        }
    }
}

/// Takes primitives off a payload. Panics at its end: the broker sent something broken.
#[derive(Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn u8(&mut self) -> u8 {
        self.bytes(1)[0]
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    pub fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.array())
    }

    pub fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.array())
    }

    pub fn short(&mut self) -> String {
        String::from_utf8_lossy(self.short_bytes()).into_owned()
    }

    /// A short string that may be no text.
    pub fn short_bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.u8());
        self.bytes(length)
    }

    /// A long string, or a table's bytes.
    pub fn long(&mut self) -> &'a [u8] {
        let length = self.u32() as usize;
        self.bytes(length)
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.bytes(N).try_into().expect("as long as asked for")
    }

    /// The next `length` bytes as they are.
    pub fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at_checked(length).expect("the broker sent a short payload");
        self.0 = rest;
        taken
    }
}
