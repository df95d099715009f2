//! Numbers in messages: as many digits as mean something, and never a zero with a sign. What exactness matters for is written as
//! JSON instead.

/// Significant digits of [`plain`].
const DIGITS: i32 = 5;
/// Digits that every f64 holds; more would show how it is rounded.
const MOST_DIGITS: i32 = 15;
/// Powers of ten of the first digit of numbers that are written out.
const WRITTEN_OUT: std::ops::Range<i32> = -5..15;

/// `v` with this many decimals; what rounds to zero has no sign.
///
/// ```
/// # use nstr_files::decimals;
/// assert_eq!([decimals(-1.234, 2), decimals(-0.001, 2), decimals(-0.0, 0)], ["-1.23", "0.00", "0"]);
/// ```
pub fn decimals(v: f64, decimals: usize) -> String {
    let text = format!("{v:.decimals$}");
    match text.strip_prefix('-') {
        Some(zero) if zero.chars().all(|c| "0.".contains(c)) => zero.into(),
        _ => text,
    }
}

/// `v` in five significant digits at most, without zeros at the end; whole numbers in full.
///
/// ```
/// # use nstr_files::plain;
/// assert_eq!([plain(0.996912345), plain(231505.0), plain(-0.0), plain(1.5e-9)], ["0.99691", "231505", "0", "1.5e-9"]);
/// ```
pub fn plain(v: f64) -> String {
    significant(v, DIGITS)
}

/// A coordinate `v` of what is as large as `scale`: to a hundred-thousandth of that, however far away it lies.
///
/// ```
/// # use nstr_files::plain_beside;
/// assert_eq!([plain_beside(449_812.371_42, 2.0), plain_beside(1e-17, 2.0)], ["449812.3714", "0"]);
/// ```
pub fn plain_beside(v: f64, scale: f64) -> String {
    match power(v, DIGITS).zip(power(scale, DIGITS)) {
        Some((of_value, of_scale)) => significant(v, (DIGITS + of_value - of_scale).min(MOST_DIGITS)),
        None => plain(v),
    }
}

/// Power of ten of the first of `digits` digits that `v` is rounded to; `None` of 0 and of what is not finite.
fn power(v: f64, digits: i32) -> Option<i32> {
    let text = format!("{v:.*e}", digits.max(1) as usize - 1);
    text.split_once('e').filter(|_| v != 0.0).and_then(|(_, power)| power.parse().ok())
}

fn significant(v: f64, digits: i32) -> String {
    if !v.is_finite() {
        return v.to_string();
    }
    let Some(power) = power(v, digits).filter(|_| digits > 0) else { return "0".into() };
    if WRITTEN_OUT.contains(&power) {
        return without_zeros(&decimals(v, (digits - 1 - power).max(0) as usize)).into();
    }
    let text = format!("{v:.*e}", digits as usize - 1);
    let (number, power) = text.split_once('e').unwrap_or((&text, "0"));
    format!("{}e{power}", without_zeros(number))
}

/// The text of a number without the zeros at the end of its decimals.
fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_have_no_sign() {
        assert_eq!([-0.0, -0.004, -0.006, 0.004].map(|v| decimals(v, 2)), ["0.00", "0.00", "-0.01", "0.00"]);
        assert_eq!([decimals(-0.0, 0), plain(-0.0), plain_beside(-0.0, 1.0)], ["0", "0", "0"]);
        assert_eq!(decimals(f64::NEG_INFINITY, 2), "-inf");
    }

    #[test]
    fn plain_numbers_have_five_digits_and_whole_ones_all() {
        for (v, text) in [
            (0.000_012_345_678, "0.000012346"),
            (0.000_001_234_567_8, "1.2346e-6"),
            (-0.123_456_789, "-0.12346"),
            (0.999_999_9, "1"),
            (9.999_99, "10"),
            (29.735_123, "29.735"),
            (123_456.7, "123457"),
            (20_000.0, "20000"),
            (3_068_771.0, "3068771"),
            (0.1 + 0.2, "0.3"),
            (f64::from(0.7_f32), "0.7"),
            (1.5e20, "1.5e20"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(plain(v), text);
        }
    }

    #[test]
    fn coordinates_have_the_digits_of_what_they_lie_in() {
        for (v, scale, text) in [
            (-0.012_345_678, 1.1, "-0.0123"),
            (-0.000_001, 1.1, "0"),
            (0.000_23, 1.1, "0.0002"),
            (1_234_567.891_234, 0.02, "1234567.891234"),
            (1e-9, 1e-9, "1e-9"),
            (-1.234_567e-9, 2e-9, "-1.2346e-9"),
            (5.0e30, 1.0, "5e30"),
            (3.25, 0.0, "3.25"),
        ] {
            assert_eq!(plain_beside(v, scale), text, "{v} beside {scale}");
        }
    }
}
