//! Line plots as SVG, for pages and as files of their own.

use std::fmt::{Display, Write as _};
use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::RelativeSize;

/// How a series is drawn, and how its legend shows it.
struct Stroke {
    colour: RGBColor,
    dashes: &'static str,
}

/// Okabe and Ito's colours, which people with any colour vision tell apart, without the yellow and the black
/// that one of the two backgrounds would swallow. The dashes tell them apart in print.
const STROKES: [Stroke; 6] = [
    Stroke { colour: RGBColor(0x00, 0x72, 0xb2), dashes: "none" },
    Stroke { colour: RGBColor(0xd5, 0x5e, 0x00), dashes: "16 7" },
    Stroke { colour: RGBColor(0x00, 0x9e, 0x73), dashes: "4 6" },
    Stroke { colour: RGBColor(0xcc, 0x79, 0xa7), dashes: "22 6 4 6" },
    Stroke { colour: RGBColor(0xe6, 0x9f, 0x00), dashes: "10 4" },
    Stroke { colour: RGBColor(0x56, 0xb4, 0xe9), dashes: "14 5 4 5 4 5" },
];

/// Outlines in pixels: disc, triangle, square, triangle on its head, diamond, hourglass. They differ without their colours.
const MARKERS: [&[(i32, i32)]; 6] = [
    &[(-3, -8), (3, -8), (8, -3), (8, 3), (3, 8), (-3, 8), (-8, 3), (-8, -3)],
    &[(0, -12), (11, 8), (-11, 8)],
    &[(-8, -8), (8, -8), (8, 8), (-8, 8)],
    &[(0, 12), (11, -8), (-11, -8)],
    &[(0, -12), (12, 0), (0, 12), (-12, 0)],
    &[(-9, -9), (9, -9), (-9, 9), (9, 9)],
];

/// Stand-in for the colour of axes and text: the style sheet replaces it, by light or dark.
const INK: RGBColor = RGBColor(0x55, 0x55, 0x56);
/// Stand-in for the colour of the grid.
const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xde);
/// What the style sheet's colours are where no page says so: those of the pages.
pub(super) const COLOURS: &str = "svg{--muted:#5c6268;--line:#dcdfe2}\
    @media(prefers-color-scheme:dark){svg{--muted:#a3abb3;--line:#34393f}}";

/// Pixels are integers to the drawing library: drawn at twice the size it is shown at, curves stay smooth.
const SIZE: (u32, u32) = (1520, 620);
const FONT_SIZE: u32 = 30;
/// Up to this many points a series shows each.
const MARKED: usize = 30;
/// Of the legend of a file: keys in a line, and the height of a line.
const KEYS: i32 = 3;
const KEY_HEIGHT: i32 = 48;

type DrawingError = DrawingAreaErrorKind<std::io::Error>;

/// Lines on a value axis from zero. They differ by colour, dashes and, where there are few points, by marker.
pub struct LinePlot {
    /// The title of the horizontal axis.
    pub across: String,
    /// What stands at each place of the horizontal axis, at equal distances; of none, places are numbers, from 0 on.
    pub places: Vec<String>,
    /// The title of the value axis; empty where a heading says what is shown.
    pub down: &'static str,
    /// Where the value axis ends; `None`: a little above the highest value.
    pub top: Option<f64>,
    /// The lines.
    pub series: Vec<Series>,
}

/// One line of a plot.
pub struct Series {
    /// What it shows, as the legend says.
    pub label: String,
    /// Place and value, in ascending order of places. A value that is not finite interrupts the line.
    pub points: Vec<(u32, f64)>,
}

/// The rules that give the plots of a page the page's colours, and each stroke its dashes.
pub(super) fn style_sheet() -> String {
    let mut css = format!(
        "svg [fill=\"{ink}\"]{{fill:var(--muted)}}svg [stroke=\"{ink}\"]{{stroke:var(--muted)}}\
         svg [stroke=\"{grid}\"]{{stroke:var(--line)}}",
        ink = hex(INK),
        grid = hex(GRID)
    );
    for Stroke { colour, dashes } in &STROKES {
        // Writing to a string cannot fail.
        let _ = write!(css, "polyline[stroke=\"{}\"]{{stroke-dasharray:{dashes}}}", hex(*colour));
    }
    css
}

