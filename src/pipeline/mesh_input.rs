//! A mesh prepared for a fit or a measurement: its defects, distance and sign.

use std::path::Path;
use std::sync::Arc;

use nstr_geometry::{
    DistanceQuery, MeshFile, MeshReport, OrientationVerdict, QueryOptions, SignMethod, TriMesh, read_mesh,
};

use nstr_metrics::mesh::{DEFAULT_SAMPLES, MeshMetrics, compare_meshes};

use crate::error::{Context, Error};
use crate::options::SignSettings;

/// A mesh that was read and judged, with distance and sign prepared.
#[derive(Debug)]
pub struct MeshInput {
    /// Format and notes of the file, and on faces inside the solid; its mesh has moved to `mesh`.
    pub file: MeshFile,
    /// The triangles.
    pub mesh: Arc<TriMesh>,
    /// Defects that were found.
    pub report: MeshReport,
    /// Distance and sign.
    pub query: Arc<DistanceQuery>,
}

impl MeshInput {
    /// Reads a mesh, judges it and prepares distance and sign.
    ///
    /// # Errors
    /// Options out of range, unreadable files, meshes without faces.
    pub fn read(path: &Path, options: &SignSettings) -> Result<Self, Error> {
        let SignSettings { sign, thickness, sign_resolution } = *options;
        if sign == SignMethod::Unsigned && thickness <= 0.0 {
            let text = format!(
                "--thickness {thickness}: must be above 0 with --sign unsigned, which makes a shell of the mesh"
            );
            return Err(Error::Option(text));
        }
        if !(8..=1024).contains(&sign_resolution) {
            return Err(Error::Option(format!("--sign-resolution {sign_resolution}: must be 8 to 1024")));
        }
        let mut file = read_mesh(path)?;
        let report = MeshReport::new(&file.mesh);
        let query_options = QueryOptions {
            method: sign,
            orientation: Some(OrientationVerdict {
                trusted: report.orientation_trusted(),
                reason: report.orientation_reason(),
            }),
            resolution: sign_resolution,
            thickness,
        };
        let query = DistanceQuery::new(&file.mesh, &query_options).at(path)?;
        file.notes.extend(query.hidden_faces().note());
        let mesh = Arc::new(std::mem::take(&mut file.mesh));
        Ok(Self { file, mesh, report, query: Arc::new(query) })
    }

    /// Distances between `measured` and the mesh, or the surface of its solid where faces of it lie inside.
    ///
    /// # Errors
    /// Meshes without a usable face.
    pub fn compare(&self, measured: &TriMesh) -> Result<MeshMetrics, Error> {
        let reference = self.query.surface().unwrap_or(&self.mesh);
        compare_meshes(measured, reference, DEFAULT_SAMPLES, 0).map_err(|e| Error::Option(e.to_string()))
    }
}
