//! What a training step takes on a board: an estimate.
//!
//! A step is taken to be three times the multiply-adds of the forward pass of its batch: those of the forward pass, of the gradient
//! of the weights and of that of what comes in. What else there is, as activations and normalisations, is left out. A core is
//! taken to do `SHARE` of the multiply-adds that its vector units could do at the most, which the profile of the board says.
//! That share is what training the paper's network and `ResNet20` reached on an x86-64 core with AVX-512 (`docs/performance.md`);
//! no board was measured. So a time is good for whether a step takes a tenth of a second or ten.

use std::fmt;

use learning::models::{LayerSummary, ModelError, build};
use scenario::Scenario;
use serde::Serialize;

use super::boards::Board;
use crate::terminal::table::align;

/// The share of the multiply-adds at the most that a training step reaches: 17 of 80 thousand million a second.
const SHARE: f64 = 0.2;
/// Passes of as many multiply-adds in a step: forward, and backward to weights and to what comes in.
const PASSES: u64 = 3;
/// Vectors as long as the model that a device holds in a step: the global model, its own before and after the step, and the gradient.
const COPIES: u64 = 4;

/// What there is to say of a scenario's model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Description {
    /// The model, as a scenario spells it.
    model: String,
    /// The shape of an example.
    shape: Vec<usize>,
    /// The number of classes.
    classes: usize,
    /// The layers in their order; none of a model that says nothing of them.
    layers: Vec<LayerLine>,
    /// The tensors in their order.
    tensors: Vec<TensorLine>,
    /// Number of parameters.
    parameters: u64,
    /// How many of them stay as they are.
    frozen: u64,
    /// Bytes of an update, without what a transfer adds.
    update_bytes: u64,
    /// Examples in a minibatch.
    batch_size: u32,
    /// Multiply-adds of a step; absent where the model says nothing of its layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    step_multiply_adds: Option<u64>,
    /// Bytes of memory that a step takes at the most, beside those of the program; absent likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    step_memory_bytes: Option<u64>,
    /// What a step takes on each board.
    boards: Vec<BoardLine>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct LayerLine {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    output: Vec<usize>,
    parameters: u64,
    multiply_adds: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct TensorLine {
    name: String,
    shape: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct BoardLine {
    board: String,
    memory_mib: u32,
    /// Estimated; absent where the profile does not say what a core does at the most.
    #[serde(skip_serializing_if = "Option::is_none")]
    step_seconds: Option<f64>,
    /// Whether the memory of a step is less than half of the board's.
    #[serde(skip_serializing_if = "Option::is_none")]
    fits: Option<bool>,
}

impl Description {
    /// That of the model of `scenario`, on these boards.
    ///
    /// # Errors
    /// If there is no such model.
    pub fn of(scenario: &Scenario, boards: &[Board]) -> Result<Self, ModelError> {
        let spec = scenario.dataset.spec();
        let model = build(&*scenario.model, &spec.shape, spec.classes)?;
        let layers = scenario.model.summary(&spec.shape, spec.classes)?;
        let parameters = model.layout().dimension() as u64;
        let batch = u64::from(scenario.training.batch_size);
        let says = !layers.is_empty();
        let total = |of: fn(&LayerSummary) -> u64| layers.iter().map(of).fold(0, u64::saturating_add);
        let (forward, kept) = (total(|it| it.multiply_adds), total(|it| it.kept));
        let multiply_adds = forward.saturating_mul(PASSES).saturating_mul(batch);
        // Of each value that is kept there is a gradient as well, at the most.
        let of_examples = batch.saturating_mul(2 * kept + spec.shape.iter().product::<usize>() as u64);
        let momentum = u64::from(scenario.training.momentum > 0.0);
        let memory =
            (COPIES + momentum).saturating_mul(parameters).saturating_add(of_examples).saturating_mul(4);
        let line = |board: &Board| BoardLine {
            board: board.name.clone(),
            memory_mib: board.memory_mib,
            step_seconds: board
                .peak_multiply_adds
                .filter(|_| says)
                .map(|peak| multiply_adds as f64 / (SHARE * peak as f64)),
            fits: says.then_some(memory / (1 << 20) < u64::from(board.memory_mib) / 2),
        };
        let tensors = model.layout().entries().iter();
        Ok(Description {
            model: scenario.model.spelled(),
            shape: spec.shape.clone(),
            classes: spec.classes,
            tensors: tensors
                .map(|it| TensorLine { name: it.name.clone(), shape: it.shape.clone() })
                .collect(),
            parameters,
            frozen: model.frozen().iter().map(ExactSizeIterator::len).sum::<usize>() as u64,
            update_bytes: 4 * parameters,
            batch_size: scenario.training.batch_size,
            step_multiply_adds: says.then_some(multiply_adds),
            step_memory_bytes: says.then_some(memory),
            boards: boards.iter().map(line).collect(),
            layers: layers.into_iter().map(LayerLine::of).collect(),
        })
    }
}

impl LayerLine {
    fn of(summary: LayerSummary) -> Self {
        let LayerSummary { kind, name, output, parameters, multiply_adds, .. } = summary;
        LayerLine { kind, name, output, parameters, multiply_adds }
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        writeln!(f, "{}\nexamples of shape {:?} in {} classes\n", self.model, self.shape, self.classes)?;
        if self.layers.is_empty() {
            let mut lines = vec![words(&["tensor", "shape"])];
            lines.extend(self.tensors.iter().map(|it| vec![it.name.clone(), format!("{:?}", it.shape)]));
            writeln!(f, "{}", align(&lines))?;
        } else {
            let mut lines = vec![words(&["layer", "name", "shape", "parameters", "multiply-adds"])];
            lines.extend(self.layers.iter().map(|it| {
                let name = it.name.clone().unwrap_or_default();
                let numbers = [it.parameters, it.multiply_adds].map(grouped);
                [vec![it.kind.to_owned(), name, format!("{:?}", it.output)], numbers.to_vec()].concat()
            }));
            writeln!(f, "{}", align(&lines))?;
        }
        let frozen = match self.frozen {
            0 => String::new(),
            frozen => format!(", of which {} stay as they are", grouped(frozen)),
        };
        writeln!(
            f,
            "{} parameters{frozen}; an update is {} bytes",
            grouped(self.parameters),
            grouped(self.update_bytes)
        )?;
        let (Some(multiply_adds), Some(memory)) = (self.step_multiply_adds, self.step_memory_bytes) else {
            return writeln!(f, "the model says nothing of its layers, so nothing is estimated");
        };
        writeln!(
            f,
            "a step on a batch of {}, estimated: {} million multiply-adds, at most {:.1} MiB beside the program\n",
            self.batch_size,
            grouped(multiply_adds.div_ceil(1_000_000)),
            memory as f64 / f64::from(1 << 20)
        )?;
        let mut lines = vec![words(&["board", "memory", "fits", "a step, estimated"])];
        lines.extend(self.boards.iter().map(|it| {
            let fits = if it.fits == Some(true) { "yes" } else { "no: more than half" };
            let time =
                it.step_seconds.map_or("unknown".to_owned(), |seconds| format!("{} s", digits(seconds)));
            vec![it.board.clone(), format!("{} MiB", it.memory_mib), fits.to_owned(), time]
        }));
        write!(f, "{}", align(&lines))
    }
}

/// A number with commas between the thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// An estimate with two digits that count.
fn digits(seconds: f64) -> String {
    if seconds >= 10.0 {
        return format!("{seconds:.0}");
    }
    let places = (1.0 - seconds.max(1e-9).log10().floor()).max(0.0) as usize;
    format!("{seconds:.places$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(model: &str, board: &str) -> Description {
        let text = format!("name = \"t\"\nrounds = 1\ndataset = \"mnist\"\nmodel = {model}\n");
        Description::of(&Scenario::parse("t.toml", &text, &[]).unwrap(), &[Board::find(board).unwrap()])
            .unwrap()
    }

    #[test]
    fn a_step_of_a_dense_layer_is_three_products_for_each_example() {
        let described = described("\"logistic-regression\"", "pi-4b");
        assert_eq!(described.step_multiply_adds, Some(3 * 32 * 7840));
        assert_eq!((described.parameters, described.update_bytes), (7850, 31_400));
        assert_eq!(described.step_memory_bytes, Some(4 * (4 * 7850 + 32 * (2 * 10 + 784))));
        let seconds = described.boards[0].step_seconds.unwrap();
        let peak = Board::find("pi-4b").unwrap().peak_multiply_adds.unwrap();
        assert!((seconds - 752_640.0 / (0.2 * peak as f64)).abs() < 1e-12, "{seconds}");
    }

    #[test]
    fn layers_parameters_and_boards_are_printed() {
        let model = "{ kind = \"layers\", frozen = [\"fc1\"], layers = [{ kind = \"flatten\" }, { kind = \"dense\", units = 20 }] }";
        let text = described(model, "zero-2-w").to_string();
        for part in [
            "dense     fc1   [20]      15,700         15,680",
            "dense    head   [10]         210            200",
            "15,910 parameters, of which 15,700 stay as they are; an update is 63,640 bytes",
            "a step on a batch of 32, estimated: 2 million multiply-adds, at most",
            "zero-2-w  512 MiB   yes",
        ] {
            assert!(text.contains(part), "no `{part}` in:\n{text}");
        }
        let unknown = described("\"lenet5\"", "x86-64").to_string();
        assert!(unknown.contains("unknown"), "{unknown}");
    }

    #[test]
    fn every_model_of_ours_says_what_its_layers_are_and_they_have_its_parameters() {
        let catalogue = scenario::catalogue::Catalogue::standard();
        for entry in catalogue.models.entries().filter(|entry| entry.name() != "layers") {
            let described = described(&format!("\"{}\"", entry.name()), "pi-5");
            let parameters: u64 = described.layers.iter().map(|layer| layer.parameters).sum();
            assert_eq!(parameters, described.parameters, "{}", entry.name());
            assert_eq!(described.layers.last().unwrap().output, [10], "{}", entry.name());
        }
    }

    #[test]
    fn numbers_are_grouped_and_estimates_have_two_digits() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.000_123_4, 0.0567, 1.26, 12.6].map(digits), ["0.00012", "0.057", "1.3", "13"]);
    }
}
