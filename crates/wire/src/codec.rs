//! Reading and writing octets, and the one error of this crate.
//!
//! A `Reader` knows the name of what it reads, so an error says what was malformed. A `Writer`
//! back-patches lengths and remembers the first value that did not fit its field.

use std::fmt;

/// Octets that do not have the form that their document gives them.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The structure that is malformed: `SA KEK payload`, `ISAKMP header`.
    pub what: &'static str,
    /// What is wrong with it.
    pub kind: Kind,
}

/// What is wrong, and what was expected.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It ends too early.
    Short {
        /// Octets that the next field needs.
        needed: usize,
        /// Octets that are left.
        left: usize,
    },
    /// Octets follow where it should end.
    Trailing {
        /// How many.
        octets: usize,
    },
    /// A field has a value that it cannot have.
    Value {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u64,
        /// What it may be.
        expected: &'static str,
    },
    /// A part that must be there is not.
    Missing {
        /// The part.
        part: &'static str,
    },
    /// A part that may be there once is there again.
    Repeated {
        /// The part.
        part: &'static str,
    },
    /// There are more parts than this crate reads, or a field can count.
    TooMany {
        /// The parts.
        parts: &'static str,
        /// How many may be there.
        max: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.what;
        match self.kind {
            Kind::Short { needed, left } => {
                write!(f, "{what}: {needed} octets expected, {left} left")
            }
            Kind::Trailing { octets } => {
                write!(f, "{what}: {octets} octets after its end, none expected")
            }
            Kind::Value {
                field,
                value,
                expected,
            } => write!(f, "{what}: {field} is {value}, expected {expected}"),
            Kind::Missing { part } => write!(f, "{what}: {part} is missing"),
            Kind::Repeated { part } => write!(f, "{what}: {part} more than once"),
            Kind::TooMany { parts, max } => write!(f, "{what}: more than {max} {parts}"),
        }
    }
}

impl std::error::Error for Error {}

/// Reads a structure from front to back.
#[derive(Clone)]
pub struct Reader<'a> {
    what: &'static str,
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader over `bytes`, which are or contain a `what`.
    #[must_use]
    #[inline]
    pub const fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, bytes }
    }

    /// An error of the structure being read.
    #[must_use]
    pub const fn error(&self, kind: Kind) -> Error {
        Error {
            what: self.what,
            kind,
        }
    }

    /// The error for a field with a value that it cannot have.
    #[must_use]
    pub fn bad(&self, field: &'static str, value: impl Into<u64>, expected: &'static str) -> Error {
        self.error(Kind::Value {
            field,
            value: value.into(),
            expected,
        })
    }

    /// How many octets are left.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next `count` octets.
    ///
    /// # Errors
    /// `Short` if fewer are left.
    #[inline]
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let Some((head, tail)) = self.bytes.split_at_checked(count) else {
            return Err(self.error(Kind::Short {
                needed: count,
                left: self.bytes.len(),
            }));
        };
        self.bytes = tail;
        Ok(head)
    }

    /// The next `N` octets as an array.
    ///
    /// # Errors
    /// `Short` if fewer are left.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let Some((head, tail)) = self.bytes.split_first_chunk::<N>() else {
            return Err(self.error(Kind::Short {
                needed: N,
                left: self.bytes.len(),
            }));
        };
        self.bytes = tail;
        Ok(*head)
    }

    /// One octet.
    ///
    /// # Errors
    /// `Short` if none is left.
    pub fn u8(&mut self) -> Result<u8, Error> {
        self.array().map(u8::from_be_bytes)
    }

    /// Two octets, big endian.
    ///
    /// # Errors
    /// `Short` if fewer are left.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four octets, big endian.
    ///
    /// # Errors
    /// `Short` if fewer are left.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight octets, big endian.
    ///
    /// # Errors
    /// `Short` if fewer are left.
    pub fn u64(&mut self) -> Result<u64, Error> {
        self.array().map(u64::from_be_bytes)
    }

    /// One octet that must be zero.
    ///
    /// # Errors
    /// `Short` if none is left, `Value` if it is not zero.
    pub fn reserved(&mut self) -> Result<(), Error> {
        match self.u8()? {
            0 => Ok(()),
            value => Err(self.bad("RESERVED", value, "0")),
        }
    }

    /// All that is left.
    #[inline]
    pub const fn rest(&mut self) -> &'a [u8] {
        let rest = self.bytes;
        self.bytes = &[];
        rest
    }

    /// A reader over the next `count` octets, which are a `what`.
    ///
    /// # Errors
    /// `Short` if fewer are left.
    pub fn sub(&mut self, what: &'static str, count: usize) -> Result<Self, Error> {
        Ok(Reader::new(what, self.take(count)?))
    }

    /// The structure ends here.
    ///
    /// # Errors
    /// `Trailing` if octets are left.
    pub const fn end(&self) -> Result<(), Error> {
        if self.bytes.is_empty() {
            Ok(())
        } else {
            Err(self.error(Kind::Trailing {
                octets: self.bytes.len(),
            }))
        }
    }
}

