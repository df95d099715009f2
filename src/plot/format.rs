//! Numbers as text, for tables, sentences and labels.

use std::ops::RangeInclusive;

/// `v` with this many decimals and a typographic minus sign; what rounds to zero has no sign.
///
/// ```
/// # use nstr_plot::format::fixed;
/// assert_eq!([fixed(-1.234, 2), fixed(-0.001, 2)], ["−1.23", "0.00"]);
/// ```
pub fn fixed(v: f64, decimals: usize) -> String {
    nstr_files::decimals(v, decimals).replace('-', "−")
}

/// Three significant digits, with a typographic minus sign; `–` for what is not finite.
///
/// ```
/// # use nstr_plot::format::short;
/// assert_eq!([short(12.345), short(-1.5e-9), short(f64::NAN)], ["12.3", "−1.50e−9", "–"]);
/// ```
pub fn short(v: f64) -> String {
    if !v.is_finite() {
        return "–".into();
    }
    significant(v, 3, -3..=4, 5).replace('-', "−")
}

/// Four significant digits and four decimals at most, without zeros at the end.
///
/// ```
/// # use nstr_plot::format::compact;
/// assert_eq!([compact(0.5), compact(1234.5), compact(1e-9)], ["0.5", "1234", "1.00e-9"]);
/// ```
pub fn compact(v: f64) -> String {
    let text = significant(v, 4, -2..=3, 4);
    match text.contains('.') && !text.contains('e') {
        true => text.trim_end_matches('0').trim_end_matches('.').into(),
        false => text,
    }
}

/// `v` in this many significant digits and at most `decimals` decimals where its power of ten lies in `exponents`, else in
/// scientific notation.
fn significant(v: f64, digits: i32, exponents: RangeInclusive<i32>, decimals: i32) -> String {
    let exponent = if v == 0.0 { 0 } else { v.abs().log10().floor() as i32 };
    match exponents.contains(&exponent) {
        true => format!("{v:.*}", (digits - 1 - exponent).clamp(0, decimals) as usize),
        false => format!("{v:.2e}"),
    }
}

/// A count with its thousands set apart.
///
/// ```
/// # use nstr_plot::format::grouped;
/// assert_eq!([grouped(1234.0), grouped(195_000.0)], ["1234", "195 000"]);
/// ```
pub fn grouped(n: f64) -> String {
    let text = format!("{n:.0}");
    let chunks: Vec<String> =
        text.as_bytes().rchunks(3).rev().map(|c| String::from_utf8_lossy(c).into_owned()).collect();
    if text.len() < 5 { text } else { chunks.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_numbers_have_three_digits() {
        for (v, text) in [
            (0.0, "0.00"),
            (12.345, "12.3"),
            (-0.012_34, "−0.0123"),
            (1234.5, "1234"),
            (1.5e-9, "1.50e−9"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(short(v), text);
        }
    }

    #[test]
    fn compact_numbers_end_without_zeros() {
        for (v, text) in [
            (0.0, "0"),
            (115.0, "115"),
            (-56.0213, "-56.02"),
            (372.631, "372.6"),
            (0.25, "0.25"),
            (0.012_345_6, "0.0123"),
            (1200.4, "1200"),
            (9999.96, "10000"),
            (3.2e-5, "3.20e-5"),
        ] {
            assert_eq!(compact(v), text);
        }
    }

    #[test]
    fn zeros_have_no_sign() {
        assert_eq!([fixed(-0.0, 2), fixed(-0.004, 2), fixed(-0.006, 2)], ["0.00", "0.00", "−0.01"]);
    }
}
