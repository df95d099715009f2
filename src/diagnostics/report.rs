//! The report: one HTML file with everything in it, the numbers as JSON, and every figure as a file of its own.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use thiserror::Error;

use nstr_plot::{Chart, PlotError};
use nstr_image::{ImageError, Rgba8, png};

/// A report that can't be made.
#[derive(Debug, Error)]
pub enum ReportError {
    /// A file or the folder can't be written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A picture can't be written.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A chart can't be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
}

/// Rows below a header.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Names of the columns.
    pub header: Vec<String>,
    /// Cells.
    pub rows: Vec<Vec<String>>,
    /// Rows that stand out.
    pub strong: Vec<usize>,
}

impl Table {
    /// A table without rows.
    pub fn new<const N: usize>(header: [&str; N]) -> Self {
        Self { header: header.map(String::from).to_vec(), ..Self::default() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

/// A picture and what is on it.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Name of its file, without extension.
    pub name: String,
    /// The picture.
    pub image: Rgba8,
    /// Short text below it.
    pub caption: String,
}

impl Picture {
    /// A picture with its caption.
    pub fn new(name: impl Into<String>, image: Rgba8, caption: impl Into<String>) -> Self {
        Self { name: name.into(), image, caption: caption.into() }
    }
}

/// A part of a section.
#[derive(Clone, Debug)]
pub enum Part {
    /// A paragraph.
    Text(String),
    /// A table and the text below it.
    Table(Table, String),
    /// A chart: name of its file, and the text below it.
    Chart(String, Chart, String),
    /// Pictures side by side and the text below them all.
    Pictures(Vec<Picture>, String),
}

/// One question and its answer.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// Heading.
    pub title: String,
    /// What follows from the figures, in a sentence or two.
    pub verdict: String,
    /// What shows it.
    pub parts: Vec<Part>,
}

impl Section {
    /// A section without parts.
    pub fn new(title: &str) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// Adds a paragraph.
    pub fn text(&mut self, text: impl Into<String>) {
        self.parts.push(Part::Text(text.into()));
    }
}

/// Everything that was found out about a model.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Heading.
    pub title: String,
    /// What the model is, by name.
    pub facts: Vec<(String, String)>,
    /// Questions and answers.
    pub sections: Vec<Section>,
    /// All numbers; `verdicts` is added to them.
    pub numbers: Map<String, Value>,
}

impl Report {
    /// Adds a section and its numbers under `key`.
    pub fn push(&mut self, key: &str, (section, numbers): (Section, Value)) {
        self.sections.push(section);
        self.numbers.insert(key.into(), numbers);
    }

    /// `report.json`'s content.
    pub fn json(&self) -> Map<String, Value> {
        let mut all = self.numbers.clone();
        let verdicts = self.sections.iter().map(|s| (s.title.clone(), Value::from(s.verdict.clone()))).collect();
        all.insert("verdicts".into(), Value::Object(verdicts));
        all
    }

    /// Writes `report.html`, `report.json` and `figures/*` into `folder`, which is made where it is not there.
    ///
    /// # Errors
    /// [`ReportError`] naming the file.
    pub fn write(&self, folder: &Path) -> Result<(), ReportError> {
        let io = |path: &Path| {
            let path = path.to_path_buf();
            move |source| ReportError::Io { path, source }
        };
        let figures = folder.join("figures");
        std::fs::create_dir_all(&figures).map_err(io(&figures))?;
        let html = self.html(&figures)?;
        let json = serde_json::to_string_pretty(&self.json()).unwrap_or_default() + "\n";
        for (name, text) in [("report.html", html), ("report.json", json)] {
            let path = folder.join(name);
            nstr_files::write(&path, text.as_bytes()).map_err(io(&path))?;
        }
        Ok(())
    }

