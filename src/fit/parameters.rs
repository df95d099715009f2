//! One buffer of trained parameters on a device, with its moments and moving average.

use burn::tensor::{Device, Tensor, TensorData};
use nstr_backend::backend;
use nstr_backend::backend::FieldBackend;
use nstr_backend::device::DeviceError;
use nstr_backend::read_back;
use nstr_kernel::adam::AdamHyper;

pub(crate) struct Parameters<B: FieldBackend> {
    pub value: Tensor<B, 1>,
    moments: [Tensor<B, 1>; 2],
    ema: Option<Tensor<B, 1>>,
}

impl<B: FieldBackend> Parameters<B> {
    pub fn new(value: &[f32], moments: &[Vec<f32>; 2], ema: Option<&[f32]>, device: &Device<B>) -> Self {
        let tensor = |v: &[f32]| Tensor::from_data(TensorData::new(v.to_vec(), [v.len()]), device);
        let ema = ema.map(tensor);
        Self { value: tensor(value), moments: [tensor(&moments[0]), tensor(&moments[1])], ema }
    }

    /// One step of Adam.
    pub fn update(self, grads: Tensor<B, 1>, hyper: &AdamHyper) -> Self {
        let (value, moments) = backend::adam_step(self.value, grads, self.moments, hyper);
        Self { value, moments, ..self }
    }

    /// Moves the average towards the value by `1 − decay`.
    pub fn update_ema(&mut self, decay: f64) {
        if let Some(ema) = self.ema.take() {
            self.ema = Some(backend::ema_step(ema, self.value.clone(), decay));
        }
    }

    /// Value and moments.
    ///
    /// # Errors
    /// [`DeviceError`] where the device fails.
    pub fn read(&self) -> Result<(Vec<f32>, [Vec<f32>; 2]), DeviceError> {
        let [m, v] = &self.moments;
        Ok((read_back::tensor(&self.value)?, [read_back::tensor(m)?, read_back::tensor(v)?]))
    }

    /// The moving average, where one is kept.
    ///
    /// # Errors
    /// [`DeviceError`] where the device fails.
    pub fn read_ema(&self) -> Result<Option<Vec<f32>>, DeviceError> {
        self.ema.as_ref().map(read_back::tensor).transpose()
    }
}
