// Volume ray marching of a radiance field: src/render/volume/, a ray an invocation.
//
// With α = 1 − exp(−σ·dt) and the transmittance T before a sample, the sample weighs w = T·α and leaves T·(1 − α). Colours
// are composited, background included, in the sRGB values that the field was trained on.

// Samples that weigh less add nothing to normals and spectra; and nothing that shows to colours.
const FAINT = 1e-4;
const INVISIBLE = 4e-6;
// Least cover of a pixel that has depth, normal and spectrum.
const COVERED = 0.01;

fn unit_gradient(p: vec3<f32>) -> vec3<f32> {
    field4(p);
    let g = output_gradient();
    return -g / max(length(g), 1e-20);
}

// One pixel of the frame, as far as this pass gets. S is summed up in its layer.
fn render_pixel(pixel: vec2<u32>) {
    let at = (pixel.y - params.band.y) * params.band.x + pixel.x;
    let through = camera_ray(vec2<f32>(pixel) + sample_offset(at));
    let direction = through.xyz;
    var part = WHOLE;
    if params.flags.x != 0u {
        part = cross_section(cross_cube(params.eye.xyz, direction), params.eye.xyz, direction);
    }
    strata_start(fract(0.5 + f32(params.band.z) * 0.618033988));
    march_start(params.eye.xyz, direction, max(params.lens.w, part.enter), part.leave);
    if !part.meets || part.leave <= part.enter {
        march_end = -1.0;
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
        if a.w < 0.0 {
            return;
        }
        light = a.xyz;
        transmittance = a.w;
        normal = b.xyz;
        depth = b.w;
        slope_s = c.x;
        residual = c.y;
        steps = u32(c.z);
        stratum = u32(c.w);
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
            normal += weight * unit_gradient(p);
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
    } else if part.shown >= 0.0 {
        let p = params.eye.xyz + direction * part.shown;
        field1(p);
        if OUTPUT_COLOUR {
            light += transmittance * density_colour(select(0.0, density(), is_occupied(p)));
        }
        depth += transmittance * part.shown;
        normal += transmittance * part.plane;
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
        let t = depth * mean;
        let p = params.eye.xyz + direction * t;
        var bend = 0.0;
        if OUTPUT_CURVATURE {
            bend = curvature(p) / params.eye.w;
        }
        frame_layers[3u * at] = vec4(t * params.eye.w, through.w, f32(steps), slope_s * mean);
        frame_layers[3u * at + 1u] = vec4(normal / max(length(normal), 1e-20), bend);
        frame_layers[3u * at + 2u] = vec4(p, residual * mean);
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
