//! Points that images are known to show, by the tracks of a COLMAP model: weak depths.

use std::collections::HashMap;
use std::path::Path;

use glam::DVec3;

use super::{ModelFiles, SparsePoint, camera_to_world, model_folder};
use crate::alignment::Similarity;
use crate::frame_record::FrameRecord;

/// Features by which a point is sure enough to be a depth.
const SURE_TRACK: usize = 3;
/// Largest mean error in pixels of a point that is sure enough to be a depth.
const SURE_ERROR: f64 = 2.0;
/// Largest distance between a frame's position and that of its image in the model beside it, as a fraction of the frames' mean
/// distance from their middle: beyond it the model is another one.
const SAME_POSITION: f64 = 0.02;

/// Positions of the points that each image is known to show, by its number: of points that are sure enough to be depths.
pub(super) fn by_image(points: &[SparsePoint]) -> HashMap<u32, Vec<DVec3>> {
    let is_sure = |p: &&SparsePoint| p.images.len() >= SURE_TRACK && p.error.is_none_or(|e| e <= SURE_ERROR);
    let mut shown: HashMap<u32, Vec<DVec3>> = HashMap::new();
    for point in points.iter().filter(is_sure) {
        for image in &point.images {
            let of_image = shown.entry(*image).or_default();
            // An image may have found a point twice.
            if of_image.last() != Some(&point.position) {
                of_image.push(point.position);
            }
        }
    }
    shown
}

/// Gives frames of a `transforms.json` the points of the COLMAP model that lies in its folder, as `nstr capture` and nerfstudio
/// leave it: the model's world is taken to the frames' by the similarity of their positions.
///
/// Nothing is given, and the result is 0, where there is no model, or one of other frames.
pub(crate) fn from_model_beside(folder: &Path, records: &mut [FrameRecord]) -> usize {
    let Some(model) = model_folder(folder).and_then(|at| ModelFiles::read(&at).ok()) else { return 0 };
    let numbers: HashMap<&str, usize> = model.poses.iter().enumerate().map(|(i, p)| (p.name.as_str(), i)).collect();
    // `images/a/b.jpg` is `a/b.jpg` or `b.jpg` in the model.
    let number = |name: &str| {
        let ends = std::iter::once(name).chain(name.match_indices('/').map(|(at, _)| &name[at + 1..]));
        ends.filter_map(|end| numbers.get(end)).next().copied()
    };
    let (mut pairs, mut from, mut to) = (Vec::new(), Vec::new(), Vec::new());
    for (i, record) in records.iter().enumerate() {
        let Some(pose) = number(&record.name).map(|n| &model.poses[n]) else { continue };
        let Ok(camera_to_world) = camera_to_world(pose) else { continue };
        pairs.push((i, pose.id));
        from.push(camera_to_world.w_axis.truncate());
        to.push(record.camera_to_world.w_axis.truncate());
    }
    let Some(similarity) = Similarity::between(&from, &to) else { return 0 };
    let count = to.len() as f64;
    let middle = to.iter().sum::<DVec3>() / count;
    let size = to.iter().map(|p| p.distance(middle)).sum::<f64>() / count;
    if from.iter().zip(&to).any(|(p, q)| similarity.apply(*p).distance(*q) > SAME_POSITION * size) {
        return 0;
    }
    let mut shown = by_image(&model.points);
    for (i, id) in &pairs {
        let points = shown.remove(id).unwrap_or_default();
        records[*i].shown = points.into_iter().map(|p| similarity.apply(p)).collect();
    }
    records.iter().filter(|r| !r.shown.is_empty()).count()
}

#[cfg(test)]
mod tests {
    use crate::{CaptureOptions, DepthMap, read_capture};
    use glam::{DMat4, DQuat, DVec3};
    use nstr_image::{Rgba8, png};

