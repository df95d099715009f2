//! Files that the window writes of the field itself: its surface as a mesh, and the model.

use std::path::Path;

use nstr_field::model::{Model, Precision};
use nstr_pipeline::Field;

use crate::scene::Scene;

/// Endings of meshes that the window offers.
pub(crate) const MESH_FORMATS: [&str; 4] = ["ply", "obj", "stl", "glb"];
/// Fewest and most cells along the cube's edge that the window offers.
pub(crate) const MESH_RESOLUTIONS: (usize, usize) = (16, 1024);

/// A mesh to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MeshSettings {
    /// Ending of the file.
    pub format: &'static str,
    /// Cells along the edge of the field's cube.
    pub resolution: usize,
}

impl Default for MeshSettings {
    fn default() -> Self {
        Self { format: MESH_FORMATS[0], resolution: 256 }
    }
}

/// Reason why a field has no file.
const NO_MODEL: &str = "this field has no model";

/// Writes the surface of a scene, as `nstr mesh` does; returns a message for the user. `Err` is one too.
pub(crate) fn save_mesh(scene: &Scene, file: &Path, resolution: usize) -> Result<String, String> {
    let model = scene.model.as_ref().ok_or(NO_MODEL)?;
    let named = |reason: String| format!("{}: {reason}", file.display());
    let field = Field::open(file, Model::clone(model)).map_err(|e| e.to_string())?;
    let surface = field.surface(resolution, None, &|_| ()).map_err(|e| named(e.to_string()))?;
    let notes = surface.write(file).map_err(|e| e.to_string())?;
    let mesh = surface.mesh;
    let said = format!("wrote {}: {} vertices, {} faces", file.display(), mesh.positions.len(), mesh.faces.len());
    Ok(notes.into_iter().fold(said, |said, note| format!("{said}; {note}")))
}

/// Writes the model of a scene, in two bytes a parameter where that loses nothing; returns a message for the user. `Err` is one too.
pub(crate) fn save_model(scene: &Scene, file: &Path) -> Result<String, String> {
    let model = scene.model.as_ref().ok_or(NO_MODEL)?;
    let half = model.rounded(Precision::F16);
    let is_exact = half.is_ok_and(|half| half.grid == model.grid && half.net == model.net);
    let precision = if is_exact { Precision::F16 } else { Precision::F32 };
    model.save(file, precision).map_err(|e| e.to_string())?;
    Ok(format!("wrote {}", file.display()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use glam::Vec3;
    use nstr_space::Cube;
    use nstr_space::analytic::{AnalyticSdf, sphere};

    use super::*;
    use crate::scene::SceneField;
    use crate::training::tests::small_model;

    #[test]
    fn a_saved_model_is_the_shown_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("m.safetensors");
        let model = Arc::new(small_model());
        let scene = Scene::of_model(&file, model.clone()).unwrap();
        assert!(save_model(&scene, &file).unwrap().contains("m.safetensors"));
        let back = Model::load(&file).unwrap();
        assert!(back.grid == model.grid && back.net == model.net);
        // A folder in the way is named.
        assert!(save_model(&scene, dir.path()).is_err());
    }

    #[test]
    fn meshes_are_written_or_the_reason_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("m.ply");
        let scene = Scene::of_model(&file, Arc::new(small_model())).unwrap();
        match save_mesh(&scene, &file, 32) {
            Ok(said) => assert!(said.contains("faces") && file.is_file(), "{said}"),
            Err(reason) => assert!(reason.contains("m.ply") && reason.contains("no surface"), "{reason}"),
        }
        let ball = AnalyticSdf::new(1.0, |p| sphere(p, Vec3::splat(0.5), 0.3));
        let scene = Scene::new(SceneField::Sdf(Arc::new(ball)), Cube::default());
        assert_eq!(save_mesh(&scene, &file, 32), Err(NO_MODEL.into()));
        assert_eq!(save_model(&scene, &file), Err(NO_MODEL.into()));
    }
}
