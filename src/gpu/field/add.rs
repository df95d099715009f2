//! Sums of gradients over blocks in device memory.

use cubecl::prelude::*;

/// A way to add to a buffer from many blocks.
#[cube]
pub trait Add: 'static + Send + Sync {
    /// Element of the buffer.
    type Cell: CubePrimitive;

    /// Adds to the float at `at`.
    fn add_one(to: &mut Array<Self::Cell>, at: usize, value: f32);

    /// Adds `width` floats from `at` on, a multiple of it.
    fn add_many<N: Size>(to: &mut Array<Self::Cell>, at: usize, values: Vector<f32, N>, #[comptime] width: usize);
}

/// Atomic additions of single floats.
pub struct Single;

#[cube]
impl Add for Single {
    type Cell = Atomic<f32>;

    fn add_one(to: &mut Array<Atomic<f32>>, at: usize, value: f32) {
        to[at].fetch_add(value);
    }

    fn add_many<N: Size>(to: &mut Array<Atomic<f32>>, at: usize, values: Vector<f32, N>, #[comptime] width: usize) {
        #[unroll]
        for i in 0..width {
            to[at + i].fetch_add(values[i]);
        }
    }
}

/// Atomic additions of four floats at once (NVIDIA GPUs from compute capability 9.0 on).
pub struct Quad;

#[cube]
impl Add for Quad {
    type Cell = Atomic<Vector<f32, Const<4>>>;

    fn add_one(to: &mut Array<Atomic<Vector<f32, Const<4>>>>, at: usize, value: f32) {
        let mut values = Vector::<f32, Const<4>>::new(0.0f32);
        #[unroll]
        for i in 0..4usize {
            values[i] = select(at % 4 == i, value, 0.0f32);
        }
        to[at / 4].fetch_add(values);
    }

    fn add_many<N: Size>(
        to: &mut Array<Atomic<Vector<f32, Const<4>>>>,
        at: usize,
        values: Vector<f32, N>,
        #[comptime] width: usize,
    ) {
        if comptime!(width == 4) {
            to[at / 4].fetch_add(Vector::cast_from(values));
        } else {
            #[unroll]
            for i in 0..width {
                Self::add_one(to, at + i, values[i]);
            }
        }
    }
}