/// Capacity that a writer starts with: most datagrams, and what allocators hand out fastest.
const CAPACITY: usize = 1_024;

/// Writes octets front to back.
///
/// What it writes may be keys in the clear: it wipes the memory that it leaves when it must grow,
/// and what was not taken out of it in the end.
#[derive(Default)]
pub struct Writer {
    bytes: Vec<u8>,
    error: Option<Error>,
}

impl Writer {
    /// An empty writer.
    #[must_use]
    #[inline]
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            error: None,
        }
    }

    /// An empty writer that does not move what it writes before that is longer than `octets`.
    #[must_use]
    pub fn with_capacity(octets: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(octets),
            error: None,
        }
    }

    /// How many octets are written.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing is written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Appends octets.
    pub fn bytes(&mut self, octets: &[u8]) {
        let needed = self.bytes.len() + octets.len();
        if needed > self.bytes.capacity() {
            let mut grown = Vec::with_capacity(needed.max(2 * self.bytes.len()).max(CAPACITY));
            grown.extend_from_slice(&self.bytes);
            wipe(&mut self.bytes);
            self.bytes = grown;
        }
        self.bytes.extend_from_slice(octets);
    }

    /// Appends one octet.
    pub fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    /// Appends two octets, big endian.
    #[inline]
    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    /// Appends four octets, big endian.
    #[inline]
    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    /// Appends eight octets, big endian.
    pub fn u64(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    /// Remembers that a `what` cannot be written; the first such error is the one that `finish`
    /// returns.
    pub fn fail(&mut self, what: &'static str, kind: Kind) {
        self.error.get_or_insert(Error { what, kind });
    }

    /// Appends a count that has one octet.
    pub fn count_u8(&mut self, what: &'static str, parts: &'static str, count: usize) {
        match u8::try_from(count) {
            Ok(count) => self.u8(count),
            Err(_) => self.fail(what, Kind::TooMany { parts, max: 255 }),
        }
    }

    /// Appends a count that has two octets.
    pub fn count_u16(&mut self, what: &'static str, parts: &'static str, count: usize) {
        match u16::try_from(count) {
            Ok(count) => self.u16(count),
            Err(_) => self.fail(what, Kind::TooMany { parts, max: 65_535 }),
        }
    }

    /// Appends a length of one octet, then `body`, whose length it is.
    pub fn length_u8(&mut self, what: &'static str, body: impl FnOnce(&mut Self)) {
        let at = self.len();
        self.u8(0);
        body(self);
        match u8::try_from(self.len() - at - 1) {
            Ok(length) => self.bytes[at] = length,
            Err(_) => self.fail(
                what,
                Kind::TooMany {
                    parts: "octets",
                    max: 255,
                },
            ),
        }
    }

    /// Appends a length of two octets, then `body`; the length counts from `start` on, a value
    /// that `len` gave before.
    pub fn length_u16(&mut self, what: &'static str, start: usize, body: impl FnOnce(&mut Self)) {
        let at = self.len();
        self.u16(0);
        body(self);
        match u16::try_from(self.len() - start) {
            Ok(length) => self.bytes[at..at + 2].copy_from_slice(&length.to_be_bytes()),
            Err(_) => self.fail(
                what,
                Kind::TooMany {
                    parts: "octets",
                    max: 65_535,
                },
            ),
        }
    }

    /// Overwrites octets that were written before, from `at` on.
    pub(crate) fn overwrite(&mut self, at: usize, octets: &[u8]) {
        self.bytes[at..at + octets.len()].copy_from_slice(octets);
    }

    /// The octets, of which none was refused.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// The octets.
    ///
    /// # Errors
    /// The first value that did not fit its field.
    pub fn finish(self) -> Result<Vec<u8>, Error> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(self.into_bytes()),
        }
    }
}

/// Goes on where the octets end.
impl From<Vec<u8>> for Writer {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, error: None }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        wipe(&mut self.bytes);
    }
}

/// Overwrites octets that are about to be freed and may be keys.
pub(crate) fn wipe(octets: &mut [u8]) {
    octets.fill(0);
    // Without this the compiler may see that nobody reads the zeros, and not write them.
    std::hint::black_box(octets);
}
