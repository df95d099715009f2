//! Disjoint sets.

/// Disjoint sets of the numbers below a bound, with path halving.
pub(crate) struct Forest {
    parent: Vec<u32>,
    /// Sets.
    pub count: usize,
}

impl Forest {
    /// Sets of one number each.
    pub fn new(n: usize) -> Self {
        Self { parent: (0..n as u32).collect(), count: n }
    }

    /// The lowest number of the set of `i`.
    pub fn root(&mut self, mut i: u32) -> u32 {
        while self.parent[i as usize] != i {
            let up = self.parent[self.parent[i as usize] as usize];
            self.parent[i as usize] = up;
            i = up;
        }
        i
    }

    /// Joins the sets of `a` and `b`.
    pub fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        if a != b {
            self.parent[a.max(b) as usize] = a.min(b);
            self.count -= 1;
        }
    }
}
