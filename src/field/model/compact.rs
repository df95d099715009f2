//! Compact model files (`.nstr`): quantised parameters, arithmetically coded, in the container of the room `codec`.
//!
//! The header's text is the JSON of the safetensors file. What is stored of the grid follows from the shape and the occupied
//! cells: entries that no evaluation reads are left out, and read as 0. A section of the grid holds at most `PART` entries of
//! one level; levels come coarse to fine, so that the first bytes of a file are a model too ([`Model::load_prefix`]).

use std::ops::Range;

use nstr_codec::cells::{decode_cells, encode_cells};
use nstr_codec::container::container_len;
use nstr_codec::level::{SHIFTS, decode_level, dequantize, encode_level, entry_step};
use nstr_codec::quantize::{Costs, MOST, nearest};
use nstr_codec::tensors::{decode_tensors, dequantize_tensors, encode_tensors};
use nstr_codec::text::{decode_text, encode_text};
use nstr_codec::{
    CodecError, Container, LevelLayout, QuantizedLevel, QuantizedTensor, SectionKind, SectionName, StreamError,
    write_container,
};
use nstr_spec::{LevelSpec, TensorSlot};
use rayon::prelude::*;

use super::read_entries::{CellBits, read_entries};
use super::*;

/// Entries of a section of the grid, at most.
const PART: usize = 1 << 16;
/// Bytes of the header's text, at most.
const MAX_TEXT: usize = 1 << 18;
/// Bytes of a file, at most.
const MAX_COMPACT: u64 = 1 << 31;
/// Values of a model that any file may claim; beyond them a file must have a byte for each [`VALUES_A_BYTE`].
const FREE_VALUES: usize = 1 << 22;
/// Values that a byte may stand for, unread ones included.
const VALUES_A_BYTE: usize = 8;

/// Quantisation steps of a model's parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizationSteps {
    /// Of each level of the grid, coarse to fine.
    pub levels: Vec<LevelSteps>,
    /// Of each tensor of [`FieldSpec::net_tensors`].
    pub tensors: Vec<f32>,
}

/// Quantisation steps of the entries of a level.
#[derive(Clone, Debug, PartialEq)]
pub struct LevelSteps {
    /// Step of entries of shift 0, above 0.
    pub step: f32,
    /// Shift of each entry, 0 to 7, by which its step is 2^shift times as large; empty where all are 0.
    pub shifts: Vec<u8>,
}

/// A model whose parameters are integers with steps.
#[derive(Clone, Debug)]
pub struct QuantizedModel {
    spec: FieldSpec,
    occupied: Option<CellBits>,
    /// Of each level, which entries are stored.
    read: Vec<Vec<bool>>,
    /// Parts of each level.
    levels: Vec<Vec<QuantizedLevel>>,
    tensors: Vec<QuantizedTensor>,
}

/// A part of a compact file, for a reader's eyes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactSection {
    /// Name: `header`, `occupancy`, `networks`, `level 0`, … The list of the sections itself is `table`.
    pub name: String,
    /// Bytes.
    pub bytes: usize,
    /// Values that are stored in it; 0 for texts and cells.
    pub values: usize,
}

/// A compact file in memory: coded sections, and the header that can still change.
#[derive(Clone, Debug)]
pub struct CompactFile {
    /// Text of the header, coded.
    header: Vec<u8>,
    /// The other sections.
    sections: Vec<(SectionName, Vec<u8>)>,
}

/// Ranges of a level's entries that sections hold.
fn parts(entries: usize) -> impl Iterator<Item = Range<usize>> {
    (0..entries).step_by(PART).map(move |start| start..(start + PART).min(entries))
}

/// Vertices along an axis of a dense level.
fn side(level: &LevelSpec) -> Option<usize> {
    level.hashmap_size.is_none().then_some(level.resolution as usize + 1)
}

/// Rows and columns of a tensor: a vector is one row.
fn rows_and_columns(shape: &[usize]) -> [usize; 2] {
    match shape {
        [columns] => [1, *columns],
        [rows, rest @ ..] => [*rows, rest.iter().product()],
        [] => [1, 1],
    }
}

fn damaged(error: CodecError) -> ModelErrorKind {
    match error {
        CodecError::Version { found } => ModelErrorKind::CompactVersion { found },
        error => ModelErrorKind::Compact(error),
    }
}

