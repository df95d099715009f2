//! glTF 2.0: `.glb`, and `.gltf` with buffers embedded as base64 or in files beside it.
//!
//! An own reader: the `gltf` crate panics on a missing accessor, refuses files for extensions that do not concern the
//! shape, keeps transforms in single precision and copies each buffer for every use.

mod accessors;
mod buffers;
mod container;
mod document;
mod extensions;

use std::collections::HashMap;
use std::path::Path;

use glam::{DMat4, DQuat, DVec3};

use crate::read::soup::{BAD_INDEX, Soup};
use crate::read::{ParseError, text};
use accessors::Accessors;
use container::Container;
use document::{Document, Instancing, Node, Primitive, entry, whole};

/// Vertices and corners that repeated use of meshes may come to, beyond two for every byte of the file and its buffers.
const MOST_REPEATED: u64 = 4 << 20;

pub(super) fn read(data: &[u8], path: &Path) -> Result<Soup, ParseError> {
    let container = if data.starts_with(b"glTF") {
        Container::open(data)?
    } else {
        let text = text(data.to_vec())?;
        Container { document: container::document(text.as_bytes())?.0, blob: None, notes: Vec::new() }
    };
    let document = &container.document;
    extensions::check(&document.extensions_required)?;
    let mut walk = Walk {
        document,
        accessors: Accessors::new(document, container.blob, path),
        soup: Soup::default(),
        seen: vec![false; document.nodes.len()],
        bytes: data.len() as u64,
        added: 0,
        skins: false,
        morphs: false,
        shapeless: 0,
    };
    container.notes.iter().for_each(|note| walk.soup.note(note));
    walk.scene()?;
    if walk.skins {
        walk.soup.note("skinned meshes are taken in their rest pose, without their skeleton");
    }
    if walk.morphs {
        walk.soup.note("morph targets are not applied: meshes are taken in their base shape");
    }
    if walk.shapeless > 0 {
        walk.soup.note(format!("{} primitives without positions ignored", walk.shapeless));
    }
    Ok(walk.soup)
}

struct Walk<'a> {
    document: &'a Document,
    accessors: Accessors<'a>,
    soup: Soup,
    /// Nodes form trees by the format's rules; one met twice is a cycle or an instance that the rules forbid.
    seen: Vec<bool>,
    /// Length of the file.
    bytes: u64,
    /// Vertices and corners so far.
    added: u64,
    skins: bool,
    morphs: bool,
    shapeless: usize,
}

