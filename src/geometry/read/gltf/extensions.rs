//! Extensions that a glTF document requires: which are read, which don't concern the shape, which are refused by name.

use nstr_files::excerpt;

use crate::read::ParseError;

const REMEDY: &str =
    "export the model without compression, or open it in a 3D program such as Blender and save it as PLY";

/// Extensions that the reader applies.
const APPLIED: [&str; 3] = ["KHR_mesh_quantization", "EXT_mesh_gpu_instancing", "KHR_accessor_float64"];

/// Parts of names of extensions that change looks, light, motion or data beside the shape.
const BESIDE: [&str; 22] = [
    "material",
    "texture",
    "image",
    "light",
    "sky",
    "environment",
    "animation",
    "audio",
    "camera",
    "xmp",
    "metadata",
    "feature",
    "interact",
    "behavior",
    "physics",
    "collider",
    "rigid",
    "articulation",
    "outline",
    "variant",
    "vrm",
    "constraint",
];

/// Checks the extensions without which a document must not be shown.
///
/// # Errors
/// One that packs or makes the shape in a way that isn't read, by name.
pub(super) fn check(required: &[String]) -> Result<(), ParseError> {
    for name in required {
        match name.as_str() {
            "KHR_draco_mesh_compression" => return Err(draco()),
            // Refused where its data are needed: there may be others to fall back on.
            "EXT_meshopt_compression" | "KHR_meshopt_compression" => {}
            name if APPLIED.contains(&name) => {}
            name if BESIDE.iter().any(|part| name.to_ascii_lowercase().contains(part)) => {}
            name => {
                let name = excerpt(name);
                return Err(ParseError::new(format!(
                    "the file requires the extension {name}, which nstr does not read; export the model without it"
                )));
            }
        }
    }
    Ok(())
}

/// Error for meshes that are compressed by Draco.
pub(super) fn draco() -> ParseError {
    ParseError::new(format!("compressed with Draco (KHR_draco_mesh_compression), which nstr does not read; {REMEDY}"))
}

/// Error for data that are compressed by meshopt.
pub(super) fn meshopt() -> ParseError {
    ParseError::new(format!("compressed with meshopt (EXT_meshopt_compression), which nstr does not read; {REMEDY}"))
}
