//! The numbers of a PLY file one after the other, from text or from binary data.

use nstr_files::excerpt;

use crate::read::ply::header::{Element, Scalar};
use crate::read::{ParseError, number};

/// An element and a row of it, for messages.
pub(super) type Place<'a> = (&'a Element, u64);

pub(super) trait Values {
    /// The next number, which the header says is of type `scalar`.
    fn next(&mut self, scalar: Scalar, place: Place<'_>) -> Result<f64, ParseError>;

    /// An error at the last number.
    fn fault(&self, place: Place<'_>, reason: &str) -> ParseError;
}

fn message((element, row): Place<'_>, reason: &str) -> String {
    format!("element {}, row {} of {}: {reason}", excerpt(&element.name), row + 1, element.count)
}

/// Words of a text, whichever lines they stand on.
pub(super) struct Text<'a> {
    lines: std::iter::Enumerate<std::str::Lines<'a>>,
    words: std::str::SplitAsciiWhitespace<'a>,
    before: usize,
    line: usize,
}

impl<'a> Text<'a> {
    /// Words of `text`, which stands after `before` lines of its file.
    pub fn new(text: &'a str, before: usize) -> Self {
        Self { lines: text.lines().enumerate(), words: "".split_ascii_whitespace(), before, line: before }
    }

    fn word(&mut self) -> Option<&'a str> {
        loop {
            if let Some(word) = self.words.next() {
                return Some(word);
            }
            let (i, line) = self.lines.next()?;
            (self.words, self.line) = (line.split_ascii_whitespace(), self.before + i + 1);
        }
    }

    /// Checks that no numbers are left: rows that hold more than the header says were read out of step.
    pub fn finish(&mut self) -> Result<(), ParseError> {
        match self.word() {
            Some(word) if number::parse(word).is_some() => Err(ParseError::at(
                self.line,
                "numbers are left after the last row: rows hold more than the header says, or are more than it counts",
            )),
            _ => Ok(()),
        }
    }
}

impl Values for Text<'_> {
    fn next(&mut self, _: Scalar, place: Place<'_>) -> Result<f64, ParseError> {
        let word = self.word().ok_or_else(|| self.fault(place, "truncated: the file ends here"))?;
        number::parse(word).ok_or_else(|| self.fault(place, &number::fault(word)))
    }

    fn fault(&self, place: Place<'_>, reason: &str) -> ParseError {
        ParseError::at(self.line, message(place, reason))
    }
}

/// Numbers of fixed sizes without gaps.
pub(super) struct Binary<'a> {
    data: &'a [u8],
    is_big: bool,
}

impl<'a> Binary<'a> {
    pub fn new(data: &'a [u8], is_big: bool) -> Self {
        Self { data, is_big }
    }

    fn take<const N: usize>(&mut self, place: Place<'_>) -> Result<[u8; N], ParseError> {
        let Some((bytes, rest)) = self.data.split_first_chunk::<N>() else {
            return Err(self.fault(place, "truncated: the file ends here"));
        };
        self.data = rest;
        let mut bytes = *bytes;
        if self.is_big {
            bytes.reverse();
        }
        Ok(bytes)
    }
}

impl Values for Binary<'_> {
    fn next(&mut self, scalar: Scalar, place: Place<'_>) -> Result<f64, ParseError> {
        Ok(match scalar {
            Scalar::I8 => i8::from_le_bytes(self.take(place)?).into(),
            Scalar::U8 => u8::from_le_bytes(self.take(place)?).into(),
            Scalar::I16 => i16::from_le_bytes(self.take(place)?).into(),
            Scalar::U16 => u16::from_le_bytes(self.take(place)?).into(),
            Scalar::I32 => i32::from_le_bytes(self.take(place)?).into(),
            Scalar::U32 => u32::from_le_bytes(self.take(place)?).into(),
            Scalar::F32 => f32::from_le_bytes(self.take(place)?).into(),
            Scalar::F64 => f64::from_le_bytes(self.take(place)?),
        })
    }

    fn fault(&self, place: Place<'_>, reason: &str) -> ParseError {
        ParseError::new(message(place, reason))
    }
}
