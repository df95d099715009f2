//! Sphere tracing of a packet of rays.
//!
//! Every step of a ray is certified: with values f(a), f(b) > 0 and a Lipschitz bound L no surface lies between a and b if
//! `f(a)/L + f(b)/L ≥ b − a`. Steps reach as far as the last slope predicts that this will hold (over-relaxation, Keinert
//! et al. 2014; the step from the slope, Bálint & Valasek 2018), and where it does not hold the ray falls back to the
//! certain step `f(a)/L`. A gap of at most `gap` may stay uncertified, so that rays end near the surface: a part that a
//! ray crosses in less than `gap` can be missed, and nothing thicker.

use glam::Vec3;

use crate::cpu::trace_context::TraceContext;

/// A ray in field coordinates, re-based so that `t` counts from where it enters the cube, or what a section leaves of it.
#[derive(Clone, Copy, Debug)]
pub struct PacketRay {
    /// Position at `t = 0`.
    pub origin: Vec3,
    /// Unit direction.
    pub direction: Vec3,
    /// The ray is known to be free up to here.
    pub start: f32,
    /// Distance at which it leaves the cube or meets a section.
    pub exit: f32,
    /// Sign of the field at `start`; 0 where it is not known.
    pub sign: f32,
    /// `true` for rays that come from outside: an inside at the entry is then a hit, the cut through the solid.
    pub enters: bool,
}

/// End of a ray.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Distance of the hit along the ray; `None` for a miss.
    pub t: Option<f32>,
    /// Side that the ray came from: 1 outside, −1 inside.
    pub sign: f32,
    /// `true` where it hit the cut at the cube's face or the section.
    pub cut: bool,
    /// Evaluations it took.
    pub steps: u32,
}

/// Counts over a packet.
#[derive(Clone, Copy, Debug, Default)]
pub struct SphereTraceStats {
    /// Evaluations.
    pub evals: u64,
    /// Rays that reached the limit of steps.
    pub exhausted: u64,
    /// Rays that met a distance that is not finite.
    pub invalid: u64,
}

/// Sphere tracing of packets of rays through one field.
pub struct SphereTrace<'a> {
    /// The field and the resolution.
    pub context: TraceContext<'a>,
    /// Most evaluations of a ray.
    pub max_steps: u32,
}

/// State of a ray that has not ended.
struct RayState {
    ray: u32,
    steps: u32,
    sign: f32,
    /// Free up to here.
    safe: f32,
    /// Next evaluation.
    next: f32,
    /// The affine model of f along the ray: value `f` at `t`, falling by `slope` per unit.
    t: f32,
    f: f32,
    slope: f32,
    /// `true` where the model's value was evaluated, not extrapolated.
    measured: bool,
    /// Confidence in over-relaxation, 0 to 1.
    trust: f32,
}

