//! The report: one HTML file with everything in it, the numbers as JSON, every figure as a file of its own, and a surface as
//! coloured meshes.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use nstr_geometry::MeshError;
use nstr_image::colour_bar::ColourBar;
use nstr_image::{ImageError, Rgba8, png};
use nstr_plot::{Chart, PlotError, even_ticks};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::sdf_report::ColouredSurface;

/// Failure to write a report.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A file or folder that cannot be written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A picture that cannot be written.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A chart that cannot be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// A coloured mesh that cannot be written.
    #[error(transparent)]
    Mesh(#[from] MeshError),
}

/// A table of texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReportTable {
    /// Names of the columns.
    pub header: Vec<String>,
    /// Cells.
    pub rows: Vec<Vec<String>>,
    /// Indices of the rows that stand out.
    pub strong: Vec<usize>,
}

impl ReportTable {
    /// A table without rows.
    pub fn new<const N: usize>(header: [&str; N]) -> Self {
        Self { header: header.map(String::from).to_vec(), ..Self::default() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

/// A picture with its caption.
#[derive(Clone, Debug)]
pub struct ReportImage {
    /// Name of its file, without extension.
    pub name: String,
    /// The picture.
    pub image: Rgba8,
    /// Short text below it.
    pub caption: String,
}

impl ReportImage {
    /// A picture from its file name, pixels and caption.
    pub fn new(name: impl Into<String>, image: Rgba8, caption: impl Into<String>) -> Self {
        Self { name: name.into(), image, caption: caption.into() }
    }

    /// The picture beside a bar of its false colours: what they stand for, its unit, the values at both ends, and the colour at a place
    /// of the bar from 0 to 1. Without a range there is no bar.
    pub fn with_bar(self, title: &str, unit: &str, (low, high): (f64, f64), colour: &dyn Fn(f32) -> [f32; 3]) -> Self {
        let place = |v: f64| (v - low) / (high - low);
        let ticks: Vec<(f64, String)> = even_ticks(low, high).into_iter().map(|(v, text)| (place(v), text)).collect();
        if ticks.is_empty() {
            return self;
        }
        let bar = ColourBar { title: title.into(), unit: unit.into(), ticks, colour };
        Self { image: bar.beside(&self.image, [255; 3]), ..self }
    }
}

/// A part of a section.
#[derive(Clone, Debug)]
pub enum ReportPart {
    /// A paragraph.
    Text(String),
    /// A table and the text below it.
    Table(ReportTable, String),
    /// A chart: name of its file, and the text below it.
    Chart(String, Chart, String),
    /// Pictures side by side and the text below them all.
    Pictures(Vec<ReportImage>, String),
}

/// Answer to the question of a section: whether its claim of the spectrum holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// The numbers support it.
    Yes,
    /// They do not.
    No,
    /// They tell neither.
    #[default]
    Open,
}

impl Answer {
    /// Word for lists and classes of the page.
    pub fn word(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Open => "open",
        }
    }
}

/// One question and its answer.
#[derive(Clone, Debug, Default)]
pub struct ReportSection {
    /// Heading.
    pub title: String,
    /// Answer to its question.
    pub answer: Answer,
    /// The answer in a plain sentence, without numbers.
    pub verdict: String,
    /// Numbers that the verdict rests on, in a sentence or two.
    pub evidence: String,
    /// Its paragraphs, tables, charts and pictures.
    pub parts: Vec<ReportPart>,
}

impl ReportSection {
    /// A section without parts.
    pub fn new(title: &str) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// Adds a paragraph.
    pub fn text(&mut self, text: impl Into<String>) {
        self.parts.push(ReportPart::Text(text.into()));
    }
}

/// Everything that a diagnosis found out about a model.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Heading.
    pub title: String,
    /// Name and value of each fact about the model.
    pub facts: Vec<(String, String)>,
    /// Questions and answers.
    pub sections: Vec<ReportSection>,
    /// All numbers, by the name of the section.
    pub numbers: Map<String, Value>,
    /// The surface of a signed distance field.
    pub surface: Option<ColouredSurface>,
}

impl Report {
    /// Adds a section and its numbers under `key`.
    pub fn push(&mut self, key: &str, (section, numbers): (ReportSection, Value)) {
        self.sections.push(section);
        self.numbers.insert(key.into(), numbers);
    }

