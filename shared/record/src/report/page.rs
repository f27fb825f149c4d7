//! What every page has in common: its head and style, its landmarks, its figures, tables that may be wider than the window.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::plot::{self, LinePlot};
use crate::RecordError;

const CSS: &str = include_str!("report.css");

/// A page of HTML that loads nothing: `title`, what `header` says below it, and `content`.
pub fn page(title: &str, header: &Markup, content: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { (title) }
                style { (PreEscaped(CSS)) (PreEscaped(plot::style_sheet())) }
            }
            body {
                header { h1 { (title) } (header) }
                main { (content) }
            }
        }
    };
    page.into_string()
}

/// A table that scrolls sideways where it is wider than the window, by keyboard too; `label` names it to who cannot see.
pub fn wide_table(label: &str, table: &Markup) -> Markup {
    html! { div.scroll role="region" tabindex="0" aria-label=(label) { table { (table) } } }
}

/// A heading with what belongs below it: on paper they stay together.
pub fn section(title: &str, content: &Markup) -> Markup {
    html! { section.whole { h2 { (title) } (content) } }
}

/// A plot below its legend; `title` says what it shows to who cannot see.
///
/// # Errors
/// [`RecordError::Plot`] if it cannot be drawn.
pub fn figure(title: &str, plot: &LinePlot) -> Result<Markup, RecordError> {
    let svg = plot.svg().map_err(|reason| RecordError::Plot { plot: title.to_owned(), reason })?;
    let Some(svg) = svg else { return Ok(html! { p.note { "Not measured in any round." } }) };
    let labels: Vec<_> = plot.series.iter().map(|series| series.label.as_str()).collect();
    let key = |stroke| PreEscaped(plot::legend_line(stroke, plot.marks()));
    Ok(html! {
        figure {
            // A single line needs no key: the title says what it is.
            @if labels.len() > 1 { ul.legend {
                @for (stroke, label) in labels.iter().enumerate() { li { (key(stroke)) span { (label) } } }
            } }
            div role="img" aria-label=(format!("{title}: {}", labels.join("; "))) { (PreEscaped(svg)) }
        }
    })
}
