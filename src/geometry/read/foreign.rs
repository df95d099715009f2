//! Formats of shapes that are not read, by name, each with the way out.

use std::path::Path;

/// A known format that is not read.
pub(super) struct Foreign {
    /// Its name.
    pub name: &'static str,
    /// What to do instead.
    pub remedy: &'static str,
    extensions: &'static [&'static str],
}

const SLICER: &str = "open it in a slicer (PrusaSlicer, Cura) or a 3D program and export it as STL, OBJ or PLY";
const CAD: &str =
    "it holds curved surfaces, not a mesh: export it as STL, OBJ or PLY from a CAD program such as FreeCAD";
const SCENE: &str = "open it in a 3D program such as Blender and export it as GLB, OBJ or PLY";
const UNPACK: &str = "unpack it and give the mesh file";

const LIST: [Foreign; 13] = [
    Foreign { name: "3MF", remedy: SLICER, extensions: &["3mf"] },
    Foreign { name: "STEP", remedy: CAD, extensions: &["stp", "step", "p21", "stpz"] },
    Foreign { name: "IGES", remedy: CAD, extensions: &["igs", "iges"] },
    Foreign { name: "FBX", remedy: SCENE, extensions: &["fbx"] },
    Foreign { name: "Blender's format", remedy: SCENE, extensions: &["blend"] },
    Foreign { name: "COLLADA", remedy: SCENE, extensions: &["dae"] },
    Foreign { name: "USD", remedy: SCENE, extensions: &["usd", "usda", "usdc", "usdz"] },
    Foreign { name: "VRML", remedy: SCENE, extensions: &["wrl", "vrml", "x3d", "x3dv"] },
    Foreign { name: "AMF", remedy: SLICER, extensions: &["amf"] },
    Foreign { name: "3DS", remedy: SCENE, extensions: &["3ds"] },
    Foreign { name: "a zip archive", remedy: UNPACK, extensions: &["zip"] },
    Foreign { name: "a gzip archive", remedy: UNPACK, extensions: &["gz", "tgz"] },
    Foreign { name: "B-rep", remedy: CAD, extensions: &["brep", "brp", "sat", "x_t", "x_b"] },
];

fn named(name: &str) -> Option<&'static Foreign> {
    LIST.iter().find(|foreign| foreign.name == name)
}

/// The format that the first bytes tell.
pub(super) fn by_content(data: &[u8], path: &Path) -> Option<&'static Foreign> {
    let start = data.trim_ascii_start();
    let has = |mark: &[u8]| start.starts_with(mark);
    match () {
        // 3MF and others are zip archives; the name of a part tells.
        _ if has(b"PK\x03\x04") && holds(data, b"3D/3dmodel.model") => named("3MF"),
        _ if has(b"PK\x03\x04") => by_extension(path).or(named("a zip archive")),
        _ if has(b"\x1f\x8b") => named("a gzip archive"),
        _ if has(b"ISO-10303-21") => named("STEP"),
        _ if is_iges(data) => named("IGES"),
        _ if has(b"Kaydara FBX") || has(b"; FBX") => named("FBX"),
        _ if has(b"BLENDER") => named("Blender's format"),
        _ if has(b"PXR-USDC") || has(b"#usda") => named("USD"),
        _ if has(b"#VRML") => named("VRML"),
        _ if has(b"<") && holds(data, b"<COLLADA") => named("COLLADA"),
        _ => None,
    }
}

/// The format that the extension stands for.
pub(super) fn by_extension(path: &Path) -> Option<&'static Foreign> {
    let extension = path.extension()?.to_str()?;
    LIST.iter().find(|foreign| foreign.extensions.iter().any(|known| known.eq_ignore_ascii_case(extension)))
}

/// Lines of 80 characters with the section's letter in column 73.
fn is_iges(data: &[u8]) -> bool {
    let line = data.get(..80).unwrap_or_default();
    line.get(72..80).is_some_and(|end| end[0] == b'S' && end[1..].trim_ascii() == b"1") && line.is_ascii()
}

/// True where the start or the end of the file has these bytes: archives list their parts at the end.
fn holds(data: &[u8], mark: &[u8]) -> bool {
    const REACH: usize = 1 << 16;
    let ends = [&data[..data.len().min(REACH)], &data[data.len().saturating_sub(REACH)..]];
    ends.iter().any(|part| part.windows(mark.len()).any(|w| w == mark))
}
