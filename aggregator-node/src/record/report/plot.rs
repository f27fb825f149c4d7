//! Line plots over rounds, as SVG.

use std::fmt::{Display, Write as _};

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

/// Stand-in for the colour of axes and text: the style sheet replaces it, by light or dark.
pub const INK: RGBColor = RGBColor(0x55, 0x55, 0x56);
/// Stand-in for the colour of the grid.
pub const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xde);

/// Pixels are integers to the drawing library: drawn at twice the size it is shown at, curves stay smooth.
const SIZE: (u32, u32) = (1520, 620);
const FONT_SIZE: u32 = 30;
/// Up to this many points a series shows each.
const MARKED: usize = 30;

/// The colour of a stroke; beyond the number of strokes they repeat.
pub fn colour(stroke: usize) -> RGBColor {
    STROKES[stroke % STROKES.len()].colour
}

/// Values over rounds, in ascending order of rounds. A value that is not finite interrupts the line.
pub(super) struct Series {
    /// Which stroke; beyond the number of strokes they repeat.
    pub(super) stroke: usize,
    /// Round and value.
    pub(super) points: Vec<(u32, f64)>,
}

/// The rules that give the plots of a page the page's colours, and each stroke its dashes.
pub fn style_sheet() -> String {
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

/// The line that stands for a stroke in a legend, as SVG.
pub(super) fn legend_line(stroke: usize) -> String {
    let colour = hex(colour(stroke));
    format!(
        "<svg class=\"key\" viewBox=\"0 0 88 12\" aria-hidden=\"true\"><polyline points=\"0,6 88,6\" \
         fill=\"none\" stroke=\"{colour}\" stroke-width=\"5\"/></svg>"
    )
}

/// Plots `series` over rounds on a value axis from zero, as SVG without a title; `None` if there is nothing
/// finite to show.
///
/// # Errors
/// What the drawing library reports, as text.
pub(super) fn over_rounds(series: &[Series]) -> Result<Option<String>, String> {
    let points = || series.iter().flat_map(|series| &series.points).filter(|(_, value)| value.is_finite());
    let Some(last) = points().map(|&(round, _)| round).max() else { return Ok(None) };
    let highest = points().map(|&(_, value)| value).fold(0.0, f64::max);
    // Of round 0 alone, or of zeros, there is still an axis.
    let top = if highest > 0.0 { (highest * 1.05).min(f64::MAX) } else { 1.0 };
    let mut svg = String::new();
    draw(&mut svg, series, last.max(1), top).map_err(|error| error.to_string())?;
    Ok(Some(svg))
}

fn draw(
    svg: &mut String,
    series: &[Series],
    last: u32,
    top: f64,
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let mut chart = ChartBuilder::on(&area)
        .margin_top(18)
        .margin_right(44)
        .x_label_area_size(88)
        .y_label_area_size(96)
        .build_cartesian_2d(0..last, 0.0..top)?;
    let text = ("system-ui, sans-serif", FONT_SIZE).into_font().color(&INK);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID.stroke_width(2))
        .axis_style(INK.stroke_width(2))
        .x_labels(9)
        .y_labels(9)
        .set_all_tick_mark_size(RelativeSize::Smaller(0.012))
        .x_label_style(text.clone())
        .y_label_style(text.clone())
        .axis_desc_style(text)
        .x_desc("round")
        .y_label_formatter(&|value| tick(*value, top))
        .draw()?;
    for Series { stroke, points } in series {
        let style = colour(*stroke).stroke_width(5);
        let marked = points.len() <= MARKED;
        for segment in points.split(|(_, value)| !value.is_finite()) {
            // A line of one point would be invisible.
            if marked || segment.len() == 1 {
                chart.draw_series(segment.iter().map(|&point| Circle::new(point, 7, style.filled())))?;
            }
            if segment.len() > 1 {
                chart.draw_series([PathElement::new(segment, style)])?;
            }
        }
    }
    area.present()
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
        over_rounds(&[Series { stroke: 1, points }]).unwrap()
    }

    fn lines_and_circles(svg: &str) -> (usize, usize) {
        // Axes and grid are polylines too, of other colours.
        let line = format!("stroke=\"{}\"", hex(STROKES[1].colour));
        let lines = svg.lines().filter(|tag| tag.starts_with("<polyline") && tag.contains(&line));
        (lines.count(), svg.matches("<circle").count())
    }

    #[test]
    fn nothing_finite_is_no_plot() {
        assert_eq!(over_rounds(&[]).unwrap(), None);
        assert_eq!(plot(vec![]), None);
        assert_eq!(plot(vec![(1, f64::NAN), (2, f64::INFINITY)]), None);
    }

    #[test]
    fn a_single_point_is_a_circle() {
        for (round, value) in [(0, 0.0), (1, 0.5), (u32::MAX, 1e300), (7, f64::MAX), (7, 1e-300)] {
            assert_eq!(lines_and_circles(&plot(vec![(round, value)]).unwrap()), (0, 1), "{round} {value}");
        }
    }

    #[test]
    fn a_value_that_is_not_finite_interrupts_the_line() {
        let values = (0..100).map(|round| (round, if round == 50 { f64::NAN } else { 0.5 }));
        assert_eq!(lines_and_circles(&plot(values.collect()).unwrap()), (2, 0));
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
        for colour in [INK, GRID, STROKES[1].colour] {
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
}
