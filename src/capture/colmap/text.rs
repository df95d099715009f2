//! The text files of a COLMAP model: a record a line, words between blanks, `#` for comments.
//!
//! An image has two lines, itself and its keypoints. The second is often empty, and tools and editors drop it: a line counts
//! as keypoints only if it looks like them.

use std::collections::HashMap;
use std::str::FromStr;

use glam::DVec3;
use nstr_files::excerpt;

use crate::colmap::sparse_model::SparsePoint;
use crate::colmap::{Calibration, FieldError, ImageRecord, MODELS, UNDISTORT, add_camera, side};

/// Words of a record, with its line for complaints.
struct Words<'a> {
    line: usize,
    /// What has not been read yet.
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn new(line: usize, text: &'a str) -> Self {
        Self { line, rest: text.trim() }
    }

    fn error(&self, reason: impl Into<String>) -> FieldError {
        (format!("line {}", self.line), reason.into())
    }

    fn word(&mut self, field: &str) -> Result<&'a str, FieldError> {
        let end = self.rest.find(char::is_whitespace).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        if word.is_empty() { Err(self.error(format!("{field} is missing"))) } else { Ok(word) }
    }

    fn value<T: FromStr>(&mut self, field: &str) -> Result<T, FieldError> {
        let word = self.word(field)?;
        word.parse().map_err(|_| self.error(format!("{field}: {} is not a number of its kind", excerpt(word))))
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
        let unknown = || words.error(format!("MODEL: {} is unknown; {UNDISTORT}", excerpt(name)));
        let (model, count) = *model.ok_or_else(unknown)?;
        let mut size = [0; 2];
        for (value, field) in size.iter_mut().zip(["WIDTH", "HEIGHT"]) {
            let v = words.value(field)?;
            *value = side(v).map_err(|reason| words.error(format!("{field}: {reason}")))?;
        }
        let parameters = (0..count).map(|_| words.value("PARAMS")).collect::<Result<_, _>>()?;
        let camera = Calibration { model, size: (size[0], size[1]), parameters };
        add_camera(&mut out, id, camera).map_err(|reason| words.error(reason))?;
    }
    Ok(out)
}

/// `IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME`, each followed by a line of keypoints, which may be empty or missing.
pub(super) fn images(text: &str) -> Result<Vec<ImageRecord>, FieldError> {
    let mut out = Vec::new();
    // Only the line after an image may be keypoints.
    let mut after_image = false;
    for (i, text) in text.lines().enumerate() {
        let text = text.trim();
        if text.starts_with('#') {
            continue;
        }
        let keypoints = after_image && is_keypoints(text);
        after_image = false;
        if text.is_empty() || keypoints {
            continue;
        }
        out.push(image(&mut Words::new(i + 1, text))?);
        after_image = true;
    }
    Ok(out)
}

fn image(words: &mut Words) -> Result<ImageRecord, FieldError> {
    let id = words.value("IMAGE_ID")?;
    let rotation = words.values(["QW", "QX", "QY", "QZ"])?;
    let translation = words.values(["TX", "TY", "TZ"])?;
    let camera = words.value("CAMERA_ID")?;
    // Names may hold blanks.
    match words.rest {
        "" => Err(words.error("NAME is missing")),
        name => Ok(ImageRecord { id, rotation, translation, camera, name: name.into() }),
    }
}

/// True for `X Y POINT3D_ID` once or many times over, and where there are only numbers but too few of them.
fn is_keypoints(text: &str) -> bool {
    let is_number = |word: &str| word.parse::<f64>().is_ok();
    let mut first = text.split_whitespace().take(10);
    // The tenth word of an image is its name; one that looks like a number leaves it to the count.
    if !first.by_ref().take(9).all(is_number) {
        return false;
    }
    match first.next() {
        None => true,
        Some(tenth) => is_number(tenth) && text.split_whitespace().count().is_multiple_of(3),
    }
}

