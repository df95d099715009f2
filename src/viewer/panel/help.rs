//! Help over the picture: mouse and keys.

use egui::{Align2, Color32, Context, Frame, Grid, Margin, Rect, RichText, ScrollArea, Stroke, Ui, Window};

/// Keys and their actions, in the order of the manual.
const HELP: [(&str, &str); 35] = [
    ("left drag", "turn around the object"),
    ("right drag, shift + left", "move sideways"),
    ("middle drag, ctrl + left", "look around"),
    ("wheel", "nearer, farther"),
    ("W A S D", "fly ahead, left, back, right"),
    ("Q E", "fly down, up; with shift faster"),
    ("R, home", "back to the first camera"),
    ("F", "show the whole object"),
    ("F2 F3 F4", "from the front, the right, above"),
    ("shift + F2 F3 F4", "from the back, the left, below"),
    ("O", "parallel rays, perspective"),
    ("+  -", "narrower, wider field of view"),
    ("click", "values and spectrum at a point"),
    ("double click", "turn around this point"),
    ("shift + click", "measure between two points"),
    ("G, B, V", "ground grid, boxes, cameras"),
    ("page up, down or [ ]", "to the capture's cameras"),
    ("I (hold)", "the capture's image"),
    ("1 ... 9", "layer"),
    ("ctrl + C, ctrl + V", "copy, paste the camera"),
    ("L", "next look of the surface"),
    ("C", "cut by a plane; drag its handles"),
    ("F5, F6, F7", "add a key to the path, play it, load one"),
    ("F8", "render the path to a video; stop"),
    ("ctrl + Z, ctrl + Y", "undo, redo changes of the path"),
    ("P", "save the picture as PNG"),
    ("X", "save all layers as EXR"),
    ("M", "save the surface as a mesh"),
    ("ctrl + S", "save the model"),
    ("space", "pause training, go on"),
    ("T", "panel"),
    ("F11", "full screen"),
    ("H, F1", "this help"),
    ("escape", "close the help, forget the point"),
    ("drop a file", "a model or a camera path"),
];

/// Shows the help over the image that fills `area`.
pub(super) fn show(ctx: &Context, area: Rect) {
    let frame = Frame::new()
        .fill(Color32::from_black_alpha(225))
        .corner_radius(6.0)
        .stroke(Stroke::new(1.0, Color32::from_gray(70)))
        .inner_margin(Margin::symmetric(14, 12));
    let height = (area.height() - 44.0).clamp(60.0, 620.0);
    // egui's default width would cut the second column.
    let width = (ctx.content_rect().width() - 40.0).clamp(120.0, 440.0);
    Window::new("help")
        .title_bar(false)
        .resizable(false)
        .frame(frame)
        .pivot(Align2::CENTER_CENTER)
        .fixed_pos(area.center())
        // egui would keep the height of the first time, which may be too small later.
        .min_height(height)
        .max_height(height)
        .min_width(width)
        .max_width(width)
        .show(ctx, |ui| ScrollArea::both().show(ui, keys));
}

fn keys(ui: &mut Ui) {
    Frame::new().inner_margin(Margin { right: 8, ..Margin::ZERO }).show(ui, |ui| {
        ui.label(RichText::new("Mouse and keys").strong().size(15.0));
        ui.add_space(4.0);
        Grid::new("keys").num_columns(2).spacing([20.0, 4.0]).show(ui, |ui| {
            for (keys, action) in HELP {
                ui.label(RichText::new(keys).monospace().size(12.0));
                ui.label(action);
                ui.end_row();
            }
        });
    });
}
