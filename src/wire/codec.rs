//! Bytes to values and back, with every length checked.
use crate::wire::{MAGIC, VERSION};

/// Longest text in a message, bytes.
const TEXT_AT_MOST: u16 = 1024;

/// A message that is not one. It ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Another program, or another version of this one.
    #[error("not a message of version {VERSION}: found magic {magic:#06x}, version {version}")]
    Version {
        /// What stood where the magic belongs.
        magic: u16,
        /// What stood where the version belongs.
        version: u16,
    },
    /// It ends too early.
    #[error("the message ends too early")]
    Short,
    /// Something follows its end.
    #[error("the message has {0} bytes too many")]
    Long(usize),
    /// A number that stands for nothing.
    #[error("{value} is no {field}")]
    Unknown {
        /// Which field.
        field: &'static str,
        /// The number.
        value: u64,
    },
}

/// Takes values off a message, in order.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Checks magic and version, gives the kind and the body.
    ///
    /// # Errors
    /// When the head is not ours.
    pub fn open(message: &'a [u8]) -> Result<(u16, Self), Malformed> {
        let mut reader = Self { rest: message };
        let (magic, version) = (reader.u16()?, reader.u16()?);
        if magic != MAGIC || version != VERSION {
            return Err(Malformed::Version { magic, version });
        }
        Ok((reader.u16()?, reader))
    }

    /// So many bytes.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    /// An array of bytes.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.bytes(N)?.first_chunk().copied().ok_or(Malformed::Short)
    }

    /// A byte.
    ///
    /// # Errors
    /// When there is none.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_le_bytes)
    }

    /// Two bytes.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// A number that may be unknown.
    ///
    /// # Errors
    /// When the message is short or the mark is neither 0 nor 1.
    pub fn maybe_u64(&mut self) -> Result<Option<u64>, Malformed> {
        match self.u8()? {
            0 => Ok(None),
            1 => self.u64().map(Some),
            other => Err(Malformed::Unknown { field: "mark of presence", value: other.into() }),
        }
    }

    /// A text with its length (two bytes) before it.
    ///
    /// # Errors
    /// When the message is short, or the text is not UTF-8 or longer than any that is written.
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        let length = self.u16()?;
        if length > TEXT_AT_MOST {
            return Err(Malformed::Unknown { field: "length of a text", value: length.into() });
        }
        let bytes = self.bytes(length.into())?;
        std::str::from_utf8(bytes).map_err(|fault| Malformed::Unknown {
            field: "UTF-8 text",
            value: u64::try_from(fault.valid_up_to()).unwrap_or(u64::MAX),
        })
    }

    /// The message is over.
    ///
    /// # Errors
    /// When something follows.
    pub const fn close(self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::Long(self.rest.len())) }
    }
}

/// Puts values into a message, in order.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Begins a message.
    pub fn open(kind: u16) -> Self {
        let mut writer = Self { bytes: Vec::with_capacity(256) };
        writer.u16(MAGIC);
        writer.u16(VERSION);
        writer.u16(kind);
        writer
    }

    /// Bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// A byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes(&value.to_le_bytes());
    }

    /// Two bytes.
    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_le_bytes());
    }

    /// Four bytes.
    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    /// Eight bytes.
    pub fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    /// A number that may be unknown.
    pub fn maybe_u64(&mut self, value: Option<u64>) {
        match value {
            None => self.u8(0),
            Some(value) => {
                self.u8(1);
                self.u64(value);
            }
        }
    }

    /// A text, cut at 1,024 bytes: texts are names and reasons for people.
    pub fn text(&mut self, text: &str) {
        let mut end = text.len().min(TEXT_AT_MOST.into());
        while !text.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        let kept = text.get(..end).unwrap_or_default();
        self.u16(u16::try_from(kept.len()).unwrap_or(0));
        self.bytes(kept.as_bytes());
    }

    /// The message.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}
