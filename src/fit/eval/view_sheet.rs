//! Contact sheet of views: each image beside its rendering and their difference in false colours.

use std::path::Path;
use std::str::FromStr;

use nstr_image::colormap::error_colormap;
use nstr_image::colour_bar::ColourBar;
use nstr_image::contact_sheet::{SheetRow, contact_sheet};
use nstr_image::{ImageError, Rgba8, png};

/// Order of the views on a contact sheet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SheetOrder {
    /// By PSNR, the lowest first.
    #[default]
    Worst,
    /// By name.
    Name,
}

impl FromStr for SheetOrder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "worst" => Ok(Self::Worst),
            "name" => Ok(Self::Name),
            _ => Err("must be worst or name".into()),
        }
    }
}

/// Contact sheet to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SheetOptions<'a> {
    /// PNG file.
    pub path: &'a Path,
    /// Line above all.
    pub title: &'a str,
    /// Order of the views.
    pub order: SheetOrder,
    /// Most views; those that come first in the order are shown.
    pub rows: usize,
}

/// Least and greatest length of the longest side of a picture on a sheet, in pixels, about.
const SIDE: (u32, u32) = (250, 400);

/// Legend of error pictures whose last colour stands for `full` and more.
pub fn error_bar(full: f64) -> ColourBar<'static> {
    let tick = |i: u32| {
        let place = f64::from(i) / 5.0;
        let more = if i == 5 { "+" } else { "" };
        (place, format!("{}{more}", (place * full * 1e4).round() / 1e4))
    };
    let colour: &(dyn Fn(f32) -> [f32; 3] + Sync) = &error_colormap;
    ColourBar { title: "error".into(), unit: "mean of RGB".into(), ticks: (0..=5).map(tick).collect(), colour }
}

/// Draws the rows of a sheet under its headings, beside the legend of their errors up to `full`, and writes it.
///
/// # Errors
/// Files that cannot be written.
pub fn write_sheet(path: &Path, title: &str, rows: &[SheetRow], full: f64) -> Result<(), ImageError> {
    let sheet = contact_sheet(title, &["truth", "rendering", "error"], rows);
    png::write(path, &error_bar(full).beside(&sheet, [255; 3]))
}

/// The picture made smaller, or tiny ones larger, for a sheet.
pub fn thumbnail(picture: &Rgba8) -> Rgba8 {
    let side = picture.width.max(picture.height).max(1);
    if side < SIDE.0 { picture.enlarged(SIDE.0.div_ceil(side).min(8)) } else { picture.reduced(side.div_ceil(SIDE.1)) }
}

/// Sheet of views that come one by one; only those that will be shown are kept.
pub(super) struct ViewSheet<'a> {
    options: SheetOptions<'a>,
    /// Each with its PSNR, in the order of the sheet.
    rows: Vec<(f64, String, SheetRow)>,
    views: usize,
}

impl<'a> ViewSheet<'a> {
    pub fn new(options: SheetOptions<'a>) -> Self {
        Self { options, rows: Vec::new(), views: 0 }
    }

    /// Adds a view by its name: image, rendering and error.
    pub fn add(&mut self, name: &str, psnr: f64, ssim: Option<f64>, pictures: [&Rgba8; 3]) {
        self.views += 1;
        let before = |(other_psnr, other, _): &(f64, String, SheetRow)| match self.options.order {
            SheetOrder::Worst => *other_psnr <= psnr,
            SheetOrder::Name => other.as_str() <= name,
        };
        let at = self.rows.partition_point(before);
        if at >= self.options.rows {
            return;
        }
        let ssim = ssim.map_or(String::new(), |ssim| format!("  SSIM {ssim:.4}"));
        let caption = format!("{name}  {psnr:.2} dB{ssim}");
        let pictures = pictures.map(thumbnail).to_vec();
        self.rows.insert(at, (psnr, name.into(), SheetRow { caption, pictures }));
        self.rows.truncate(self.options.rows);
    }

    /// Writes the sheet, with the mean PSNR in its title.
    pub fn finish(self, psnr: f64, full: f64) -> Result<(), ImageError> {
        let (shown, views) = (self.rows.len(), self.views);
        let order = match (self.options.order, shown < views) {
            (SheetOrder::Worst, true) => format!("the worst {shown} of {views} views"),
            (SheetOrder::Worst, false) => format!("{views} views, the worst first"),
            (SheetOrder::Name, true) => format!("the first {shown} of {views} views by name"),
            (SheetOrder::Name, false) => format!("{views} views by name"),
        };
        let title = format!("{}: {psnr:.2} dB; {order}", self.options.title);
        let rows: Vec<SheetRow> = self.rows.into_iter().map(|row| row.2).collect();
        write_sheet(self.options.path, &title, &rows, full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(order: SheetOrder, rows: usize) -> Vec<String> {
        let options = SheetOptions { path: Path::new("s.png"), title: "", order, rows };
        let mut sheet = ViewSheet::new(options);
        let picture = Rgba8::from_fn(900, 300, |_| [1, 2, 3, 255]);
        for (name, psnr) in [("c", 30.0), ("a", 20.0), ("d", 25.0), ("b", 40.0)] {
            sheet.add(name, psnr, Some(0.5), [&picture; 3]);
        }
        assert!(sheet.views == 4 && sheet.rows.iter().all(|r| r.2.pictures.len() == 3));
        assert!(sheet.rows.iter().all(|r| r.2.pictures.iter().all(|p| (p.width, p.height) == (300, 100))));
        sheet.rows.into_iter().map(|row| row.2.caption).collect()
    }

    #[test]
    fn the_worst_views_come_first_or_all_by_name() {
        let lines = |found: &[(&str, f64)]| {
            found.iter().map(|(n, psnr)| format!("{n}  {psnr:.2} dB  SSIM 0.5000")).collect::<Vec<String>>()
        };
        assert_eq!(sheet(SheetOrder::Worst, 3), lines(&[("a", 20.0), ("d", 25.0), ("c", 30.0)]));
        assert_eq!(sheet(SheetOrder::Name, 2), lines(&[("a", 20.0), ("b", 40.0)]));
        assert_eq!(sheet(SheetOrder::Name, 9).len(), 4);
        assert_eq!(("Worst".parse(), "name".parse()), (Ok(SheetOrder::Worst), Ok(SheetOrder::Name)));
        assert!("best".parse::<SheetOrder>().unwrap_err().contains("worst or name"));
    }

    #[test]
    fn the_legend_tells_what_the_last_colour_stands_for() {
        let texts: Vec<String> = error_bar(0.25).ticks.into_iter().map(|t| t.1).collect();
        assert_eq!(texts, ["0", "0.05", "0.1", "0.15", "0.2", "0.25+"]);
    }
}