    /// Content of `report.json`: all numbers; under `answers` `yes`, `no` or `open` by the section's title, under `verdicts` the same in
    /// words, with the evidence.
    pub fn json(&self) -> Map<String, Value> {
        let mut all = self.numbers.clone();
        let by_title = |of: &dyn Fn(&ReportSection) -> String| {
            Value::Object(self.sections.iter().map(|s| (s.title.clone(), Value::from(of(s)))).collect())
        };
        all.insert("answers".into(), by_title(&|s| s.answer.word().into()));
        all.insert("verdicts".into(), by_title(&|s| format!("{} {}", s.verdict, s.evidence)));
        all
    }

    /// Writes `report.html`, `report.json`, `figures/*` and the coloured surfaces into `folder`, which is made where it does
    /// not exist.
    ///
    /// # Errors
    /// Files and folders that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), ReportError> {
        let io = |path: &Path| {
            let path = path.to_path_buf();
            move |source| ReportError::Io { path, source }
        };
        let figures = folder.join("figures");
        std::fs::create_dir_all(&figures).map_err(io(&figures))?;
        let html = self.html(&figures)?.into_string();
        let json = serde_json::to_string_pretty(&self.json()).unwrap_or_default() + "\n";
        for (name, text) in [("report.html", html), ("report.json", json)] {
            let path = folder.join(name);
            nstr_files::write(&path, text.as_bytes()).map_err(io(&path))?;
        }
        self.surface.as_ref().map_or(Ok(()), |surface| Ok(surface.write(folder)?))
    }

    /// The page; every figure is written to `figures` on the way.
    fn html(&self, figures: &Path) -> Result<Markup, ReportError> {
        let sections = self.sections.iter().map(|section| {
            section.parts.iter().map(|part| part.html(figures)).collect::<Result<Vec<Markup>, ReportError>>()
        });
        let sections = sections.collect::<Result<Vec<_>, _>>()?;
        Ok(html! {
            (DOCTYPE) "\n"
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (self.title) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    h1 { (self.title) }
                    @if let Some(first) = self.sections.first() {
                        p class={ "lead " (first.answer.word()) } { (first.verdict) } "\n"
                    }
                    @if self.sections.len() > 1 {
                        ul.short {
                            @for (i, section) in self.sections.iter().enumerate() {
                                li {
                                    span class={ "answer " (section.answer.word()) } { (section.answer.word()) }
                                    " " a href={ "#s" (i) } { (section.title) }
                                    @if i > 0 { ": " (section.verdict) }
                                } "\n"
                            }
                        }
                    }
                    dl {
                        @for (name, value) in &self.facts { dt { (name) } dd { (value) } "\n" }
                    }
                    @for (i, (section, parts)) in self.sections.iter().zip(&sections).enumerate() {
                        section id={ "s" (i) } {
                            h2 {
                                (section.title) " "
                                span class={ "answer " (section.answer.word()) } { (section.answer.word()) }
                            }
                            p class={ "evidence " (section.answer.word()) } { (section.evidence) }
                            @for part in parts { "\n" (part) }
                        }
                    }
                }
            }
            "\n"
        })
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
.lead { font-size: 1.3rem; line-height: 1.35; font-weight: 600; border-left: 6px solid #777; padding: .5rem .9rem; margin: 1rem 0; }
.lead.yes, .evidence.yes { border-color: #1a7f4b; background: #eef8f2; }
.lead.no, .evidence.no { border-color: #b3400f; background: #fdf3ee; }
.lead.open, .evidence.open { border-color: #777; background: #f4f4f4; }
.short { list-style: none; padding: 0; margin: 0 0 1.4rem; }
.short li { margin: .35rem 0; }
.answer { display: inline-block; min-width: 2.6rem; text-align: center; font-size: .8rem; font-weight: 600; color: #fff;
  border-radius: .25rem; padding: 0 .4rem; background: #666; vertical-align: .08em; }
.answer.yes { background: #1a7f4b; } .answer.no { background: #b3400f; }
.evidence { border-left: 4px solid; padding: .6rem .9rem; margin: .8rem 0 1.2rem; }
figure { margin: 1.2rem 0; }
figcaption { color: #555; font-size: .9rem; max-width: 52rem; margin-top: .35rem; }
figure > svg { max-width: 100%; height: auto; }
.row { display: flex; flex-wrap: wrap; gap: .8rem; }
.row figure { margin: 0; flex: 0 1 calc(50% - .4rem); min-width: 16rem; }
.row.many figure { flex-basis: calc(25% - .6rem); min-width: 12rem; }
.row figure.wide { max-width: 100%; flex-basis: 100%; }
.row img { width: 100%; height: auto; image-rendering: auto; background: #fafafa; border: 1px solid #e4e4e4; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .28rem .8rem .28rem 0; border-bottom: 1px solid #eee; vertical-align: top; white-space: nowrap; }
th { color: #555; font-weight: 600; border-bottom-color: #bbb; }
tr.strong td { font-weight: 600; }
@media print { section { break-inside: avoid-page; } }
";

impl ReportPart {
    /// The part as HTML; its figures are written to `figures` on the way.
    fn html(&self, figures: &Path) -> Result<Markup, ReportError> {
        Ok(match self {
            Self::Text(text) => html! { p { (text) } },
            Self::Table(table, caption) => html! {
                figure {
                    div.scroll { (table.html()) }
                    figcaption { (caption) }
                }
            },
            Self::Chart(name, chart, caption) => {
                chart.write(&figures.join(format!("{name}.svg")))?;
                let svg = chart.svg()?;
                let svg = svg.trim_start_matches("<?xml version=\"1.0\" encoding=\"UTF-8\"?>").trim();
                html! { figure { (PreEscaped(svg)) figcaption { (caption) } } }
            }
            Self::Pictures(pictures, caption) => {
                let pictures = pictures.iter().map(|p| p.html(figures)).collect::<Result<Vec<_>, _>>()?;
                html! {
                    figure {
                        div class=(if pictures.len() > 5 { "row many" } else { "row" }) { @for picture in &pictures { (picture) "\n" } }
                        figcaption { (caption) }
                    }
                }
            }
        })
    }
}

impl ReportImage {
    /// The picture and its caption as HTML; the picture is written to `figures` on the way.
    fn html(&self, figures: &Path) -> Result<Markup, ReportError> {
        let path = figures.join(format!("{}.png", self.name));
        png::write(&path, &self.image)?;
        let bytes = std::fs::read(&path).map_err(|source| ReportError::Io { path, source })?;
        let (width, height) = (self.image.width, self.image.height);
        Ok(html! {
            figure.wide[width > 2 * height] {
                img alt=(self.caption) width=(width) height=(height)
                    src={ "data:image/png;base64," (STANDARD.encode(bytes)) };
                figcaption { (self.caption) }
            }
        })
    }
}

impl ReportTable {
    fn html(&self) -> Markup {
        html! {
            table {
                thead { tr { @for cell in &self.header { th { (cell) } } } }
                tbody {
                    @for (i, row) in self.rows.iter().enumerate() {
                        tr.strong[self.strong.contains(&i)] { @for cell in row { td { (cell) } } } "\n"
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nstr_plot::Axis;

    #[test]
    fn one_page_holds_everything_and_escapes_what_it_is_given() {
        let folder = tempfile::tempdir().unwrap();
        let mut section = ReportSection::new("A <question>");
        (section.answer, section.verdict) = (Answer::No, "5 > 4 & \"so on\".".into());
        section.evidence = "n = 5.".into();
        section.text("Text.");
        let mut table = ReportTable::new(["a", "b"]);
        table.row(["1".into(), "<2>".into()]);
        table.strong.push(0);
        section.parts.push(ReportPart::Table(table, "Cells.".into()));
        let mut chart = Chart::new("Chart", Axis::linear("x"), Axis::linear("y"));
        chart.points("dots", [(0.0, 1.0), (1.0, 2.0)]);
        section.parts.push(ReportPart::Chart("dots".into(), chart, "Dots.".into()));
        let image = Rgba8::from_fn(4, 3, |i| [i as u8 * 20, 0, 0, 255]);
        section.parts.push(ReportPart::Pictures(vec![ReportImage::new("red", image.clone(), "Red.")], "All.".into()));
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
        // The verdict comes before everything but the title, and once; its numbers are in the section.
        let verdict = "<p class=\"lead no\">5 &gt; 4 &amp; &quot;so on&quot;.</p>";
        assert_eq!(page.matches("so on").count(), 1);
        assert!(page.find(verdict).unwrap() < page.find("<dl>").unwrap());
        assert!(page.find("<p class=\"evidence no\">n = 5.</p>").unwrap() > page.find("id=\"s0\"").unwrap());
        assert!(
            !page.contains("http://") || page.matches("http://").count() == page.matches("http://www.w3.org").count()
        );
        let json: Value = serde_json::from_slice(&std::fs::read(at.join("report.json")).unwrap()).unwrap();
        assert_eq!(json["answer"]["n"], 5);
        assert_eq!(json["answers"]["A <question>"], "no");
        assert_eq!(json["verdicts"]["A <question>"], "5 > 4 & \"so on\". n = 5.");
        assert_eq!(png::read(&at.join("figures/red.png")).unwrap(), image);
        assert!(at.join("figures/dots.svg").exists());
        std::fs::write(folder.path().join("file"), "x").unwrap();
        assert!(report.write(&folder.path().join("file")).unwrap_err().to_string().contains("file"));
    }
}
