//! Contact sheets: rows of small pictures with captions, in columns with headings.

use crate::Rgba8;
use crate::bitmap_font::{self, HEIGHT};

/// Pictures side by side, of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SheetRow {
    /// Line above the pictures.
    pub caption: String,
    /// A picture a column.
    pub pictures: Vec<Rgba8>,
}

/// Pixels around the sheet and between its pictures.
const SPACE: u32 = 12;
const PAPER: [u8; 4] = [255; 4];
const INK: [u8; 3] = [30; 3];
const PALE: [u8; 3] = [105; 3];

/// Rows below each other under the headings of their columns; `title` stands above all and may be empty. Pictures of all sizes
/// keep theirs; columns are as wide as their widest picture.
pub fn contact_sheet(title: &str, columns: &[&str], rows: &[SheetRow]) -> Rgba8 {
    let widths: Vec<u32> = (0..columns.len())
        .map(|c| {
            let pictures = rows.iter().filter_map(|row| row.pictures.get(c)).map(|p| p.width);
            pictures.chain([bitmap_font::width(columns[c], 1)]).max().unwrap_or(0)
        })
        .collect();
    let height = |row: &SheetRow| row.pictures.iter().map(|p| p.height).max().unwrap_or(0);
    let heading = if title.is_empty() { 0 } else { HEIGHT + SPACE };
    let top = SPACE + heading + HEIGHT;
    let whole = top + rows.iter().map(|row| SPACE + HEIGHT + 4 + height(row)).sum::<u32>() + SPACE;
    let inner: u32 = widths.iter().map(|w| w + SPACE).sum::<u32>().saturating_sub(SPACE);
    let width = SPACE + inner.max(bitmap_font::width(title, 1).min(2 * inner)) + SPACE;
    let mut sheet = Rgba8::from_fn(width, whole, |_| PAPER);
    let title = bitmap_font::fitted(title, width - 2 * SPACE, 1);
    bitmap_font::draw(&mut sheet, SPACE, SPACE, &title, INK, 1);
    let mut x = SPACE;
    for (name, width) in columns.iter().zip(&widths) {
        bitmap_font::draw(&mut sheet, x, SPACE + heading, name, PALE, 1);
        x += width + SPACE;
    }
    let mut y = top;
    for row in rows {
        y += SPACE;
        let caption = bitmap_font::fitted(&row.caption, width - 2 * SPACE, 1);
        bitmap_font::draw(&mut sheet, SPACE, y, &caption, INK, 1);
        y += HEIGHT + 4;
        let mut x = SPACE;
        for (picture, width) in row.pictures.iter().zip(&widths) {
            paste(&mut sheet, picture, x, y);
            x += width + SPACE;
        }
        y += height(row);
    }
    sheet
}

/// Copies a picture that lies within `to`, over its paper.
fn paste(to: &mut Rgba8, picture: &Rgba8, x: u32, y: u32) {
    for row in 0..picture.height {
        for column in 0..picture.width {
            let [r, g, b, a] = picture.pixel(column, row);
            let over = |v: u8| ((u32::from(v) * u32::from(a) + 255 * (255 - u32::from(a)) + 127) / 255) as u8;
            let at = ((y + row) as usize * to.width as usize + (x + column) as usize) * 4;
            to.data[at..at + 3].copy_from_slice(&[over(r), over(g), over(b)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_stand_in_their_columns_in_the_order_of_the_rows() {
        let plain = |w: u32, h: u32, v: u8| Rgba8::from_fn(w, h, |_| [v, 0, 0, 255]);
        let rows = [
            SheetRow { caption: "a".into(), pictures: vec![plain(60, 20, 1), plain(50, 30, 2)] },
            SheetRow { caption: "b".into(), pictures: vec![plain(40, 10, 3), plain(50, 10, 4)] },
        ];
        let sheet = contact_sheet("Views", &["truth", "rendering"], &rows);
        let found = |v: u8| {
            let at = (0..sheet.width * sheet.height).map(|i| (i % sheet.width, i / sheet.width));
            at.filter(|(x, y)| sheet.pixel(*x, *y)[..3] == [v, 0, 0]).collect::<Vec<_>>()
        };
        let places: Vec<(u32, u32)> = (1..=4).map(|v| found(v)[0]).collect();
        assert_eq!([1, 2, 3, 4].map(|v| found(v).len()), [1200, 1500, 400, 500], "none is covered");
        assert!(places[0].0 == places[2].0 && places[1].0 == places[3].0 && places[1].0 >= places[0].0 + 60);
        assert!(places[0].1 == places[1].1 && places[2].1 == places[3].1 && places[2].1 > places[0].1 + 30);
    }

    #[test]
    fn transparent_pictures_lie_on_the_paper_and_long_captions_are_cut() {
        let clear = Rgba8::from_fn(30, 4, |_| [9, 9, 9, 0]);
        let rows = [SheetRow { caption: "x".repeat(200), pictures: vec![clear] }];
        let sheet = contact_sheet("", &["one"], &rows);
        assert_eq!(sheet.width, 30 + 2 * SPACE);
        assert!(sheet.data.chunks_exact(4).all(|p| p[3] == 255 && p[0] != 9));
        assert_eq!(contact_sheet("t", &[], &[]).width, 2 * SPACE);
    }
}
