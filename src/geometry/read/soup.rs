//! Positions and polygons as they stand in a file, filled by every reader, and the step from there to a mesh.

use std::collections::HashMap;

use glam::DVec3;

use crate::TriMesh;
use crate::mesh::{Material, NO_MATERIAL};
use crate::read::ParseError;
use crate::triangulate::Triangulator;
use crate::weld::first_at_position;

/// Index of a corner that the file gets wrong; never a vertex.
pub(super) const BAD_INDEX: u32 = u32::MAX;

/// Reason for leaving a face out.
#[derive(Clone, Copy)]
pub(super) enum Skip {
    BadIndex,
    FewCorners,
    NotFinite,
    TooFar,
}

/// Positions and polygons of a file, unchecked.
#[derive(Default)]
pub(super) struct Soup {
    pub positions: Vec<DVec3>,
    /// Corners of all polygons, one after the other, as indices into `positions` (or [`BAD_INDEX`]).
    corners: Vec<u32>,
    /// End of each polygon in `corners`.
    ends: Vec<u32>,
    /// Line and point elements that were ignored.
    pub lines: usize,
    extra_notes: Vec<String>,
    /// Per reason: how many, and the number (from 1) of the first such face in the file.
    skipped: [(usize, usize); 4],
    /// Polygons that cross or repeat themselves.
    tangled: usize,
    unused: usize,
    /// Corners closer than [`NEAR`] of the bounding box's diagonal become one vertex: for formats without shared
    /// vertices, whose writers round the corners of neighbouring faces apart.
    pub weld_near: bool,
    near_merged: usize,
    /// Changes of the material: the first polygon and the material from there on. Empty in formats without any.
    material_runs: Vec<(u32, u16)>,
    /// Materials that `material_runs` names.
    pub materials: Vec<Material>,
}

/// Distance, as a fraction of the bounding box's diagonal, below which 32-bit rounding alone may separate corners.
const NEAR: f64 = 1e-7;

/// Coordinates up to which squares of distances are finite.
const FARTHEST: f64 = 1e150;

impl Soup {
    /// Adds a polygon; indices are checked later, against all vertices of the file.
    pub fn polygon(&mut self, corners: impl IntoIterator<Item = u32>) -> Result<(), ParseError> {
        self.corners.extend(corners);
        let end = u32::try_from(self.corners.len()).map_err(|_| ParseError::new("more than 4 billion face corners"))?;
        self.ends.push(end);
        Ok(())
    }

    /// Adds a vertex.
    pub fn vertex(&mut self, p: DVec3) {
        self.positions.push(p);
    }

    /// Gives the polygons that follow the material of this index, or [`NO_MATERIAL`].
    pub fn set_material(&mut self, material: u16) {
        self.material_runs.push((self.ends.len() as u32, material));
    }

    /// Adds a note for the user.
    pub fn note(&mut self, text: impl Into<String>) {
        self.extra_notes.push(text.into());
    }

    /// Everything worth telling the user, after [`Self::triangles`].
    pub fn notes(&mut self) -> Vec<String> {
        let mut notes = std::mem::take(&mut self.extra_notes);
        if self.lines > 0 {
            notes.push(format!("{} line or point elements ignored", self.lines));
        }
        let reasons = [
            "a corner names no vertex",
            "fewer than three corners",
            "a coordinate is not a finite number",
            "a coordinate is 1e150 or more, too far to measure; scale the mesh down",
        ];
        for ((count, first), reason) in self.skipped.into_iter().zip(reasons) {
            if count > 0 {
                notes.push(format!("{count} faces skipped: {reason} (first: face {first})"));
            }
        }
        if self.tangled > 0 {
            notes.push(format!("{} polygons cross or repeat themselves; they are cut as fans", self.tangled));
        }
        if self.near_merged > 0 {
            notes.push(format!("{} vertices merged with one less than 1e-7 of the diagonal away", self.near_merged));
        }
        if self.unused > 0 {
            notes.push(format!("{} vertices belong to no face", self.unused));
        }
        notes
    }

    /// Reason for which this polygon can't be used, if any.
    fn fault(&self, polygon: &[u32]) -> Option<Skip> {
        if polygon.len() < 3 {
            return Some(Skip::FewCorners);
        }
        if polygon.iter().any(|&v| v as usize >= self.positions.len()) {
            return Some(Skip::BadIndex);
        }
        let position = |v: u32| self.positions[v as usize];
        if polygon.iter().any(|&v| !position(v).is_finite()) {
            return Some(Skip::NotFinite);
        }
        polygon.iter().any(|&v| position(v).abs().max_element() >= FARTHEST).then_some(Skip::TooFar)
    }

