//! Steps of rounding in a checkpoint.

use std::collections::BTreeMap;

use nstr_codec::level::SHIFTS;
use nstr_field::model::compact::{LevelSteps, QuantizationSteps};
use nstr_spec::FieldSpec;

use super::RoundingState;

/// Name of the number of settings so far, among a checkpoint's numbers.
const UPDATES: &str = "rounding.updates";
/// Names of arrays: noise and the worth of a bit; steps of levels; of tensors; rates; shifts of a level, its number after this.
const FACTORS: &str = "rounding.factors";
const LEVELS: &str = "rounding.levels";
const TENSORS: &str = "rounding.tensors";
const RATES: &str = "rounding.rates";
const SHIFTS_OF: &str = "rounding.shifts.";
/// Most settings that a checkpoint may tell.
const MOST_UPDATES: f64 = 1e6;

impl RoundingState {
    /// Adds the state to a checkpoint's numbers and arrays.
    pub fn store_in(&self, numbers: &mut BTreeMap<String, f64>, arrays: &mut BTreeMap<String, Vec<f32>>) {
        numbers.insert(UPDATES.into(), self.updates as f64);
        arrays.insert(FACTORS.into(), vec![self.noise, self.bit]);
        let levels = self.steps.levels.iter().map(|level| level.step).collect();
        let parts =
            [(LEVELS, levels), (TENSORS, self.steps.tensors.clone()), (RATES, self.rates.as_flattened().to_vec())];
        // Fields without a grid have no levels.
        arrays.extend(parts.into_iter().filter(|(_, v)| !v.is_empty()).map(|(name, v)| (name.to_string(), v)));
        for (l, level) in self.steps.levels.iter().enumerate().filter(|(_, level)| !level.shifts.is_empty()) {
            arrays.insert(format!("{SHIFTS_OF}{l}"), level.shifts.iter().map(|s| f32::from(*s)).collect());
        }
    }

    /// Takes the state of a field of this shape out of a checkpoint's numbers and arrays; `None` where there is none.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn take_from(
        numbers: &mut BTreeMap<String, f64>,
        arrays: &mut BTreeMap<String, Vec<f32>>,
        spec: &FieldSpec,
    ) -> Result<Option<Self>, String> {
        let Some(updates) = numbers.remove(UPDATES) else { return Ok(None) };
        // What is missing is of another length than the field's.
        let [factors, levels, tensors, rates] =
            [FACTORS, LEVELS, TENSORS, RATES].map(|name| arrays.remove(name).unwrap_or_default());
        let level = |(l, step): (usize, f32)| {
            let shifts = arrays.remove(&format!("{SHIFTS_OF}{l}")).unwrap_or_default();
            // What is no whole number of this range is refused with the rest.
            let shifts = shifts.iter().map(|s| if s.fract() == 0.0 { *s as u8 } else { u8::MAX }).collect();
            LevelSteps { step, shifts }
        };
        let levels = levels.into_iter().enumerate().map(level).collect();
        let (rates, rest) = rates.as_chunks::<SHIFTS>();
        let state = match factors[..] {
            [noise, bit] if rest.is_empty() && (0.0..=MOST_UPDATES).contains(&updates) && updates.fract() == 0.0 => {
                let steps = QuantizationSteps { levels, tensors };
                Some(Self { steps, updates: updates as u64, noise, rates: rates.to_vec(), bit })
            }
            _ => None,
        };
        let wrong = || "its steps of rounding (`rounding.…`) do not fit its field".to_string();
        state.filter(|state| state.fits(spec)).map(Some).ok_or_else(wrong)
    }
}
