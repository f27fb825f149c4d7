//! Whose updates did not count.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use maud::{Markup, html};
use wire::identity::DeviceId;

use super::html::{Arm, over_rounds};
use super::page::wide_table;
use super::plot::Series;
use crate::metrics::{Plot, ROUNDS, Read};
use crate::{RecordError, RoundRecord};

/// The senders of most refused updates are listed, up to this many.
const LISTED_SENDERS: usize = 20;

/// Whether an update of that round did not count.
pub(super) fn has_trouble(record: &RoundRecord) -> bool {
    let RoundRecord { absent, muted, removed, unfit, .. } = record;
    let is_calm = absent.is_empty() && muted.is_empty() && removed.is_empty() && unfit.is_empty();
    record.refusals() > 0 || !is_calm
}

/// How many updates of `arm` were accepted, refused, missing and removed, and whose were refused or removed.
pub(super) fn section(arm: &Arm, compared: bool) -> Result<Markup, RecordError> {
    let mut series = Vec::new();
    for metric in ROUNDS.iter().filter(|metric| metric.plot == Plot::Updates) {
        let Read::Round(read) = metric.read else { continue };
        let points = arm.records.iter().filter_map(|record| Some((record.round, read(record)?)));
        let points: Vec<_> = points.collect();
        // What never happened would hide the others on the axis.
        if series.is_empty() || points.iter().any(|(_, count)| *count > 0.0) {
            series.push(Series { label: metric.name.to_owned(), points });
        }
    }
    let plot = over_rounds(&format!("Updates of {}", arm.label), series)?;
    Ok(html! {
        @if compared { h3 { (arm.label) } }
        p.note { "Updates in each round." }
        (plot)
        @for (device, why) in &arm.summary.unfit { p { "The data of " (device) " do not fit: " (why) "." } }
        (senders("Refused updates", refused(arm)))
        (senders("Removed updates", removed(arm)))
        (senders("Rounds", muted(arm)))
    })
}

fn refused(arm: &Arm) -> impl Iterator<Item = (Option<DeviceId>, String)> {
    let refused = arm.records.iter().flat_map(|record| &record.refused_devices);
    refused.map(|refused| (refused.device, refused.reason.to_string()))
}

fn removed(arm: &Arm) -> impl Iterator<Item = (Option<DeviceId>, String)> {
    let removed = arm.records.iter().flat_map(|record| &record.removed);
    removed.map(|&device| (Some(device), "defense".to_owned()))
}

fn muted(arm: &Arm) -> impl Iterator<Item = (Option<DeviceId>, String)> {
    let muted = arm.records.iter().flat_map(|record| &record.muted);
    muted.map(|muted| (muted.device, "flood, dropped unread".to_owned()))
}

/// Whose updates did not count, why and how often.
fn senders(title: &str, updates: impl Iterator<Item = (Option<DeviceId>, String)>) -> Markup {
    let mut counts = BTreeMap::<_, u64>::new();
    for update in updates {
        *counts.entry(update).or_default() += 1;
    }
    let mut rows: Vec<_> = counts.into_iter().collect();
    // Stable: equal counts stay in the order of devices.
    rows.sort_by_key(|&(_, count)| Reverse(count));
    let sender = |device: &Option<DeviceId>| device.map_or("unknown".to_owned(), |device| device.to_string());
    let table = html! {
        thead { tr { th scope="col" { "Sender" } th.text scope="col" { "Reason" } th scope="col" { (title) } } }
        tbody { @for ((device, reason), count) in rows.iter().take(LISTED_SENDERS) { tr {
            td { (sender(device)) } td.text { (reason) } td { (count) }
        } } }
    };
    html! {
        @if !rows.is_empty() {
            (wide_table(title, &table))
            @if rows.len() > LISTED_SENDERS {
                p.note { "and " (rows.len() - LISTED_SENDERS) " more; rounds.jsonl lists all" }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::html::render;
    use crate::{MutedDevice, UnfitDevice, examples};

    #[test]
    fn participation_is_shown_only_of_arms_that_lost_updates() {
        let arms = [
            examples::arm("undisturbed", vec![examples::calm(1)]),
            examples::arm("disturbed", vec![examples::record(1), examples::record(2)]),
        ];
        assert!(!render("t", &arms[..1]).unwrap().contains("Participation"));
        let page = render("t", &arms).unwrap();
        assert!(page.contains("Updates of disturbed over rounds: accepted; absent; refused; removed"));
        assert!(!page.contains("Updates of undisturbed"));
        assert!(page.contains("<td>device-002</td><td class=\"text\">late</td><td>2</td>"));
        assert!(page.contains("<td>unknown</td><td class=\"text\">non-finite</td><td>2</td>"));
        assert!(page.contains("<td>device-008</td><td class=\"text\">defense</td><td>2</td>"));
    }

    #[test]
    fn who_floods_is_shown() {
        let muted = vec![MutedDevice { device: Some(DeviceId(3)), messages: 9_000_000, bytes: 0 }];
        let page =
            render("t", &[examples::arm("a", vec![RoundRecord { muted, ..examples::calm(1) }])]).unwrap();
        assert!(page.contains("<td>device-003</td><td class=\"text\">flood, dropped unread</td><td>1</td>"));
    }

    #[test]
    fn whose_data_do_not_fit_is_shown_with_what_it_says_of_that() {
        let unfit = vec![UnfitDevice { device: DeviceId(3), why: "its class \"<b>\" is none".into() }];
        let mut arm = examples::arm("a", vec![RoundRecord { unfit, ..examples::calm(1) }]);
        arm.summary.unfit = [("device-003".to_owned(), "its class \"<b>\" is none".into())].into();
        let page = render("t", &[arm]).unwrap();
        assert!(
            page.contains("The data of device-003 do not fit: its class &quot;&lt;b&gt;&quot; is none."),
            "{page}"
        );
    }

    #[test]
    fn what_never_happened_is_not_plotted() {
        let absent = RoundRecord { absent: vec![DeviceId(4)], accepted: 9, ..examples::calm(1) };
        let page = render("t", &[examples::arm("a", vec![absent, examples::calm(2)])]).unwrap();
        assert!(page.contains("Updates of a over rounds: accepted; absent\""), "{page}");
        assert!(!page.contains("Removed"));
    }
}