    /// Merges vertices at equal positions, drops unused ones, cuts polygons.
    pub fn triangles(&mut self) -> Result<Triangles, ParseError> {
        if self.positions.len() >= BAD_INDEX as usize {
            return Err(ParseError::new("more than 4 billion vertices"));
        }
        let keep = self.usable();
        let mut weld = self.weld(&keep);
        if self.weld_near {
            self.near_merged = weld.merge_near();
        }
        let mut mesh = TriMesh { positions: weld.positions, faces: Vec::with_capacity(self.ends.len()) };
        let mut cutter = Triangulator::default();
        let (mut polygons, mut points, mut start) = (0, Vec::new(), 0);
        let (mut materials, mut material) = (Vec::new(), NO_MATERIAL);
        let mut runs = self.material_runs.iter().peekable();
        for (polygon, (&end, keep)) in self.ends.iter().zip(keep).enumerate() {
            // The faces so far belong to the runs before this polygon.
            while let Some((_, next)) = runs.next_if(|run| run.0 as usize <= polygon) {
                materials.resize(mesh.faces.len(), material);
                material = *next;
            }
            let corners = &self.corners[std::mem::replace(&mut start, end as usize)..end as usize];
            if !keep {
                continue;
            }
            if let &[a, b, c] = corners {
                mesh.faces.push([a, b, c].map(|v| weld.map[v as usize]));
                continue;
            }
            polygons += 1;
            points.clear();
            points.extend(corners.iter().map(|&v| self.positions[v as usize]));
            let cut = cutter.polygon(&points).iter().map(|t| t.map(|i| weld.map[corners[i as usize] as usize]));
            mesh.faces.extend(cut);
        }
        self.tangled = cutter.tangled;
        if !self.material_runs.is_empty() {
            materials.resize(mesh.faces.len(), material);
        }
        Ok(Triangles { mesh, materials, polygons })
    }

    fn usable(&mut self) -> Vec<bool> {
        let mut keep = Vec::with_capacity(self.ends.len());
        let mut start = 0;
        for f in 0..self.ends.len() {
            let end = self.ends[f] as usize;
            let fault = self.fault(&self.corners[std::mem::replace(&mut start, end)..end]);
            keep.push(fault.is_none());
            if let Some(reason) = fault {
                let entry = &mut self.skipped[reason as usize];
                *entry = (entry.0 + 1, if entry.0 == 0 { f + 1 } else { entry.1 });
            }
        }
        keep
    }

    fn weld(&mut self, keep: &[bool]) -> Weld {
        let mut used = vec![false; self.positions.len()];
        let mut start = 0;
        for (&end, &keep) in self.ends.iter().zip(keep) {
            let corners = &self.corners[std::mem::replace(&mut start, end as usize)..end as usize];
            if keep {
                corners.iter().for_each(|&v| used[v as usize] = true);
            }
        }
        let first = first_at_position(&self.positions);
        let mut weld = Weld { map: vec![BAD_INDEX; self.positions.len()], positions: Vec::new() };
        // New index of the vertices at the position of each first one.
        let mut new = vec![BAD_INDEX; self.positions.len()];
        self.unused = 0;
        for (v, &p) in self.positions.iter().enumerate() {
            if !used[v] {
                self.unused += 1;
                continue;
            }
            let new = &mut new[first[v] as usize];
            if *new == BAD_INDEX {
                *new = weld.positions.len() as u32;
                // Adding 0 makes −0 equal to 0.
                weld.positions.push(p + DVec3::ZERO);
            }
            weld.map[v] = *new;
        }
        weld
    }
}

/// A mesh, and what is known of its faces beside it.
pub(super) struct Triangles {
    pub mesh: TriMesh,
    /// Material of each face; empty where the file names none.
    pub materials: Vec<u16>,
    /// Polygons with more than three corners.
    pub polygons: usize,
}

struct Weld {
    /// New index of each vertex in the file.
    map: Vec<u32>,
    positions: Vec<DVec3>,
}

impl Weld {
    /// Replaces each vertex by the first one within the tolerance; returns how many were.
    fn merge_near(&mut self) -> usize {
        let bounds = |init: DVec3, pick: fn(DVec3, DVec3) -> DVec3| self.positions.iter().copied().fold(init, pick);
        let (lo, hi) = (bounds(DVec3::INFINITY, DVec3::min), bounds(DVec3::NEG_INFINITY, DVec3::max));
        let near = NEAR * (hi - lo).length();
        if !(near > 0.0 && near.is_finite()) {
            return 0;
        }
        // Cells are wide enough that most vertices look into one only, and kept ones are too far apart to crowd it.
        let cell = |p: DVec3| ((p - lo) / (4.0 * near)).floor().to_array().map(|c| c as i64);
        let mut cells: HashMap<[i64; 3], Vec<u32>> = HashMap::new();
        let mut kept: Vec<DVec3> = Vec::new();
        let mut renamed = Vec::with_capacity(self.positions.len());
        for &p in &self.positions {
            let (from, to) = (cell(p - near), cell(p + near));
            let around = (from[0]..=to[0])
                .flat_map(|x| (from[1]..=to[1]).flat_map(move |y| (from[2]..=to[2]).map(move |z| [x, y, z])));
            let twin = around
                .filter_map(|key| cells.get(&key))
                .flatten()
                .copied()
                .filter(|&k| kept[k as usize].distance_squared(p) <= near * near)
                .min();
            renamed.push(twin.unwrap_or_else(|| {
                kept.push(p);
                let new = kept.len() as u32 - 1;
                cells.entry(cell(p)).or_default().push(new);
                new
            }));
        }
        let merged = self.positions.len() - kept.len();
        self.positions = kept;
        self.map.iter_mut().filter(|v| **v != BAD_INDEX).for_each(|v| *v = renamed[*v as usize]);
        merged
    }
}