    /// The page; every figure is written to `figures` on the way.
    fn html(&self, figures: &Path) -> Result<String, ReportError> {
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
             content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
             <h1>{0}</h1>\n<dl>\n",
            escape(&self.title)
        );
        for (name, value) in &self.facts {
            put(&mut page, format_args!("<dt>{}</dt><dd>{}</dd>\n", escape(name), escape(value)));
        }
        page.push_str("</dl>\n<h2>In short</h2>\n<ul class=\"short\">\n");
        for (i, section) in self.sections.iter().enumerate() {
            let (title, verdict) = (escape(&section.title), escape(&section.verdict));
            put(&mut page, format_args!("<li><a href=\"#s{i}\">{title}</a>: {verdict}</li>\n"));
        }
        page.push_str("</ul>\n");
        for (i, section) in self.sections.iter().enumerate() {
            let (title, verdict) = (escape(&section.title), escape(&section.verdict));
            put(
                &mut page,
                format_args!("<section id=\"s{i}\">\n<h2>{title}</h2>\n<p class=\"verdict\">{verdict}</p>\n"),
            );
            section.parts.iter().try_for_each(|part| write_part(part, figures, &mut page))?;
            page.push_str("</section>\n");
        }
        page.push_str("</body>\n</html>\n");
        Ok(page)
    }
}

const STYLE: &str = "\
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif; color: #222; background: #fff;
  max-width: 70rem; margin: 2rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 1rem; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid #ddd; padding-bottom: .25rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 0; }
