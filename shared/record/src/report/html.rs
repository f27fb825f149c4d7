//! The page. maud escapes every text; only plots and style sheets, which hold nothing from outside, are not.

use maud::{Markup, html};
use scenario::Scenario;

use super::page::{self, page, section, wide_table};
use super::plot::{LinePlot, Series};
use super::{attack, classes, devices, participation, text};
use crate::metrics::{Metric, Plot, ROUNDS, RUNS, Read, RunMetric, Table, Value};
use crate::{Devices, Manifest, RecordError, RoundRecord, State, Summary};

/// One run of a report.
#[derive(Clone, Debug)]
pub struct Arm {
    /// What tells it from the other runs: `mean, attacked`.
    pub label: String,
    /// How far it is.
    pub state: State,
    /// How many rounds it is to have.
    pub rounds: u32,
    /// Its summary, of the rounds so far.
    pub summary: Summary,
    /// What it is made of.
    pub manifest: Manifest,
    /// Its rounds, in order.
    pub records: Vec<RoundRecord>,
    /// Its scenario.
    pub scenario: Scenario,
    /// What its devices were.
    pub devices: Devices,
}

impl Arm {
    /// How far it is, in words.
    pub fn progress(&self) -> String {
        self.state.in_words(self.records.len() as u32, self.rounds)
    }
}

/// Renders the report of one run, or of several that are compared, as one page of HTML that loads nothing.
///
/// # Errors
/// [`RecordError::Plot`] if a plot cannot be drawn.
pub fn render(title: &str, arms: &[Arm]) -> Result<String, RecordError> {
    let with_trouble = || arms.iter().filter(|arm| arm.records.iter().any(participation::has_trouble));
    let compared = arms.len() > 1;
    let figures = ROUNDS.iter().filter_map(|metric| figure(metric, arms));
    let figures = figures.collect::<Result<Vec<_>, _>>()?;
    let participation = with_trouble().map(|arm| participation::section(arm, compared));
    let participation = participation.collect::<Result<Vec<_>, _>>()?;
    let attacks: Vec<_> = arms.iter().filter_map(|arm| attack::section(arm, compared)).collect();
    let classes: Vec<_> = arms.iter().filter_map(|arm| classes::section(arm, compared)).collect();
    let devices = arms.iter().map(|arm| devices::section(arm, compared));
    let devices = devices.collect::<Result<Vec<_>, _>>()?;
    let content = html! {
        (section("Summary", &summary_table(arms)))
        @for figure in &figures { (figure) }
        @if !classes.is_empty() {
            h2 id="classes" { "Classes" }
            @for section in &classes { (section) }
        }
        @if !participation.is_empty() {
            h2 id="participation" { "Participation" }
            @for plot in &participation { (plot) }
        }
        @if !attacks.is_empty() {
            h2 id="attack" { "Attack" }
            @for section in &attacks { (section) }
        }
        h2 id="devices" { "Devices" }
        @for section in &devices { (section) }
        h2 { (if compared { "Runs" } else { "Run" }) }
        @for arm in arms { (details(arm, compared)) }
    };
    let header = html! {
        p.note { (subtitle(arms)) }
        @for arm in arms.iter().filter(|arm| !compared || arm.state != State::Finished) {
            p { @if compared { (arm.label) ": " } @else { "This run is " } (arm.progress()) "." }
        }
    };
    Ok(page(title, &header, &content))
}

fn subtitle(arms: &[Arm]) -> String {
    match arms {
        [] => "No runs.".to_owned(),
        [Arm { summary, manifest, .. }] => format!(
            "{} devices · bench {} · seed {} · {} UTC",
            summary.devices,
            summary.bench,
            summary.seed,
            text::date(manifest.created_unix)
        ),
        arms => format!("{} runs compared", arms.len()),
    }
}

fn summary_table(arms: &[Arm]) -> Markup {
    // Rarely anything: room for the others.
    let nothing = [None, Some(Value::Number(0.0))];
    let is_shown = |metric: &&RunMetric| {
        metric.tables.contains(&Table::Report)
            || metric.tables.contains(&Table::ReportIfAny)
                && arms.iter().any(|arm| !nothing.contains(&metric.of(&arm.summary)))
    };
    let columns: Vec<_> = RUNS.iter().filter(is_shown).collect();
    let table = html! {
        thead { tr { th scope="col" { "Run" } @for metric in &columns { th scope="col" { (metric.title) } } } }
        tbody { @for Arm { label, summary, .. } in arms { tr {
            th scope="row" { (label) }
            @for metric in &columns { td { (metric.show(summary, 4)) } }
        } } }
    };
    html! {
        (wide_table("Summary of the runs", &table))
        details {
            summary { "What the columns say" }
            dl { @for metric in &columns { dt { (metric.title) } dd { (metric.help) } } }
        }
    }
}

