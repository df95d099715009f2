//! Orientation of a stored picture, as EXIF numbers it, and turning by it.

use crate::Rgba8;
use crate::raster::Raster;

/// What has to be done to a stored picture so that it stands upright (EXIF 2.3, tag 274).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Orientation {
    /// 1: nothing.
    #[default]
    Upright,
    /// 2: mirror left and right.
    MirrorHorizontal,
    /// 3: turn by 180°.
    Turn180,
    /// 4: mirror top and bottom.
    MirrorVertical,
    /// 5: swap rows and columns.
    Transpose,
    /// 6: turn by 90° clockwise.
    Turn90,
    /// 7: swap rows and columns about the other diagonal.
    Transverse,
    /// 8: turn by 90° anticlockwise.
    Turn270,
}

impl Orientation {
    /// The orientation with an EXIF number; those that no standard defines count as upright, as in every viewer.
    pub fn of_exif(number: u32) -> Self {
        match number {
            2 => Self::MirrorHorizontal,
            3 => Self::Turn180,
            4 => Self::MirrorVertical,
            5 => Self::Transpose,
            6 => Self::Turn90,
            7 => Self::Transverse,
            8 => Self::Turn270,
            _ => Self::Upright,
        }
    }

    /// Its EXIF number, 1 to 8.
    pub fn exif(self) -> u32 {
        match self {
            Self::Upright => 1,
            Self::MirrorHorizontal => 2,
            Self::Turn180 => 3,
            Self::MirrorVertical => 4,
            Self::Transpose => 5,
            Self::Turn90 => 6,
            Self::Transverse => 7,
            Self::Turn270 => 8,
        }
    }

    /// True where the stored picture is upright already.
    pub fn is_upright(self) -> bool {
        self == Self::Upright
    }

    /// True where width and height change places.
    pub fn swaps_axes(self) -> bool {
        matches!(self, Self::Transpose | Self::Turn90 | Self::Transverse | Self::Turn270)
    }

    /// Size of a picture of `width`×`height` stored pixels once it is upright.
    pub fn size<T>(self, width: T, height: T) -> (T, T) {
        if self.swaps_axes() { (height, width) } else { (width, height) }
    }

    /// Index (row by row) in the stored picture of `width`×`height` pixels of the upright picture's pixel (x, y).
    fn source(self, width: usize, height: usize, x: usize, y: usize) -> usize {
        let (column, row) = match self {
            Self::Upright => (x, y),
            Self::MirrorHorizontal => (width - 1 - x, y),
            Self::Turn180 => (width - 1 - x, height - 1 - y),
            Self::MirrorVertical => (x, height - 1 - y),
            Self::Transpose => (y, x),
            Self::Turn90 => (y, height - 1 - x),
            Self::Transverse => (width - 1 - y, height - 1 - x),
            Self::Turn270 => (width - 1 - y, x),
        };
        row * width + column
    }

    /// The values of an upright picture, `[row][column][channel]`, from those of the stored one of `width`×`height` pixels.
    ///
    /// Nothing is turned where `data` has another length than the size says.
    pub fn turn<T: Copy>(self, data: Vec<T>, width: usize, height: usize, channels: usize) -> Vec<T> {
        if self.is_upright() || data.len() != width * height * channels {
            return data;
        }
        let (w, h) = self.size(width, height);
        let mut out = Vec::with_capacity(data.len());
        for y in 0..h {
            for x in 0..w {
                out.extend_from_slice(&data[self.source(width, height, x, y) * channels..][..channels]);
            }
        }
        out
    }
}

impl<T: Copy> Raster<T> {
    /// The upright picture of a stored one.
    pub fn turned(self, by: Orientation) -> Self {
        let (width, height) = by.size(self.width, self.height);
        let data = by.turn(self.data, self.width, self.height, self.channels);
        Self { width, height, channels: self.channels, data }
    }
}

impl Rgba8 {
    /// The upright picture of a stored one.
    pub fn turned(self, by: Orientation) -> Self {
        let (width, height) = by.size(self.width, self.height);
        let data = by.turn(self.data, self.width as usize, self.height as usize, 4);
        Self { width, height, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The letter F in 2x3 pixels stored in each of the eight ways stands upright again (the table of the EXIF standard,
    /// section 4.6.4: which side of the scene the first row and the first column are).
    #[test]
    fn all_eight_stand_upright() {
        let upright = "ab cd ef";
        let stored = [
            (1, "ab cd ef"),
            (2, "ba dc fe"),
            (3, "fe dc ba"),
            (4, "ef cd ab"),
            (5, "ace bdf"),
            (6, "bdf ace"),
            (7, "fdb eca"),
            (8, "eca fdb"),
        ];
        for (number, text) in stored {
            let rows: Vec<&str> = text.split(' ').collect();
            let data: Vec<u8> = text.bytes().filter(|b| *b != b' ').collect();
            let raster = Raster { width: rows[0].len(), height: rows.len(), channels: 1, data };
            let orientation = Orientation::of_exif(number);
            assert_eq!(orientation.exif(), number);
            let turned = raster.turned(orientation);
            assert_eq!((turned.width, turned.height), (2, 3), "{number}");
            let text: Vec<String> = turned.data.chunks(2).map(|r| r.iter().map(|&b| char::from(b)).collect()).collect();
            assert_eq!(text.join(" "), upright, "{number}");
        }
        assert!([0, 9, u32::MAX].into_iter().all(|n| Orientation::of_exif(n).is_upright()));
        let image = Rgba8::from_fn(2, 1, |i| [i as u8; 4]);
        let turned = image.turned(Orientation::Turn90);
        assert_eq!((turned.width, turned.height, turned.pixel(0, 1)), (1, 2, [1; 4]));
    }
}
