// Sphere tracing of a signed distance field: the march of src/render/cpu/march.rs, a ray an invocation.
//
// Every step is certified by the Lipschitz bound; a stretch of at most `gap` may stay uncertified. Empty space is skipped
// on the grid of clearances (src/render/cpu/accel.rs).

@group(1) @binding(0) var<storage, read> clearances: array<f32>;

// The ray, with t counted from where it enters the cube, and its progress.
var<private> ray_origin: vec3<f32>;
var<private> ray_direction: vec3<f32>;
var<private> ray_leave: f32;
var<private> ray_enters: bool;
var<private> side: f32;
// Free up to here; next evaluation.
var<private> safe: f32;
var<private> next: f32;
// The affine model of f along the ray, whether its value was evaluated, and the confidence in over-relaxation.
var<private> model_t: f32;
var<private> model_f: f32;
var<private> slope: f32;
var<private> measured: bool;
var<private> trust: f32;
var<private> steps: u32;
var<private> hit_t: f32;

const GOES_ON = 0u;
const MISS = 1u;
const HIT = 2u;
const CUT = 3u;
// Nothing was hit before a plane that shows the field.
const SHOWN = 4u;

fn distance_at(p: vec3<f32>) -> f32 {
    field1(p);
    return output();
}

fn grid_cell(p: vec3<f32>) -> vec3<u32> {
    let cells = params.options.y;
    return min(vec3<u32>(max(p, vec3(0.0)) * f32(cells)), vec3(cells - 1u));
}

fn stored(at: vec3<u32>) -> f32 {
    let cells = params.options.y;
    return clearances[(at.z * cells + at.y) * cells + at.x];
}

// Radius of a ball around p without a surface, and the field's sign in it.
fn clearance(p: vec3<f32>) -> vec2<f32> {
    let at = grid_cell(p);
    let r = stored(at);
    let centre = (vec3<f32>(at) + 0.5) / f32(params.options.y);
    return vec2(abs(r) - distance(p, centre), select(1.0, -1.0, r < 0.0));
}

// An uncertified guess of the field (x) and its gradient (yzw).
fn guess(p: vec3<f32>) -> vec4<f32> {
    let at = grid_cell(p);
    let cells = params.options.y;
    let lipschitz = params.lens.z;
    var gradient = vec3(0.0);
    for (var axis = 0u; axis < 3u; axis++) {
        var lo = at;
        var hi = at;
        lo[axis] = max(at[axis], 1u) - 1u;
        hi[axis] = min(at[axis] + 1u, cells - 1u);
        gradient[axis] = (stored(hi) - stored(lo)) * lipschitz * f32(cells) / f32(hi[axis] - lo[axis]);
    }
    let centre = (vec3<f32>(at) + 0.5) / f32(cells);
    return vec4(stored(at) * lipschitz + dot(gradient, p - centre), gradient);
}

// Moves `safe` through certified space and picks the next evaluation; false where the ray leaves.
fn skip() -> bool {
    let l = params.lens.z;
    let gap = params.lens.y;
    if params.options.y > 0u {
        let came_from = safe;
        let cell = 1.0 / f32(params.options.y);
        while safe < ray_leave {
            let r = clearance(ray_origin + ray_direction * safe).x;
            if r < 0.2 * cell {
                break;
            }
            safe += r;
        }
        if safe < ray_leave && (!measured || safe - came_from > 2.0 * cell) {
            let g = guess(ray_origin + ray_direction * safe);
            model_t = safe;
            model_f = max(side * g.x, 0.0);
            measured = false;
            slope = -side * dot(g.yzw, ray_direction);
        }
    }
    if safe >= ray_leave {
        return false;
    }
    let s = clamp(slope, -0.5 * l, l);
    let reach = (safe + 0.5 * gap + (0.96 * model_f + s * model_t) / l) / (1.0 + s / l);
    next = safe + trust * max(reach - safe, 0.0);
    if s > 0.0 {
        next = min(next, model_t + model_f / s + 0.1 * gap);
    }
    next = clamp(next, safe, ray_leave);
    return true;
}