/// The figure of `metric`, if it has one: a line for each of `arms`, of the rounds in which it was measured.
fn figure(metric: &Metric, arms: &[Arm]) -> Option<Result<Markup, RecordError>> {
    let (title, always) = match metric.plot {
        Plot::Alone(title) => (title, true),
        Plot::AloneIfAny(title) => (title, false),
        _ => return None,
    };
    let Read::Round(read) = &metric.read else { return None };
    let line = |arm: &Arm| {
        let points = arm.records.iter().filter_map(|record| Some((record.round, read(record)?)));
        Series { label: arm.label.clone(), points: points.collect() }
    };
    let lines: Vec<Series> = arms.iter().map(line).collect();
    if !always && lines.iter().all(|line| line.points.is_empty()) {
        return None;
    }
    let plot = over_rounds(title, lines);
    Some(plot.map(|plot| section(title, &html! { p.note { (metric.help) } (plot) })))
}

/// A plot of `series` over rounds.
pub(super) fn over_rounds(title: &str, series: Vec<Series>) -> Result<Markup, RecordError> {
    page::figure(&format!("{title} over rounds"), &LinePlot::over_rounds(series))
}

fn details(arm: &Arm, compared: bool) -> Markup {
    let Arm { label, summary, manifest, scenario, .. } = arm;
    html! {
        @if compared { h3 { (label) } }
        dl {
            dt { "scenario" } dd { (summary.name) ", seed " (summary.seed) ", bench " (summary.bench) ", " (summary.devices) " devices" }
            dt { "model" } dd { code { (summary.model_sha256) } }
            dt { "scenario digest" } dd { code { (manifest.scenario_sha256) } }
            dt { "run" } dd { code { (manifest.run) } ", made " (text::date(manifest.created_unix)) " UTC" }
            @for (name, version) in &manifest.versions { dt { (name) } dd { (version) } }
            @for (name, version) in &manifest.extensions { dt { (name) } dd { (version) } }
            @for (name, digest) in &manifest.data { dt { (name) } dd { code { (digest) } } }
            @if let Some(digest) = &manifest.shards_sha256 { dt { "list of shards" } dd { code { (digest) } } }
        }
        pre { (scenario.to_toml().trim_end()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples;

    #[test]
    fn arms_share_a_plot_and_each_has_a_key_and_a_row() {
        let arms = ["mean, no attack", "mean, attacked"]
            .map(|l| examples::arm(l, (1..4).map(examples::calm).collect()));
        let page = render("A comparison", &arms).unwrap();
        // Testing error and training loss, each with a key for each arm.
        assert_eq!(page.matches("class=\"key\"").count(), 4);
        assert_eq!(page.matches("role=\"img\"").count(), 2);
        assert_eq!(page.matches("<th scope=\"row\">mean, ").count(), 2);
        assert!(page.contains("<td>0.2500</td><td>0.1250</td>"));
    }

    #[test]
    fn the_page_says_how_far_the_run_is_and_how_many_updates_there_were() {
        let mut arm = examples::arm("a", vec![examples::record(1), examples::record(2)]);
        assert!(
            render("t", &[arm.clone()]).unwrap().contains("This run is finished, with all of its 3 rounds.")
        );
        assert!(render("t", &[arm.clone()]).unwrap().contains("<td>3</td><td>3</td><td>7</td><td>8.5</td>"));
        arm.state = State::InProgress;
        assert!(
            render("t", &[arm.clone()])
                .unwrap()
                .contains("This run is in progress, with 2 of 3 rounds so far.")
        );
        arm.state = State::Interrupted;
        let page = render("t", &[arm.clone(), examples::arm("b", vec![])]).unwrap();
        assert!(page.contains("<p>a: interrupted after 2 of 3 rounds;") && !page.contains("<p>b: "));
    }

    #[test]
    fn text_from_outside_is_escaped_everywhere() {
        let hostile = "</style></title><script>alert(\"1\")</script>";
        let mut arm = examples::arm(hostile, vec![examples::record(1), examples::record(2)]);
        arm.scenario.name = hostile.into();
        arm.summary.name = hostile.into();
        arm.summary.bench = hostile.into();
        arm.summary.model_sha256 = hostile.into();
        arm.manifest.versions.insert(hostile.into(), hostile.into());
        arm.manifest.data.insert(hostile.into(), hostile.into());
        arm.manifest.extensions.insert(hostile.into(), hostile.into());
        arm.manifest.shards_sha256 = Some(hostile.into());
        let page = render(hostile, &[arm.clone(), arm]).unwrap();
        assert!(!page.contains("<script") && !page.contains("alert(\"1\")"));
        assert_eq!(page.matches("</style>").count(), 1);
    }

    #[test]
    fn no_arms_no_rounds_and_no_measurements_still_make_a_page() {
        let diverged = RoundRecord { train_loss: Some(f32::NAN), test_error: None, ..examples::calm(1) };
        for arms in [vec![], vec![examples::arm("a", vec![])], vec![examples::arm("a", vec![diverged])]] {
            let page = render("t", &arms).unwrap();
            assert_eq!(page.matches("Not measured in any round.").count(), 2);
        }
    }

    #[test]
    fn the_page_loads_nothing() {
        let page = render("t", &[examples::arm("a", vec![examples::record(1)])]).unwrap();
        let page = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        for reference in ["http://", "https://", "src=", "href=", "url(", "@import"] {
            assert!(!page.contains(reference), "{reference}");
        }
    }
}
