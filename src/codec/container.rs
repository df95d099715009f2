//! The container: a list of sections, then the sections in its order.
//!
//! ```text
//! magic      8 bytes   89 4E 53 54 52 0D 0A 1A ("\x89NSTR\r\n\x1a"; the first byte and the line ends tell of damage in transfer, as in PNG)
//! version    u16
//! sections   u16       their number
//! checksum   u32       CRC-32 of the rows
//! rows                 12 bytes a section: kind u8, level u8, part u16, length u32, CRC-32 of the section u32
//! sections
//! ```
//!
//! All numbers are little-endian. Rows are in ascending order of kind, level and part, so that a section is there once, and what a
//! reader needs first comes first: header, occupied cells, networks, then the levels of the grid from coarse to fine. A prefix of
//! a file that ends with a section is read with [`Container::prefix`].

use flate2::Crc;

use crate::error::{CodecError, SectionName, StreamError};

/// First bytes of a compact model.
pub const MAGIC: [u8; 8] = *b"\x89NSTR\r\n\x1a";
/// Version that this crate writes; it reads no other.
pub const VERSION: u16 = 1;

/// Bytes before the rows.
const START: usize = 16;
/// Bytes of a row.
const ROW: usize = 12;

/// Kind of a section's content, in the order of sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum SectionKind {
    /// The text that describes the model.
    Header = 1,
    /// Occupied cells.
    Occupancy = 2,
    /// Basis and networks.
    Networks = 3,
    /// A level of the latent grid, or a part of one.
    Level = 4,
}

impl SectionKind {
    fn of(byte: u8) -> Option<Self> {
        [Self::Header, Self::Occupancy, Self::Networks, Self::Level].into_iter().find(|kind| *kind as u8 == byte)
    }

    /// The kind in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Occupancy => "occupancy",
            Self::Networks => "networks",
            Self::Level => "level",
        }
    }
}

impl SectionName {
    /// The one section of a kind that has no levels.
    pub fn of(kind: SectionKind) -> Self {
        Self { kind, level: 0, part: 0 }
    }

    /// A part of a level.
    pub fn level(level: u8, part: u16) -> Self {
        Self { kind: SectionKind::Level, level, part }
    }

    fn rank(self) -> (SectionKind, u8, u16) {
        (self.kind, self.level, self.part)
    }

    /// The error of a section that cannot be decoded.
    pub fn failed(self) -> impl FnOnce(StreamError) -> CodecError {
        move |source| CodecError::Stream { section: self, source }
    }
}

/// A section that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    /// Kind and place.
    pub name: SectionName,
    /// Content.
    pub bytes: &'a [u8],
}

/// The sections of a file, their checksums checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container<'a> {
    sections: Vec<Section<'a>>,
    /// Sections of the file that a prefix does not hold.
    missing: usize,
}

/// True for the first bytes of a compact model.
pub fn is_compact(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

impl<'a> Container<'a> {
    /// Reads a whole file.
    ///
    /// # Errors
    /// [`CodecError`] for files of another format or version, damaged ones, and those that are longer or shorter than their
    /// sections.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let (container, end) = Self::read(bytes)?;
        if container.missing > 0 {
            let rows = rows(bytes)?;
            let row = rows[rows.len() - container.missing];
            return Err(CodecError::Truncated { section: row.name, needs: row.end, has: bytes.len() as u64 });
        }
        match bytes.len() as u64 - end {
            0 => Ok(container),
            more => Err(CodecError::Trailing(more)),
        }
    }

    /// Reads the sections that the first bytes of a file hold whole.
    ///
    /// # Errors
    /// As [`Self::parse`], but for files that end early; the list of sections must be there.
    pub fn prefix(bytes: &'a [u8]) -> Result<Self, CodecError> {
        Self::read(bytes).map(|(container, _)| container)
    }

    /// The whole sections, and the end of the last one.
    fn read(bytes: &'a [u8]) -> Result<(Self, u64), CodecError> {
        let rows = rows(bytes)?;
        let mut sections = Vec::with_capacity(rows.len());
        let mut at = (START + ROW * rows.len()) as u64;
        for row in &rows {
            if row.end > bytes.len() as u64 {
                break;
            }
            // Both are within the file's length.
            let content = &bytes[at as usize..row.end as usize];
            if crc(content) != row.crc {
                return Err(CodecError::Checksum { section: row.name });
            }
            sections.push(Section { name: row.name, bytes: content });
            at = row.end;
        }
        let missing = rows.len() - sections.len();
        Ok((Self { sections, missing }, at))
    }

    /// The sections, in the file's order.
    pub fn sections(&self) -> &[Section<'a>] {
        &self.sections
    }

    /// True if all sections of the file are there.
    pub fn is_whole(&self) -> bool {
        self.missing == 0
    }

    /// Content of a section; `None` where the file, or the prefix, has none.
    pub fn get(&self, name: SectionName) -> Option<&'a [u8]> {
        self.sections.iter().find(|section| section.name == name).map(|section| section.bytes)
    }

    /// Content of a section that every model has.
    ///
    /// # Errors
    /// [`CodecError::Section`] where it is missing.
    pub fn require(&self, name: SectionName) -> Result<&'a [u8], CodecError> {
        self.get(name).ok_or(CodecError::Section { section: name, reason: "is missing" })
    }
}