    /// Three cameras on a line that look along +z, and a point at (0, 0, 2) that all of them show.
    fn model(folder: &std::path::Path) {
        std::fs::create_dir_all(folder.join("colmap/sparse/0")).unwrap();
        std::fs::create_dir_all(folder.join("images")).unwrap();
        let write = |name: &str, text: String| std::fs::write(folder.join("colmap/sparse/0").join(name), text).unwrap();
        write("cameras.txt", "1 PINHOLE 40 30 40 40 20 15\n".into());
        // World to camera: minus the positions (-0.5, 0, 0), (0, 0.2, 0), (0.5, 0, 0).
        let image = |i: usize, x: f64, y: f64| format!("{i} 1 0 0 0 {x} {y} 0 1 f{i}.png\n\n");
        write("images.txt", image(1, 0.5, 0.0) + &image(2, 0.0, -0.2) + &image(3, -0.5, 0.0));
        write(
            "points3D.txt",
            "1 0 0 2 9 9 9 0.4 1 0 2 0 3 0\n2 0.1 0 2 9 9 9 9.0 1 0 2 0 3 0\n3 0.2 0 2 9 9 9 0.1 1 0 2 0\n".into(),
        );
        for i in 1..=3 {
            let grey = |i: usize| [(i % 251) as u8, 9, 9, 255];
            png::write(&folder.join(format!("images/f{i}.png")), &Rgba8::from_fn(40, 30, grey)).unwrap();
        }
    }

    /// Depth of the point that all images show, of each view.
    fn depths(folder: &std::path::Path) -> Vec<Vec<f32>> {
        let capture = read_capture(folder, &CaptureOptions { holdout: 0, ..CaptureOptions::default() }).unwrap();
        let of_view = |depth: &Option<DepthMap>| match depth {
            Some(DepthMap::Sparse(depths)) => depths.iter().map(|d| d.1).collect(),
            Some(DepthMap::Dense { .. }) => panic!("there is no depth map"),
            None => Vec::new(),
        };
        capture.train.iter().map(|view| of_view(&view.depth)).collect()
    }

    #[test]
    fn sure_points_are_depths_of_the_images_that_show_them() {
        let dir = tempfile::tempdir().unwrap();
        model(dir.path());
        // The second point is too uncertain, the third has too short a track.
        assert_eq!(depths(dir.path()), vec![vec![2.0]; 3]);
    }

    #[test]
    fn a_model_beside_transforms_serves_their_frames_in_any_world() {
        let dir = tempfile::tempdir().unwrap();
        model(dir.path());
        let world = DMat4::from_scale_rotation_translation(
            DVec3::splat(1.0),
            DQuat::from_rotation_z(0.7) * DQuat::from_rotation_x(0.4),
            DVec3::new(3.0, -1.0, 5.0),
        );
        let write = |scale: f64, shift: f64| {
            let frame = |(i, x, y): (usize, f64, f64)| {
                // Camera to world with y up and z backwards.
                let pose = DMat4::from_cols(
                    DVec3::X.extend(0.0),
                    DVec3::NEG_Y.extend(0.0),
                    DVec3::NEG_Z.extend(0.0),
                    DVec3::new(x, y, 0.0).extend(1.0),
                );
                let mut moved = world * pose;
                moved.w_axis = (moved.w_axis.truncate() * scale + DVec3::X * shift * i as f64).extend(1.0);
                let rows: [[f64; 4]; 4] = std::array::from_fn(|r| moved.row(r).to_array());
                format!("{{\"file_path\": \"images/f{i}.png\", \"transform_matrix\": {rows:?}}}")
            };
            let frames = [(1, -0.5, 0.0), (2, 0.0, 0.2), (3, 0.5, 0.0)].map(frame).join(", ");
            let text = format!(
                "{{\"fl_x\": 40, \"fl_y\": 40, \"cx\": 20, \"cy\": 15, \"w\": 40, \"h\": 30, \"frames\": [{frames}]}}"
            );
            std::fs::write(dir.path().join("transforms.json"), text).unwrap();
        };
        write(3.0, 0.0);
        for of_view in depths(&dir.path().join("transforms.json")) {
            assert!(of_view.len() == 1 && (of_view[0] - 6.0).abs() < 1e-4, "{of_view:?}");
        }
        // Frames that are elsewhere were found by another model.
        write(3.0, 0.4);
        assert_eq!(depths(&dir.path().join("transforms.json")), vec![Vec::<f32>::new(); 3]);
    }
}
