//! A list of layers as a network.

use candle_core::{Result, Tensor};

use super::super::classifier::{Classifier, Network};
use super::super::linear::linear;
use super::super::{LayerSummary, ModelError, layers};
use super::fitted::{Fault, Start};
use super::flatten::{Flatten, flat};
use super::sequence::{HEAD, Sequence};
use super::shape::Shape;
use super::{Layer, dense};
use crate::parameters::{Entry, Layout};
use crate::random::Stream;

/// Layers, and what tells the classes apart.
pub(super) struct Sequential {
    body: Sequence,
    starts: Vec<(String, Start)>,
}

/// The network of these `layers`, called `model`, for examples of `shape` in so many classes.
///
/// # Errors
/// [`ModelError::UnsupportedShape`], and [`ModelError::Layer`] with the first layer that does not fit.
pub(super) fn classifier(
    model: &'static str,
    layers: &[Layer],
    shape: &[usize],
    classes: usize,
) -> std::result::Result<Classifier<Sequential>, ModelError> {
    let (body, head) = fitted(model, layers, shape, classes)?;
    let weights = body.weights.iter().chain(&head.weights);
    let starts = weights.clone().map(|weights| (weights.name.clone(), weights.start)).collect();
    let layout = Layout::new(weights.map(|weights| (weights.name.clone(), weights.shape.clone())));
    Ok(Classifier::new(Sequential { body, starts }, layout, shape, classes))
}

/// What there is to say of each layer of [`classifier`].
///
/// # Errors
/// As there.
pub(super) fn summary(
    model: &'static str,
    layers: &[Layer],
    shape: &[usize],
    classes: usize,
) -> std::result::Result<Vec<LayerSummary>, ModelError> {
    let (body, head) = fitted(model, layers, shape, classes)?;
    Ok([body.summaries, head.summaries].concat())
}

/// The layers, and those that are added to them.
fn fitted(
    model: &'static str,
    layers: &[Layer],
    shape: &[usize],
    classes: usize,
) -> std::result::Result<(Sequence, Sequence), ModelError> {
    let supported = "[features], [height, width], [height, width, channels] or [steps, features]";
    let input = Shape::of(shape).ok_or_else(|| ModelError::UnsupportedShape {
        model,
        shape: shape.to_vec(),
        supported,
    })?;
    let body = Sequence::fit(layers, input, 0).map_err(error)?;
    let flatten = match body.output {
        Shape::Values(_) => Vec::new(),
        _ => vec![Layer::Flatten(Flatten {})],
    };
    let mut head = Sequence::fit(&flatten, body.output, 0).map_err(error)?;
    let last = dense::fitted(head.output.len() as usize, classes, Start::Xavier);
    let at = |fault| error(Fault { place: vec![(layers.len() + flatten.len(), HEAD)], ..fault });
    head.add("dense", Some(HEAD.to_owned()), last, None, false).map_err(at)?;
    Ok((body, head))
}

fn error(Fault { place, message }: Fault) -> ModelError {
    let kind = place.last().map_or("layers", |(_, kind)| kind);
    let place: Vec<String> = place.iter().map(|(number, _)| format!("layers.{number}")).collect();
    ModelError::Layer { place: place.join("."), kind, message }
}

impl Sequential {
    /// What the last layer takes, piece by piece.
    fn hidden(&self, parameters: &[Tensor], input: &Tensor) -> Result<Vec<Tensor>> {
        let pieces = layers::pieces(input, &parameters[0])?;
        self.body.run(parameters, pieces)?.iter().map(flat).collect()
    }
}

impl Network for Sequential {
    fn forward(&self, parameters: &[Tensor], input: &Tensor) -> Result<Tensor> {
        let (_, head) = parameters.split_at(parameters.len() - 2);
        let hidden = self.hidden(parameters, input)?;
        let logits = hidden.iter().map(|piece| linear(piece, &head[0], &head[1]));
        Tensor::cat(&logits.collect::<Result<Vec<_>>>()?, 0)
    }

    fn represent(&self, parameters: &[Tensor], input: &Tensor) -> Result<Tensor> {
        Tensor::cat(&self.hidden(parameters, input)?, 0)
    }

    fn initialize(&self, entry: &Entry, values: &mut [f32], random: &mut Stream) {
        let start = self.starts.iter().find(|(name, _)| *name == entry.name).map(|(_, start)| *start);
        match start.unwrap_or(Start::Zeros) {
            Start::Zeros => {}
            Start::Ones => values.fill(1.0),
            Start::He => layers::he_uniform(&entry.shape, values, random),
            Start::Xavier => layers::xavier_uniform(&entry.shape, values, random),
            Start::Uniform(bound) => layers::uniform(bound, values, random),
        }
    }
}
