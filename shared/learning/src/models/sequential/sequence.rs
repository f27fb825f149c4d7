//! Layers one after the other.

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::{Result, Tensor};

use super::super::convolution::convolution_with_pooling;
use super::fitted::{Fault, Fitted, Operation, Weights, each, require};
use super::shape::Shape;
use super::{Layer, as_picture};
use crate::models::LayerSummary;

/// The most layers of one list.
const MAX_LAYERS: usize = 1_000;
/// How deep residual layers may lie in each other.
const MAX_DEPTH: usize = 8;
/// The most values that a layer may make of one example, which bounds the memory of a step: 64 Mi of 4 bytes.
const MAX_VALUES: u64 = 1 << 26;
/// The most parameters: their bytes are counted in 32 bits, on the boards and on the wire.
const MAX_PARAMETERS: u64 = (u32::MAX / 4) as u64;

/// What the layer is called that is added at the end.
pub(super) const HEAD: &str = "head";

/// Layers that are fitted to what comes in, and to each other.
pub(super) struct Sequence {
    /// What comes out.
    pub(super) output: Shape,
    /// The parameters of all, in their order.
    pub(super) weights: Vec<Weights>,
    /// Multiply-adds for one example.
    pub(super) multiply_adds: u64,
    /// Values of one example that are kept for the way back.
    pub(super) kept: u64,
    /// What there is to say of each layer.
    pub(super) summaries: Vec<LayerSummary>,
    steps: Vec<Step>,
}

struct Step {
    /// Its parameters among all.
    weights: Range<usize>,
    operation: Box<dyn Operation>,
}

impl Sequence {
    /// The `layers` where `input` comes in; `depth` is how many residual layers they lie in.
    ///
    /// # Errors
    /// The first layer that does not fit.
    pub(super) fn fit(layers: &[Layer], input: Shape, depth: usize) -> std::result::Result<Self, Fault> {
        require(layers.len() <= MAX_LAYERS, || {
            format!("has {} layers, where at most {MAX_LAYERS} can be", layers.len())
        })?;
        require(depth <= MAX_DEPTH, || {
            format!("lies in more than {MAX_DEPTH} other residual layers; make the list flatter")
        })?;
        let mut sequence = Sequence {
            output: input,
            weights: Vec::new(),
            multiply_adds: 0,
            kept: 0,
            summaries: Vec::new(),
            steps: Vec::new(),
        };
        let mut numbers = BTreeMap::new();
        let mut names = vec![HEAD.to_owned()];
        for (number, layer) in layers.iter().enumerate() {
            let at = |mut fault: Fault| {
                fault.place.insert(0, (number, layer.kind()));
                fault
            };
            let fitted = layer.fit(sequence.output, depth).map_err(at)?;
            let name = name(layer, &mut numbers, &names).map_err(at)?;
            names.extend(name.clone());
            let (fused, skipped) = (with_pooling(&layers[number..]), fused_away(layers, number));
            sequence.add(layer.kind(), name, fitted, fused, skipped).map_err(at)?;
        }
        Ok(sequence)
    }

    /// Adds a layer; in place of its own operation one that is `fused` of several, if there is such, or none if it is `skipped`.
    pub(super) fn add(
        &mut self,
        kind: &'static str,
        name: Option<String>,
        fitted: Fitted,
        fused: Option<Box<dyn Operation>>,
        skipped: bool,
    ) -> std::result::Result<(), Fault> {
        let parameters: u64 = fitted.weights.iter().fold(0, |sum, weights| weights.len().saturating_add(sum));
        let all = self.weights.iter().fold(parameters, |sum, weights| weights.len().saturating_add(sum));
        require(all <= MAX_PARAMETERS, || {
            format!(
                "has {parameters} parameters, with which the model has more than the {MAX_PARAMETERS} that can be; make it \
                 smaller, or what comes in"
            )
        })?;
        require(fitted.output.len() <= MAX_VALUES, || {
            format!(
                "makes {} of one example, more values than the {MAX_VALUES} that can be; make it smaller, or what comes in",
                fitted.output
            )
        })?;
        let begin = self.weights.len();
        let prefix = name.clone().unwrap_or_default();
        self.weights.extend(
            fitted
                .weights
                .into_iter()
                .map(|weights| Weights { name: format!("{prefix}.{}", weights.name), ..weights }),
        );
        if !skipped {
            let weights = begin..self.weights.len();
            self.steps.push(Step { weights, operation: fused.unwrap_or(fitted.operation) });
        }
        self.output = fitted.output;
        self.multiply_adds = self.multiply_adds.saturating_add(fitted.multiply_adds);
        self.kept = self.kept.saturating_add(fitted.kept);
        self.summaries.push(LayerSummary {
            kind,
            name,
            output: fitted.output.sides(),
            parameters,
            multiply_adds: fitted.multiply_adds,
            kept: fitted.kept,
        });
        Ok(())
    }

    /// What comes out for the `pieces` of a batch under `parameters`.
    pub(super) fn run(&self, parameters: &[Tensor], pieces: Vec<Tensor>) -> Result<Vec<Tensor>> {
        let step = |pieces: Vec<Tensor>, step: &Step| {
            step.operation.apply(&parameters[step.weights.clone()], pieces)
        };
        self.steps.iter().try_fold(pieces, step)
    }
}

/// What the tensors of `layer` are called, if it has any, after `numbers` layers of each sort, and beside those with these `names`.
fn name(
    layer: &Layer,
    numbers: &mut BTreeMap<&'static str, usize>,
    names: &[String],
) -> std::result::Result<Option<String>, Fault> {
    let Some((given, stem)) = layer.name() else { return Ok(None) };
    let number = numbers.entry(stem).or_insert(0);
    *number += 1;
    let name = given.cloned().unwrap_or_else(|| format!("{stem}{number}"));
    let is_name = (1..=64).contains(&name.len())
        && name.split('.').all(|part| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        });
    require(is_name, || {
        format!(
            "has the name `{name}`, which must be 1 to 64 characters of a-z, A-Z, 0-9, _ and -, with dots between them"
        )
    })?;
    let inside = |one: &str, other: &str| {
        one.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let taken = names.iter().find(|other| inside(&name, other) || inside(other, &name));
    require(taken.is_none(), || {
        let other = taken.cloned().unwrap_or_default();
        format!("has the name `{name}`, beside a layer called `{other}`; give it another name")
    })?;
    Ok(Some(name))
}

/// Whether the layer at `number` is done by a convolution before it.
fn fused_away(layers: &[Layer], number: usize) -> bool {
    (1..=2).any(|back| number >= back && with_pooling(&layers[number - back..]).is_some())
}

/// A convolution, a rectifier and a pooling as one operation, if the first `layers` are such.
fn with_pooling(layers: &[Layer]) -> Option<Box<dyn Operation>> {
    let convolution = match layers {
        [Layer::Conv2d(convolution), Layer::Relu(_), Layer::MaxPool(pool), ..]
        | [Layer::Conv2d(convolution), Layer::MaxPool(pool), Layer::Relu(_), ..]
            if convolution.bias && pool.halves() =>
        {
            convolution.convolution()
        }
        _ => return None,
    };
    Some(each(move |parameters, piece| {
        convolution_with_pooling(convolution, &as_picture(piece)?, &parameters[0], &parameters[1])
    }))
}
