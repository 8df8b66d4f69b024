//! Shapes and text as SVG, and the colours that they have.

use std::fmt::Write;

/// Where text stands from its place.
#[derive(Clone, Copy)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

/// Colours of series: the name, on light and on dark. Each stands out from its
/// background at 4.5 to 1 and more, and from the others also for the colour-blind.
const SERIES: [(&str, &str, &str); 5] = [
    ("grey", "#59636e", "#9da7b3"),
    ("c0", "#0969da", "#58a6ff"),
    ("c1", "#b45309", "#f0a04b"),
    ("c2", "#0f766e", "#2dd4bf"),
    ("c3", "#7c3aed", "#c4a7ff"),
];

/// Different colours that there are, besides grey.
pub const COLOURS: usize = SERIES.len() - 1;

/// Everything else: the classes, what of them, on light and on dark.
const REST: [(&str, &str, &str, &str); 8] = [
    (".paper,.hole", "fill", "#ffffff", "#0d1117"),
    (".value,.missed", "stroke", "#ffffff", "#0d1117"),
    (".title,.text,.value", "fill", "#1f2328", "#e6edf3"),
    (".whisker", "stroke", "#1f2328", "#e6edf3"),
    (".dim", "fill", "#59636e", "#9da7b3"),
    (".axis", "stroke", "#59636e", "#9da7b3"),
    (".grid", "stroke", "#dfe3e8", "#2a313c"),
    (".goal,.ring", "stroke", "#b3141d", "#ff8f87"),
];

/// What is the same on light and on dark. Values have a rim in the colour of
/// the paper, for where a line passes behind them.
const SHAPES: &str = "\
text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;\
font-size:13px}
.title{font-size:18px;font-weight:600}
.value,.missed{font-size:12px;paint-order:stroke;stroke-width:4;stroke-linejoin:round}
.missed{font-weight:700}
.grid,.axis{stroke-width:1}
.line{fill:none;stroke-width:2.2;stroke-linejoin:round}
.goal{stroke-width:1.6;stroke-dasharray:7 4}
.whisker{stroke-width:1.4}
.hole,.bar{stroke-width:2}
.bar{fill-opacity:0.45}
.ring{fill:none;stroke-width:2}
.dash1{stroke-dasharray:6 4}
.dash2{stroke-dasharray:2 3}
";

/// A picture in the making.
#[derive(Default)]
pub struct Canvas {
    shapes: String,
}

impl Canvas {
    pub fn text(&mut self, x: f64, y: f64, class: &str, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let text = escaped(text);
        self.add(format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\"{anchor}>{text}</text>"
        ));
    }

    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.add(format_args!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    /// A rectangle between these corners; of no height where it would be less.
    pub fn rect(&mut self, corner: (f64, f64), other: (f64, f64), class: &str) {
        let ((x, y), width) = (corner, other.0 - corner.0);
        let height = (other.1 - y).max(0.0);
        self.add(format_args!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
        ));
    }

    /// A line through these points.
    pub fn path(&mut self, points: impl Iterator<Item = (f64, f64)>, class: &str) {
        let points: Vec<String> = points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let points = points.join(" ");
        self.add(format_args!(
            "<polyline class=\"{class}\" points=\"{points}\"/>"
        ));
    }

    /// A small mark: a circle, a square, a diamond or a triangle.
    pub fn marker(&mut self, shape: usize, (x, y): (f64, f64), class: &str) {
        let corners: &[(f64, f64)] = match shape % COLOURS {
            0 => {
                return self.add(format_args!(
                    "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"/>"
                ));
            }
            1 => &[(-4.5, -4.5), (4.5, -4.5), (4.5, 4.5), (-4.5, 4.5)],
            2 => &[(0.0, -6.0), (6.0, 0.0), (0.0, 6.0), (-6.0, 0.0)],
            _ => &[(0.0, -6.0), (6.0, 4.5), (-6.0, 4.5)],
        };
        let corners = corners
            .iter()
            .map(|(dx, dy)| format!("{:.1},{:.1}", x + dx, y + dy));
        let corners: Vec<String> = corners.collect();
        let corners = corners.join(" ");
        self.add(format_args!(
            "<polygon class=\"{class}\" points=\"{corners}\"/>"
        ));
    }

    /// Around a mark.
    pub fn ring(&mut self, (x, y): (f64, f64)) {
        self.add(format_args!(
            "<circle class=\"ring\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"9\"/>"
        ));
    }

    fn add(&mut self, shape: std::fmt::Arguments) {
        writeln!(self.shapes, "{shape}").expect("a string takes all");
    }

    /// The text of the file.
    pub fn file(self, (width, height): (f64, f64), title: &str, description: &str) -> String {
        let (title, description) = (escaped(title), escaped(description));
        let (style, shapes) = (style(), self.shapes);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-labelledby=\"title description\">\n\
             <title id=\"title\">{title}</title>\n\
             <desc id=\"description\">{description}</desc>\n\
             <style>\n{style}</style>\n\
             <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n\
             {shapes}</svg>\n"
        )
    }
}

fn style() -> String {
    let (mut light, mut dark) = (String::new(), String::new());
    let mut add = |classes: &str, of: &str, on_light: &str, on_dark: &str| {
        for (text, colour) in [(&mut light, on_light), (&mut dark, on_dark)] {
            writeln!(text, "{classes}{{{of}:{colour}}}").expect("a string takes all");
        }
    };
    for (classes, of, on_light, on_dark) in REST {
        add(classes, of, on_light, on_dark);
    }
    // What is missed is said in the colour of the goal.
    add(".missed", "fill", "#b3141d", "#ff8f87");
    for (name, on_light, on_dark) in SERIES {
        add(&format!(".{name}-line"), "stroke", on_light, on_dark);
        add(&format!(".{name}-fill"), "fill", on_light, on_dark);
    }
    format!("{SHAPES}{light}@media (prefers-color-scheme:dark){{\n{dark}}}\n")
}

/// How wide text is at the most, in any usual font.
pub fn text_width(text: &str) -> f64 {
    let width = |c: char| match c {
        'i' | 'j' | 'l' | 't' | 'f' | 'r' | ' ' | '.' | ',' | ':' | ';' | '\'' | '-' => 5.4,
        'm' | 'w' | '%' => 12.6,
        c if c.is_uppercase() => 10.4,
        c if c.is_ascii() => 8.3,
        // A whole square of it, as in Chinese.
        _ => 13.0,
    };
    text.chars().map(width).sum()
}

/// Text in lines that are no wider than this, broken between words.
pub fn wrapped(text: &str, width: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if text_width(line) + text_width(word) < width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Text that is none of the markup around it.
pub fn escaped(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            // XML knows no other control characters.
            c if c.is_control() && c != '\n' => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}
