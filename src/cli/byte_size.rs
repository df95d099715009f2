//! Sizes of files as people write them: `500kB`, `1.5 MB`, `64KiB`, `250000`.

/// Units and their bytes, in lower case; the longest of those that end alike first.
const UNITS: [(&str, f64); 8] = [
    ("kib", 1024.0),
    ("mib", 1024.0 * 1024.0),
    ("kb", 1e3),
    ("mb", 1e6),
    ("gb", 1e9),
    ("k", 1e3),
    ("m", 1e6),
    ("b", 1.0),
];

/// Bytes of a size: a number, and a unit in any case (kB = 1000 bytes, KiB = 1024 bytes; bytes where there is none).
pub fn parse(text: &str) -> Result<u64, String> {
    let wrong = || "must be a size of at least a byte, for example 500kB, 1.5MB or 250000".to_string();
    let lower = text.trim().to_lowercase();
    let unit = UNITS.into_iter().find(|(unit, _)| lower.ends_with(unit));
    let (number, factor) =
        unit.map_or((lower.as_str(), 1.0), |(unit, factor)| (&lower[..lower.len() - unit.len()], factor));
    let number: f64 = number.trim_end().parse().map_err(|_| wrong())?;
    let bytes = (number * factor).floor();
    // 2^50 bytes are more than any model has.
    if (1.0..=(1_u64 << 50) as f64).contains(&bytes) { Ok(bytes as u64) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        for (text, bytes) in [
            ("500kB", 500_000),
            ("500 KB", 500_000),
            ("500k", 500_000),
            ("1.5MB", 1_500_000),
            ("64KiB", 65_536),
            ("2MiB", 2_097_152),
            ("250000", 250_000),
            ("999b", 999),
            ("0.0015kB", 1),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "kB", "-5kB", "0", "0.4", "nan", "infMB", "5 parsecs", "1e300", "5kBkB"] {
            assert!(parse(text).unwrap_err().contains("500kB"), "{text}");
        }
    }
}