dt { color: #666; } dd { margin: 0; }
.short li { margin: .35rem 0; }
.verdict { background: #f3f6fa; border-left: 4px solid #0072b2; padding: .6rem .9rem; margin: .8rem 0 1.2rem; }
figure { margin: 1.2rem 0; }
figcaption { color: #555; font-size: .9rem; max-width: 52rem; margin-top: .35rem; }
figure > svg { max-width: 100%; height: auto; }
.row { display: flex; flex-wrap: wrap; gap: .8rem; }
.row figure { margin: 0; flex: 0 1 calc(25% - .6rem); min-width: 14rem; }
.row figure.wide { max-width: 100%; flex-basis: 100%; }
.row img { width: 100%; height: auto; image-rendering: auto; background: #fafafa; border: 1px solid #e4e4e4; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .28rem .8rem .28rem 0; border-bottom: 1px solid #eee; vertical-align: top; white-space: nowrap; }
th { color: #555; font-weight: 600; border-bottom-color: #bbb; }
tr.strong td { font-weight: 600; }
@media print { section { break-inside: avoid-page; } }
";

fn write_part(part: &Part, figures: &Path, page: &mut String) -> Result<(), ReportError> {
    match part {
        Part::Text(text) => put(page, format_args!("<p>{}</p>\n", escape(text))),
        Part::Table(table, caption) => write_table(table, caption, page),
        Part::Chart(name, chart, caption) => {
            chart.write(&figures.join(format!("{name}.svg")))?;
            let svg = chart.svg()?;
            let svg = svg.trim_start_matches("<?xml version=\"1.0\" encoding=\"UTF-8\"?>").trim();
            put(page, format_args!("<figure>\n{svg}\n<figcaption>{}</figcaption>\n</figure>\n", escape(caption)));
        }
        Part::Pictures(pictures, caption) => {
            page.push_str("<figure>\n<div class=\"row\">\n");
            for p in pictures {
                let path = figures.join(format!("{}.png", p.name));
                png::write(&path, &p.image)?;
                let bytes = std::fs::read(&path).map_err(|source| ReportError::Io { path, source })?;
                let (class, text) =
                    (if p.image.width > 2 * p.image.height { " class=\"wide\"" } else { "" }, escape(&p.caption));
                put(
                    page,
                    format_args!(
                        "<figure{class}><img alt=\"{text}\" width=\"{}\" height=\"{}\" \
                         src=\"data:image/png;base64,{}\"><figcaption>{text}</figcaption></figure>\n",
                        p.image.width,
                        p.image.height,
                        STANDARD.encode(bytes)
                    ),
                );
            }
            put(page, format_args!("</div>\n<figcaption>{}</figcaption>\n</figure>\n", escape(caption)));
        }
    }
    Ok(())
}

fn write_table(table: &Table, caption: &str, page: &mut String) {
    page.push_str("<figure>\n<div class=\"scroll\"><table>\n<thead><tr>");
    table.header.iter().for_each(|cell| put(page, format_args!("<th>{}</th>", escape(cell))));
    page.push_str("</tr></thead>\n<tbody>\n");
    for (i, row) in table.rows.iter().enumerate() {
        page.push_str(if table.strong.contains(&i) { "<tr class=\"strong\">" } else { "<tr>" });
        row.iter().for_each(|cell| put(page, format_args!("<td>{}</td>", escape(cell))));
        page.push_str("</tr>\n");
    }
    put(page, format_args!("</tbody></table></div>\n<figcaption>{}</figcaption>\n</figure>\n", escape(caption)));
}

fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = page.write_fmt(text);
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A number with three significant digits.
pub fn short(v: f64) -> String {
    if !v.is_finite() {
        return "–".into();
    }
    let digits = if v == 0.0 { 0 } else { v.abs().log10().floor() as i32 };
    let text = match digits {
        -3..=4 => format!("{v:.*}", (2 - digits).max(0) as usize),
        _ => format!("{v:.2e}"),
    };
    text.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;
    use nstr_plot::Axis;

    #[test]
    fn one_page_holds_everything_and_escapes_what_it_is_given() {
        let folder = tempfile::tempdir().unwrap();
        let mut section = Section::new("A <question>");
        section.verdict = "5 > 4 & \"so on\"".into();
        section.text("Text.");
        let mut table = Table::new(["a", "b"]);
        table.row(["1".into(), "<2>".into()]);
        table.strong.push(0);
        section.parts.push(Part::Table(table, "Cells.".into()));
        let mut chart = Chart::new("Chart", Axis::linear("x"), Axis::linear("y"));
        chart.points("dots", [(0.0, 1.0), (1.0, 2.0)]);
        section.parts.push(Part::Chart("dots".into(), chart, "Dots.".into()));
        let image = Rgba8::from_fn(4, 3, |i| [i as u8 * 20, 0, 0, 255]);
        section.parts.push(Part::Pictures(vec![Picture::new("red", image.clone(), "Red.")], "All.".into()));
        let mut report = Report { title: "T & T".into(), facts: vec![("k".into(), "v".into())], ..Report::default() };
        report.push("answer", (section, serde_json::json!({ "n": 5 })));
        let at = folder.path().join("new/report");
        report.write(&at).unwrap();
        let page = std::fs::read_to_string(at.join("report.html")).unwrap();
        for part in
            ["<title>T &amp; T</title>", "A &lt;question&gt;", "&lt;2&gt;", "<svg", "data:image/png;base64,iVBOR"]
        {
            assert!(page.contains(part), "{part}");
        }
        assert!(
            !page.contains("http://") || page.matches("http://").count() == page.matches("http://www.w3.org").count()
        );
        let json: Value = serde_json::from_slice(&std::fs::read(at.join("report.json")).unwrap()).unwrap();
        assert_eq!((&json["answer"]["n"], &json["verdicts"]["A <question>"]), (&5.into(), &"5 > 4 & \"so on\"".into()));
        assert_eq!(png::read(&at.join("figures/red.png")).unwrap(), image);
        assert!(at.join("figures/dots.svg").exists());
        std::fs::write(folder.path().join("file"), "x").unwrap();
        assert!(report.write(&folder.path().join("file")).unwrap_err().to_string().contains("file"));
    }

    #[test]
    fn numbers_are_short() {
        for (v, text) in [
            (0.0, "0.00"),
            (12.345, "12.3"),
            (-0.012_34, "−0.0123"),
            (1234.5, "1234"),
            (1.5e-9, "1.50e−9"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(short(v), text);
        }
    }
}
