//! Scalar evaluator: a field and everything inside it at single points, with exact derivatives up to second order.
//!
//! Double precision throughout, one point after the other on all threads. Diagnostics read it, and the tests of all other
//! evaluators (kernels, plain tensors, shaders) take it as the judge of values, ∇f, S, ∇S and F. One set of formulas serves all
//! orders: a [`Jet`] carries as many derivatives as are asked for.

use nstr_spec::{Activation, FieldSpec, HASH_PRIMES, Interpolation, LayerSlot, LevelSpec, NetLayout};
use rayon::prelude::*;

use crate::jet::{Jet, Order};

/// A field's parameters, ready to be evaluated at points. `P` is the type of the parameters: `f32`, or `f64` for central
/// differences along them.
#[derive(Clone, Debug)]
pub struct PointEvaluator<'a, P = f32> {
    spec: &'a FieldSpec,
    layout: NetLayout,
    grid: &'a [P],
    net: Vec<f64>,
}

/// Values of a field at one point; derivatives are per unit of field coordinates.
#[derive(Clone, Debug)]
pub struct PointEval {
    /// Latent features z.
    pub latent: Jet,
    /// Local spectrum S; z where the field has no spectrum network.
    pub spectrum: Jet,
    /// The decoder's values f.
    pub value: Jet,
    /// F(x, S(x)), `[spectrum value][axis]`, with first derivatives at most; `None` where the field has no F.
    pub transport: Option<Jet>,
}

impl PointEval {
    /// Frobenius norm of ∇S − F; `None` where the field has no F.
    pub fn residual(&self) -> Option<f64> {
        let flow = self.transport.as_ref()?.values();
        let dim = flow.len() / self.spectrum.width().max(1);
        let mut squares = 0.0;
        for j in 0..dim {
            let slopes = self.spectrum.partial(j).iter().enumerate();
            squares += slopes.map(|(k, s)| (s - flow[k * dim + j]).powi(2)).sum::<f64>();
        }
        Some(squares.sqrt())
    }

    /// `Σ_k ∇·F_k`, each along the coordinates with S(x) following them; `None` where the field has no F.
    pub fn divergence(&self) -> Option<f64> {
        let flow = self.transport.as_ref().filter(|f| f.order() >= Order::First)?;
        let dim = flow.width() / self.spectrum.width().max(1);
        Some((0..dim).map(|j| flow.partial(j).iter().skip(j).step_by(dim).sum::<f64>()).sum())
    }
}

impl<'a, P: Copy + Into<f64> + Sync> PointEvaluator<'a, P> {
    /// A field of `spec` with its parameters, which must have the spec's lengths.
    pub fn new(spec: &'a FieldSpec, grid: &'a [P], net: &[P]) -> Self {
        assert_eq!((grid.len(), net.len()), (spec.grid_len(), spec.net_len()), "parameters have the spec's lengths");
        Self { spec, layout: spec.net_layout(), grid, net: net.iter().map(|v| (*v).into()).collect() }
    }

    /// The field's shape.
    pub fn spec(&self) -> &FieldSpec {
        self.spec
    }

    /// Place of every part in the network's parameters.
    pub fn layout(&self) -> &NetLayout {
        &self.layout
    }

    /// The network's parameters.
    pub fn net(&self) -> &[f64] {
        &self.net
    }

    /// True if there is a network between z and S. Without it S is z.
    pub fn has_spectrum(&self) -> bool {
        self.spec.modulates()
    }

    /// True if there is a transport network.
    pub fn has_transport(&self) -> bool {
        !self.layout.transport.is_empty()
    }

    /// Everything at one point, with derivatives up to `order`.
    pub fn at(&self, x: &[f64], order: Order) -> PointEval {
        let coordinates = Jet::variables(x, order);
        let latent = self.latent(x, order);
        let spectrum = self.spectrum(&coordinates, &latent);
        let value = self.decode(&coordinates, &latent, &spectrum);
        let low = order.min(Order::First);
        let transport =
            self.has_transport().then(|| self.transport(&coordinates.truncated(low), &spectrum.truncated(low)));
        PointEval { latent, spectrum, value, transport }
    }

    /// `read` of [`Self::at`] for each point of `x` (`[point][dim]`), on all threads, in order.
    pub fn eval_many<T: Send>(&self, x: &[f64], order: Order, read: impl Fn(&[f64], &PointEval) -> T + Sync) -> Vec<T> {
        x.par_chunks_exact(self.spec.dim).with_min_len(16).map(|x| read(x, &self.at(x, order))).collect()
    }

    /// z.
    pub fn latent(&self, x: &[f64], order: Order) -> Jet {
        let latent = &self.spec.latent;
        let offsets = latent.offsets(self.spec.dim);
        let levels = latent.levels.iter().zip(offsets).map(|(level, first)| self.level(level, first, x, order));
        let levels: Vec<Jet> = levels.collect();
        let product = |group: &[Jet]| group.iter().skip(1).fold(group[0].clone(), |product, level| product.mul(level));
        let groups: Vec<Jet> = levels.chunks_exact(latent.product.max(1)).map(product).collect();
        if groups.is_empty() {
            return Jet::zeros(self.spec.dim, 0, order);
        }
        Jet::concat(&groups.iter().collect::<Vec<_>>())
    }