/// Lists of the entries of each level that are stored.
fn read_lists(spec: &FieldSpec, occupied: Option<&CellBits>) -> Vec<Vec<bool>> {
    spec.latent.levels.par_iter().map(|level| read_entries(level, spec.dim, occupied)).collect()
}

/// `true` for each entry of each level of the grid that a compact file stores: those that evaluation can read.
pub fn stored_entries(model: &Model) -> Vec<Vec<bool>> {
    read_lists(&model.spec, model.occupancy.as_ref().map(CellBits::of).as_ref())
}

impl QuantizedModel {
    /// Rounds the parameters of `model` to multiples of `steps`: those of the networks to the nearest ones, those of the grid
    /// so that a rare integer gives way to its neighbour towards 0.
    ///
    /// # Errors
    /// Parameters or steps of the wrong number, and parameters or steps that are not finite, or steps that are not above 0.
    pub fn new(model: &Model, steps: &QuantizationSteps) -> Result<Self, ModelErrorKind> {
        let spec = &model.spec;
        check_lengths_of(model)?;
        check_steps(spec, steps)?;
        let occupied = model.occupancy.as_ref().map(CellBits::of);
        let read = read_lists(spec, occupied.as_ref());
        let features = spec.latent.features;
        let offsets = spec.latent.offsets(spec.dim);
        let levels = (0..spec.latent.levels.len()).into_par_iter().map(|l| {
            let values = &model.grid[offsets[l] * features..offsets[l + 1] * features];
            quantize_level(values, features, &read[l], &steps.levels[l])
        });
        let tensor = |(slot, step): (TensorSlot, &f32)| {
            let values = model.net[slot.range()].iter().map(|v| nearest(*v, *step)).collect();
            QuantizedTensor { step: *step, columns: rows_and_columns(&slot.shape)[1].max(1), values }
        };
        Ok(Self {
            levels: levels.collect(),
            tensors: spec.net_tensors().into_iter().zip(&steps.tensors).map(tensor).collect(),
            read,
            spec: spec.clone(),
            occupied,
        })
    }

    /// Grid and networks as a reader of the file gets them.
    ///
    /// # Errors
    /// Products of an integer and its step that are not finite.
    pub fn parameters(&self) -> Result<(Vec<f32>, Vec<f32>), ModelErrorKind> {
        let wrong = |name: SectionName| move |e: StreamError| damaged(name.failed()(e));
        let mut grid = Vec::with_capacity(self.spec.grid_len());
        for (name, layout, level) in self.layouts() {
            grid.extend(dequantize(&layout, level).map_err(wrong(name))?);
        }
        let networks = SectionName::of(SectionKind::Networks);
        Ok((grid, dequantize_tensors(&self.tensors).map_err(wrong(networks))?))
    }

    /// Sections of the grid with their layouts, coarse to fine.
    fn layouts(&self) -> Vec<(SectionName, LevelLayout<'_>, &QuantizedLevel)> {
        let (mut all, features) = (Vec::new(), self.spec.latent.features);
        for (l, (spec, read)) in self.spec.latent.levels.iter().zip(&self.read).enumerate() {
            for (p, (range, level)) in parts(read.len()).zip(&self.levels[l]).enumerate() {
                let layout = LevelLayout { features, first: range.start, read: &read[range], side: side(spec) };
                all.push((SectionName::level(l as u8, p as u16), layout, level));
            }
        }
        all
    }

    /// Codes the sections, on all threads; `model` gives the header.
    ///
    /// # Errors
    /// Headers that no reader would take.
    pub fn encode(&self, model: &Model) -> Result<CompactFile, ModelErrorKind> {
        let mut sections = Vec::new();
        if let Some(CellBits { side, words }) = &self.occupied {
            sections.push((SectionName::of(SectionKind::Occupancy), encode_cells(*side, words)));
        }
        sections.push((SectionName::of(SectionKind::Networks), encode_tensors(&self.tensors)));
        let levels = self.layouts().into_par_iter().map(|(name, layout, level)| (name, encode_level(&layout, level)));
        sections.par_extend(levels);
        Ok(CompactFile { header: header_section(model)?, sections })
    }
}