// Takes in the value at `next`.
fn advance(v: f32) -> u32 {
    let l = params.lens.z;
    let gap = params.lens.y;
    steps += 1u;
    if !(abs(v) < 3.0e38) {
        return MISS;
    }
    if side == 0.0 {
        side = select(1.0, -1.0, v < 0.0);
        if v < 0.0 && ray_enters {
            hit_t = next;
            return CUT;
        }
    }
    let f = side * v;
    let certified = next - abs(f) / l - safe <= gap;
    if steps >= params.options.z {
        hit_t = min(next, safe + gap);
        return select(MISS, HIT, f < 4.0 * gap);
    }
    if !certified {
        next = safe;
        trust *= 0.5;
        return GOES_ON;
    }
    if f <= 0.1 * gap {
        // The crossing lies between `safe` and the near end of the inside sample's own ball.
        let far = next - max(-f, 0.0) / l;
        var root = far;
        if measured && model_f > f && next > model_t {
            root = model_t + (next - model_t) * model_f / (model_f - f);
        }
        hit_t = clamp(root, min(safe, far), max(far, safe));
        return HIT;
    }
    if measured && next > model_t {
        slope = (model_f - f) / (next - model_t);
    }
    model_t = next;
    model_f = f;
    measured = true;
    safe = max(safe, next + f / l);
    trust = min(trust * 1.5, 1.0);
    return select(MISS, GOES_ON, skip());
}

// Begins at the entry; MISS where nothing can be hit.
fn trace_start(enters: bool) -> u32 {
    ray_enters = enters;
    if params.options.y > 0u {
        let c = clearance(ray_origin);
        // An inside at the entry has to be evaluated: it is a hit.
        if c.x > 0.0 && !(c.y < 0.0 && enters) {
            side = c.y;
        }
    }
    if side != 0.0 && !skip() {
        return MISS;
    }
    return GOES_ON;
}

fn unit_gradient(p: vec3<f32>) -> vec3<f32> {
    field4(p);
    let g = output_gradient();
    return g / max(length(g), 1e-20);
}

// Stages of a ray: traced, its layers made, its light found.
const TRACING = 0u;
const AT_SURFACE = 1u;
const IN_SHADOW = 2u;
const DONE = 3u;

// Evaluations that a hit's normal and layers take, and its ambient occlusion.
const SURFACE_COST = 12u;
const AMBIENT_COST = 24u;

var<private> phase: u32;
var<private> outcome: u32;
// Share of the sky that is open, and the shadow ray: how far, the last distance, the light left, evaluations.
var<private> open: f32;
var<private> shadow_t: f32;
var<private> shadow_last: f32;
var<private> lit: f32;
var<private> shadow_count: u32;

fn load_state(at: u32) {
    let a = states[STATE_WORDS * at];
    let b = states[STATE_WORDS * at + 1u];
    let c = states[STATE_WORDS * at + 2u];
    let d = states[STATE_WORDS * at + 3u];
    side = a.x;
    safe = a.y;
    next = a.z;
    model_t = a.w;
    model_f = b.x;
    slope = b.y;
    trust = abs(b.z);
    measured = b.z < 0.0;
    hit_t = b.w;
    let whole = vec4<u32>(c);
    steps = whole.x;
    outcome = whole.y;
    phase = whole.z;
    shadow_count = whole.w;
    open = d.x;
    shadow_t = d.y;
    shadow_last = d.z;
    lit = d.w;
}

fn save_state(at: u32) {
    states[STATE_WORDS * at] = vec4(side, safe, next, model_t);
    states[STATE_WORDS * at + 1u] = vec4(model_f, slope, select(trust, -trust, measured), hit_t);
    states[STATE_WORDS * at + 2u] = vec4<f32>(vec4(steps, outcome, phase, shadow_count));
    states[STATE_WORDS * at + 3u] = vec4(open, shadow_t, shadow_last, lit);
    if phase != DONE {
        leave_unfinished();
    }
}

// One pixel of the frame, as far as this pass gets.
fn render_pixel(pixel: vec2<u32>) {
    let at = (pixel.y - params.band.y) * params.band.x + pixel.x;
    let through = camera_ray(vec2<f32>(pixel) + sample_offset(at));
    let direction = through.xyz;
    let crossing = cross_section(cross_cube(params.eye.xyz, direction), params.eye.xyz, direction);
    ray_origin = params.eye.xyz + direction * crossing.enter;
    ray_direction = direction;
    ray_leave = crossing.leave - crossing.enter;
    ray_enters = crossing.enter > 0.0;
    if params.pass_of.x == 0u {
        slope = params.lens.z;
        trust = 1.0;
        outcome = MISS;
        if crossing.meets && crossing.leave > crossing.enter {
            outcome = trace_start(ray_enters);
        }
    } else {
        load_state(at);
        if phase == DONE {
            return;
        }
    }
    var budget = params.pass_of.y;
    if phase == TRACING {
        while outcome == GOES_ON && budget > 0u {
            outcome = advance(distance_at(ray_origin + ray_direction * next));
            budget -= 1u;
        }
        if outcome == MISS && crossing.meets && crossing.shown >= 0.0 {
            outcome = SHOWN;
            hit_t = crossing.shown - crossing.enter;
        }
        if outcome == MISS {
            missed(at, through.w);
        } else if outcome != GOES_ON {
            phase = AT_SURFACE;
        }
    }
    let cost = SURFACE_COST + select(0u, AMBIENT_COST, params.flags.z != 0u);
    if phase == AT_SURFACE && budget >= cost {
        budget -= cost;
        arrived(at, crossing, through.w);
    }
    if phase == IN_SHADOW {
        // The normal and the slope again: cheaper than keeping them.
        let hit = surface(crossing);
        if shadow(hit, budget) {
            finish(at, hit);
        }
    }
    save_state(at);
}