    /// One level, whose entries begin at `first`.
    fn level(&self, level: &LevelSpec, first: usize, x: &[f64], order: Order) -> Jet {
        let features = self.spec.latent.features;
        let mut z = Jet::zeros(self.spec.dim, features, order);
        let axes: Vec<Axis> = x
            .iter()
            .enumerate()
            .map(|(j, x)| Axis::new(*x, level.resolution, self.spec.latent.interpolation, level.axes.has(j)))
            .collect();
        // Along an axis that the level does not depend on there is one vertex.
        for corner in (0..1usize << x.len()).filter(|c| (0..x.len()).all(|j| level.axes.has(j) || c >> j & 1 == 0)) {
            let entry = entry(level, x.len(), |j| axes[j].cell + (corner >> j & 1) as u64);
            let row = &self.grid[(first + entry) * features..][..features];
            z.add_row(&corner_weights(&axes, corner, order), row.iter().map(|v| (*v).into()));
        }
        z
    }

    /// S from x and z.
    pub fn spectrum(&self, x: &Jet, z: &Jet) -> Jet {
        if self.layout.spectrum.is_empty() {
            return z.clone();
        }
        let input = if self.spec.spectrum_input { Jet::concat(&[z, x]) } else { z.clone() };
        self.mlp(&self.layout.spectrum, self.spec.spectrum.activation, input)
    }

    /// f from x, z and S.
    pub fn decode(&self, x: &Jet, z: &Jet, s: &Jet) -> Jet {
        let mut parts = Vec::new();
        if self.spec.basis_width() > 0 {
            let wave = x.linear(&self.net, &self.layout.basis).sin();
            parts.push(match self.spec.channels() {
                Some(channels) => s.weighted_sums(&wave, channels),
                None if self.spec.modulates() => s.mul(&wave),
                None => wave,
            });
        }
        parts.extend(self.spec.skip_latent.then(|| z.clone()));
        parts.extend(self.spec.input_coords.then(|| x.clone()));
        let input = Jet::concat(&parts.iter().collect::<Vec<_>>());
        self.mlp(&self.layout.decoder, self.spec.decoder.activation, input)
    }

    /// F from x and S; the field must have one.
    pub fn transport(&self, x: &Jet, s: &Jet) -> Jet {
        self.mlp(&self.layout.transport, self.spec.transport.activation, Jet::concat(&[x, s]))
    }

    /// F at `x` for a spectrum of any values, `[spectrum value][axis]`.
    pub fn flow(&self, x: &[f64], s: &[f64]) -> Vec<f64> {
        let fixed = |v: &[f64]| Jet::constant(v, 0, Order::Value);
        self.transport(&fixed(x), &fixed(s)).values().to_vec()
    }

    /// F as in [`Self::flow`] with its derivatives along every value of S.
    pub fn flow_jet(&self, x: &[f64], s: &[f64]) -> Jet {
        self.transport(&Jet::constant(x, s.len(), Order::First), &Jet::variables(s, Order::First))
    }

    fn mlp(&self, layers: &[LayerSlot], activation: Activation, mut x: Jet) -> Jet {
        for slot in layers {
            x = x.linear(&self.net, slot);
            if slot.activated {
                x = x.activate(activation);
            }
        }
        x
    }
}

/// One axis of a lookup: the cell, and weight, slope and second derivative of its lower and upper vertex.
struct Axis {
    cell: u64,
    weights: [[f64; 3]; 2],
}

impl Axis {
    /// The axis of a level that depends on it, or not.
    fn new(x: f64, cells: u32, interpolation: Interpolation, depends: bool) -> Self {
        if !depends {
            return Self { cell: 0, weights: [[1.0, 0.0, 0.0], [0.0; 3]] };
        }
        let cells = f64::from(cells);
        let g = x.clamp(0.0, 1.0) * cells;
        let cell = g.floor().min(cells - 1.0);
        let t = g - cell;
        // Outside the cube the lookup stands still.
        let rate = if (0.0..=1.0).contains(&x) { cells } else { 0.0 };
        let [w, d, dd] = match interpolation {
            Interpolation::Linear => [t, 1.0, 0.0],
            Interpolation::Smoothstep => [t * t * (3.0 - 2.0 * t), 6.0 * t * (1.0 - t), 6.0 - 12.0 * t],
        };
        let upper = [w, d * rate, dd * rate * rate];
        Self { cell: cell as u64, weights: [[1.0 - w, -upper[1], -upper[2]], upper] }
    }
}

/// Number of the entry of a vertex within its level; `vertex` gives its place along an axis.
pub(crate) fn entry(level: &LevelSpec, dim: usize, vertex: impl Fn(usize) -> u64) -> usize {
    let depends = (0..dim).filter(|j| level.axes.has(*j));
    let number = match level.hashmap_size {
        Some(size) => depends.fold(0, |e, j| e ^ vertex(j).wrapping_mul(u64::from(HASH_PRIMES[j]))) % u64::from(size),
        None => {
            let sum = |(e, stride): (u64, u64), j: usize| {
                (e + vertex(j) * stride, stride * (u64::from(level.resolution) + 1))
            };
            depends.fold((0, 1), sum).0
        }
    };
    number as usize
}

/// Weight of a corner and its derivatives, in the order of a jet's planes.
fn corner_weights(axes: &[Axis], corner: usize, order: Order) -> Vec<f64> {
    let dim = axes.len();
    // Product over the axes of each one's `orders[j]`-th derivative.
    let product = |orders: [usize; 3]| -> f64 {
        axes.iter().enumerate().map(|(j, axis)| axis.weights[corner >> j & 1][orders[j]]).product()
    };
    let mut weights = vec![product([0; 3])];
    if order >= Order::First {
        weights.extend((0..dim).map(|j| product(std::array::from_fn(|a| usize::from(a == j)))));
    }
    if order == Order::Second {
        for i in 0..dim {
            let with = |j: usize| product(std::array::from_fn(|a| usize::from(a == i) + usize::from(a == j)));
            weights.extend((i..dim).map(with));
        }
    }
    weights
}