fn quantize_level(values: &[f32], features: usize, read: &[bool], steps: &LevelSteps) -> Vec<QuantizedLevel> {
    let shift = |e: usize| steps.shifts.get(e).copied().unwrap_or(0);
    let entries = || values.chunks_exact(features).enumerate().filter(|(e, _)| read[*e]);
    // Entries of one shift are quantised about alike, and so have a distribution of their own.
    let mut costs = vec![Costs::default(); SHIFTS];
    for s in 0..SHIFTS as u8 {
        let step = entry_step(steps.step, s);
        let of_shift = entries().filter(|(e, _)| shift(*e) == s);
        costs[usize::from(s)].count(of_shift.flat_map(|(_, values)| values.iter().map(|v| nearest(*v, step))));
    }
    let mut integers = vec![0; values.len()];
    for (e, values) in entries() {
        let (costs, step) = (&costs[usize::from(shift(e))], entry_step(steps.step, shift(e)));
        let to = &mut integers[e * features..(e + 1) * features];
        to.iter_mut().zip(values).for_each(|(q, v)| *q = costs.choose(*v, step));
    }
    let part = |range: Range<usize>| QuantizedLevel {
        step: steps.step,
        shifts: steps.shifts.get(range.clone()).unwrap_or_default().to_vec(),
        values: integers[range.start * features..range.end * features].to_vec(),
    };
    parts(read.len()).map(part).collect()
}

fn check_lengths_of(model: &Model) -> Result<(), ModelErrorKind> {
    let (spec, grid, net) = (&model.spec, &model.grid, &model.net);
    for (part, values, len) in [("grid", grid, spec.grid_len()), ("net", net, spec.net_len())] {
        let wrong = |found: String| ModelErrorKind::Tensor { name: part.into(), found, shape: vec![len] };
        if values.len() != len {
            return Err(wrong(format!("has {} values", values.len())));
        }
        if let Some(v) = values.iter().find(|v| !v.is_finite()) {
            return Err(wrong(format!("holds {v}")));
        }
    }
    Ok(())
}

fn check_steps(spec: &FieldSpec, steps: &QuantizationSteps) -> Result<(), ModelErrorKind> {
    let wrong = |reason: String| Err(ModelErrorKind::Header { field: "steps", reason });
    let counts = [steps.levels.len(), steps.tensors.len()];
    let wanted = [spec.latent.levels.len(), spec.net_tensors().len()];
    if counts != wanted {
        return wrong(format!("{counts:?} of levels and tensors; must be {wanted:?}"));
    }
    let all = steps.levels.iter().map(|level| level.step).chain(steps.tensors.iter().copied());
    for step in all {
        // The largest integer of the largest shift is finite.
        if !(step > 0.0 && (entry_step(step, SHIFTS as u8 - 1) * MOST as f32).is_finite()) {
            return wrong(format!("{step:?}: must be above 0, and finite 2^31 times over"));
        }
    }
    for (l, (level, steps)) in spec.latent.levels.iter().zip(&steps.levels).enumerate() {
        let (count, entries) = (steps.shifts.len(), level.entries(spec.dim));
        if count != 0 && (count != entries || steps.shifts.iter().any(|s| usize::from(*s) >= SHIFTS)) {
            return wrong(format!("{count} shifts of level {l}; must be {entries}, each below {SHIFTS}"));
        }
    }
    Ok(())
}

/// Bytes of the section of a model's header.
///
/// # Errors
/// Headers that no reader would take.
pub fn compact_header_len(model: &Model) -> Result<usize, ModelErrorKind> {
    Ok(header_section(model)?.len())
}

/// The section of a model's header.
fn header_section(model: &Model) -> Result<Vec<u8>, ModelErrorKind> {
    let text = header_text(model, None)?;
    if text.len() > MAX_TEXT {
        return Err(ModelErrorKind::TooLarge { part: "header", bytes: text.len() as u64, most: MAX_TEXT as u64 });
    }
    Ok(encode_text(&text))
}

/// Checks that a file of `bytes` bytes may claim a model of this shape.
fn check_claim(spec: &FieldSpec, bytes: usize) -> Result<(), ModelErrorKind> {
    let (values, most) = (spec.parameters(), FREE_VALUES + VALUES_A_BYTE * bytes);
    if values <= most {
        return Ok(());
    }
    Err(ModelErrorKind::Claim { values, bytes, most })
}

impl CompactFile {
    /// Takes the header of `model`, whose shape and occupied cells are those that were coded.
    ///
    /// # Errors
    /// Headers that no reader would take.
    pub fn set_header(&mut self, model: &Model) -> Result<(), ModelErrorKind> {
        self.header = header_section(model)?;
        Ok(())
    }

