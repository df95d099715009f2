//! Scripts: events of a session as text, one a line, for reproducible screenshots and tests.
//!
//! ```text
//! # comment
//! key 3                      a key: 1-9, letters, [ ] + -, F1-F12, space, escape, ctrl+c, shift+...
//! hold w 0.5                 a key held for seconds
//! drag left 400,300 500,320  a drag of the pointer (left, right or middle; shift+left, ctrl+left)
//! press i / release i        a key goes down, or up
//! move 400,300               the pointer goes there
//! click 1100,80              a click, on the panel too; click shift+left 400,300
//! wheel 3                    notches, positive away from the user
//! resize 900x700             size of the window
//! minimise / restore
//! load FILE.json             a camera path, as if dropped onto the window
//! wait                       until the picture is refined (and training is over)
//! wait picture               until there is a picture
//! wait 2.5                   seconds
//! screenshot FILE.png        the whole window
//! picture FILE.png           the picture alone, once refined; FILE.exr all layers
//! close
//! ```

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use glam::DVec2;

use crate::error::ViewerError;
use crate::input::{Button, Key, Modifiers};

/// One step of a script.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ScriptStep {
    /// Press a key for a time.
    Key(Key, Modifiers, Duration),
    /// A key goes down, or up.
    Hold(Key, Modifiers, bool),
    /// The pointer moves.
    Move(DVec2),
    /// Drag from one position to another, physical pixels of the window.
    Drag(Button, Modifiers, DVec2, DVec2),
    /// Click with a button.
    Click(Button, Modifiers, DVec2),
    /// Turn the wheel by notches.
    Wheel(f64),
    /// Resize the window to physical pixels.
    Resize(u32, u32),
    /// Minimise (or restore) the window.
    Minimise(bool),
    /// Drop a file onto the window.
    Load(PathBuf),
    /// Wait until the image is refined.
    WaitRefined,
    /// Wait until there is an image.
    WaitImage,
    /// Wait for a time.
    Wait(Duration),
    /// Save the whole window as PNG.
    Screenshot(PathBuf),
    /// Save the refined image as PNG or EXR.
    SaveImage(PathBuf),
    /// Close the window.
    Close,
}

/// Remaining steps of a script with their line numbers, and the name of its file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    name: String,
    steps: VecDeque<(usize, ScriptStep)>,
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// Files that cannot be read; the first line that is not a step, by number.
    pub fn read(path: &Path) -> Result<Self, ViewerError> {
        let name = path.display().to_string();
        let text = nstr_files::read_text(path).map_err(|e| ViewerError::Script(format!("{name}: {e}")))?;
        let steps = Self::parse(&text).map_err(|e| ViewerError::Script(format!("{name}: {e}")))?.steps;
        Ok(Self { name, steps })
    }

    /// Parses a script without a file.
    ///
    /// # Errors
    /// The first line that is not a step, with the reason.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut steps = VecDeque::new();
        for (i, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() {
                steps.push_back((i + 1, step(line).map_err(|e| format!("line {}: {e}", i + 1))?));
            }
        }
        Ok(Self { name: "script".into(), steps })
    }

    /// Name of the file.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Takes the next step and its line number.
    pub(crate) fn next_step(&mut self) -> Option<(usize, ScriptStep)> {
        self.steps.pop_front()
    }
}

