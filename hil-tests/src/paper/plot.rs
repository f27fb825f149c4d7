//! A figure as SVG.

use aggregator_node::record::report::plot::{GRID, INK, colour, style_sheet};
use plotters::prelude::*;

use super::experiment::{Experiment, Reproduction};

const WIDTH: i32 = 900;
/// Of the plot; the legend above it takes a line more for every [`KEYS`] curves.
const HEIGHT: u32 = 500;
const KEYS: i32 = 3;
const KEY_HEIGHT: i32 = 28;
const FONT: (&str, u32) = ("system-ui, sans-serif", 18);
/// What the style sheet's colours are where no page says so: those of the pages.
const COLOURS: &str = "svg{--muted:#5c6268;--line:#dcdfe2}\
    @media(prefers-color-scheme:dark){svg{--muted:#a3abb3;--line:#34393f}}";

/// Outlines in pixels: disc, triangle, square, triangle on its head, diamond, cross. They differ without their colours.
const MARKERS: [&[(i32, i32)]; 6] = [
    &[(-2, -6), (2, -6), (6, -2), (6, 2), (2, 6), (-2, 6), (-6, 2), (-6, -2)],
    &[(0, -8), (7, 5), (-7, 5)],
    &[(-5, -5), (5, -5), (5, 5), (-5, 5)],
    &[(0, 8), (7, -5), (-7, -5)],
    &[(0, -8), (8, 0), (0, 8), (-8, 0)],
    &[
        (-2, -7),
        (2, -7),
        (2, -2),
        (7, -2),
        (7, 2),
        (2, 2),
        (2, 7),
        (-2, 7),
        (-2, 2),
        (-7, 2),
        (-7, -2),
        (-2, -2),
    ],
];

/// Draws testing error over the columns, one line for each row, below a legend. Lines differ by colour, dashes and
/// marker. The ground is that of whatever shows it, light or dark.
///
/// # Errors
/// What the drawing library reports.
pub fn svg(reproduction: &Reproduction, axis: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    draw(&mut text, reproduction, axis)
        .map_err(|error| anyhow::anyhow!("the figure cannot be drawn: {error}"))?;
    // Into the figure itself, which is also a file of its own.
    let body = text.find('>').map_or(0, |end| end + 1);
    text.insert_str(body, &format!("\n<style>{COLOURS}{}</style>", style_sheet()));
    Ok(text)
}

fn draw(
    text: &mut String,
    reproduction: &Reproduction,
    axis: &str,
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    let experiment = &reproduction.experiment;
    let columns = experiment.columns.len();
    // Positions are evenly spaced: some of the paper's axes are neither linear nor logarithmic.
    let last = columns.saturating_sub(1).max(1) as f64;
    let legend_height = legend_height(experiment);
    let area =
        SVGBackend::with_string(text, (WIDTH.unsigned_abs(), legend_height + HEIGHT)).into_drawing_area();
    let (legend, plot) = area.split_vertically(legend_height);
    let font = FONT.into_font().color(&INK);
    for (place, (row, line)) in (0..).zip(experiment.rows.iter().enumerate()) {
        let x = place % KEYS * (WIDTH / KEYS) + 24;
        let y = place / KEYS * KEY_HEIGHT + KEY_HEIGHT / 2;
        legend.draw(&PathElement::new([(x, y), (x + 48, y)], colour(row).stroke_width(3)))?;
        legend.draw(&(EmptyElement::at((x + 24, y)) + marker(row)))?;
        legend.draw(&Text::new(line.label.clone(), (x + 58, y - 10), font.clone()))?;
    }
    let mut chart = ChartBuilder::on(&plot)
        .margin(16)
        .x_label_area_size(56)
        .y_label_area_size(64)
        .build_cartesian_2d(-0.1..last + 0.1, 0.0..1.0)?;
    let label = |position: &f64| {
        let index = position.round();
        let whole = (position - index).abs() < 0.05 && index >= 0.0;
        let line = experiment.columns.get(index as usize).filter(|_| whole);
        line.map_or_else(String::new, |line| line.label.clone())
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .x_labels(columns)
        .x_label_formatter(&label)
        .x_desc(axis)
        .y_desc("testing error rate")
        .label_style(font.clone())
        .axis_desc_style(font)
        .draw()?;
    for row in 0..experiment.rows.len() {
        let points: Vec<(f64, f64)> = (0..columns)
            .map(|column| (column as f64, reproduction.statistics(row * columns + column).0))
            .filter(|(_, error)| error.is_finite())
            .collect();
        chart.draw_series(points.iter().map(|&point| EmptyElement::at(point) + marker(row)))?;
        chart.draw_series(LineSeries::new(points, colour(row).stroke_width(3)))?;
    }
    drop(chart);
    area.present()
}

fn legend_height(experiment: &Experiment) -> u32 {
    experiment.rows.len().div_ceil(KEYS.unsigned_abs() as usize) as u32 * KEY_HEIGHT.unsigned_abs()
}

/// The marker of a row, around the point where it is drawn.
fn marker(row: usize) -> Polygon<(i32, i32)> {
    Polygon::new(MARKERS[row % MARKERS.len()], colour(row).filled())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paper::{Shape, all};

    fn figure(experiment: &Experiment) -> String {
        let errors = vec![vec![0.5]; experiment.cases.len()];
        let reproduction = Reproduction { experiment: experiment.clone(), errors, learning_rate: None };
        svg(&reproduction, "axis").unwrap()
    }

    fn figures() -> impl Iterator<Item = Experiment> {
        all().into_iter().filter(|experiment| experiment.shape != Shape::Table)
    }

    #[test]
    fn the_legend_lies_above_the_curves_and_not_on_them() {
        for experiment in figures() {
            let height = legend_height(&experiment);
            let svg = figure(&experiment);
            for line in &experiment.rows {
                let text = svg.lines().zip(svg.lines().skip(1)).find(|(_, text)| *text == line.label);
                let (tag, _) = text.unwrap_or_else(|| panic!("{}: no {}", experiment.id, line.label));
                let y = tag.split(" y=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
                assert!(y.parse::<u32>().unwrap() < height, "{tag}");
            }
        }
    }

    #[test]
    fn a_figure_brings_no_ground_of_its_own_and_follows_light_and_dark() {
        for experiment in figures() {
            let svg = figure(&experiment);
            assert!(!svg.to_lowercase().contains("\"#ffffff\""), "{}", experiment.id);
            assert!(svg.contains("prefers-color-scheme:dark") && svg.contains("stroke-dasharray"));
            assert!(!svg.contains("\"#000000\""), "a colour that does not follow");
        }
    }
}
