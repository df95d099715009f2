//! Mean and deviation over seeds, and their text in tables.

use nstr_files::decimals;

/// Mean and sample standard deviation of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Mean.
    pub mean: f64,
    /// Sample standard deviation; `None` of a single value.
    pub deviation: Option<f64>,
    /// Number of values.
    pub count: usize,
}

impl Summary {
    /// Summary of the values that are present; `None` where there are none.
    pub fn of(values: impl IntoIterator<Item = Option<f64>>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().flatten().collect();
        let count = values.len();
        if count == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / count as f64;
        let square: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        let deviation = (count > 1).then(|| (square / (count - 1) as f64).sqrt());
        Some(Self { mean, deviation, count })
    }
}

/// Format of the numbers of a column: a power of ten taken out, and decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnFormat {
    /// Power of ten in the heading; 0: none.
    pub power: i32,
    /// Decimals.
    pub decimals: usize,
}

impl ColumnFormat {
    /// The format for some summaries: deviations with two digits, means with at most six.
    pub fn of<'a>(summaries: impl Iterator<Item = &'a Summary> + Clone) -> Self {
        let order = |v: f64| if v > 0.0 && v.is_finite() { v.log10().floor() as i32 } else { 0 };
        let largest = order(summaries.clone().fold(0.0, |m: f64, s| m.max(s.mean.abs())));
        let power = if !(-3..6).contains(&largest) { largest } else { 0 };
        let deviations = summaries.filter_map(|s| s.deviation).filter(|d| *d > 0.0);
        let smallest = deviations.min_by(f64::total_cmp);
        let wanted = smallest.map_or(4 - largest, |d| 1 - order(d)).min(5 - largest);
        Self { power, decimals: (wanted + power).clamp(0, 6) as usize }
    }

    /// A value without its deviation.
    pub fn value(self, value: f64) -> String {
        decimals(value / 10f64.powi(self.power), self.decimals)
    }

    /// `mean ± deviation`.
    pub fn text(self, s: &Summary) -> String {
        let deviation = s.deviation.map_or(String::new(), |d| format!(" ± {}", self.value(d)));
        self.value(s.mean) + &deviation
    }

    /// `mean ± deviation` of a difference, with its sign.
    pub fn signed(self, s: &Summary) -> String {
        let text = self.text(s);
        let zero = text.chars().take_while(|c| *c != ' ').all(|c| "-0.".contains(c));
        let text = text.trim_start_matches('-');
        match () {
            () if zero => text.into(),
            () if s.mean < 0.0 => format!("−{text}"),
            () => format!("+{text}"),
        }
    }

    /// A heading with the power that was taken out.
    pub fn heading(self, name: &str) -> String {
        if self.power == 0 { name.into() } else { format!("{name}, 1e{}", self.power) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviations_are_those_of_samples() {
        let s = Summary::of([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0].map(Some)).unwrap();
        assert_eq!((s.mean, s.count), (5.0, 8));
        assert!((s.deviation.unwrap() - (32.0f64 / 7.0).sqrt()).abs() < 1e-12);
        let s = Summary::of([None, Some(3.0), None]).unwrap();
        assert_eq!((s.mean, s.deviation, s.count), (3.0, None, 1));
        assert_eq!(Summary::of([None]), None);
    }

    #[test]
    fn digits_follow_the_deviation() {
        let s = |mean, deviation| Summary { mean, deviation: Some(deviation), count: 3 };
        let text = |list: &[Summary]| {
            let f = ColumnFormat::of(list.iter());
            (f.heading("x"), list.iter().map(|s| f.text(s)).collect::<Vec<_>>())
        };
        assert_eq!(text(&[s(31.3456, 0.0521), s(8.1, 0.9)]).1, ["31.346 ± 0.052", "8.100 ± 0.900"]);
        assert_eq!(text(&[s(0.99871, 0.00012)]).1, ["0.99871 ± 0.00012"]);
        let (heading, texts) = text(&[s(6.931e-5, 1.2e-6)]);
        assert_eq!((heading.as_str(), texts[0].as_str()), ("x, 1e-5", "6.93 ± 0.12"));
        assert_eq!(text(&[s(5.0, 0.0)]).1, ["5.0000 ± 0.0000"]);
        assert_eq!(text(&[s(25.0, 1e-13)]).1, ["25.0000 ± 0.0000"]);
        let one = Summary { mean: 31.34567, deviation: None, count: 1 };
        assert_eq!(ColumnFormat::of([one].iter()).text(&one), "31.346");
        assert_eq!(ColumnFormat { power: 0, decimals: 2 }.signed(&s(-0.5, 0.1)), "−0.50 ± 0.10");
        assert_eq!(ColumnFormat { power: 0, decimals: 2 }.signed(&s(-0.001, 0.1)), "0.00 ± 0.10");
        assert_eq!(ColumnFormat { power: 0, decimals: 1 }.signed(&one), "+31.3");
    }
}
