// Sections: a plane that cuts part of the scene away, and its colours, as src/render/section.rs.

// Part of a ray that the section keeps: the half space normal·x > offset is cut away.
fn cross_section(whole: Crossing, origin: vec3<f32>, direction: vec3<f32>) -> Crossing {
    var c = whole;
    if params.flags.x == 0u || !c.meets {
        return c;
    }
    let normal = params.plane.xyz;
    let height = dot(normal, origin) - params.plane.w;
    let rise = dot(normal, direction);
    let t = -height / rise;
    let at = origin + direction * t;
    // Outside of the box the section only cuts.
    let is_within = all(at >= params.shown_low.xyz) && all(at <= params.shown_high.xyz);
    let shows = params.flags.x == 2u && is_within;
    if height > 0.0 {
        if rise >= 0.0 {
            c.meets = false;
        } else if t > c.enter {
            c.enter = t;
            c.face = normal;
            if shows {
                c.shown = t;
                c.plane = normal;
            }
        }
    } else if rise > 0.0 && t < c.leave {
        c.leave = t;
        if shows {
            c.shown = t;
            c.plane = -normal;
        }
    }
    c.meets = c.meets && c.enter < c.leave;
    if !c.meets {
        c.shown = -1.0;
    } else if c.shown == c.enter {
        c.leave = c.enter;
    }
    return c;
}

// True where a section cuts a point away.
fn removed(p: vec3<f32>) -> bool {
    return params.flags.x != 0u && dot(params.plane.xyz, p) > params.plane.w;
}

// sRGB values of a signed distance on a section; `steepness` is the length of its gradient along the plane.
fn distance_colour(f: f32, steepness: f32) -> vec3<f32> {
    let base = diverging_colormap(select(1.0, -1.0, f < 0.0) * sqrt(abs(f) / 0.5));
    let nearest = round(f * 40.0);
    let off = abs(f - nearest / 40.0) / max(steepness, 0.2);
    if nearest == 0.0 {
        return select(base, vec3(0.06), off < 0.0015);
    }
    return select(base, 0.62 * base, off < 0.0008);
}

// sRGB values of a density on a section.
fn density_colour(sigma: f32) -> vec3<f32> {
    return sequential_colormap(1.0 - exp(-0.01 * sigma));
}
