//! Reads of a device's memory by the host: counted, and with errors instead of panics.
//!
//! A read waits for all that the device was asked to do before. Whatever reads goes through here, so that a test can tell how
//! often training does.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::device::DeviceError;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Reads that the calling thread has begun so far.
pub fn count() -> u64 {
    COUNT.get()
}

/// Numbers on their way from a device.
pub struct ReadBack<T>(Result<Wait<T>, DeviceError>);

type Wait<T> = Box<dyn FnOnce() -> Result<T, String> + Send>;

impl<T> ReadBack<T> {
    /// Begins a read; what `begin` returns waits for its end. Their errors are the reasons that the device gives.
    pub fn begin<W>(begin: impl FnOnce() -> Result<W, String>) -> Self
    where
        W: FnOnce() -> Result<T, String> + Send + 'static,
    {
        COUNT.set(COUNT.get() + 1);
        Self(guarded(begin).map(|wait| Box::new(wait) as Wait<T>))
    }

    /// Waits for the numbers.
    ///
    /// # Errors
    /// [`DeviceError::OutOfMemory`] and [`DeviceError::Failed`] where the device could not do its work.
    pub fn wait(self) -> Result<T, DeviceError> {
        self.0.and_then(guarded)
    }
}

/// Numbers of a tensor, row by row.
///
/// # Errors
/// [`DeviceError::OutOfMemory`] and [`DeviceError::Failed`] where the device could not do its work.
pub fn tensor<B: Backend, const D: usize>(tensor: &Tensor<B, D>) -> Result<Vec<f32>, DeviceError> {
    COUNT.set(COUNT.get() + 1);
    guarded(|| tensor.clone().try_into_data().map(|data| data.iter::<f32>().collect()).map_err(|e| e.to_string()))
}

/// What `read` returns, with panics of the libraries below as errors: some panic when a device is lost.
fn guarded<T>(read: impl FnOnce() -> Result<T, String>) -> Result<T, DeviceError> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(read) => read.map_err(|reason| DeviceError::failed(&reason)),
        Err(panic) => Err(DeviceError::failed(message(&*panic))),
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given")
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;
    use burn_flex::Flex;

    #[test]
    fn reads_are_counted_when_they_begin() {
        let before = count();
        let value =
            Tensor::<Flex, 2>::from_data(TensorData::new(vec![1.0f32, 2.0, 3.0, 4.0], [2, 2]), &Default::default());
        assert_eq!(tensor(&value).unwrap(), [1.0, 2.0, 3.0, 4.0]);
        let later = ReadBack::begin(|| Ok(|| Ok(7)));
        assert_eq!(count(), before + 2);
        assert_eq!((later.wait().unwrap(), count()), (7, before + 2));
        // Another thread's are its own.
        assert_eq!(std::thread::spawn(count).join().unwrap(), 0);
    }

    #[test]
    fn failures_and_panics_are_errors_with_a_remedy() {
        let failed = |text: &'static str| {
            let read = ReadBack::<u32>::begin(|| Ok(move || Err(text.into())));
            read.wait().unwrap_err()
        };
        let lost = failed("the device is lost\nBacktrace:\n  1: main");
        assert!(matches!(lost, DeviceError::Failed { .. }));
        let text = lost.to_string();
        assert!(text.contains("the device is lost") && !text.contains("main") && text.contains("--resume"), "{text}");
        let full = failed("An out-of-memory error happened during launch");
        assert!(matches!(full, DeviceError::OutOfMemory { .. }) && full.to_string().contains("rays.samples_per_step"));
        let panics = || -> Result<u32, String> { panic!("Failed to map buffer") };
        let panicked = ReadBack::begin(move || Ok(panics)).wait().unwrap_err();
        assert!(panicked.to_string().contains("Failed to map buffer"), "{panicked}");
        let never_begun =
            ReadBack::<u32>::begin(|| -> Result<fn() -> Result<u32, String>, String> { Err("gone".into()) });
        assert!(never_begun.wait().unwrap_err().to_string().contains("gone"));
    }
}
