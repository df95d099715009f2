//! The largest size within a number of parameters.

use nstr_spec::config::ConfigError;
use thiserror::Error;

/// Number of parameters that cannot be kept to.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum ParameterBudgetError {
    /// More already at the smallest value.
    #[error(
        "{parameters} parameters at {value}, the smallest value that is possible, are more than {most}; make something else smaller, or raise `parameters`"
    )]
    TooMany {
        /// The smallest value.
        value: u64,
        /// Parameters there.
        parameters: usize,
        /// Parameters allowed.
        most: usize,
    },
    /// Many unused at the largest value.
    #[error(
        "even {value}, the largest value that is possible, gives only {parameters} of {most} parameters; fill another option, or lower `parameters`"
    )]
    TooFew {
        /// The largest value.
        value: u64,
        /// Parameters there.
        parameters: usize,
        /// Parameters allowed.
        most: usize,
    },
    /// No value that can be used at all.
    #[error("no whole number can be used: {0}")]
    Never(ConfigError),
}

/// Powers of two that are tried.
const POWERS: u32 = 26;
/// Small values that are tried one by one where no power of two fits.
const SMALL: u64 = 2048;

/// The largest whole number at which `count` gives at most `most` parameters. Values that `count` refuses (too small for
/// other options, too large, no power of two) are passed over; more must never give fewer parameters.
///
/// # Errors
/// Counts that are above `most` at every value, or far below at the largest.
pub(crate) fn fit_parameter_budget(
    most: usize,
    count: impl Fn(u64) -> Result<usize, ConfigError>,
) -> Result<u64, ParameterBudgetError> {
    let fits = |value: &u64| count(*value).is_ok_and(|n| n <= most);
    let powers = || (0..POWERS).map(|p| 1u64 << p);
    let Some(mut low) = powers().filter(fits).last().or_else(|| (1..=SMALL).filter(fits).last()) else {
        let smallest = (1..=SMALL).chain(powers()).find_map(|v| count(v).ok().map(|n| (v, n)));
        return Err(match (smallest, count(1)) {
            (Some((value, parameters)), _) => ParameterBudgetError::TooMany { value, parameters, most },
            (None, Err(error)) => ParameterBudgetError::Never(error),
            (None, Ok(parameters)) => ParameterBudgetError::TooMany { value: 1, parameters, most },
        });
    };
    let mut high = 2 * low;
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if fits(&middle) { low = middle } else { high = middle }
    }
    let parameters = count(low).unwrap_or(0);
    // Whether it is the number of parameters that forbids more, or the option itself.
    let bounded = count(low + 1).is_ok() || powers().any(|v| v > low && count(v).is_ok());
    if !bounded && (parameters as f64) < 0.97 * most as f64 {
        return Err(ParameterBudgetError::TooFew { value: low, parameters, most });
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuse() -> Result<usize, ConfigError> {
        Err(ConfigError::Value { key: "k".into(), value: "v".into(), expected: "must be other".into() })
    }

    #[test]
    fn the_largest_that_fits_is_found() {
        let cube = |v: u64| Ok((v + 1).saturating_pow(3).saturating_mul(16).saturating_add(5000) as usize);
        for most in [5_128, 20_000, 131_072, 1_000_000] {
            let v = fit_parameter_budget(most, cube).unwrap();
            assert!(cube(v).unwrap() <= most && cube(v + 1).unwrap() > most);
        }
        assert_eq!(
            fit_parameter_budget(5_127, cube),
            Err(ParameterBudgetError::TooMany { value: 1, parameters: 5_128, most: 5_127 })
        );
    }

    #[test]
    fn values_that_are_refused_are_passed_over() {
        // At least 10, as for a grid whose coarsest level has so many cells.
        let from = |v: u64| if v < 10 { refuse() } else { Ok(v as usize * 100) };
        assert_eq!(fit_parameter_budget(2_345, from), Ok(23));
        assert_eq!(fit_parameter_budget(1_234, from), Ok(12));
        assert!(matches!(
            fit_parameter_budget(900, from),
            Err(ParameterBudgetError::TooMany { value: 10, parameters: 1000, .. })
        ));
        // Powers of two only, as for a table.
        let power = |v: u64| if v.is_power_of_two() { Ok(v as usize * 10) } else { refuse() };
        assert_eq!(fit_parameter_budget(50_000, power), Ok(4096));
        // An end that is not the parameters'.
        let upto = |v: u64| if v > 100 { refuse() } else { Ok(v as usize) };
        assert_eq!(
            fit_parameter_budget(1000, upto),
            Err(ParameterBudgetError::TooFew { value: 100, parameters: 100, most: 1000 })
        );
        assert_eq!(fit_parameter_budget(101, upto), Ok(100));
        assert!(matches!(fit_parameter_budget(5, |_| refuse()), Err(ParameterBudgetError::Never(_))));
    }
}