/// A row of the list.
#[derive(Clone, Copy)]
struct Row {
    name: SectionName,
    /// End of the section in the file.
    end: u64,
    crc: u32,
}

/// Reads the list of sections.
fn rows(bytes: &[u8]) -> Result<Vec<Row>, CodecError> {
    if !is_compact(bytes) {
        return Err(CodecError::Magic);
    }
    let short = || CodecError::Table(format!("the file has {} bytes", bytes.len()));
    let (start, rest) = bytes.split_first_chunk::<START>().ok_or_else(short)?;
    let version = u16::from_le_bytes([start[8], start[9]]);
    if version != VERSION {
        return Err(CodecError::Version { found: version });
    }
    let count = usize::from(u16::from_le_bytes([start[10], start[11]]));
    let list = rest.get(..ROW * count).ok_or_else(short)?;
    if crc(list) != u32::from_le_bytes([start[12], start[13], start[14], start[15]]) {
        return Err(CodecError::Table("its checksum differs".into()));
    }
    let mut end = (START + ROW * count) as u64;
    let mut rows: Vec<Row> = Vec::with_capacity(count);
    for (i, row) in list.as_chunks::<ROW>().0.iter().enumerate() {
        let [kind, level, p0, p1, l0, l1, l2, l3, c0, c1, c2, c3] = *row;
        let kind = SectionKind::of(kind).ok_or_else(|| {
            CodecError::Table(format!("section {i} is of kind {kind}, which this version does not know"))
        })?;
        let name = SectionName { kind, level, part: u16::from_le_bytes([p0, p1]) };
        if rows.last().is_some_and(|before| before.name.rank() >= name.rank()) {
            return Err(CodecError::Table(format!("section {i}, {name}, is out of order")));
        }
        end += u64::from(u32::from_le_bytes([l0, l1, l2, l3]));
        rows.push(Row { name, end, crc: u32::from_le_bytes([c0, c1, c2, c3]) });
    }
    Ok(rows)
}

/// Bytes of a file with sections of these lengths.
pub fn container_len(lengths: impl IntoIterator<Item = usize>) -> usize {
    lengths.into_iter().fold(START, |sum, length| sum + ROW + length)
}

/// The file of some sections, which are in ascending order.
///
/// # Errors
/// [`CodecError::Table`] for sections out of order, more than 65 535 of them, or one of 4 GiB or more.
pub fn write_container(sections: &[(SectionName, Vec<u8>)]) -> Result<Vec<u8>, CodecError> {
    let count = u16::try_from(sections.len()).map_err(|_| CodecError::Table("there are too many sections".into()))?;
    let mut list = Vec::with_capacity(ROW * sections.len());
    for (i, (name, content)) in sections.iter().enumerate() {
        if i > 0 && sections[i - 1].0.rank() >= name.rank() {
            return Err(CodecError::Table(format!("section {i}, {name}, is out of order")));
        }
        let length = u32::try_from(content.len())
            .map_err(|_| CodecError::Table(format!("section {name} has {} bytes, which is too long", content.len())))?;
        list.extend([name.kind as u8, name.level]);
        list.extend(name.part.to_le_bytes());
        list.extend(length.to_le_bytes());
        list.extend(crc(content).to_le_bytes());
    }
    let mut bytes = Vec::with_capacity(container_len(sections.iter().map(|s| s.1.len())));
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(count.to_le_bytes());
    bytes.extend(crc(&list).to_le_bytes());
    bytes.extend(list);
    sections.iter().for_each(|(_, content)| bytes.extend(content));
    Ok(bytes)
}