impl SphereTrace<'_> {
    /// Traces every ray; one outcome a ray, in order.
    pub fn run(&self, rays: &[PacketRay]) -> (Vec<Outcome>, SphereTraceStats) {
        let mut outcomes = vec![Outcome::default(); rays.len()];
        let mut stats = SphereTraceStats::default();
        let mut active: Vec<RayState> = Vec::with_capacity(rays.len());
        for (i, ray) in rays.iter().enumerate() {
            active.extend(self.begin(i as u32, ray));
        }
        let (mut points, mut values) = (Vec::with_capacity(active.len()), Vec::new());
        while !active.is_empty() {
            points.clear();
            points.extend(active.iter().map(|a| {
                let ray = &rays[a.ray as usize];
                ray.origin + ray.direction * a.next
            }));
            values.resize(points.len(), 0.0);
            self.context.source.distance(&points, &mut values);
            stats.evals += points.len() as u64;
            let mut k = 0;
            active.retain_mut(|a| {
                let value = values[k];
                k += 1;
                let ended = self.advance(a, &rays[a.ray as usize], value, &mut stats);
                if let Some(outcome) = ended {
                    outcomes[a.ray as usize] = Outcome { steps: a.steps, sign: a.sign, ..outcome };
                }
                ended.is_none()
            });
        }
        (outcomes, stats)
    }

    fn begin(&self, index: u32, ray: &PacketRay) -> Option<RayState> {
        let mut a = RayState {
            ray: index,
            steps: 0,
            sign: ray.sign,
            safe: ray.start,
            next: ray.start,
            t: ray.start,
            f: 0.0,
            slope: self.context.lipschitz,
            measured: false,
            trust: 1.0,
        };
        if let (Some(grid), true) = (self.context.grid, a.sign == 0.0) {
            let (r, sign) = grid.safe_radius(ray.origin + ray.direction * a.safe);
            // An inside at the entry has to be evaluated: it is a hit.
            if r > 0.0 && !(sign < 0.0 && ray.enters) {
                a.sign = sign;
            }
        }
        if a.sign == 0.0 {
            return Some(a);
        }
        self.skip(&mut a, ray).then_some(a)
    }

    /// Moves `safe` through space that the grid certifies and picks the next evaluation. `false` where the ray leaves.
    fn skip(&self, a: &mut RayState, ray: &PacketRay) -> bool {
        if let Some(grid) = self.context.grid {
            let (from, cell) = (a.safe, grid.cell());
            while a.safe < ray.exit {
                let (r, _) = grid.safe_radius(ray.origin + ray.direction * a.safe);
                if r < 0.2 * cell {
                    break;
                }
                a.safe += r;
            }
            if a.safe < ray.exit && (!a.measured || a.safe - from > 2.0 * cell) {
                let (f, gradient) = grid.extrapolate(ray.origin + ray.direction * a.safe);
                (a.t, a.f, a.measured) = (a.safe, (a.sign * f).max(0.0), false);
                a.slope = -a.sign * gradient.dot(ray.direction);
            }
        }
        if a.safe >= ray.exit {
            return false;
        }
        let l = self.context.lipschitz;
        let slope = a.slope.clamp(-0.5 * l, l);
        // Furthest point from which the model's value reaches back to `safe`, half the allowed gap left.
        let reach = (a.safe + 0.5 * self.context.gap + (0.96 * a.f + slope * a.t) / l) / (1.0 + slope / l);
        let mut next = a.safe + a.trust * (reach - a.safe).max(0.0);
        if slope > 0.0 {
            // A little past the predicted surface, so that the sign changes.
            next = next.min(a.t + a.f / slope + 0.1 * self.context.gap);
        }
        a.next = next.clamp(a.safe, ray.exit);
        true
    }

    /// Takes in the value at `next`; says how the ray ended, if it did.
    fn advance(&self, a: &mut RayState, ray: &PacketRay, value: f32, stats: &mut SphereTraceStats) -> Option<Outcome> {
        let miss = Outcome::default();
        let hit = |t: f32| Outcome { t: Some(t), ..miss };
        a.steps += 1;
        if !value.is_finite() {
            stats.invalid += 1;
            return Some(miss);
        }
        if a.sign == 0.0 {
            a.sign = if value < 0.0 { -1.0 } else { 1.0 };
            if value < 0.0 && ray.enters {
                return Some(Outcome { cut: true, ..hit(a.next) });
            }
        }
        let f = a.sign * value;
        let certified = a.next - f.abs() / self.context.lipschitz - a.safe <= self.context.gap;
        if a.steps >= self.max_steps {
            stats.exhausted += 1;
            return Some(if f < 4.0 * self.context.gap { hit(a.next.min(a.safe + self.context.gap)) } else { miss });
        }
        if !certified {
            a.next = a.safe;
            a.trust *= 0.5;
            return None;
        }
        if f <= 0.1 * self.context.gap {
            // The crossing lies between `safe` and the near end of the inside sample's own ball.
            let far = a.next - (-f).max(0.0) / self.context.lipschitz;
            let root = match a.measured && a.f > f && a.next > a.t {
                true => a.t + (a.next - a.t) * a.f / (a.f - f),
                false => far,
            };
            return Some(hit(root.clamp(a.safe.min(far), far.max(a.safe))));
        }
        if a.measured && a.next > a.t {
            a.slope = (a.f - f) / (a.next - a.t);
        }
        (a.t, a.f, a.measured) = (a.next, f, true);
        a.safe = a.safe.max(a.next + f / self.context.lipschitz);
        a.trust = (a.trust * 1.5).min(1.0);
        if self.skip(a, ray) { None } else { Some(miss) }
    }
}
