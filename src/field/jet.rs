//! Quantities at one point with their exact derivatives along the coordinates, to second order, in double precision.

use nstr_spec::{Activation, LayerSlot};

/// Highest derivatives that a [`Jet`] carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// Values alone.
    Value,
    /// Values and gradients.
    First,
    /// Values, gradients and Hessians.
    Second,
}

/// `width` quantities at one point and their derivatives along `dim` variables.
///
/// Planes of `width` numbers follow each other: the values, `dim` first derivatives, then second derivatives by pairs
/// `i ≤ j` in the order (0,0), (0,1), …, (1,1), ….
#[derive(Clone, Debug, PartialEq)]
pub struct Jet {
    dim: usize,
    width: usize,
    order: Order,
    data: Vec<f64>,
}

impl Jet {
    /// Zeros.
    pub fn zeros(dim: usize, width: usize, order: Order) -> Self {
        let planes = match order {
            Order::Value => 1,
            Order::First => 1 + dim,
            Order::Second => 1 + dim + dim * (dim + 1) / 2,
        };
        Self { dim, width, order, data: vec![0.0; planes * width] }
    }

    /// Quantities that do not depend on the variables.
    pub fn constant(values: &[f64], dim: usize, order: Order) -> Self {
        let mut jet = Self::zeros(dim, values.len(), order);
        jet.data[..values.len()].copy_from_slice(values);
        jet
    }

    /// The variables themselves.
    pub fn variables(values: &[f64], order: Order) -> Self {
        let mut jet = Self::constant(values, values.len(), order);
        if order > Order::Value {
            (0..values.len()).for_each(|j| jet.data[(1 + j) * values.len() + j] = 1.0);
        }
        jet
    }

    /// Number of quantities.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Highest derivatives carried.
    pub fn order(&self) -> Order {
        self.order
    }

    /// The values.
    pub fn values(&self) -> &[f64] {
        &self.data[..self.width]
    }

    /// `∂q/∂x_j` of every quantity; needs [`Order::First`].
    pub fn partial(&self, j: usize) -> &[f64] {
        self.plane(1 + j)
    }

    /// Gradient of quantity `c`, padded with zeros to three axes (of a jet along at most three variables).
    pub fn gradient(&self, c: usize) -> [f64; 3] {
        std::array::from_fn(|j| if j < self.dim { self.partial(j)[c] } else { 0.0 })
    }

    /// `∂²q/∂x_i∂x_j` of quantity `c`; needs [`Order::Second`].
    pub fn second(&self, c: usize, i: usize, j: usize) -> f64 {
        self.plane(1 + self.dim + pair(self.dim, i, j))[c]
    }

    /// Euclidean norm of the values.
    pub fn norm(&self) -> f64 {
        norm(self.values())
    }

    /// Frobenius norm of all first derivatives.
    pub fn gradient_norm(&self) -> f64 {
        norm(&self.data[self.width..(1 + self.dim) * self.width])
    }

    /// The same quantities with derivatives up to `order` only.
    pub fn truncated(&self, order: Order) -> Self {
        let mut jet = Self::zeros(self.dim, self.width, order.min(self.order));
        let length = jet.data.len();
        jet.data.copy_from_slice(&self.data[..length]);
        jet
    }

    /// The quantities of all parts, one part after the other. All carry derivatives along the same variables.
    pub fn concat(parts: &[&Jet]) -> Self {
        let order = parts.iter().map(|p| p.order).min().unwrap_or(Order::Value);
        let dim = parts.first().map_or(0, |p| p.dim);
        let mut jet = Self::zeros(dim, parts.iter().map(|p| p.width).sum(), order);
        let (width, mut at) = (jet.width, 0);
        for part in parts {
            for p in 0..jet.data.len() / width.max(1) {
                jet.data[p * width + at..][..part.width].copy_from_slice(part.plane(p));
            }
            at += part.width;
        }
        jet
    }

    /// A linear layer with the parameters in `net`.
    pub fn linear(&self, net: &[f64], slot: &LayerSlot) -> Self {
        let mut out = Self::zeros(self.dim, slot.outputs, self.order);
        let weight = &net[slot.weight..][..slot.inputs * slot.outputs];
        for (p, to) in out.data.chunks_exact_mut(slot.outputs).enumerate() {
            if p == 0 {
                to.copy_from_slice(&net[slot.bias..][..slot.outputs]);
            }
            for (x, row) in self.plane(p).iter().zip(weight.chunks_exact(slot.outputs)) {
                // Half of what a rectifier passes on is 0, in every plane.
                if *x != 0.0 {
                    to.iter_mut().zip(row).for_each(|(to, w)| *to += x * w);
                }
            }
        }
        if slot.gain != 1 {
            out.data.iter_mut().for_each(|v| *v *= f64::from(slot.gain));
        }
        out
    }

    /// Every quantity passed through a function of one variable; `f` gives its value, slope and second derivative.
    pub fn map(mut self, f: impl Fn(f64) -> [f64; 3]) -> Self {
        for c in 0..self.width {
            let [value, slope, second] = f(self.data[c]);
            if self.order == Order::Second {
                for i in 0..self.dim {
                    for j in i..self.dim {
                        let (a, b) = (self.partial(i)[c], self.partial(j)[c]);
                        let at = (1 + self.dim + pair(self.dim, i, j)) * self.width + c;
                        self.data[at] = slope * self.data[at] + second * a * b;
                    }
                }
            }
            if self.order >= Order::First {
                (1..=self.dim).for_each(|p| self.data[p * self.width + c] *= slope);
            }
            self.data[c] = value;
        }
        self
    }

    /// Sines of the quantities.
    pub fn sin(self) -> Self {
        self.map(|a| [a.sin(), a.cos(), -a.sin()])
    }

