//! Numbers of text formats, also as C libraries print what is no number.

use nstr_files::excerpt;

/// A number, or NaN and infinity in the spellings of C libraries: `nan`, `-nan(ind)`, `1.#QNAN`, `-1.#IND`, `1.#INF`.
pub(super) fn parse(word: &str) -> Option<f64> {
    word.parse().ok().or_else(|| not_finite(word))
}

fn not_finite(word: &str) -> Option<f64> {
    let unsigned = word.strip_prefix(['-', '+']).unwrap_or(word);
    let starts = |prefix: &str| unsigned.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    if starts("nan(") && unsigned.ends_with(')') {
        return Some(f64::NAN);
    }
    let infinite = starts("1.#INF");
    // Microsoft's library rounds the letters too, as if they were digits: any of them may stand there.
    starts("1.#").then_some(if infinite { f64::INFINITY.copysign(sign(word)) } else { f64::NAN })
}

fn sign(word: &str) -> f64 {
    if word.starts_with('-') { -1.0 } else { 1.0 }
}

/// Reason for which `word`, in the place of a number, is none, with the remedy where there is a usual one.
pub(super) fn fault(word: &str) -> String {
    let quoted = excerpt(word);
    let is_decimal = |part: &str| {
        let digits = part.strip_prefix(['-', '+']).unwrap_or(part);
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    };
    match word.split_once(',') {
        Some((whole, rest)) if is_decimal(whole) && rest.starts_with(|c: char| c.is_ascii_digit()) => {
            if parse(&word.replacen(',', ".", 1)).is_some() {
                format!("`{quoted}` has a decimal comma; export with decimal points (`1.5`)")
            } else {
                format!("`{quoted}` is divided by commas; divide numbers by spaces")
            }
        }
        _ => format!("`{quoted}` is not a number"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_c_libraries() {
        for word in
            ["nan", "-nan", "NaN", "-nan(ind)", "nan(snan)", "1.#QNAN", "-1.#IND", "1.#QNAN0", "-1.#IND00", "1.#R"]
        {
            assert!(parse(word).is_some_and(f64::is_nan), "{word}");
        }
        assert_eq!(parse("1.#INF"), Some(f64::INFINITY));
        assert_eq!(parse("-1.#INF00"), Some(f64::NEG_INFINITY));
        assert_eq!(parse("-inf"), Some(f64::NEG_INFINITY));
        assert_eq!(parse("1e400"), Some(f64::INFINITY));
        assert_eq!(parse("-1.5e-3"), Some(-0.0015));
        for word in ["", "x", "1.5.2", "nanx", "2.#INF", "1,5", "1.", "é1.#"] {
            assert_eq!(parse(word).is_some(), word == "1.", "{word}");
        }
    }

    #[test]
    fn faults_name_the_remedy() {
        assert!(fault("-1,5").contains("decimal comma"));
        assert!(fault("1,5e3").contains("decimal comma"));
        assert!(fault("1.5,2.5").contains("not a number"));
        assert!(fault("1,2,3").contains("spaces"));
        assert!(fault(&"x".repeat(1000)).len() < 120);
    }
}
