// Volume ray marching of a radiance field: src/render/volume/, a ray an invocation.
//
// With α = 1 − exp(−σ·dt) and the transmittance T before a sample, the sample weighs w = T·α and leaves T·(1 − α). Colours
// are composited, background included, in the sRGB values that the field was trained on. Depths are summed up as arc lengths along
// the path through the unit cube (path.wgsl), which of a box are distances.

// Samples that weigh less add nothing to normals and spectra; and nothing that shows to colours.
const FAINT = 1e-4;
const INVISIBLE = 4e-6;
// Least cover of a pixel that has depth, normal and spectrum.
const COVERED = 0.01;
// Largest depth, in world units: a quarter of the largest number.
const FURTHEST_DEPTH = 8.507059e37;

fn unit_gradient(p: vec3<f32>) -> vec3<f32> {
    field4(p);
    let g = output_gradient();
    return -g / max(length(g), 1e-20);
}

// Prepares the march of a box: the arc length of the plane that is shown, −NEVER without one.
fn start_box(direction: vec3<f32>) -> f32 {
    var part = WHOLE;
    if params.flags.x != 0u {
        part = cross_section(cross_cube(params.eye.xyz, direction), params.eye.xyz, direction);
    }
    shown_normal = part.plane;
    let left = part.meets && part.leave > part.enter;
    if !(march_piece(params.eye.xyz, direction, max(params.lens.w, part.enter), part.leave) && left) {
        march_end = -1.0;
    }
    return select(-NEVER, part.shown, part.shown >= 0.0);
}

// The same of a path of several pieces. What a section keeps of a ray is known as distances.
fn start_path(direction: vec3<f32>) -> f32 {
    path_eye = params.eye.xyz;
    path_ahead = direction;
    march_end = -1.0;
    let part = cross_section(WHOLE, params.eye.xyz, direction);
    shown_normal = part.plane;
    let begins_shown = part.shown >= 0.0 && part.shown == part.enter;
    // Arc lengths at the camera's near distance, where the section's part begins and ends, and at the end.
    let distances = vec4(params.lens.w, part.enter, select(part.leave, NEVER, begins_shown), NEVER);
    var arcs = vec4(0.0, -NEVER, NEVER, 0.0);
    let count = select(1u, 4u, params.flags.x != 0u);
    for (var k = 0u; k < count; k++) {
        if !find_piece(distances[k], false) {
            path_far = -NEVER;
            return -NEVER;
        }
        arcs[k] = select(piece_start + arc_after(distances[k] - piece_distance), piece_end, k == 3u);
    }
    path_near = max(arcs.x, arcs.y);
    path_far = select(-NEVER, arcs.z, part.meets);
    path_reset();
    let shown = select(arcs.z, arcs.y, begins_shown);
    if part.shown < 0.0 || shown < arcs.x || shown > arcs.w {
        return -NEVER;
    }
    if begins_shown {
        path_far = -NEVER;
    }
    return shown;
}

// Normal of the plane that is shown, to the viewer.
var<private> shown_normal: vec3<f32>;

// Place in the unit cube at an arc length, and the distance in units of the length scale.
fn place_at(arc: f32, direction: vec3<f32>) -> vec4<f32> {
    if MAP == BOX_MAP {
        return vec4(params.eye.xyz + direction * arc, arc);
    }
    _ = find_piece(arc, true);
    return vec4(piece_origin + piece_direction * arc, distance_at(arc));
}

