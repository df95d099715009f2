//! Tensors of networks: quantised weights, biases and frequencies.
//!
//! A section is a step (f32) for each tensor and then one stream of the range coder with all integers, row by row. Contexts of a
//! value: the tensor, and the running means of the magnitudes in its row and in its column.

use crate::error::StreamError;
use crate::integers::{IntegerModel, MAGNITUDES, magnitude_class};
use crate::level::check_step;
use crate::range_coder::{BitIo, RangeDecoder, RangeEncoder};

/// Tensors that have a context of their own; those beyond share the last.
const TENSORS: usize = 64;

/// A quantised matrix, or a vector as a matrix of one row.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedTensor {
    /// Step of its values.
    pub step: f32,
    /// Values a row, at least 1.
    pub columns: usize,
    /// Values in steps, above −2³¹, whole rows one after the other.
    pub values: Vec<i32>,
}

/// Codes the integers of all tensors.
fn code<C: BitIo>(io: &mut C, tensors: &mut [QuantizedTensor]) {
    let mut model = IntegerModel::new([TENSORS, MAGNITUDES, MAGNITUDES], 1);
    for (t, tensor) in tensors.iter_mut().enumerate() {
        let mut columns = vec![0_u32; tensor.columns];
        for row in tensor.values.chunks_mut(tensor.columns) {
            let mut in_row = 0_u32;
            for (value, in_column) in row.iter_mut().zip(&mut columns) {
                let contexts = [t.min(TENSORS - 1), magnitude_class(in_row / 4), magnitude_class(*in_column / 4)];
                *value = model.code(io, *value, contexts, 0);
                // Four times a running mean; a quarter of the largest magnitude is kept, so that sums fit.
                let now = value.unsigned_abs().min(1 << 29);
                for mean in [&mut in_row, in_column] {
                    *mean = *mean - *mean / 4 + now;
                }
            }
            if io.is_exhausted() {
                return;
            }
        }
    }
}

/// The section of some tensors.
pub fn encode_tensors(tensors: &[QuantizedTensor]) -> Vec<u8> {
    let steps = tensors.iter().flat_map(|tensor| tensor.step.to_le_bytes()).collect();
    let mut encoder = RangeEncoder::after(steps);
    code(&mut encoder, &mut tensors.to_vec());
    encoder.finish()
}

/// Reads the section of tensors of `shapes`, rows and columns of each: their values one after the other.
///
/// It reserves 8 bytes a value; the caller bounds the shapes by the file.
///
/// # Errors
/// Steps that are not above 0, streams of another length, values that are not finite.
pub fn decode_tensors(shapes: &[[usize; 2]], bytes: &[u8]) -> Result<Vec<f32>, StreamError> {
    let (steps, stream) = bytes.split_at_checked(4 * shapes.len()).ok_or(StreamError::Truncated)?;
    let tensor = |([rows, columns], step): (&[usize; 2], &[u8; 4])| {
        let step = check_step(f32::from_le_bytes(*step))?;
        Ok(QuantizedTensor { step, columns: (*columns).max(1), values: vec![0; rows * columns] })
    };
    let steps = steps.as_chunks::<4>().0;
    let mut tensors = shapes.iter().zip(steps).map(tensor).collect::<Result<Vec<_>, StreamError>>()?;
    let mut decoder = RangeDecoder::new(stream);
    code(&mut decoder, &mut tensors);
    decoder.finish()?;
    dequantize_tensors(&tensors)
}

/// The values that integers stand for, all tensors one after the other.
///
/// # Errors
/// [`StreamError::Value`] where one is not finite.
pub fn dequantize_tensors(tensors: &[QuantizedTensor]) -> Result<Vec<f32>, StreamError> {
    let mut all = Vec::with_capacity(tensors.iter().map(|tensor| tensor.values.len()).sum());
    for tensor in tensors {
        for q in &tensor.values {
            let value = *q as f32 * tensor.step;
            if !value.is_finite() {
                return Err(StreamError::Value(*q, tensor.step));
            }
            all.push(value);
        }
    }
    Ok(all)
}