/// The line that stands for a stroke in a legend, as SVG, with its marker if the plot `marks` points.
pub(super) fn legend_line(stroke: usize, marks: bool) -> String {
    let colour = hex(colour(stroke));
    let mut marker = String::new();
    if marks {
        let points = MARKERS[stroke % MARKERS.len()].iter().map(|(x, y)| format!("{},{}", x + 44, y + 12));
        let points: Vec<_> = points.collect();
        marker = format!("<polygon points=\"{}\" fill=\"{colour}\"/>", points.join(" "));
    }
    format!(
        "<svg class=\"key\" viewBox=\"0 0 88 24\" aria-hidden=\"true\"><polyline points=\"0,12 88,12\" \
         fill=\"none\" stroke=\"{colour}\" stroke-width=\"5\"/>{marker}</svg>"
    )
}

impl LinePlot {
    /// `series` over rounds.
    pub fn over_rounds(series: Vec<Series>) -> Self {
        LinePlot { across: "round".to_owned(), places: Vec::new(), down: "", top: None, series }
    }

    /// The plot as SVG without a title or legend, in the colours of the page around it; `None` if there is nothing finite
    /// to show.
    ///
    /// # Errors
    /// What the drawing library reports, as text.
    pub fn svg(&self) -> Result<Option<String>, String> {
        let is_shown = self.finite().next().is_some();
        is_shown.then(|| self.drawn(0)).transpose().map_err(|error| error.to_string())
    }

    /// The plot as an SVG file of its own, below a legend. The ground is that of whatever shows it, light or dark.
    ///
    /// # Errors
    /// What the drawing library reports, as text.
    pub fn file(&self) -> Result<String, String> {
        let lines = self.series.len().div_ceil(KEYS as usize) as u32;
        let mut svg = self.drawn(lines * KEY_HEIGHT as u32).map_err(|error| error.to_string())?;
        let body = svg.find('>').map_or(0, |end| end + 1);
        svg.insert_str(body, &format!("\n<style>{COLOURS}{}</style>", style_sheet()));
        Ok(svg)
    }

    /// The plot below a legend of that height, which is left out if it has none.
    fn drawn(&self, legend_height: u32) -> Result<String, DrawingError> {
        let mut svg = String::new();
        let size = (SIZE.0, SIZE.1 + legend_height);
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let (legend, plot) = area.split_vertically(legend_height);
        if legend_height > 0 {
            self.draw_legend(&legend)?;
        }
        self.draw(&plot)?;
        area.present()?;
        drop((area, legend, plot));
        Ok(svg)
    }

    /// Whether each point has a marker.
    pub(super) fn marks(&self) -> bool {
        self.series.iter().all(|series| series.points.len() <= MARKED)
    }

    fn finite(&self) -> impl Iterator<Item = (u32, f64)> {
        self.series.iter().flat_map(|series| &series.points).copied().filter(|(_, value)| value.is_finite())
    }

    /// Where the value axis ends.
    fn top(&self) -> f64 {
        self.top.unwrap_or_else(|| {
            let highest = self.finite().map(|(_, value)| value).fold(0.0, f64::max);
            // Of zeros there is still an axis.
            if highest > 0.0 { (highest * 1.05).min(f64::MAX) } else { 1.0 }
        })
    }

