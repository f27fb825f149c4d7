//! Whether the attack took place as the scenario means it.

use maud::{Markup, html};
use scenario::attack_record::AttackRecord;
use scenario::attacks::Models;
use wire::identity::DeviceId;

use super::html::Arm;
use super::page::wide_table;
use crate::AttackSummary;

/// Rounds that are listed at most.
const LISTED: usize = 20;

/// How the attack on `arm` took place; `None` where its scenario has none that crafts models.
pub(super) fn section(arm: &Arm, compared: bool) -> Option<Markup> {
    let crafts = (1..=arm.scenario.rounds).any(|round| arm.scenario.crafted_from(round).is_some());
    let summary = AttackSummary::of(&arm.records);
    if summary.is_none() && !crafts {
        return None;
    }
    let attacks = arm.records.iter().filter_map(|record| Some((record.round, record.attack.as_ref()?)));
    let short: Vec<_> = attacks.filter(|(_, attack)| !attack.is_as_meant()).collect();
    let table = html! {
        thead { tr {
            th scope="col" { "Round" } th.text scope="col" { "Crafted by" } th.text scope="col" { "From" }
            th.text scope="col" { "Meant" } th.text scope="col" { "Sent honest updates" }
            th.text scope="col" { "Sent nothing" }
        } }
        tbody { @for (round, attack) in short.iter().take(LISTED) { (row(*round, attack)) } }
    };
    Some(html! {
        @if compared { h3 { (arm.label) } }
        @match summary {
            None => p.note { "Unknown: no bench tells of it, and what a device says of itself would prove nothing." }
            Some(AttackSummary { rounds, as_meant, gave_up, .. }) => p.note {
                "In " (as_meant) " of " (rounds) " attacked rounds all compromised devices sent what was crafted from "
                "everything that the scenario lets them know."
                @if gave_up > 0 {
                    " In " (gave_up) " rounds the attack found nothing that would do better than honest updates."
                }
            }
        }
        @if !short.is_empty() {
            (wide_table("Rounds in which the attack fell short", &table))
            @if short.len() > LISTED { p.note { "and " (short.len() - LISTED) " more; rounds.jsonl lists all" } }
        }
    })
}

fn row(round: u32, attack: &AttackRecord) -> Markup {
    let leaders: Vec<_> = attack.crafted.iter().map(|crafted| crafted.leader).collect();
    let from: Vec<_> = attack.crafted.iter().map(|crafted| models(crafted.from)).collect();
    html! { tr {
        td { (round) } td.text { (names(&leaders)) } td.text { (from.join("; ")) } td.text { (models(attack.meant)) }
        td.text { (names(&attack.fell_back)) } td.text { (names(&attack.silent)) }
    } }
}

fn models(models: Models) -> String {
    let Models { colluders, benign } = models;
    if benign == 0 {
        format!("{colluders} compromised")
    } else {
        format!("{colluders} compromised, {benign} benign")
    }
}

fn names(devices: &[DeviceId]) -> String {
    devices.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use crate::report::html::render;
    use crate::{RoundRecord, examples};

    #[test]
    fn rounds_in_which_the_attack_fell_short_are_listed() {
        let page = render("t", &[examples::arm("a", vec![examples::record(1), examples::calm(2)])]).unwrap();
        assert!(page.contains("In 0 of 1 attacked rounds"), "{page}");
        assert!(
            page.contains("<td class=\"text\">device-003</td><td class=\"text\">1 compromised</td>"),
            "{page}"
        );
        assert!(
            page.contains("<td class=\"text\">2 compromised</td><td class=\"text\">device-007</td>"),
            "{page}"
        );
    }

    #[test]
    fn an_attack_of_which_nobody_tells_is_unknown_and_none_is_not_mentioned() {
        let mut arm = examples::arm("a", vec![examples::calm(1)]);
        assert!(!render("t", std::slice::from_ref(&arm)).unwrap().contains("id=\"attack\""));
        arm.scenario =
            examples::scenario(&["aggregation.rule=median", "attack.kind=krum", "fleet.compromised=3"]);
        let page = render("t", std::slice::from_ref(&arm)).unwrap();
        assert!(page.contains("id=\"attack\"") && page.contains("Unknown: no bench tells of it"), "{page}");
        arm.records = vec![RoundRecord { attack: examples::record(1).attack, ..examples::calm(1) }];
        assert!(!render("t", &[arm]).unwrap().contains("Unknown"));
    }
}
