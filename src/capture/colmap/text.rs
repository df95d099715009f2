//! The text files of a COLMAP model: a record a line (two for an image), words between blanks, `#` for comments.

use std::collections::HashMap;
use std::str::{FromStr, SplitWhitespace};

use glam::DVec3;

use crate::colmap::{Calibration, FieldError, ImageRecord, MODELS, side};

/// Words of a record, with its line for complaints.
struct Words<'a> {
    line: usize,
    words: SplitWhitespace<'a>,
}

impl<'a> Words<'a> {
    fn new(line: usize, text: &'a str) -> Self {
        Self { line, words: text.split_whitespace() }
    }

    fn error(&self, reason: impl Into<String>) -> FieldError {
        (format!("line {}", self.line), reason.into())
    }

    fn word(&mut self, field: &str) -> Result<&'a str, FieldError> {
        self.words.next().ok_or_else(|| self.error(format!("{field} is missing")))
    }

    fn value<T: FromStr>(&mut self, field: &str) -> Result<T, FieldError> {
        let word = self.word(field)?;
        word.parse().map_err(|_| self.error(format!("{field}: {word:?} is not a number of its kind")))
    }

    fn values<const N: usize>(&mut self, fields: [&str; N]) -> Result<[f64; N], FieldError> {
        let mut out = [0.0; N];
        for (value, field) in out.iter_mut().zip(fields) {
            *value = self.value(field)?;
        }
        Ok(out)
    }
}

/// Lines that hold something, numbered from 1.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(i, l)| (i + 1, l.trim())).filter(|(_, l)| !l.is_empty() && !l.starts_with('#'))
}

/// `CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]`
pub(super) fn cameras(text: &str) -> Result<HashMap<u32, Calibration>, FieldError> {
    let mut out = HashMap::new();
    for (line, text) in lines(text) {
        let mut words = Words::new(line, text);
        let id = words.value("CAMERA_ID")?;
        let name = words.word("MODEL")?;
        let model = MODELS.iter().find(|m| m.0 == name);
        let (model, count) = *model.ok_or_else(|| words.error(format!("MODEL: {name} is unknown")))?;
        let mut size = [0; 2];
        for (value, field) in size.iter_mut().zip(["WIDTH", "HEIGHT"]) {
            let v = words.value(field)?;
            *value = side(v).map_err(|reason| words.error(format!("{field}: {reason}")))?;
        }
        let parameters = (0..count).map(|_| words.value("PARAMS")).collect::<Result<_, _>>()?;
        out.insert(id, Calibration { model, size: (size[0], size[1]), parameters });
    }
    Ok(out)
}

/// `IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME`, each followed by a line of keypoints, which may be empty.
pub(super) fn images(text: &str) -> Result<Vec<ImageRecord>, FieldError> {
    let mut out = Vec::new();
    let mut all = text.lines().enumerate();
    while let Some((i, text)) = all.next() {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let mut words = Words::new(i + 1, text);
        let _: u32 = words.value("IMAGE_ID")?;
        let rotation = words.values(["QW", "QX", "QY", "QZ"])?;
        let translation = words.values(["TX", "TY", "TZ"])?;
        let camera = words.value("CAMERA_ID")?;
        // Names may hold blanks.
        let name = words.words.by_ref().collect::<Vec<_>>().join(" ");
        if name.is_empty() {
            return Err(words.error("NAME is missing"));
        }
        out.push(ImageRecord { rotation, translation, camera, name });
        all.next();
    }
    Ok(out)
}

/// `POINT3D_ID X Y Z R G B ERROR TRACK[]`; points that are not finite are left out.
pub(super) fn points(text: &str) -> Result<Vec<DVec3>, FieldError> {
    let mut out = Vec::new();
    for (line, text) in lines(text) {
        let mut words = Words::new(line, text);
        let _: u64 = words.value("POINT3D_ID")?;
        out.push(DVec3::from(words.values(["X", "Y", "Z"])?));
    }
    out.retain(|p| p.is_finite());
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_with_and_without_keypoints() {
        let text = "# comment\n1 1 0 0 0 0 0 5 3 a b.png\n\n2 1 0 0 0 1 2 3 4 c.jpg\n1.5 2.5 -1 3 4 7\n";
        let poses = images(text).unwrap();
        assert_eq!(poses.len(), 2);
        assert_eq!((poses[0].name.as_str(), poses[0].camera, poses[0].translation[2]), ("a b.png", 3, 5.0));
        assert_eq!((poses[1].name.as_str(), poses[1].translation), ("c.jpg", [1.0, 2.0, 3.0]));
        assert_eq!(points("7 1 2 3 0 0 0 0.5 1 2\n8 nan 0 0 1 1 1 1\n").unwrap(), [DVec3::new(1.0, 2.0, 3.0)]);
    }

    #[test]
    fn faults_name_line_and_field() {
        for (text, place, word) in [
            ("1 PINHOLE 8 8 1 2 3", "line 1", "PARAMS"),
            ("\n1 WIDE 8 8", "line 2", "WIDE"),
            ("1 PINHOLE 0 8 1 2 3 4", "line 1", "WIDTH"),
            ("x", "line 1", "CAMERA_ID"),
        ] {
            let (at, reason) = cameras(text).unwrap_err();
            assert!(at == place && reason.contains(word), "{at}: {reason}");
        }
        assert!(images("1 1 0 0 0 0 0 5 3").unwrap_err().1.contains("NAME"));
        assert!(images("1 1 0 zero 0 0 0 5 3 a").unwrap_err().1.contains("QY"));
    }
}
