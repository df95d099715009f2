//! Plurals of counted nouns.

/// `1 view`, `2 views`.
pub fn plural(n: usize, one: &str) -> String {
    format!("{n} {one}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_and_many() {
        assert_eq!([0, 1, 2].map(|n| super::plural(n, "view")), ["0 views", "1 view", "2 views"]);
    }
}
