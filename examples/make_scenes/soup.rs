//! A desk as online collections hold such things.

use glam::{DVec3, dvec3};

use super::model::{line, point};

/// A desk as model collections hold it: every face twice, front and back, boxes without the sides that nobody sees,
/// a panel and shelf without thickness, outlines as line elements, and a material file that is not there.
pub fn soup() -> String {
    let mut text = String::from("# desk: every face twice, open sheets\nmtllib soup.mtl\n");
    let mut count = 0;
    let mut quad = |text: &mut String, corners: [DVec3; 4]| {
        corners.iter().for_each(|&c| line(text, format_args!("v {}", point(c))));
        let [a, b, c, d] = [1, 2, 3, 4].map(|k| count + k);
        for [p, q, r] in [[a, b, c], [a, c, d], [c, b, a], [d, c, a]] {
            line(text, format_args!("f {p} {q} {r}"));
        }
        line(text, format_args!("l {a} {b}"));
        count += 4;
    };
    // The four upright sides, then (if closed) bottom and top.
    let boxed =
        |quad: &mut dyn FnMut(&mut String, [DVec3; 4]), text: &mut String, lo: DVec3, hi: DVec3, closed: bool| {
            let p = |x: bool, y: bool, z: bool| {
                dvec3(if x { hi.x } else { lo.x }, if y { hi.y } else { lo.y }, if z { hi.z } else { lo.z })
            };
            let base = [(false, false), (true, false), (true, true), (false, true)];
            for k in 0..4 {
                let ((ax, az), (bx, bz)) = (base[k], base[(k + 1) % 4]);
                quad(text, [p(ax, false, az), p(bx, false, bz), p(bx, true, bz), p(ax, true, az)]);
            }
            for y in [false, true].into_iter().filter(|_| closed) {
                quad(text, base.map(|(x, z)| p(x, y, z)));
            }
        };
    text.push_str("g top\nusemtl wood\n");
    boxed(&mut quad, &mut text, dvec3(-0.6, 0.70, -0.3), dvec3(0.6, 0.73, 0.3), true);
    text.push_str("g legs\n");
    for (x, z) in [(-0.57, -0.27), (0.53, -0.27), (-0.57, 0.23), (0.53, 0.23)] {
        boxed(&mut quad, &mut text, dvec3(x, 0.0, z), dvec3(x + 0.04, 0.70, z + 0.04), false);
    }
    text.push_str("g drawers\n");
    for y in [0.28, 0.42, 0.56] {
        boxed(&mut quad, &mut text, dvec3(0.20, y, -0.24), dvec3(0.52, y + 0.12, 0.26), true);
        boxed(&mut quad, &mut text, dvec3(0.32, y + 0.055, 0.26), dvec3(0.40, y + 0.07, 0.28), true);
    }
    text.push_str("g sheets\n");
    quad(&mut text, [(-0.55, 0.30), (0.55, 0.30), (0.55, 0.70), (-0.55, 0.70)].map(|(x, y)| dvec3(x, y, -0.25)));
    quad(&mut text, [(-0.55, -0.25), (0.18, -0.25), (0.18, 0.2), (-0.55, 0.2)].map(|(x, z)| dvec3(x, 0.30, z)));
    text
}
