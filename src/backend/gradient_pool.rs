//! Memory of gradients on the CPU, used again from step to step.
//!
//! Memory that the system hands out is cleared page by page when it is first written, and Flex copies a new tensor once more,
//! on one thread: a twentieth of a step where the grid has millions of numbers.

use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::tensor::{DType, Shape, TensorMetadata};
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// Tensors that are kept: gradients of grid and networks, of two losses.
const MOST: usize = 4;

/// Gradients of earlier steps.
#[derive(Debug, Default)]
pub(crate) struct GradientPool(Mutex<Vec<FlexTensor>>);

impl GradientPool {
    fn kept(&self) -> MutexGuard<'_, Vec<FlexTensor>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A tensor of f32 to write to, with any numbers: one that was kept, where nothing else holds it any more, or a new one.
    pub(crate) fn unset(&self, shape: Shape) -> FlexTensor {
        let free = {
            let mut kept = self.kept();
            let found = kept.iter().position(|t| t.is_unique() && t.shape() == shape);
            found.map(|i| kept.swap_remove(i))
        };
        free.unwrap_or_else(|| FlexTensor::zeros(shape, DType::F32))
    }

    /// [`Self::unset`], cleared.
    pub(crate) fn zeros(&self, shape: Shape) -> FlexTensor {
        let mut tensor = self.unset(shape);
        tensor.storage_mut::<f32>().par_chunks_mut(1 << 14).for_each(|part| part.fill(0.0));
        tensor
    }

    /// Keeps f32 tensors for later steps. Whoever writes one of them from now on writes a copy.
    pub(crate) fn keep(&self, tensors: &[FlexTensor]) {
        let mut kept = self.kept();
        kept.extend_from_slice(tensors);
        let surplus = kept.len().saturating_sub(MOST);
        kept.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_only_when_nobody_holds_it() {
        let pool = GradientPool::default();
        let shape = || Shape::from([40_000]);
        let mut first = pool.zeros(shape());
        first.storage_mut::<f32>().fill(3.0);
        let place = first.bytes().as_ptr();
        pool.keep(&[first.clone()]);
        let second = pool.zeros(shape());
        assert!(second.bytes().as_ptr() != place && first.storage::<f32>().iter().all(|v| *v == 3.0));
        assert!(pool.zeros(Shape::from([40_001])).bytes().len() == 4 * 40_001, "another shape is another tensor");
        drop(first);
        let third = pool.zeros(shape());
        assert!(third.bytes().as_ptr() == place && third.storage::<f32>().iter().all(|v| *v == 0.0));
        // What was taken out is not handed out twice.
        assert!(pool.zeros(shape()).bytes().as_ptr() != place);
        for _ in 0..10 {
            pool.keep(&[FlexTensor::zeros(shape(), DType::F32)]);
        }
        assert_eq!(pool.kept().len(), MOST);
    }
}