    fn draw_legend(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), DrawingError> {
        let font = font();
        for ((place, stroke), series) in (0..).zip(0..).zip(&self.series) {
            let x = place % KEYS * (SIZE.0.cast_signed() / KEYS) + 40;
            let y = place / KEYS * KEY_HEIGHT + KEY_HEIGHT / 2;
            area.draw(&PathElement::new([(x, y), (x + 80, y)], colour(stroke).stroke_width(5)))?;
            area.draw(&(EmptyElement::at((x + 40, y)) + marker(stroke)))?;
            area.draw(&Text::new(series.label.clone(), (x + 96, y - 16), font.clone()))?;
        }
        Ok(())
    }

    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), DrawingError> {
        let top = self.top();
        let mut chart = ChartBuilder::on(area)
            .margin_top(18)
            .margin_right(44)
            .x_label_area_size(88)
            .y_label_area_size(if self.down.is_empty() { 96 } else { 120 })
            .build_cartesian_2d(self.scale(), 0.0..top)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.stroke_width(2))
            .axis_style(INK.stroke_width(2))
            .y_labels(9)
            .set_all_tick_mark_size(RelativeSize::Smaller(0.012))
            .x_label_style(font())
            .y_label_style(font())
            .axis_desc_style(font())
            .x_desc(self.across.as_str())
            .y_desc(self.down)
            .x_label_formatter(&|place| self.label(*place))
            .y_label_formatter(&|value| tick(*value, top))
            .draw()?;
        for (stroke, Series { points, .. }) in self.series.iter().enumerate() {
            for segment in points.split(|(_, value)| !value.is_finite()) {
                let line: Vec<_> = segment.iter().map(|&(place, value)| (f64::from(place), value)).collect();
                // A line of one point would be invisible.
                if self.marks() || line.len() == 1 {
                    chart.draw_series(line.iter().map(|&point| EmptyElement::at(point) + marker(stroke)))?;
                }
                if line.len() > 1 {
                    chart.draw_series([PathElement::new(line, colour(stroke).stroke_width(5))])?;
                }
            }
        }
        Ok(())
    }

    /// The horizontal axis.
    fn scale(&self) -> Scale {
        if self.places.is_empty() {
            // Of place 0 alone there is still an axis.
            let last = self.finite().map(|(place, _)| place).fold(1, u32::max);
            let steps = (0..10).flat_map(|zeros| [1, 2, 5].map(|digit| digit * 10u64.pow(zeros)));
            let step = steps.into_iter().find(|step| u64::from(last) / step <= 8).unwrap_or(1 << 30);
            let labelled = (0..=last).step_by(step as usize).map(f64::from).collect();
            return Scale { ends: (0.0..f64::from(last)).into(), labelled };
        }
        let labelled: Vec<f64> = (0..self.places.len()).map(|place| place as f64).collect();
        // Markers at either end are seen whole.
        Scale { ends: (-0.1..labelled.len().max(2) as f64 - 0.9).into(), labelled }
    }

    fn label(&self, place: f64) -> String {
        self.places.get(place as usize).cloned().unwrap_or_else(|| format!("{place:.0}"))
    }
}

/// Where a horizontal axis ends, and which of its places have a label.
struct Scale {
    ends: RangedCoordf64,
    labelled: Vec<f64>,
}

impl Ranged for Scale {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, place: &f64, limit: (i32, i32)) -> i32 {
        self.ends.map(place, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.labelled.clone()
    }

    fn range(&self) -> Range<f64> {
        self.ends.range()
    }
}

/// The colour of a stroke.
fn colour(stroke: usize) -> RGBColor {
    STROKES[stroke % STROKES.len()].colour
}

/// The marker of a stroke, around the point where it is drawn.
fn marker(stroke: usize) -> Polygon<(i32, i32)> {
    Polygon::new(MARKERS[stroke % MARKERS.len()], colour(stroke).filled())
}

fn font() -> TextStyle<'static> {
    ("system-ui, sans-serif", FONT_SIZE).into_font().color(&INK)
}

/// A value of an axis that ends at `top`, with the digits that tell the ticks apart.
fn tick(value: f64, top: f64) -> String {
    match top {
        _ if value == 0.0 => "0".to_owned(),
        10.0..1e5 => format!("{value:.0}"),
        2.0..10.0 => format!("{value:.1}"),
        0.05..2.0 => format!("{value:.2}"),
        1e-3..0.05 => format!("{value:.4}"),
        _ => format!("{value:.1e}"),
    }
}