// One pixel of the frame, as far as this pass gets. S is summed up in its layer.
fn render_pixel(pixel: vec2<u32>) {
    let at = (pixel.y - params.band.y) * params.band.x + pixel.x;
    if params.pass_of.x > 0u && states[STATE_WORDS * at].w < 0.0 {
        return;
    }
    let through = camera_ray(vec2<f32>(pixel) + sample_offset(at));
    let direction = through.xyz;
    strata_start(fract(0.5 + f32(params.band.z) * 0.618033988));
    stratum = 0u;
    if params.pass_of.x > 0u {
        stratum = u32(states[STATE_WORDS * at + 2u].w);
    }
    var shown = -NEVER;
    if MAP == BOX_MAP {
        shown = start_box(direction);
    } else {
        shown = start_path(direction);
    }
    if OUTPUT_COLOUR {
        encode_direction(direction);
    }
    var light = vec3(0.0);
    var transmittance = 1.0;
    var depth = 0.0;
    var normal = vec3(0.0);
    var slope_s = 0.0;
    var residual = 0.0;
    var steps = 0u;
    if params.pass_of.x > 0u {
        let a = states[STATE_WORDS * at];
        let b = states[STATE_WORDS * at + 1u];
        let c = states[STATE_WORDS * at + 2u];
        light = a.xyz;
        transmittance = a.w;
        normal = b.xyz;
        depth = b.w;
        slope_s = c.x;
        residual = c.y;
        steps = u32(c.z);
    } else if OUTPUT_SPECTRUM {
        clear_spectrum(at);
    }
    var budget = params.pass_of.y;
    var goes_on = true;
    while goes_on && budget > 0u {
        goes_on = march_next();
        if !goes_on {
            break;
        }
        budget -= 1u;
        let p = march_origin + march_direction * sample_t;
        field1(p);
        steps += 1u;
        let sigma = density();
        if !(sigma >= 0.0) {
            continue;
        }
        let passes = exp(-sigma * sample_dt);
        let weight = transmittance * (1.0 - passes);
        if OUTPUT_COLOUR && weight > INVISIBLE {
            light += weight * colour();
        }
        depth += weight * sample_t;
        transmittance *= passes;
        if OUTPUT_LAYERS && weight > FAINT {
            normal += weight * world_direction(p, unit_gradient(p));
            if OUTPUT_SPECTRUM {
                spectrum4(p);
                slope_s += weight * spectrum_slope();
                add_spectrum(at, weight);
                residual += weight * transport_residual();
            }
        }
        goes_on = transmittance >= params.march.z;
    }
    if goes_on {
        states[STATE_WORDS * at] = vec4(light, transmittance);
        states[STATE_WORDS * at + 1u] = vec4(normal, depth);
        states[STATE_WORDS * at + 2u] = vec4(slope_s, residual, f32(steps), f32(stratum));
        leave_unfinished();
        return;
    }
    states[STATE_WORDS * at].w = -1.0;
    var alpha = 1.0 - transmittance;
    // The sums' scale to means, and to a weight of 1 where the ray ended opaque.
    var mean = 1.0 / max(alpha, 1e-20);
    if transmittance < params.march.z {
        light *= mean;
        alpha = 1.0;
    } else if shown > -NEVER {
        let p = place_at(shown, direction).xyz;
        field1(p);
        if OUTPUT_COLOUR {
            light += transmittance * density_colour(select(0.0, density(), is_occupied(p)));
        }
        depth += transmittance * shown;
        normal += transmittance * shown_normal;
        if OUTPUT_LAYERS && OUTPUT_SPECTRUM {
            field4(p);
            spectrum4(p);
            slope_s += transmittance * spectrum_slope();
            add_spectrum(at, transmittance);
            residual += transmittance * transport_residual();
        }
        alpha = 1.0;
        mean = 1.0;
    }
    if OUTPUT_COLOUR {
        add_colour(at, over_background(light, alpha), alpha);
    }
    if OUTPUT_LAYERS {
        if alpha < COVERED {
            miss_layers(at, through.w, steps);
            return;
        }
        let place = place_at(depth * mean, direction);
        var bend = 0.0;
        if OUTPUT_CURVATURE {
            bend = curvature(place.xyz) / params.eye.w;
        }
        // What lies at infinity is put as far away as its numbers can tell: it is no miss.
        let distance = select(FURTHEST_DEPTH, min(place.w * params.eye.w, FURTHEST_DEPTH), place.w < FURTHEST);
        let position = params.eye.xyz + direction * min(place.w, FURTHEST_DEPTH / max(params.eye.w, 1.0));
        frame_layers[3u * at] = vec4(distance, through.w, f32(steps), slope_s * mean);
        frame_layers[3u * at + 1u] = vec4(normal / max(length(normal), 1e-20), bend);
        frame_layers[3u * at + 2u] = vec4(position, residual * mean);
        if OUTPUT_SPECTRUM {
            scale_spectrum(at, mean);
        }
    }
}

// Linear premultiplied colour over the background.
fn over_background(colour: vec3<f32>, alpha: f32) -> vec4<f32> {
    if alpha == 0.0 {
        return params.background;
    }
    if params.background_srgb.w > 0.0 {
        let over = colour + params.background_srgb.xyz * (1.0 - alpha);
        return vec4(linear_from_srgb(max(over, vec3(0.0))), 1.0);
    }
    return vec4(linear_from_srgb(max(colour / alpha, vec3(0.0))) * alpha, alpha);
}