fn step(line: &str) -> Result<ScriptStep, String> {
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let words: Vec<&str> = rest.split_whitespace().collect();
    match (word, words.as_slice()) {
        ("key", [name]) => key(name).map(|(k, m)| ScriptStep::Key(k, m, Duration::ZERO)),
        ("hold", [name, time]) => {
            let (k, m) = key(name)?;
            Ok(ScriptStep::Key(k, m, seconds(time)?))
        }
        ("drag", [name, from, to]) => {
            let (button, modifiers) = button(name)?;
            Ok(ScriptStep::Drag(button, modifiers, point(from)?, point(to)?))
        }
        ("press", [name]) => key(name).map(|(k, m)| ScriptStep::Hold(k, m, true)),
        ("release", [name]) => key(name).map(|(k, m)| ScriptStep::Hold(k, m, false)),
        ("move", [at]) => Ok(ScriptStep::Move(point(at)?)),
        ("click", [at]) => Ok(ScriptStep::Click(Button::Left, Modifiers::default(), point(at)?)),
        ("click", [name, at]) => {
            let (button, modifiers) = button(name)?;
            Ok(ScriptStep::Click(button, modifiers, point(at)?))
        }
        ("wheel", [by]) => Ok(ScriptStep::Wheel(number(by)?)),
        ("resize", [size]) => {
            let (w, h) = size
                .split_once('x')
                .ok_or_else(|| format!("\"{}\" is not a size; expected WxH", nstr_files::excerpt(size)))?;
            let side = |v: &str| v.parse().ok().filter(|v| (1..=16384).contains(v));
            let sides = side(w)
                .zip(side(h))
                .ok_or_else(|| format!("\"{}\" is not a size; expected WxH", nstr_files::excerpt(size)))?;
            Ok(ScriptStep::Resize(sides.0, sides.1))
        }
        ("minimise", []) => Ok(ScriptStep::Minimise(true)),
        ("restore", []) => Ok(ScriptStep::Minimise(false)),
        ("load", [_, ..]) => Ok(ScriptStep::Load(rest.into())),
        ("wait", []) => Ok(ScriptStep::WaitRefined),
        ("wait", ["picture"]) => Ok(ScriptStep::WaitImage),
        ("wait", [time]) => Ok(ScriptStep::Wait(seconds(time)?)),
        ("screenshot", [_, ..]) => Ok(ScriptStep::Screenshot(rest.into())),
        ("picture", [_, ..]) => match Path::new(rest).extension().and_then(|e| e.to_str()) {
            Some("png" | "exr") => Ok(ScriptStep::SaveImage(rest.into())),
            _ => Err(format!("\"{}\": pictures are .png or .exr", nstr_files::excerpt(rest))),
        },
        ("close", []) => Ok(ScriptStep::Close),
        _ => Err(format!(
            "\"{}\" is not a step; expected key, hold, press, release, move, drag, click, wheel, resize, minimise, restore, load, wait, \
             screenshot, picture or close with its values (see docs/viewer.md)",
            nstr_files::excerpt(line)
        )),
    }
}

fn number(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|v: &f64| v.is_finite())
        .ok_or_else(|| format!("\"{}\" is not a number", nstr_files::excerpt(text)))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let value = number(text)?;
    match (0.0..=3600.0).contains(&value) {
        true => Ok(Duration::from_secs_f64(value)),
        false => Err(format!("\"{}\" is not a time; expected seconds from 0 to 3600", nstr_files::excerpt(text))),
    }
}

fn point(text: &str) -> Result<DVec2, String> {
    let (x, y) = text
        .split_once(',')
        .ok_or_else(|| format!("\"{}\" is not a position; expected X,Y", nstr_files::excerpt(text)))?;
    Ok(DVec2::new(number(x)?, number(y)?))
}

/// Splits `shift+` and `ctrl+` off a name.
fn modifiers(name: &str) -> (&str, Modifiers) {
    let (mut name, mut held) = (name, Modifiers::default());
    loop {
        if let Some(rest) = name.strip_prefix("shift+") {
            (name, held.shift) = (rest, true);
        } else if let Some(rest) = name.strip_prefix("ctrl+") {
            (name, held.ctrl) = (rest, true);
        } else {
            return (name, held);
        }
    }
}

fn button(name: &str) -> Result<(Button, Modifiers), String> {
    let (name, held) = modifiers(name);
    let button = match name {
        "left" => Button::Left,
        "right" => Button::Right,
        "middle" => Button::Middle,
        other => {
            return Err(format!("\"{}\" is not a button; expected left, right or middle", nstr_files::excerpt(other)));
        }
    };
    Ok((button, held))
}

