//! The binary files of a COLMAP model: little-endian, a 64-bit count and then the records.

use std::collections::HashMap;

use glam::DVec3;

use crate::colmap::sparse_model::SparsePoint;
use crate::colmap::{Calibration, FieldError, ImageRecord, MODELS, UNDISTORT, add_camera, side};

/// Reads values off the front of a file.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn error(&self, reason: impl Into<String>) -> FieldError {
        (format!("byte {}", self.at), reason.into())
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], FieldError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.get(..count);
        let taken = taken.ok_or_else(|| self.error("the file ends within a record: it is truncated"))?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FieldError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn u32(&mut self) -> Result<u32, FieldError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, FieldError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn f64(&mut self) -> Result<f64, FieldError> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    fn f64s<const N: usize>(&mut self) -> Result<[f64; N], FieldError> {
        let mut out = [0.0; N];
        for value in &mut out {
            *value = self.f64()?;
        }
        Ok(out)
    }

    /// A count of records of at least `size` bytes each; more than the file can hold is an error.
    fn count(&mut self, size: usize) -> Result<usize, FieldError> {
        let count = self.u64()?;
        let room = (self.bytes.len() - self.at) / size;
        match usize::try_from(count) {
            Ok(n) if n <= room => Ok(n),
            _ => {
                Err(self.error(format!("{count} records don't fit in the file: it is truncated or not a COLMAP model")))
            }
        }
    }

    fn text(&mut self) -> Result<String, FieldError> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|b| *b == 0).ok_or_else(|| self.error("NAME doesn't end"))?;
        self.at += end + 1;
        Ok(String::from_utf8_lossy(&rest[..end]).into_owned())
    }
}

pub(super) fn cameras(bytes: &[u8]) -> Result<HashMap<u32, Calibration>, FieldError> {
    let mut reader = Reader::new(bytes);
    let mut out = HashMap::new();
    for _ in 0..reader.count(24)? {
        let id = reader.u32()?;
        let number = reader.u32()?;
        let model = MODELS.get(number as usize);
        let unknown = || reader.error(format!("camera {id}: model {number} is unknown; {UNDISTORT}"));
        let (model, count) = *model.ok_or_else(unknown)?;
        let mut size = [0; 2];
        for (value, field) in size.iter_mut().zip(["WIDTH", "HEIGHT"]) {
            let v = reader.u64()?;
            *value = side(v).map_err(|reason| reader.error(format!("camera {id}: {field}: {reason}")))?;
        }
        let parameters = (0..count).map(|_| reader.f64()).collect::<Result<_, _>>()?;
        let camera = Calibration { model, size: (size[0], size[1]), parameters };
        add_camera(&mut out, id, camera).map_err(|reason| reader.error(reason))?;
    }
    Ok(out)
}

pub(super) fn images(bytes: &[u8]) -> Result<Vec<ImageRecord>, FieldError> {
    let mut reader = Reader::new(bytes);
    let mut out = Vec::new();
    for _ in 0..reader.count(73)? {
        let id = reader.u32()?;
        let rotation = reader.f64s()?;
        let translation = reader.f64s()?;
        let camera = reader.u32()?;
        let name = reader.text()?;
        if name.is_empty() {
            return Err(reader.error("NAME is empty"));
        }
        let keypoints = reader.count(24)?;
        reader.take(24 * keypoints)?;
        out.push(ImageRecord { id, rotation, translation, camera, name });
    }
    Ok(out)
}

/// Points that are not finite are left out.
pub(super) fn points(bytes: &[u8]) -> Result<Vec<SparsePoint>, FieldError> {
    let mut reader = Reader::new(bytes);
    let count = reader.count(51)?;
    let mut out = Vec::with_capacity(count);
    for _ in 0..count {
        let _id = reader.u64()?;
        let position = DVec3::from(reader.f64s()?);
        let colour = reader.array()?;
        let error = reader.f64()?;
        let track = reader.count(8)?;
        // An image and a keypoint for each place where the point was seen.
        let places = reader.take(8 * track)?.as_chunks::<8>().0;
        let images = places.iter().map(|&[a, b, c, d, ..]| u32::from_le_bytes([a, b, c, d])).collect();
        out.push(SparsePoint { position, colour, error: Some(error).filter(|e| e.is_finite() && *e >= 0.0), images });
    }
    out.retain(|p| p.position.is_finite());
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_not_believed() {
        for parse in
            [|b: &[u8]| images(b).map(|_| ()), |b: &[u8]| points(b).map(|_| ()), |b: &[u8]| cameras(b).map(|_| ())]
        {
            let mut bytes = u64::MAX.to_le_bytes().to_vec();
            bytes.extend([7; 100]);
            assert!(parse(&bytes).unwrap_err().1.contains("truncated"));
            assert!(parse(&[]).is_err());
            assert!(parse(&[0; 8]).is_ok());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_model_or_a_fault(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400), small in 0u64..4) {
            // A small count lets the records be reached.
            if bytes.len() >= 8 {
                bytes[..8].copy_from_slice(&small.to_le_bytes());
            }
            let _ = (cameras(&bytes).is_ok(), images(&bytes).is_ok(), points(&bytes).is_ok());
        }
    }
}
