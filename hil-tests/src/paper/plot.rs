//! A figure as SVG.

use plotters::prelude::*;

use super::experiment::Reproduction;

const SIZE: (u32, u32) = (900, 520);
const FONT: (&str, u32) = ("sans-serif", 18);
/// Okabe and Ito's colours, which people with any colour vision tell apart.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
];

/// Draws testing error over the columns, one line for each row, on a white ground.
///
/// # Errors
/// What the drawing library reports.
pub fn svg(reproduction: &Reproduction, axis: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    draw(&mut text, reproduction, axis)
        .map_err(|error| anyhow::anyhow!("the figure cannot be drawn: {error}"))?;
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
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
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
        .x_labels(columns)
        .x_label_formatter(&label)
        .x_desc(axis)
        .y_desc("testing error rate")
        .label_style(FONT)
        .draw()?;
    for (row, line) in experiment.rows.iter().enumerate() {
        let style = COLOURS[row % COLOURS.len()].stroke_width(3);
        let points: Vec<(f64, f64)> = (0..columns)
            .map(|column| (column as f64, reproduction.statistics(row * columns + column).0))
            .filter(|(_, error)| error.is_finite())
            .collect();
        chart.draw_series(points.iter().map(|&point| Circle::new(point, 5, style.filled())))?;
        chart
            .draw_series(LineSeries::new(points, style))?
            .label(&line.label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .label_font(FONT)
        .draw()?;
    drop(chart);
    area.present()
}