fn missed(at: u32, cosine: f32) {
    phase = DONE;
    if OUTPUT_COLOUR {
        add_colour(at, params.background, 0.0);
    }
    if OUTPUT_LAYERS {
        miss_layers(at, cosine, steps);
    }
}

struct Surface {
    // In field coordinates, and the distance to it from where the ray enters the cube.
    p: vec3<f32>,
    t: f32,
    // Unit normal towards the viewer.
    normal: vec3<f32>,
    // Side of the surface that the viewer is on, and length of the gradient.
    from_side: f32,
    steepness: f32,
    // The field there, and its slope across the plane that is shown.
    f: f32,
    across: f32,
}

// Surface at the hit: normal, and a last Newton step of the depth.
fn surface(crossing: Crossing) -> Surface {
    var t = hit_t;
    field4(ray_origin + ray_direction * t);
    let f = output();
    let g = output_gradient();
    var normal = side * g / max(length(g), 1e-20);
    if outcome == CUT {
        normal = crossing.face;
    } else if outcome == SHOWN {
        normal = crossing.plane;
    } else {
        let along = dot(g, ray_direction);
        if abs(along) > 1e-3 * length(g) {
            t = max(t - clamp(f / along, -params.lens.y, params.lens.y), 0.0);
        }
    }
    let facing = dot(normal, ray_direction);
    if facing > 0.0 {
        normal = normalize(normal - ray_direction * (1.001 * facing));
    }
    let from_side = select(side, 1.0, outcome == CUT);
    let across = length(g - normal * dot(g, normal));
    return Surface(ray_origin + ray_direction * t, t, normal, from_side, max(length(g), 1e-3), f, across);
}

// Layers and the light of the sky; where a shadow is wanted, its ray begins.
fn arrived(at: u32, crossing: Crossing, cosine: f32) {
    let hit = surface(crossing);
    phase = DONE;
    if OUTPUT_LAYERS {
        layers(at, hit.p, hit.t + crossing.enter, cosine, hit.normal);
    }
    if !OUTPUT_COLOUR {
        return;
    }
    if outcome == SHOWN {
        add_colour(at, vec4(linear_from_srgb(distance_colour(hit.f, hit.across)), 1.0), 1.0);
        return;
    }
    open = 1.0;
    lit = 1.0;
    if params.flags.w != 0u {
        if params.flags.z != 0u {
            open = soft_ambient(hit);
        }
        if params.flags.y != 0u {
            lit = soft_lit(hit);
        }
        finish(at, hit);
        return;
    }
    if params.flags.z != 0u {
        open = ambient(hit);
    }
    if params.flags.y != 0u {
        shadow_t = 2.0 * params.lens.y;
        shadow_last = 3.0e38;
        phase = IN_SHADOW;
        return;
    }
    finish(at, hit);
}

fn finish(at: u32, hit: Surface) {
    phase = DONE;
    add_colour(at, vec4(shade(hit.normal, ray_direction, lit, open), 1.0), 1.0);
}

// Writes the data layers of a hit at p.
fn layers(at: u32, p: vec3<f32>, depth: f32, cosine: f32, normal: vec3<f32>) {
    let size = params.eye.w;
    var slope_s = 0.0;
    var residual = 0.0;
    if OUTPUT_SPECTRUM {
        field4(p);
        spectrum4(p);
        slope_s = spectrum_slope();
        store_spectrum(at);
        residual = transport_residual();
    }
    var bend = 0.0;
    if OUTPUT_CURVATURE {
        bend = curvature(p) / size;
    }
    frame_layers[3u * at] = vec4(depth * size, cosine, f32(steps), slope_s);
    frame_layers[3u * at + 1u] = vec4(normal, bend);
    frame_layers[3u * at + 2u] = vec4(p, residual);
}
