// Shared by every renderer: the camera, the sample positions of a pixel, the buffers of a frame.
//
// One invocation a pixel; a frame is a band of rows of the image. Each renderer has a function `make` for one pixel, which
// compute.wgsl or fragment.wgsl calls.

struct Params {
    // Camera in field coordinates, of a map that is no box in units of its length scale; w: world length of a unit.
    eye: vec4<f32>,
    // Unit axes of the camera; w: focal lengths along x and y in pixels, and the principal point's x.
    right: vec4<f32>,
    up: vec4<f32>,
    back: vec4<f32>,
    // Principal point's y, gap, Lipschitz bound, near distance in field units.
    lens: vec4<f32>,
    // Step, cone, least transmittance, distance of a frustum's near plane in field units.
    march: vec4<f32>,
    // Section plane in field coordinates: unit normal and offset.
    plane: vec4<f32>,
    // Linear premultiplied colour behind the object.
    background: vec4<f32>,
    // The same as sRGB values; w: 1 opaque, 0 transparent.
    background_srgb: vec4<f32>,
    // Linear colour of the material; w: reach of occlusion.
    albedo: vec4<f32>,
    // Direction to the key light; w: its half angle.
    light: vec4<f32>,
    // The world's upward axis.
    sky: vec4<f32>,
    // Box around everything occupied.
    low: vec4<f32>,
    high: vec4<f32>,
    // Box that the section shows the field within.
    shown_low: vec4<f32>,
    shown_high: vec4<f32>,
    // Axes of a frustum in the world, right, down and ahead; w: the camera's coordinate along each, seen from the apex.
    map_right: vec4<f32>,
    map_down: vec4<f32>,
    map_ahead: vec4<f32>,
    // Lowest x/z and y/z of a frustum, and its extents.
    map_window: vec4<f32>,
    // Width of the image, first row of the band, number of this sample, samples a pixel.
    band: vec4<u32>,
    // Filter (0 box, 1 tent), cells of the scene's grid (0: none), most steps, shading.
    options: vec4<u32>,
    // Section (0 none, 1 cut, 2 field), shadow, ambient occlusion, vertices of the coarse distances that these are taken from (0: the
    // field itself).
    flags: vec4<u32>,
    // Number of the pass over these pixels, evaluations that one pass may do.
    pass_of: vec4<u32>,
}

@group(1) @binding(1) var<storage, read> shifts: array<vec2<f32>>;
@group(1) @binding(2) var<storage, read_write> frame_colour: array<vec4<f32>>;
@group(1) @binding(3) var<storage, read_write> frame_alpha: array<f32>;
// Three words a pixel: [depth along the ray in world units, cosine, steps, ‖∇S‖], [normal, curvature],
// [position in field coordinates, residual]. Depth −1 is a miss.
@group(1) @binding(4) var<storage, read_write> frame_layers: array<vec4<f32>>;
@group(1) @binding(5) var<storage, read_write> frame_spectrum: array<f32>;
// Rays that were not finished in one pass, STATE_WORDS words each, and how many there are: one pass may do only so much,
// because slow adapters are reset by their driver's watchdog and software drivers cut off loops.
@group(1) @binding(6) var<storage, read_write> states: array<vec4<f32>>;
@group(1) @binding(7) var<storage, read_write> unfinished: array<atomic<u32>>;
@group(1) @binding(8) var<uniform> params: Params;

const STATE_WORDS = 4u;

fn leave_unfinished() {
    atomicAdd(&unfinished[0], 1u);
}

fn tent(u: f32) -> f32 {
    if u < 0.5 {
        return sqrt(2.0 * u) - 1.0;
    }
    return 1.0 - sqrt(2.0 - 2.0 * u);
}