/// `POINT3D_ID X Y Z R G B ERROR TRACK[]`; points that are not finite are left out. What follows the position may be missing
/// or something else: it is for reports alone.
pub(super) fn points(text: &str) -> Result<Vec<SparsePoint>, FieldError> {
    let mut out = Vec::new();
    for (line, text) in lines(text) {
        let mut words = Words::new(line, text);
        let _: u64 = words.value("POINT3D_ID")?;
        let position = DVec3::from(words.values(["X", "Y", "Z"])?);
        let colour = ["R", "G", "B"].map(|field| words.value(field).unwrap_or(0));
        let error = words.value("ERROR").ok().filter(|e: &f64| e.is_finite() && *e >= 0.0);
        // An image and a keypoint for each place where the point was seen.
        // A number that is none names no image.
        let places: Vec<&str> = words.rest.split_whitespace().collect();
        let images = places.as_chunks::<2>().0.iter().map(|[image, _]| image.parse().unwrap_or(u32::MAX)).collect();
        out.push(SparsePoint { position, colour, error, images });
    }
    out.retain(|p| p.position.is_finite());
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
        let seen = SparsePoint {
            position: DVec3::new(1.0, 2.0, 3.0),
            colour: [9, 8, 7],
            error: Some(0.5),
            images: vec![1, 4],
        };
        assert_eq!(points("7 1 2 3 9 8 7 0.5 1 2 4 7\n8 nan 0 0 1 1 1 1\n").unwrap(), std::slice::from_ref(&seen));
        let bare = SparsePoint { colour: [0; 3], error: None, images: Vec::new(), ..seen };
        assert_eq!(points("7 1 2 3\n").unwrap(), [bare]);
    }

    #[test]
    fn lines_of_keypoints_may_be_missing() {
        let image = |i: usize, name: &str| format!("{i} 1 0 0 0 0.5 -1e-3 5 3 {name}\n");
        let names = |text: &str| images(text).unwrap().into_iter().map(|r| r.name).collect::<Vec<_>>();
        let keypoints = "1.5 2.5 -1 3 4 7 1 2 3 4 5 6\n";
        let (a, b, c) = (image(1, "a.png"), image(2, "cam 1/b  2.png"), image(3, "0003"));
        let wanted = ["a.png", "cam 1/b  2.png", "0003"];
        for text in [
            format!("{a}{b}{c}"),
            format!("{a}\n{b}\n{c}\n"),
            format!("# x\n{a}# y\n{keypoints}\n\n{b}{keypoints}{c}"),
            format!("{a}\n{b}{c}{keypoints}"),
            format!("{a}{keypoints}{b}# z\n{c}"),
            format!("{a}1.5 2.5\n{b}\n{c}{}", &keypoints[..10]),
        ] {
            assert_eq!(names(&text), wanted, "{text}");
        }
        let (at, said) = images(&format!("{a}\n{keypoints}")).unwrap_err();
        assert!(at == "line 3" && said.contains("IMAGE_ID"), "{at}: {said}");
        let (at, said) = images(&format!("{a}1 2 x\n")).unwrap_err();
        assert!(at == "line 2" && said.contains("QX"), "{at}: {said}");
        let long = images(&format!("1 1 0 {} 0 0 0 5 3 a", "z".repeat(100_000))).unwrap_err();
        assert!(long.1.chars().count() < 200);
    }

    #[test]
    fn a_camera_is_there_once() {
        assert_eq!(cameras("1 PINHOLE 8 8 1 2 3 4\n1 PINHOLE 8 8 1 2 3 4\n").unwrap().len(), 1);
        let (at, said) = cameras("1 PINHOLE 8 8 1 2 3 4\n\n1 PINHOLE 8 8 1 2 3 5\n").unwrap_err();
        assert!(at == "line 3" && said.contains("camera 1 is there twice"), "{at}: {said}");
        let said = cameras("1 LENS_OF_MINE 8 8 1 2 3 5\n").unwrap_err().1;
        assert!(said.contains("LENS_OF_MINE") && said.contains("undistort"), "{said}");
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