fn key(name: &str) -> Result<(Key, Modifiers), String> {
    let (name, held) = modifiers(name);
    let function = || name.strip_prefix(['F', 'f'])?.parse().ok().filter(|n| (1..=12).contains(n)).map(Key::F);
    let mut letters = name.chars();
    let key = match (name.to_ascii_lowercase().as_str(), letters.next(), letters.next()) {
        (_, Some(c), None) => Some(Key::Char(c.to_ascii_lowercase())),
        ("space", ..) => Some(Key::Space),
        ("escape", ..) => Some(Key::Escape),
        ("pageup", ..) => Some(Key::PageUp),
        ("pagedown", ..) => Some(Key::PageDown),
        ("home", ..) => Some(Key::Home),
        _ => function(),
    };
    key.map(|k| (k, held)).ok_or_else(|| format!("\"{}\" is not a key", nstr_files::excerpt(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_parse() {
        let text = "# a tour\n key 3 \nhold shift+w 0.5\ndrag ctrl+left 1,2 3,4.5\n\nwheel -2 # out\nresize 900x700\n\
                    wait\nwait picture\nwait 0.25\nscreenshot a b.png\npicture x.exr\nclick 5,6\nminimise\nrestore\n\
                    key ctrl+c\nkey F5\nload a tour.json\npress i\nrelease i\nmove 7,8\nclick shift+left 9,1\nclose";
        let mut script = Script::parse(text).unwrap();
        let steps: Vec<(usize, ScriptStep)> = std::iter::from_fn(|| script.next_step()).collect();
        let none = Modifiers::default();
        let (shift, ctrl) = (Modifiers { shift: true, ..none }, Modifiers { ctrl: true, ..none });
        let half = Duration::from_millis(500);
        let wanted = [
            (2, ScriptStep::Key(Key::Char('3'), none, Duration::ZERO)),
            (3, ScriptStep::Key(Key::Char('w'), shift, half)),
            (4, ScriptStep::Drag(Button::Left, ctrl, DVec2::new(1.0, 2.0), DVec2::new(3.0, 4.5))),
            (6, ScriptStep::Wheel(-2.0)),
            (7, ScriptStep::Resize(900, 700)),
            (8, ScriptStep::WaitRefined),
            (9, ScriptStep::WaitImage),
            (10, ScriptStep::Wait(half / 2)),
            (11, ScriptStep::Screenshot("a b.png".into())),
            (12, ScriptStep::SaveImage("x.exr".into())),
            (13, ScriptStep::Click(Button::Left, none, DVec2::new(5.0, 6.0))),
            (14, ScriptStep::Minimise(true)),
            (15, ScriptStep::Minimise(false)),
            (16, ScriptStep::Key(Key::Char('c'), ctrl, Duration::ZERO)),
            (17, ScriptStep::Key(Key::F(5), none, Duration::ZERO)),
            (18, ScriptStep::Load("a tour.json".into())),
            (19, ScriptStep::Hold(Key::Char('i'), none, true)),
            (20, ScriptStep::Hold(Key::Char('i'), none, false)),
            (21, ScriptStep::Move(DVec2::new(7.0, 8.0))),
            (22, ScriptStep::Click(Button::Left, shift, DVec2::new(9.0, 1.0))),
            (23, ScriptStep::Close),
        ];
        assert_eq!(steps, wanted);
    }

    #[test]
    fn wrong_lines_are_named() {
        for (text, words) in [
            ("wait\nfly away", ["line 2", "fly away"]),
            ("key", ["line 1", "not a step"]),
            ("key hyper", ["line 1", "not a key"]),
            ("drag left 1 2", ["line 1", "X,Y"]),
            ("resize 0x5", ["line 1", "WxH"]),
            ("wait -1", ["line 1", "seconds"]),
            ("wait nan", ["line 1", "not a number"]),
            ("load", ["line 1", "not a step"]),
            ("picture a.bmp", ["line 1", ".exr"]),
            ("drag up 1,2 3,4", ["line 1", "not a button"]),
        ] {
            let said = Script::parse(text).unwrap_err();
            assert!(words.iter().all(|w| said.contains(w)), "{said}");
        }
        let said = Script::read(Path::new("/nowhere/tour.txt")).unwrap_err().to_string();
        assert!(said.contains("/nowhere/tour.txt"));
    }
}
