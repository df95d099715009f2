//! One buffer of trained parameters on a device, with its moments and moving average.

use burn::tensor::{Device, Tensor, TensorData};
use nstr_backend::backend;
use nstr_backend::backend::{FieldBackend, LatticeTensors, primitive};
use nstr_backend::device::DeviceError;
use nstr_backend::read_back;
use nstr_kernel::adam::AdamHyper;

use crate::rounding::LatticeBuffers;

pub(crate) struct Parameters<B: FieldBackend> {
    pub value: Tensor<B, 1>,
    moments: [Tensor<B, 1>; 2],
    ema: Option<Tensor<B, 1>>,
    rounding: Option<Rounding<B>>,
}

/// Steps of a buffer, and its values rounded to them.
struct Rounding<B: FieldBackend> {
    lattice: LatticeTensors<B>,
    rounded: Tensor<B, 1>,
}

impl<B: FieldBackend> Parameters<B> {
    pub fn new(value: &[f32], moments: &[Vec<f32>; 2], ema: Option<&[f32]>, device: &Device<B>) -> Self {
        let tensor = |v: &[f32]| Tensor::from_data(TensorData::new(v.to_vec(), [v.len()]), device);
        let ema = ema.map(tensor);
        Self { value: tensor(value), moments: [tensor(&moments[0]), tensor(&moments[1])], ema, rounding: None }
    }

    /// One step of Adam.
    pub fn update(self, grads: Tensor<B, 1>, hyper: &AdamHyper) -> Self {
        let (value, moments) = backend::adam_step(self.value, grads, self.moments, hyper);
        Self { value, moments, ..self }
    }

    /// Evaluates the field at rounded values from now on.
    pub fn set_lattice(&mut self, buffers: LatticeBuffers) {
        let device = self.value.device();
        let tensor = |v: Vec<f32>| {
            let shape = [v.len()];
            Tensor::<B, 1>::from_data(TensorData::new(v, shape), &device)
        };
        let LatticeBuffers { features, steps, offsets, pulls } = buffers;
        let no_pulls = primitive(tensor(vec![0.0; pulls.len()]));
        let [steps, offsets, pulls] = [steps, offsets, pulls].map(|v| primitive(tensor(v)));
        let lattice = LatticeTensors { features, steps, offsets, pulls };
        let zeros = Tensor::zeros([self.value.dims()[0]], &device);
        // The values as they are, without a pull.
        let plain = LatticeTensors { pulls: no_pulls, ..lattice.clone() };
        let hyper = AdamHyper::at(0.0, 0.5, 0.5, 1.0, 0.0, 1);
        let [_, rounded] = backend::rounding_step(self.value.clone(), self.moments[1].clone(), plain, &hyper, zeros);
        self.rounding = Some(Rounding { lattice, rounded });
    }

    /// The values that the field is evaluated at.
    pub fn evaluated(&self) -> &Tensor<B, 1> {
        self.rounding.as_ref().map_or(&self.value, |rounding| &rounding.rounded)
    }

    /// Pulls the values towards 0 after a step of Adam, and rounds them, where they are rounded.
    pub fn round(self, hyper: &AdamHyper) -> Self {
        let Some(Rounding { lattice, rounded }) = self.rounding else { return self };
        let v = self.moments[1].clone();
        let [value, rounded] = backend::rounding_step(self.value, v, lattice.clone(), hyper, rounded);
        Self { value, rounding: Some(Rounding { lattice, rounded }), ..self }
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
