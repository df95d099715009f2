//! JSON as Python and C programs write it: with words for numbers that are not finite.

use serde_json::Value;

/// Words for numbers that are not finite, in any case, with or without a sign.
const WORDS: [&[u8]; 3] = [b"Infinity", b"inf", b"nan"];

/// The value of a JSON text in which `NaN`, `Infinity` (as Python writes them), `nan(ind)` or `1.#QNAN` (as MSVC does) may
/// stand where a number should: they become `null`, so that whoever needs the number can name its field.
///
/// # Errors
/// Text that is not JSON otherwise either, or is nested too deeply; the error has line and column.
pub fn parse_json(text: &str) -> Result<Value, serde_json::Error> {
    let text = text.trim_start_matches('\u{feff}');
    serde_json::from_str(text).or_else(|_| serde_json::from_slice(&without_nan(text.as_bytes())))
}

/// Writes `null` over such words, outside strings.
fn without_nan(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let (mut at, mut quoted) = (0, false);
    while at < bytes.len() {
        if !quoted && let Some(length) = word(&bytes[at..]) {
            out.extend(b"null");
            at += length;
            continue;
        }
        if quoted && bytes[at] == b'\\' && at + 1 < bytes.len() {
            out.push(bytes[at]);
            at += 1;
        } else if bytes[at] == b'"' {
            quoted = !quoted;
        }
        out.push(bytes[at]);
        at += 1;
    }
    out
}

/// Length of the word that `rest` begins with.
fn word(rest: &[u8]) -> Option<usize> {
    let sign = usize::from(rest.first() == Some(&b'-'));
    let body = &rest[sign..];
    if let Some(tail) = body.strip_prefix(b"1.#") {
        return Some(sign + 3 + tail.iter().take_while(|b| b.is_ascii_alphanumeric()).count());
    }
    let starts = |w: &&[u8]| body.get(..w.len()).is_some_and(|start| start.eq_ignore_ascii_case(w));
    let length = WORDS.into_iter().find(starts)?.len();
    // `nan(ind)`, `nan(snan)`.
    let tail = &body[length..];
    let more = tail.first().filter(|b| **b == b'(').and_then(|_| tail.iter().take(16).position(|b| *b == b')'));
    Some(sign + length + more.map_or(0, |end| end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn words_become_null_outside_strings() {
        let text =
            r#"{"a": [NaN, -Infinity, Infinity, 1, null], "NaN\"NaN": "NaN", "b": [-nan(ind), 1.#QNAN, -1.#IND, inf]}"#;
        let value = parse_json(text).unwrap();
        assert_eq!(value["a"], json!([null, null, null, 1, null]));
        assert_eq!(value["NaN\"NaN"], "NaN");
        assert_eq!(value["b"], json!([null, null, null, null]));
        assert_eq!(parse_json("\u{feff}[1]").unwrap(), json!([1]));
    }

    #[test]
    fn other_words_and_any_depth_are_errors() {
        for text in ["", "[nil]", "[nullnan]", "[1.#", "nan(", "[NaN", "{\"a\": NaN, b}"] {
            assert!(parse_json(text).is_err(), "{text}");
        }
        let deep = "[".repeat(200_000);
        assert!(parse_json(&deep).is_err());
        assert!(parse_json(&format!("{{\"a\": NaN, \"frames\": {deep}")).is_err());
        let objects = "{\"a\":".repeat(100_000);
        assert!(parse_json(&objects).is_err());
    }
}
