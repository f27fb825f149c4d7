//! How the global model does on the test examples of each class.

use maud::{Markup, html};

use super::html::Arm;
use super::page::wide_table;
use super::text;

/// Errors of the last evaluation of `arm` by class, and after the last round what examples are taken for; `None` where
/// they are not recorded.
pub(super) fn section(arm: &Arm, compared: bool) -> Option<Markup> {
    let record = arm.records.iter().rev().find(|record| !record.classes.is_empty())?;
    let confusion = if record.confusion.len() == record.classes.len() { &record.confusion[..] } else { &[] };
    let table = html! {
        thead { tr {
            th scope="col" { "Class" } th scope="col" { "Examples" } th scope="col" { "Error" }
            @for class in 0..confusion.len() { th scope="col" { "as " (class) } }
        } }
        tbody { @for (class, errors) in record.classes.iter().enumerate() { tr {
            th scope="row" { (class) } td { (errors.examples) } td { (text::rate(errors.rate())) }
            @for (taken_for, &count) in confusion.get(class).into_iter().flatten().enumerate() {
                @if taken_for == class {
                    td.hit { (count) }
                } @else if count > 0 {
                    @let share = f64::from(count) / f64::from(errors.examples.max(1));
                    // The root, for a few to be seen as well.
                    td.miss style=(format!("--share:{:.0}%", 100.0 * share.sqrt())) { (count) }
                } @else {
                    td { "0" }
                }
            }
        } } }
    };
    Some(html! {
        @if compared { h3 { (arm.label) } }
        p.note {
            "Of the global model after round " (record.round) ", on the test examples of each class."
            @if confusion.is_empty() { " What they are taken for is recorded with the last round of the run." }
            @else { " The columns behind the error count what they are taken for, the darker the more." }
        }
        (wide_table("Errors by class", &table))
    })
}

#[cfg(test)]
mod tests {
    use crate::{RoundRecord, examples, render};

    #[test]
    fn a_class_is_a_row_with_its_error_and_what_its_examples_are_taken_for() {
        let page = render("t", &[examples::arm("a", vec![examples::calm(1), examples::calm(2)])]).unwrap();
        let row = "<th scope=\"row\">0</th><td>4</td><td>0.2500</td><td class=\"hit\">3</td><td>0</td>\
                   <td class=\"miss\" style=\"--share:50%\">1</td>";
        assert!(page.contains(row) && page.contains("after round 2,"), "{page}");
        assert!(page.contains("<th scope=\"row\">1</th><td>0</td><td>–</td>"), "no examples, no error");
    }

    #[test]
    fn errors_stand_alone_before_the_last_round_and_nothing_does_without_them() {
        let record = RoundRecord { confusion: Vec::new(), ..examples::calm(1) };
        let page = render("t", &[examples::arm("a", vec![record.clone()])]).unwrap();
        assert!(page.contains("recorded with the last round") && !page.contains("as 0"), "{page}");
        let record = RoundRecord { classes: Vec::new(), ..record };
        assert!(!render("t", &[examples::arm("a", vec![record])]).unwrap().contains("id=\"classes\""));
    }
}
