//! Grey images, and their reduction, for measures of sharpness and motion.

use nstr_image::Rgba8;

/// Longest side at which blur is measured: the measure depends on it.
pub(crate) const MEASURED_SIDE: usize = 640;

/// A grey image, values 0 to 255, rows from the top.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Gray {
    pub width: usize,
    pub height: usize,
    pub data: Vec<f32>,
}

impl Gray {
    pub fn from_fn(width: usize, height: usize, value: impl Fn(usize, usize) -> f32) -> Self {
        Self { width, height, data: (0..width * height).map(|i| value(i % width, i / width)).collect() }
    }

    /// Luma (BT.601) of a picture.
    pub fn of(picture: &Rgba8) -> Self {
        let luma = |p: &[u8]| 0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2]);
        let data = picture.data.chunks_exact(4).map(luma).collect();
        Self { width: picture.width as usize, height: picture.height as usize, data }
    }

    pub fn at(&self, x: usize, y: usize) -> f32 {
        self.data[y * self.width + x]
    }

    /// The image with its longest side at `side`, each pixel the average of the area that it covers; never made larger.
    pub fn reduced(&self, side: usize) -> Self {
        let longest = self.width.max(self.height);
        if longest <= side {
            return self.clone();
        }
        let size = |n: usize| ((n * side) as f64 / longest as f64).round().max(1.0) as usize;
        let (width, height) = (size(self.width), size(self.height));
        let columns = shares(self.width, width);
        let narrow = Self::from_fn(width, self.height, |x, y| columns[x].iter().map(|(i, w)| w * self.at(*i, y)).sum());
        let rows = shares(self.height, height);
        Self::from_fn(width, height, |x, y| rows[y].iter().map(|(i, w)| w * narrow.at(x, *i)).sum())
    }
}

/// For each of `to` equal parts of `from` samples, the samples that it covers, with their weights.
fn shares(from: usize, to: usize) -> Vec<Vec<(usize, f32)>> {
    let step = from as f64 / to as f64;
    let part = |i: usize| {
        let (start, end) = (i as f64 * step, (i + 1) as f64 * step);
        let last = (end.ceil() as usize).min(from);
        let weight = |j: usize| ((end.min((j + 1) as f64) - start.max(j as f64)).max(0.0) / step) as f32;
        (start as usize..last).map(|j| (j, weight(j))).collect()
    };
    (0..to).map(part).collect()
}

/// The picture `factor` times smaller along each axis, by averages; what does not fill a pixel on the right and below is cut off.
pub(crate) fn reduce(picture: &Rgba8, factor: u32) -> Rgba8 {
    let (width, height) = (picture.width / factor, picture.height / factor);
    let count = factor * factor;
    Rgba8::from_fn(width, height, |i| {
        let (x, y) = (i as u32 % width * factor, i as u32 / width * factor);
        let mut sum = [0u32; 4];
        for row in y..y + factor {
            for column in x..x + factor {
                let pixel = picture.pixel(column, row);
                (0..4).for_each(|c| sum[c] += u32::from(pixel[c]));
            }
        }
        sum.map(|s| ((s + count / 2) / count) as u8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_averaged() {
        let image = Gray::from_fn(6, 3, |x, y| (x + 10 * y) as f32);
        let half = image.reduced(3);
        assert_eq!((half.width, half.height), (3, 2));
        // The first column covers columns 0 and 1, the first row row 0 and half of row 1.
        assert!((half.at(0, 0) - (0.5 + (10.0 * 0.5) / 1.5)).abs() < 1e-4, "{}", half.at(0, 0));
        let mean = |g: &Gray| g.data.iter().sum::<f32>() / g.data.len() as f32;
        assert!((mean(&half) - mean(&image)).abs() < 1e-4);
        assert_eq!(image.reduced(6), image);
        let picture = Rgba8::from_fn(5, 4, |i| [(i % 5) as u8 * 10, 0, 0, 255]);
        let small = reduce(&picture, 2);
        assert_eq!((small.width, small.height, small.pixel(1, 1)), (2, 2, [25, 0, 0, 255]));
    }
}
