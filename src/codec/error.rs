//! Errors of coded sections and of the container.

use crate::container::SectionKind;

/// Coded bits that cannot be what an encoder wrote.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The bytes end before the values do.
    #[error("ends before its values do")]
    Truncated,
    /// There are bytes left after the last value.
    #[error("is longer than its values")]
    Trailing,
    /// A quantisation step that is no finite number above 0.
    #[error("has a quantisation step of {0}; expected a finite number above 0")]
    Step(f32),
    /// A value that is too large for its step: the product is not finite.
    #[error("holds a value of {0} steps of {1}, which is not finite")]
    Value(i32, f32),
    /// Flags that this version does not know.
    #[error("has the flags {0:#x}, which this version does not know")]
    Flags(u8),
    /// A text that is no zlib stream, or too long.
    #[error("is not a zlib stream of at most {0} bytes")]
    Text(usize),
}

/// A file that is no compact model, or a damaged one.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The file begins otherwise.
    #[error("not a compact model: its first bytes are those of another format")]
    Magic,
    /// The file has another version.
    #[error("compact format version {found}, but this program reads version {}", crate::container::VERSION)]
    Version {
        /// The file's version.
        found: u16,
    },
    /// The list of sections is damaged, or not one that a writer makes.
    #[error("the list of sections is damaged: {0}")]
    Table(String),
    /// The file ends before a section does.
    #[error("the file ends in section {section}: it has {has} bytes and should have {needs}")]
    Truncated {
        /// The section.
        section: SectionName,
        /// Bytes that the section ends at.
        needs: u64,
        /// Bytes of the file.
        has: u64,
    },
    /// The file is longer than its sections.
    #[error("{0} bytes follow the last section")]
    Trailing(u64),
    /// A section whose bytes are not those that were written.
    #[error("section {section} is damaged: its checksum differs")]
    Checksum {
        /// The section.
        section: SectionName,
    },
    /// A section whose bits cannot be decoded.
    #[error("section {section} {source}")]
    Stream {
        /// The section.
        section: SectionName,
        /// The reason.
        source: StreamError,
    },
    /// A section that is missing, or there twice.
    #[error("section {section}: {reason}")]
    Section {
        /// The section.
        section: SectionName,
        /// The reason.
        reason: &'static str,
    },
}

/// Kind, level and part of a section, as messages name it: `level 3, part 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionName {
    /// Kind of the content.
    pub kind: SectionKind,
    /// Level of the latent grid; 0 for other kinds.
    pub level: u8,
    /// Number of the part of a level; 0 for other kinds.
    pub part: u16,
}

impl std::fmt::Display for SectionName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.kind, self.part) {
            (SectionKind::Level, 0) => write!(f, "level {}", self.level),
            (SectionKind::Level, part) => write!(f, "level {}, part {part}", self.level),
            (kind, _) => f.write_str(kind.name()),
        }
    }
}
