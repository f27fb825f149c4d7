//! A matrix as a page.

use std::path::Path;

use maud::{Markup, html};
use record::report::page::{page, section, wide_table};
use record::write_atomically;

use super::Outcome;
use crate::experiments::statistics::{deviation, mean};

impl Outcome {
    /// Writes `matrix.csv`, `matrix.html`, `matrix.svg` and, of attacks that are after a label, `attack-success.svg` into
    /// `out`. The page is called `title`, and `note` says what was run.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, out: &Path, title: &str, note: &str) -> anyhow::Result<()> {
        write_atomically(&out.join("matrix.csv"), self.to_csv()?.as_bytes())?;
        write_atomically(&out.join("matrix.svg"), self.heat_map(&self.errors).file().as_bytes())?;
        if self.has_successes() {
            let map = self.heat_map(&self.successes);
            write_atomically(&out.join("attack-success.svg"), map.file().as_bytes())?;
        }
        Ok(write_atomically(&out.join("matrix.html"), self.page(title, note).as_bytes())?)
    }

    fn page(&self, title: &str, note: &str) -> String {
        let content = html! {
            (self.section("Testing error", "of the global model that is the result of a run", &self.errors))
            @if self.has_successes() {
                (self.section("Attack success", "the share of its examples that get the label that the attack wants", &self.successes))
            }
        };
        page(title, &html! { p { (note) } }, &content)
    }

    fn section(&self, title: &str, what: &str, values: &[Vec<f64>]) -> Markup {
        section(
            title,
            &html! {
                p.note { (title) ": " (what) ", mean over the seeds. A frame marks the worst attack on each defense." }
                (self.heat_map(values).figure(&format!("{title} of every attack against every defense, as in the table below")))
                (wide_table(title, &self.table(values)))
            },
        )
    }

    fn table(&self, values: &[Vec<f64>]) -> Markup {
        let (width, worst) = (self.defenses.len(), self.worst(values));
        html! {
            thead { tr { td {} @for defense in &self.defenses { th scope="col" { (defense) } } } }
            tbody {
                @for (attack, label) in self.attacks.iter().enumerate() {
                    tr {
                        th scope="row" { (label) }
                        @for (defense, worst) in worst.iter().enumerate() {
                            @let values = &values[attack * width + defense];
                            td.differs[*worst == Some(attack)] { (cell(values)) @if *worst == Some(attack) { "*" } }
                        }
                    }
                }
            }
        }
    }
}

/// Mean and standard deviation.
fn cell(values: &[f64]) -> String {
    let spread = deviation(values).map_or_else(String::new, |deviation| format!(" ± {deviation:.3}"));
    mean(values).map_or_else(|| "-".to_owned(), |mean| format!("{mean:.3}{spread}"))
}

#[cfg(test)]
mod tests {
    use super::super::outcome::tests::outcome;

    #[test]
    fn the_page_has_both_heat_maps_and_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        outcome().write(folder.path(), "first <look>", "Seeds 1, 2.").unwrap();
        let page = std::fs::read_to_string(folder.path().join("matrix.html")).unwrap();
        assert_eq!(page.matches("<svg").count(), 2, "{page}");
        assert!(page.contains("0.800 ± 0.141*") && page.contains("first &lt;look&gt;"), "{page}");
        for file in ["matrix.csv", "matrix.svg", "attack-success.svg"] {
            assert!(folder.path().join(file).exists(), "{file}");
        }
    }
}