    /// The activation of a hidden layer.
    pub fn activate(self, activation: Activation) -> Self {
        match activation {
            Activation::Sine => self.sin(),
            Activation::Relu => self.map(|a| if a > 0.0 { [a, 1.0, 0.0] } else { [0.0; 3] }),
            Activation::Silu => self.map(|a| {
                let s = 1.0 / (1.0 + (-a).exp());
                let slope = s * (1.0 - s);
                // (aσ)' = σ + aσ', (aσ)'' = 2σ' + aσ'' with σ'' = σ'(1 − 2σ).
                [a * s, s + a * slope, slope * (2.0 + a * (1.0 - 2.0 * s))]
            }),
        }
    }

    /// Sums of products: quantity `c` of the result is `Σ_k self[k·columns + c] · other[k]`. With one column for each
    /// quantity of `other` being its own, see [`Self::mul`].
    pub fn weighted_sums(&self, other: &Jet, columns: usize) -> Self {
        let mut out = Self::zeros(self.dim, columns, self.order);
        for k in 0..other.width {
            for c in 0..columns {
                self.product(k * columns + c, other, k, |p, v| out.data[p * columns + c] += v);
            }
        }
        out
    }

    /// Products of the quantities one by one.
    pub fn mul(&self, other: &Jet) -> Self {
        let mut out = Self::zeros(self.dim, self.width, self.order);
        for c in 0..self.width {
            self.product(c, other, c, |p, v| out.data[p * self.width + c] = v);
        }
        out
    }

    /// Every plane's number of the product of quantity `a` and `other`'s quantity `b`.
    fn product(&self, a: usize, other: &Jet, b: usize, mut put: impl FnMut(usize, f64)) {
        let (x, y) = (self.data[a], other.data[b]);
        put(0, x * y);
        if self.order >= Order::First {
            (1..=self.dim).for_each(|p| put(p, self.plane(p)[a] * y + x * other.plane(p)[b]));
        }
        if self.order == Order::Second {
            for i in 0..self.dim {
                for j in i..self.dim {
                    let cross = self.partial(i)[a] * other.partial(j)[b] + self.partial(j)[a] * other.partial(i)[b];
                    let v = self.second(a, i, j) * y + cross + x * other.second(b, i, j);
                    put(1 + self.dim + pair(self.dim, i, j), v);
                }
            }
        }
    }

    fn plane(&self, p: usize) -> &[f64] {
        &self.data[p * self.width..][..self.width]
    }

    /// Adds `weights[plane] · row` to every plane.
    pub(super) fn add_row(&mut self, weights: &[f64], row: impl Iterator<Item = f64> + Clone) {
        for (p, weight) in weights.iter().enumerate() {
            let to = &mut self.data[p * self.width..];
            to.iter_mut().zip(row.clone()).for_each(|(to, v)| *to += weight * v);
        }
    }
}

/// Position of the pair `i, j` among the second derivatives.
fn pair(dim: usize, i: usize, j: usize) -> usize {
    let (i, j) = (i.min(j), i.max(j));
    i * (2 * dim + 1 - i) / 2 + (j - i)
}

/// Euclidean norm.
pub fn norm(v: &[f64]) -> f64 {
    v.iter().map(|v| v * v).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_count_through() {
        for dim in 1..=4 {
            let pairs: Vec<usize> = (0..dim).flat_map(|i| (i..dim).map(move |j| pair(dim, i, j))).collect();
            assert_eq!(pairs, (0..dim * (dim + 1) / 2).collect::<Vec<_>>());
            assert_eq!(pair(dim, dim - 1, 0), pair(dim, 0, dim - 1));
        }
    }

    #[test]
    fn products_and_functions_differentiate_as_by_hand() {
        // q = x·y² with x = sin u, y = v at (u, v) = (0.3, 1.7).
        let (u, v) = (0.3f64, 1.7f64);
        let vars = Jet::variables(&[u, v], Order::Second);
        let pick = |c: usize| {
            let slot = LayerSlot { inputs: 2, outputs: 1, weight: 2 * c, bias: 4, activated: false, gain: 1 };
            vars.linear(&[1.0, 0.0, 0.0, 1.0, 0.0], &slot)
        };
        let y = pick(1);
        let q = pick(0).sin().mul(&y.mul(&y));
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-14, "{a} {b}");
        close(q.values()[0], u.sin() * v * v);
        close(q.gradient(0)[0], u.cos() * v * v);
        close(q.gradient(0)[1], u.sin() * 2.0 * v);
        close(q.second(0, 0, 0), -u.sin() * v * v);
        close(q.second(0, 1, 0), u.cos() * 2.0 * v);
        close(q.second(0, 1, 1), 2.0 * u.sin());
        assert_eq!(q.weighted_sums(&y, 1).values()[0], q.values()[0] * v);
        assert_eq!(q.truncated(Order::First).gradient(0), q.gradient(0));
    }

    #[test]
    fn activations_match_their_differences() {
        for activation in [Activation::Relu, Activation::Silu, Activation::Sine] {
            for a in [-3.1, -0.4, 0.2, 2.7] {
                let at = |a: f64| Jet::variables(&[a], Order::Second).activate(activation);
                let (jet, h) = (at(a), 1e-5);
                let (up, down) = (at(a + h), at(a - h));
                let slope = (up.values()[0] - down.values()[0]) / (2.0 * h);
                let bend = (up.partial(0)[0] - down.partial(0)[0]) / (2.0 * h);
                assert!((jet.partial(0)[0] - slope).abs() < 1e-9, "{activation:?} {a}");
                assert!((jet.second(0, 0, 0) - bend).abs() < 1e-9, "{activation:?} {a}");
            }
        }
    }
}