impl Walk<'_> {
    /// Visits the default scene, else the first one, else all trees of nodes, else all meshes.
    fn scene(&mut self) -> Result<(), ParseError> {
        let document = self.document;
        let count = document.scenes.len();
        let default =
            document.scene.filter(|_| count > 0).map(|scene| whole(Some(scene), || "the default scene".into()));
        let default = default.transpose()?.unwrap_or(0);
        let index = if default < count { default } else { 0 };
        if index != default {
            self.soup.note(format!("the default scene {default} does not exist; scene 0 is read"));
        }
        if let Some(scene) = document.scenes.get(index) {
            if count > 1 {
                self.soup.note(format!("scene {index} is read, the other {} are not", count - 1));
            }
            let roots = scene.nodes.iter().map(|&node| whole(Some(node), || format!("a node of scene {index}")));
            return self.trees(roots.collect::<Result<_, _>>()?);
        }
        if document.nodes.is_empty() {
            // A library of meshes: each as it stands.
            return (0..document.meshes.len()).try_for_each(|mesh| self.mesh(mesh, &[DMat4::IDENTITY]));
        }
        let mut is_child = vec![false; document.nodes.len()];
        for node in &document.nodes {
            for child in children(node)? {
                // Those out of range are an error where their parent is visited.
                is_child.get_mut(child).into_iter().for_each(|is_child| *is_child = true);
            }
        }
        self.trees((0..is_child.len()).filter(|&node| !is_child[node]).collect())?;
        match self.seen.iter().position(|seen| !seen) {
            Some(node) => Err(ParseError::new(format!("node {node} is its own ancestor; export the model again"))),
            None => Ok(()),
        }
    }

    /// Visits trees of nodes, on a stack of our own: files may nest deeper than the thread's.
    fn trees(&mut self, roots: Vec<usize>) -> Result<(), ParseError> {
        let document = self.document;
        // Transforms of the parents; nodes on the stack name theirs by number.
        let mut parents = vec![DMat4::IDENTITY];
        let mut stack: Vec<(usize, usize)> = roots.into_iter().rev().map(|node| (node, 0)).collect();
        while let Some((index, parent)) = stack.pop() {
            let node = entry(&document.nodes, index, "node")?;
            if std::mem::replace(&mut self.seen[index], true) {
                return Err(ParseError::new(format!("node {index} has two parents or is its own ancestor")));
            }
            let world = parents[parent] * transform(node);
            if node.mesh.is_some() {
                let mesh = whole(node.mesh, || format!("the mesh of node {index}"))?;
                self.skins |= node.skin.is_some();
                let at = |e: ParseError| ParseError::new(format!("node {index}: {}", e.reason));
                match &node.extensions.instancing {
                    Some(instancing) => {
                        let places = self.instances(instancing).map_err(at)?;
                        let worlds: Vec<DMat4> = places.into_iter().map(|place| world * place).collect();
                        self.mesh(mesh, &worlds)?;
                    }
                    None => self.mesh(mesh, &[world])?,
                }
            }
            if !node.children.is_empty() {
                let parent = parents.len();
                parents.push(world);
                stack.extend(children(node)?.into_iter().rev().map(|child| (child, parent)));
            }
        }
        Ok(())
    }

    /// Counts `copies` of `items` vertices or corners against what the file may come to.
    fn charge(&mut self, items: usize, copies: usize) -> Result<(), ParseError> {
        self.added = self.added.saturating_add((items as u64).saturating_mul(copies as u64));
        if self.added <= MOST_REPEATED + 2 * (self.bytes + self.accessors.bytes_read()) {
            return Ok(());
        }
        Err(ParseError::new(
            "its meshes are used so often that they come to millions of faces more than the file holds; use fewer \
             instances, or export the model as PLY",
        ))
    }

    /// Reads `count` items of an accessor and charges for `copies` of them. Only a view bounds the count of an accessor, so
    /// one without is charged for before.
    fn charged<T>(
        &mut self,
        accessor: usize,
        copies: usize,
        read: impl FnOnce(&mut Accessors<'_>) -> Result<Vec<T>, ParseError>,
    ) -> Result<Vec<T>, ParseError> {
        if !self.accessors.has_view(accessor)? {
            let count = self.accessors.count(accessor)?;
            self.charge(count, copies)?;
            return read(&mut self.accessors);
        }
        let list = read(&mut self.accessors)?;
        self.charge(list.len(), copies)?;
        Ok(list)
    }

    /// Transforms of the instances of a node (EXT_mesh_gpu_instancing).
    fn instances(&mut self, instancing: &Instancing) -> Result<Vec<DMat4>, ParseError> {
        let mut count = None;
        for (name, &accessor) in &instancing.attributes {
            if !matches!(name.as_str(), "TRANSLATION" | "ROTATION" | "SCALE") {
                continue;
            }
            let items = self.accessors.count(whole(Some(accessor), || name.clone())?)?;
            if count.is_some_and(|count| count != items) {
                return Err(ParseError::new("its instances have different numbers of places, rotations and scales"));
            }
            count = Some(items);
        }
        // Without any of the three there is one instance, the node's own.
        let count = count.unwrap_or(1);
        let translations = self.attribute::<3>(instancing, "TRANSLATION")?;
        let rotations = self.attribute::<4>(instancing, "ROTATION")?;
        let scales = self.attribute::<3>(instancing, "SCALE")?;
        // One of them was read, which bounds the count.
        let translations = translations.unwrap_or_else(|| vec![[0.0; 3]; count]);
        let rotations = rotations.unwrap_or_else(|| vec![[0.0, 0.0, 0.0, 1.0]; count]);
        let scales = scales.unwrap_or_else(|| vec![[1.0; 3]; count]);
        let all = translations.into_iter().zip(rotations).zip(scales);
        Ok(all.map(|((translation, rotation), scale)| placed(translation, rotation, scale)).collect())
    }

    fn attribute<const N: usize>(
        &mut self,
        instancing: &Instancing,
        name: &str,
    ) -> Result<Option<Vec<[f64; N]>>, ParseError> {
        let Some(&accessor) = instancing.attributes.get(name) else { return Ok(None) };
        let accessor = whole(Some(accessor), || name.into())?;
        self.charged(accessor, 1, |accessors| accessors.vectors(accessor, name)).map(Some)
    }

    /// Adds a mesh once for each transform.
    fn mesh(&mut self, index: usize, worlds: &[DMat4]) -> Result<(), ParseError> {
        let document = self.document;
        let mesh = entry(&document.meshes, index, "mesh")?;
        // Primitives often share their vertices, which are then added once.
        let mut shared = HashMap::new();
        for (i, primitive) in mesh.primitives.iter().enumerate() {
            self.morphs |= !primitive.targets.is_empty();
            self.primitive(primitive, worlds, &mut shared)
                .map_err(|e| ParseError::new(format!("mesh {index} primitive {i}: {}", e.reason)))?;
        }
        Ok(())
    }

    /// Adds a primitive once for each transform. `shared` has the number and the first ones of the vertices that were added
    /// for an accessor.
    fn primitive(
        &mut self,
        primitive: &Primitive,
        worlds: &[DMat4],
        shared: &mut HashMap<usize, (usize, Vec<usize>)>,
    ) -> Result<(), ParseError> {
        let mode = match primitive.mode {
            Some(_) => whole(primitive.mode, || "its mode".into())?,
            None => 4,
        };
        if !(4..=6).contains(&mode) {
            self.soup.lines += 1;
            return Ok(());
        }
        let Some(&positions) = primitive.attributes.get("POSITION") else {
            if primitive.extensions.draco.is_some() {
                return Err(extensions::draco());
            }
            self.shapeless += 1;
            return Ok(());
        };
        let positions = whole(Some(positions), || "POSITION".into())?;
        let indices = primitive.indices.map(|index| whole(Some(index), || "its indices".into())).transpose()?;
        for accessor in [Some(positions), indices].into_iter().flatten() {
            if primitive.extensions.draco.is_some() && !self.accessors.has_data(accessor)? {
                return Err(extensions::draco());
            }
        }
        let (count, firsts) = match shared.get(&positions) {
            Some(known) => known.clone(),
            None => {
                let added = self.vertices(positions, worlds)?;
                shared.insert(positions, added.clone());
                added
            }
        };
        let local: Vec<u32> = match indices {
            Some(list) => self.charged(list, worlds.len(), |accessors| accessors.indices(list, BAD_INDEX))?,
            None => {
                self.charge(count, worlds.len())?;
                (0..count as u32).collect()
            }
        };
        for (first, world) in firsts.into_iter().zip(worlds) {
            self.faces(mode, &local, count, first, world.determinant() < 0.0)?;
        }
        Ok(())
    }

    /// Adds the vertices of an accessor for each transform; returns their number and the first one of each.
    fn vertices(&mut self, accessor: usize, worlds: &[DMat4]) -> Result<(usize, Vec<usize>), ParseError> {
        let read = |accessors: &mut Accessors<'_>| accessors.vectors::<3>(accessor, "POSITION");
        let local = self.charged(accessor, worlds.len(), read)?;
        let mut firsts = Vec::with_capacity(worlds.len());
        for world in worlds {
            firsts.push(self.soup.positions.len());
            local.iter().for_each(|p| self.soup.vertex(world.transform_point3(DVec3::from_array(*p))));
        }
        match self.soup.positions.len() < BAD_INDEX as usize {
            true => Ok((local.len(), firsts)),
            false => Err(ParseError::new("more than 4 billion vertices")),
        }
    }

    /// Adds the triangles of a list (mode 4), strip (5) or fan (6); `flip` for mirrored ones.
    fn faces(&mut self, mode: usize, local: &[u32], count: usize, first: usize, flip: bool) -> Result<(), ParseError> {
        let global = |v: u32| if (v as usize) < count { (first + v as usize) as u32 } else { BAD_INDEX };
        let mut push = |[a, b, c]: [u32; 3]| {
            let t = if flip { [a, c, b] } else { [a, b, c] };
            self.soup.polygon(t.map(global))
        };
        match mode {
            5 => (2..local.len()).try_for_each(|i| {
                let (a, b) = if i % 2 == 0 { (i - 2, i - 1) } else { (i - 1, i - 2) };
                push([local[a], local[b], local[i]])
            }),
            6 => (2..local.len()).try_for_each(|i| push([local[0], local[i - 1], local[i]])),
            _ => local.chunks_exact(3).try_for_each(|t| push([t[0], t[1], t[2]])),
        }
    }
}

fn children(node: &Node) -> Result<Vec<usize>, ParseError> {
    node.children.iter().map(|&child| whole(Some(child), || "a child of a node".into())).collect()
}

/// Transform of a node, in double precision: places may be far from the origin.
fn transform(node: &Node) -> DMat4 {
    if let Some(matrix) = &node.matrix {
        return DMat4::from_cols_array(matrix);
    }
    let rotation = node.rotation.as_deref().copied().unwrap_or([0.0, 0.0, 0.0, 1.0]);
    let scale = node.scale.as_deref().copied().unwrap_or([1.0; 3]);
    placed(node.translation.as_deref().copied().unwrap_or_default(), rotation, scale)
}

fn placed(translation: [f64; 3], rotation: [f64; 4], scale: [f64; 3]) -> DMat4 {
    let rotation = DQuat::from_array(rotation);
    let length = rotation.length();
    // Rounded quaternions are not quite of length 1.
    let rotation = if length > 0.0 && length.is_finite() { rotation / length } else { DQuat::IDENTITY };
    DMat4::from_scale_rotation_translation(DVec3::from_array(scale), rotation, DVec3::from_array(translation))
}

#[cfg(test)]
mod tests;