/// As the SVG backend writes it, which the style sheet's selectors depend on.
fn hex(RGBColor(red, green, blue): RGBColor) -> impl Display {
    format!("#{red:02X}{green:02X}{blue:02X}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: Vec<(u32, f64)>) -> Option<String> {
        LinePlot::over_rounds(vec![Series { label: "a".into(), points }]).svg().unwrap()
    }

    fn lines_and_markers(svg: &str) -> (usize, usize) {
        // Axes and grid are polylines too, of other colours.
        let line = format!("stroke=\"{}\"", hex(STROKES[0].colour));
        let lines = svg.lines().filter(|tag| tag.starts_with("<polyline") && tag.contains(&line));
        (lines.count(), svg.matches("<polygon").count())
    }

    #[test]
    fn nothing_finite_is_no_plot() {
        assert_eq!(LinePlot::over_rounds(Vec::new()).svg(), Ok(None));
        assert_eq!(plot(vec![]), None);
        assert_eq!(plot(vec![(1, f64::NAN), (2, f64::INFINITY)]), None);
    }

    #[test]
    fn a_single_point_is_a_marker() {
        for (round, value) in [(0, 0.0), (1, 0.5), (u32::MAX, 1e300), (7, f64::MAX), (7, 1e-300)] {
            assert_eq!(lines_and_markers(&plot(vec![(round, value)]).unwrap()), (0, 1), "{round} {value}");
        }
    }

    #[test]
    fn a_value_that_is_not_finite_interrupts_the_line() {
        let values = (0..100).map(|round| (round, if round == 50 { f64::NAN } else { 0.5 }));
        assert_eq!(lines_and_markers(&plot(values.collect()).unwrap()), (2, 0));
    }

    #[test]
    fn rounds_are_whole_numbers_on_the_axis() {
        let svg = plot(vec![(1, 0.9), (2, 0.5), (3, 0.1)]).unwrap();
        let labels: Vec<_> = svg.lines().filter(|line| ["1", "2", "3"].contains(line)).collect();
        assert_eq!(labels, ["1", "2", "3"], "{svg}");
        assert!(!svg.contains("\n1.5\n"));
    }

    #[test]
    fn the_style_sheet_finds_the_colours_that_the_plot_uses() {
        let svg = plot((1..100).map(|round| (round, 0.5)).collect()).unwrap();
        for colour in [INK, GRID, STROKES[0].colour] {
            let attribute = format!("stroke=\"{}\"", hex(colour));
            assert!(svg.contains(&attribute) && style_sheet().contains(&attribute), "{attribute}");
        }
    }

    #[test]
    fn ticks_show_the_digits_that_tell_them_apart() {
        let shown = [(0.0, 1.0), (0.2, 0.9), (1.5, 3.0), (20.0, 70.0), (0.002, 0.01), (1e30, 3e30)];
        assert_eq!(
            shown.map(|(value, top)| tick(value, top)),
            ["0", "0.20", "1.5", "20", "0.0020", "1.0e30"]
        );
    }

    /// Six lines over four places, as a file.
    fn file() -> String {
        let points: Vec<_> = (0..4).map(|place| (place, 0.5)).collect();
        let line = |label: &str| Series { label: label.to_owned(), points: points.clone() };
        let plot = LinePlot {
            across: "share".to_owned(),
            places: ["0", "0.5", "0.9", "1"].map(str::to_owned).to_vec(),
            down: "testing error rate",
            top: Some(1.0),
            series: ["a", "b", "c", "d", "e", "f"].map(line).into(),
        };
        plot.file().unwrap()
    }

    #[test]
    fn the_legend_of_a_file_lies_above_the_curves_and_not_on_them() {
        let svg = file();
        for label in ["a", "b", "c", "d", "e", "f"] {
            let text = svg.lines().zip(svg.lines().skip(1)).find(|(_, text)| *text == label);
            let (tag, _) = text.unwrap_or_else(|| panic!("no {label}"));
            let y = tag.split(" y=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
            assert!(y.parse::<i32>().unwrap() < 2 * KEY_HEIGHT, "{tag}");
        }
        assert!(
            ["0", "0.5", "0.9", "1", "share", "testing error rate"].iter().all(|text| svg.contains(text))
        );
    }

    #[test]
    fn a_file_brings_no_ground_of_its_own_and_follows_light_and_dark() {
        let svg = file();
        assert!(!svg.to_lowercase().contains("\"#ffffff\""));
        assert!(svg.contains("prefers-color-scheme:dark") && svg.contains("stroke-dasharray"));
        assert!(!svg.contains("\"#000000\""), "a colour that does not follow");
    }
}