    /// Bytes of the file.
    pub fn len(&self) -> usize {
        let rest = self.sections.iter().map(|(_, bytes)| bytes.len());
        container_len([self.header.len()].into_iter().chain(rest))
    }

    /// Bytes of the header's section.
    pub fn header_len(&self) -> usize {
        self.header.len()
    }

    /// `false`: a file has a header.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The file.
    ///
    /// # Errors
    /// Models that no reader would take: too many values for so few bytes, or sections of 4 GiB and more.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ModelErrorKind> {
        let header = (SectionName::of(SectionKind::Header), self.header.clone());
        let sections: Vec<_> = [header].into_iter().chain(self.sections.iter().cloned()).collect();
        let bytes = write_container(&sections).map_err(damaged)?;
        // What could not be read again is not written.
        let container = Container::parse(&bytes).map_err(damaged)?;
        read_header(&container, bytes.len())?;
        Ok(bytes)
    }

    /// Writes the file; whatever was at `path` stays until the new one is complete and on disk.
    ///
    /// # Errors
    /// As [`Self::to_bytes`], and where the file can't be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), ModelError> {
        let path = path.as_ref();
        let write = |bytes: Vec<u8>| {
            nstr_files::write(path, &bytes).map_err(|source| ModelErrorKind::Io { action: "write", source })
        };
        self.to_bytes().and_then(write).map_err(at(path))
    }
}

/// The header, and the shape of the cells that it claims; `bytes` is the length of the whole file.
fn read_header(container: &Container<'_>, bytes: usize) -> Result<(Header, Option<usize>), ModelErrorKind> {
    let name = SectionName::of(SectionKind::Header);
    let text = decode_text(container.require(name).map_err(damaged)?, MAX_TEXT);
    let header = parse_header(&text.map_err(|e| damaged(name.failed()(e)))?)?;
    check_claim(&header.spec, bytes)?;
    let cells = header.occupancy_cells;
    match cells {
        Some(cells) if !Occupancy::supports(cells) => {
            let reason = nstr_space::OccupancyError::Cells(cells).to_string();
            Err(ModelErrorKind::Header { field: OCCUPANCY, reason })
        }
        cells => Ok((header, cells)),
    }
}

/// True for the first bytes of a compact file.
pub(super) fn is_compact(start: &[u8]) -> bool {
    nstr_codec::is_compact(start)
}

/// Checks the length of a compact file.
pub(super) fn check_length(bytes: u64) -> Result<(), ModelErrorKind> {
    if bytes > MAX_COMPACT {
        return Err(ModelErrorKind::TooLarge { part: "file", bytes, most: MAX_COMPACT });
    }
    Ok(())
}

/// Reads a model from the sections of a file of `bytes` bytes; levels that are not there are 0. Returns the levels that are, too.
fn read_model(container: &Container<'_>, bytes: usize) -> Result<(Model, usize), ModelErrorKind> {
    let (header, cells) = read_header(container, bytes)?;
    let spec = &header.spec;
    let of_grid: usize = spec.latent.levels.iter().map(|level| parts(level.entries(spec.dim)).count()).sum();
    if container.sections().len() > 2 + usize::from(cells.is_some()) + of_grid {
        let reason = "there are sections that the model's shape has no place for";
        return Err(damaged(CodecError::Table(reason.into())));
    }
    let occupied = cells.map(|side| -> Result<CellBits, ModelErrorKind> {
        let name = SectionName::of(SectionKind::Occupancy);
        let words = decode_cells(side, container.require(name).map_err(damaged)?);
        Ok(CellBits { side, words: words.map_err(|e| damaged(name.failed()(e)))? })
    });
    let occupied = occupied.transpose()?;
    let name = SectionName::of(SectionKind::Networks);
    let shapes: Vec<[usize; 2]> = spec.net_tensors().iter().map(|slot| rows_and_columns(&slot.shape)).collect();
    let net = decode_tensors(&shapes, container.require(name).map_err(damaged)?);
    let net = net.map_err(|e| damaged(name.failed()(e)))?;
    let (grid, levels) = read_grid(container, spec, occupied.as_ref())?;
    let occupancy =
        occupied.map(|CellBits { side, words }| Occupancy::from_bits(side, |i| words[i / 64] >> (i % 64) & 1 == 1));
    Ok((header.into_model(grid, net, occupancy), levels))
}

