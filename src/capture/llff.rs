//! LLFF: `poses_bounds.npy` beside a folder of images.
//!
//! A row holds a 3×5 matrix and two depths. The matrix's columns are the camera's axes in the world (down, right,
//! backwards), its position, and (height, width, focal length) in pixels; the depths bound what the camera sees along
//! its axis. Images are in the order of their names.

use std::path::Path;

use glam::{DMat4, DVec3};
use npyz::NpyFile;
use nstr_files::{Budget, check_npy_header, excerpt, read_named, shorten};

use crate::error::CaptureError;
use crate::frame_record::{Focal, FrameList, FrameRecord, SceneExtentHint, image_folder};
use crate::image_files::{ImageFiles, images_in};
use crate::lens::Lens;
use crate::masks;

/// Numbers in a row.
const ROW: usize = 17;
/// Longest file that is read, in bytes: millions of rows.
const MAX_BYTES: u64 = 1 << 30;

/// Reads a folder with `poses_bounds.npy`.
pub(super) fn read(folder: &Path, downscale: u32) -> Result<FrameList, CaptureError> {
    let source = folder.join("poses_bounds.npy");
    let bytes = read_named(&source, &Budget::new(MAX_BYTES)).map_err(CaptureError::io(&source))?;
    let rows = rows(&bytes).map_err(|reason| CaptureError::field(&source, "array", reason))?;
    if rows.is_empty() {
        return Err(CaptureError::no_frames(&source, "the array has no row"));
    }
    let (images, reduced) = image_folder(folder, downscale)
        .ok_or_else(|| CaptureError::no_frames(folder, "there is no folder images, images_2, images_4 or images_8"))?;
    let files = images_in(&images).map_err(CaptureError::io(&images))?;
    if files.len() != rows.len() {
        let reason = format!("{} rows for the {} images in {}", rows.len(), files.len(), images.display());
        return Err(CaptureError::field(
            &source,
            "array",
            reason + "; keep exactly the images that poses were found for",
        ));
    }
    let mut list = FrameList { source: source.clone(), ..FrameList::default() };
    if reduced == 1 && images.file_name().is_some_and(|n| n != "images") {
        list.notes.push(format!("there is no folder images; {} is used", images.display()));
    }
    let mut depths = Vec::with_capacity(rows.len());
    for (i, (row, image)) in rows.iter().zip(files).enumerate() {
        let at = format!("row {i}: ");
        let name = image.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let fail = |field: &str, reason: String| CaptureError::field(&source, format!("{at}{field}"), reason);
        if let Some(c) = row.iter().position(|v| !v.is_finite()) {
            return Err(fail(&format!("column {c}"), format!("{} is not a finite number", row[c])));
        }
        let column = |c: usize| DVec3::new(row[c], row[5 + c], row[10 + c]);
        let [height, width, focal] = column(4).to_array();
        let side = |field: &str, v: f64| match v.round() {
            s if (1.0..=65_536.0).contains(&s) => Ok(s as u32),
            _ => Err(fail(field, format!("{v} is not an image size; expected 1 to 65536"))),
        };
        let (near, far) = (row[15], row[16]);
        if near > 0.0 && far > near {
            depths.push((name.clone(), near, far));
        }
        list.train.push(FrameRecord {
            name,
            at: at.clone(),
            image,
            masks: Vec::new(),
            depth: None,
            shown: Vec::new(),
            size: Some((side("width", width)?, side("height", height)?)),
            focal: [Some(Focal::Pixels(focal)), None],
            centre: [None, None],
            lens: Lens::Pinhole,
            camera_to_world: DMat4::from_cols(
                column(1).extend(0.0),
                (-column(0)).extend(0.0),
                column(2).extend(0.0),
                column(3).extend(1.0),
            ),
            reduced,
            shrunk: 1,
            decoded: None,
        });
    }
    list.notes.extend(masks::find(&mut list.train, &ImageFiles::default(), folder));
    if depths.len() == rows.len() {
        list.extent = SceneExtentHint::Depths(depths);
    } else {
        list.notes.push("some depth bounds are not 0 < near < far: all are ignored".into());
    }
    Ok(list)
}

/// The rows of an array [N, 17] of f32 or f64, in either order.
fn rows(bytes: &[u8]) -> Result<Vec<[f64; ROW]>, String> {
    let expected = "expected float32 or float64 numbers of shape [frames, 17]";
    check_npy_header(bytes)?;
    let file = NpyFile::new(bytes).map_err(|e| format!("not a .npy file: {}; {expected}", shorten(&e.to_string())))?;
    let shape = file.shape().to_vec();
    let &[count, columns] = shape.as_slice() else {
        return Err(format!("shape {}; {expected}", excerpt(&format!("{shape:?}"))));
    };
    // The header's claim is held against the file's size before anything is allocated for it.
    if columns != ROW as u64 || count > bytes.len() as u64 / (4 * columns) {
        return Err(format!("shape {shape:?} in a file of {} bytes; {expected}", bytes.len()));
    }
    let order = file.order();
    let flat: Result<Vec<f64>, _> = match file.try_data::<f64>() {
        Ok(data) => data.collect(),
        Err(file) => match file.try_data::<f32>() {
            Ok(data) => data.map(|v| v.map(f64::from)).collect(),
            Err(file) => return Err(format!("numbers of type {}; {expected}", excerpt(&file.dtype().descr()))),
        },
    };
    let flat = flat.map_err(|e| format!("the file is truncated: {e}"))?;
    let n = count as usize;
    let at = |r: usize, c: usize| match order {
        npyz::Order::C => flat[r * ROW + c],
        npyz::Order::Fortran => flat[c * n + r],
    };
    Ok((0..n).map(|r| std::array::from_fn(|c| at(r, c))).collect())
}