// Place of this sample in its pixel: the centre, or a Hammersley point shifted by the pixel's own shift.
fn sample_offset(at: u32) -> vec2<f32> {
    let count = params.band.w;
    if count <= 1u {
        return vec2(0.5);
    }
    let index = params.band.z;
    let radical = f32(reverseBits(index) >> 8u) / 16777216.0;
    let uv = fract(vec2((f32(index) + 0.5) / f32(count), radical) + shifts[at]);
    if params.options.x == 0u {
        return uv;
    }
    return 0.5 + vec2(tent(uv.x), tent(uv.y));
}

// Unit direction of the ray through a place in the image; w: its cosine to the viewing axis.
fn camera_ray(place: vec2<f32>) -> vec4<f32> {
    let u = (place.x - params.back.w) / params.right.w;
    let v = (place.y - params.lens.x) / params.up.w;
    let cosine = 1.0 / sqrt(1.0 + u * u + v * v);
    return vec4((params.right.xyz * u - params.up.xyz * v - params.back.xyz) * cosine, cosine);
}

// Intersection of a ray with the unit cube, or with the part of it that a section keeps.
struct Crossing {
    enter: f32,
    leave: f32,
    // Outward normal of the face it enters through; 0 if it starts within.
    face: vec3<f32>,
    meets: bool,
    // A plane that shows the field where nothing else ends the ray: its distance (−1: none) and normal to the viewer.
    shown: f32,
    plane: vec3<f32>,
}

const WHOLE = Crossing(0.0, 3.0e38, vec3(0.0), true, -1.0, vec3(0.0));

fn cross_cube(origin: vec3<f32>, direction: vec3<f32>) -> Crossing {
    var c = WHOLE;
    for (var axis = 0u; axis < 3u; axis++) {
        let o = origin[axis];
        let d = direction[axis];
        if d == 0.0 {
            if o < 0.0 || o > 1.0 {
                c.meets = false;
            }
            continue;
        }
        let a = -o / d;
        let b = (1.0 - o) / d;
        if min(a, b) > c.enter {
            c.enter = min(a, b);
            c.face = vec3(0.0);
            c.face[axis] = -sign(d);
        }
        c.leave = min(c.leave, max(a, b));
    }
    c.meets = c.meets && c.enter < c.leave;
    return c;
}

// First row of the band.
fn first_row() -> u32 {
    return params.band.y;
}

// The first sample overwrites what a frame held, the others add their share.
fn add_colour(at: u32, colour: vec4<f32>, alpha: f32) {
    let share = 1.0 / f32(max(params.band.w, 1u));
    if params.band.z == 0u {
        frame_colour[at] = colour * share;
        frame_alpha[at] = alpha * share;
    } else {
        frame_colour[at] += colour * share;
        frame_alpha[at] += alpha * share;
    }
}

// Writes the data layers of a pixel whose ray hits nothing.
fn miss_layers(at: u32, cosine: f32, steps_taken: u32) {
    frame_layers[3u * at] = vec4(-1.0, cosine, f32(steps_taken), 0.0);
    frame_layers[3u * at + 1u] = vec4(0.0);
    frame_layers[3u * at + 2u] = vec4(0.0);
    if OUTPUT_SPECTRUM {
        clear_spectrum(at);
    }
}

fn store_spectrum(at: u32) {
    for (var s = 0u; s < SPECTRUM; s++) {
        frame_spectrum[at * SPECTRUM + s] = value(0u, S_AT, s);
    }
}

fn add_spectrum(at: u32, weight: f32) {
    for (var s = 0u; s < SPECTRUM; s++) {
        frame_spectrum[at * SPECTRUM + s] += weight * value(0u, S_AT, s);
    }
}

fn scale_spectrum(at: u32, scale: f32) {
    for (var s = 0u; s < SPECTRUM; s++) {
        frame_spectrum[at * SPECTRUM + s] *= scale;
    }
}

fn clear_spectrum(at: u32) {
    for (var s = 0u; s < SPECTRUM; s++) {
        frame_spectrum[at * SPECTRUM + s] = 0.0;
    }
}