/// A section of the grid that is decoded.
struct GridPart<'a> {
    name: SectionName,
    first: usize,
    read: Vec<bool>,
    side: Option<usize>,
    section: &'a [u8],
    /// Its place in the grid.
    part: &'a mut [f32],
}

impl GridPart<'_> {
    fn decode(self, features: usize) -> Result<(), ModelErrorKind> {
        let layout = LevelLayout { features, first: self.first, read: &self.read, side: self.side };
        let values = decode_level(&layout, self.section).map_err(|e| damaged(self.name.failed()(e)))?;
        self.part.copy_from_slice(&values);
        Ok(())
    }
}

fn read_grid(
    container: &Container<'_>,
    spec: &FieldSpec,
    occupied: Option<&CellBits>,
) -> Result<(Vec<f32>, usize), ModelErrorKind> {
    let features = spec.latent.features;
    let mut grid = vec![0.0; spec.grid_len()];
    // One part of a level after the other in the grid, each with its section.
    let (mut rest, mut jobs, mut levels) = (&mut grid[..], Vec::new(), 0);
    for (l, level) in spec.latent.levels.iter().enumerate() {
        let names =
            parts(level.entries(spec.dim)).enumerate().map(|(p, range)| (SectionName::level(l as u8, p as u16), range));
        let names: Vec<_> = names.collect();
        let sections: Vec<&[u8]> = names.iter().map_while(|(name, _)| container.get(*name)).collect();
        if sections.len() < names.len() {
            if container.is_whole() {
                container.require(names[sections.len()].0).map_err(damaged)?;
            }
            // A prefix: this level and those after it have not come.
            break;
        }
        levels = l + 1;
        let read = read_entries(level, spec.dim, occupied);
        for ((name, range), section) in names.into_iter().zip(sections) {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(range.len() * features);
            rest = after;
            let (first, read) = (range.start, read[range].to_vec());
            jobs.push(GridPart { name, first, read, side: side(level), section, part });
        }
    }
    jobs.into_par_iter().try_for_each(|part| part.decode(features))?;
    Ok((grid, levels))
}

/// Reads a whole compact file.
pub(super) fn parse(bytes: &[u8]) -> Result<Model, ModelErrorKind> {
    let container = Container::parse(bytes).map_err(damaged)?;
    read_model(&container, bytes.len()).map(|(model, _)| model)
}

impl Model {
    /// Reads the model that the first bytes of a compact file hold, and the number of levels that are whole there; the others are
    /// 0. Header, occupied cells and networks must be there.
    ///
    /// # Errors
    /// As [`Model::load`], and for prefixes that are too short.
    pub fn load_prefix(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(Self, usize), ModelError> {
        let read = || {
            let container = Container::prefix(bytes).map_err(damaged)?;
            read_model(&container, bytes.len())
        };
        read().map_err(at(path.as_ref()))
    }
}

/// The sections of the compact file at `path`, with the list of them first; `None` for a model in another format.
///
/// # Errors
/// As [`Model::load`].
pub fn compact_sections(path: impl AsRef<Path>) -> Result<Option<Vec<CompactSection>>, ModelError> {
    let path = path.as_ref();
    let list = || {
        let bytes = read(path)?;
        if !is_compact(&bytes) {
            return Ok(None);
        }
        let container = Container::parse(&bytes).map_err(damaged)?;
        let (model, _) = read_model(&container, bytes.len())?;
        Ok(Some(listed(&container, &model)))
    };
    list().map_err(at(path))
}

fn listed(container: &Container<'_>, model: &Model) -> Vec<CompactSection> {
    let spec = &model.spec;
    let read = stored_entries(model);
    let sections = container.sections();
    let table = container_len(sections.iter().map(|_| 0));
    let mut all = vec![CompactSection { name: "table".into(), bytes: table, values: 0 }];
    for section in sections {
        let values = match section.name.kind {
            SectionKind::Networks => model.net.len(),
            SectionKind::Level => {
                let read = &read[usize::from(section.name.level)];
                let range = parts(read.len()).nth(usize::from(section.name.part)).unwrap_or_default();
                read[range].iter().filter(|r| **r).count() * spec.latent.features
            }
            _ => 0,
        };
        all.push(CompactSection { name: section.name.to_string(), bytes: section.bytes.len(), values });
    }
    all
}

#[cfg(test)]
mod tests;
