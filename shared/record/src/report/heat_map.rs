//! Heat maps of shares as SVG, for pages and as files of their own.

use maud::{Markup, PreEscaped, html};

use super::plot::COLOURS;

/// A table of shares by colour, with the numbers on it.
pub struct HeatMap {
    /// What the rows are, from above.
    pub rows: Vec<String>,
    /// What the columns are, from the left.
    pub columns: Vec<String>,
    /// Of each row and column, row by row: a share, if there is one, and whether it has a frame.
    pub cells: Vec<(Option<f64>, bool)>,
}

/// Colours at 0, 1/3, 2/3 and 1: darker and darker, so that print and any colour vision keep the order.
const COLOUR_SCALE: [[f64; 3]; 4] =
    [[255.0, 247.0, 236.0], [253.0, 187.0, 132.0], [215.0, 48.0, 31.0], [90.0, 0.0, 12.0]];
/// From this share on, numbers are light.
const LIGHT_FROM: f64 = 0.5;
/// Width and height of a cell, about the width of a letter, and what lies between labels and cells, in pixels.
const CELL: (usize, usize) = (46, 30);
const LETTER: usize = 8;
const GAP: usize = 8;

impl HeatMap {
    /// The heat map in the colours of the page around it; `title` says what it shows to who cannot see.
    pub fn figure(&self, title: &str) -> Markup {
        html! { figure { div role="img" aria-label=(title) { (self.svg(None)) } } }
    }

    /// The heat map as an SVG file of its own. The ground is that of whatever shows it, light or dark.
    pub fn file(&self) -> String {
        self.svg(Some(COLOURS)).into_string()
    }

    fn svg(&self, style: Option<&str>) -> Markup {
        let letters = |labels: &[String]| labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
        let left = letters(&self.rows) * LETTER + GAP;
        // Labels of columns rise to the right, at 45 degrees.
        let slant = letters(&self.columns) * LETTER * 3 / 4;
        let top = slant + 2 * GAP;
        let (width, height) =
            (left + self.columns.len() * CELL.0 + slant, top + self.rows.len() * CELL.1 + GAP);
        let x = |column: usize| left + column * CELL.0;
        let y = |row: usize| top + row * CELL.1;
        html! {
            svg xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {width} {height}"))
                font-family="system-ui, sans-serif" font-size="13" {
                @if let Some(style) = style { style { (PreEscaped(style)) } }
                @for (column, label) in self.columns.iter().enumerate() {
                    @let (x, y) = (x(column) + CELL.0 / 2, top - GAP);
                    text x=(x) y=(y) transform=(format!("rotate(-45 {x} {y})")) style="fill:var(--muted)" { (label) }
                }
                @for (row, label) in self.rows.iter().enumerate() {
                    text x=(left - GAP) y=(y(row) + CELL.1 / 2) text-anchor="end" dominant-baseline="central"
                        style="fill:var(--muted)" { (label) }
                }
                @for (place, (share, framed)) in self.cells.iter().enumerate() {
                    @let (x, y) = (x(place % self.columns.len()), y(place / self.columns.len()));
                    @if let Some(share) = share {
                        rect x=(x + 1) y=(y + 1) width=(CELL.0 - 2) height=(CELL.1 - 2) fill=(colour(*share)) {}
                        @if *framed {
                            rect x=(x + 2) y=(y + 2) width=(CELL.0 - 4) height=(CELL.1 - 4) fill="none"
                                style="stroke:var(--muted)" stroke-width="4" {}
                        }
                        text x=(x + CELL.0 / 2) y=(y + CELL.1 / 2) text-anchor="middle" dominant-baseline="central"
                            font-weight=(if *framed { "700" } else { "400" })
                            fill=(if *share < LIGHT_FROM { "#1c1e21" } else { "#ffffff" }) { (format!("{share:.2}")) }
                    } @else {
                        text x=(x + CELL.0 / 2) y=(y + CELL.1 / 2) text-anchor="middle" dominant-baseline="central"
                            style="fill:var(--muted)" { "-" }
                    }
                }
            }
        }
    }
}

/// The colour of a share.
fn colour(share: f64) -> String {
    let place = share.clamp(0.0, 1.0) * (COLOUR_SCALE.len() - 1) as f64;
    let below = (place as usize).min(COLOUR_SCALE.len() - 2);
    let between = place - below as f64;
    let channel = |channel: usize| {
        let (low, high) = (COLOUR_SCALE[below][channel], COLOUR_SCALE[below + 1][channel]);
        (low + (high - low) * between).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", channel(0), channel(1), channel(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> String {
        let labels = |labels: [&str; 2]| labels.map(str::to_owned).to_vec();
        let cells = vec![(Some(0.0), false), (Some(1.0), true), (None, false), (Some(0.25), false)];
        HeatMap { rows: labels(["none", "a < b"]), columns: labels(["mean", "krum"]), cells }.file()
    }

    #[test]
    fn the_least_is_light_and_the_most_dark() {
        assert_eq!(colour(0.0), "#fff7ec");
        assert_eq!(colour(1.0), "#5a000c");
        assert_eq!([colour(-3.0), colour(7.0)], [colour(0.0), colour(1.0)]);
        let brightness = |share: f64| {
            let hex = colour(share);
            (1..7).step_by(2).map(|at| u32::from_str_radix(&hex[at..at + 2], 16).unwrap()).sum::<u32>()
        };
        assert!(
            (0..100)
                .all(|step| brightness(f64::from(step + 1) / 100.0) < brightness(f64::from(step) / 100.0))
        );
    }

    #[test]
    fn each_cell_has_its_number_and_one_that_stands_out_a_frame() {
        let svg = file();
        for number in [">0.00<", ">1.00<", ">0.25<", ">-<"] {
            assert_eq!(svg.matches(number).count(), 1, "{number}: {svg}");
        }
        assert_eq!(svg.matches("stroke-width").count(), 1);
        assert_eq!(svg.matches("<rect").count(), 4);
        assert_eq!(svg.matches("</rect>").count(), 4, "what is not closed swallows what follows");
    }

    #[test]
    fn labels_are_escaped() {
        assert!(file().contains("a &lt; b") && !file().contains("a < b"));
    }
}
