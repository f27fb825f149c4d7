//! Models that start from the weights of a file, and layers that stay as they are.

use std::fmt;
use std::iter::zip;
use std::ops::Range;
use std::sync::Arc;

use safetensors::tensor::{Dtype, SafeTensors};

use super::{Architecture, LayerSummary, ManyDevices, Model, ModelError};
use crate::data::Batch;
use crate::parameters::{Entry, Layout, Parameters, ParametersError, first_not_finite, from_le_bytes};
use crate::random::Stream;

/// An architecture some layers of which stay as they are.
pub struct Freezing {
    /// The architecture.
    pub architecture: Arc<dyn Architecture>,
    /// The names of tensors, or of what has tensors below it: of `conv1`, `conv1.weight` and `conv1.bias` stay.
    pub frozen: Vec<String>,
}

impl Architecture for Freezing {
    fn build(&self, shape: &[usize], classes: usize) -> Result<Box<dyn Model>, ModelError> {
        let model = self.architecture.build(shape, classes)?;
        let mut frozen = ranges("frozen", &self.frozen, model.layout())?;
        frozen.sort_unstable_by_key(|range| range.start);
        frozen.dedup();
        let stay: usize = frozen.iter().map(ExactSizeIterator::len).sum();
        if stay == model.layout().dimension() {
            return Err(ModelError::AllFrozen);
        }
        Ok(Box::new(FineTuned { model, frozen, start: Vec::new() }))
    }

    fn summary(&self, shape: &[usize], classes: usize) -> Result<Vec<LayerSummary>, ModelError> {
        self.architecture.summary(shape, classes)
    }
}

impl fmt::Debug for Freezing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, frozen {:?}", self.architecture, self.frozen)
    }
}

/// What a file of safetensors has for a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Pretrained {
    values: Vec<(Range<usize>, Vec<f32>)>,
    /// The tensors of the model that the file lacks, or that are to be drawn all the same.
    pub drawn: Vec<String>,
    /// The tensors of the file that the model lacks.
    pub surplus: Vec<String>,
}

impl Pretrained {
    /// What the file of these `bytes` has for a model of this `layout`, but for what is called `anew`.
    ///
    /// # Errors
    /// [`ModelError::NoTensor`] if nothing is called as one of `anew`, and [`ParametersError`] if the bytes are no file of
    /// safetensors, a tensor has another shape or another type than that of the model, or is not finite, or there is none of the
    /// model's.
    pub fn read(layout: &Layout, bytes: &[u8], anew: &[String]) -> Result<Self, ModelError> {
        let drawn_anew = ranges("anew", anew, layout)?;
        let file = SafeTensors::deserialize(bytes).map_err(ParametersError::Checkpoint)?;
        let names = file.names();
        let is_of_model = |name: &str| layout.entries().iter().any(|entry| entry.name == name);
        let mut surplus: Vec<String> =
            names.iter().filter(|name| !is_of_model(name)).map(ToString::to_string).collect();
        surplus.sort_unstable();
        let (mut values, mut drawn) = (Vec::new(), Vec::new());
        for entry in layout.entries() {
            match file.tensor(&entry.name) {
                Ok(view) if !drawn_anew.contains(&entry.range()) => {
                    let taken = taken(entry, view.dtype(), view.shape(), view.data())?;
                    values.push((entry.range(), taken));
                }
                _ => drawn.push(entry.name.clone()),
            }
        }
        if values.is_empty() {
            let model = layout.entries().iter().map(|entry| entry.name.clone()).collect();
            return Err(ParametersError::NoneOfModel { model, file: surplus }.into());
        }
        Ok(Pretrained { values, drawn, surplus })
    }

    /// `model`, starting from these weights.
    pub fn start(self, model: Box<dyn Model>) -> Box<dyn Model> {
        let frozen = model.frozen().to_vec();
        Box::new(FineTuned { model, frozen, start: self.values })
    }
}

/// The values of the tensor `entry` of the model, which a file has with this type and shape.
fn taken(entry: &Entry, dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Result<Vec<f32>, ParametersError> {
    let name = || entry.name.clone();
    if shape != entry.shape {
        return Err(ParametersError::Shape {
            name: name(),
            file: shape.to_vec(),
            model: entry.shape.clone(),
        });
    }
    let values: Vec<f32> = match dtype {
        Dtype::F32 => from_le_bytes(bytes).collect(),
        Dtype::F64 => {
            let (words, _) = bytes.as_chunks::<8>();
            words.iter().map(|word| f64::from_le_bytes(*word) as f32).collect()
        }
        other => return Err(ParametersError::Type { name: name(), dtype: format!("{other:?}") }),
    };
    match first_not_finite(&values) {
        Some(place) => Err(ParametersError::NotFinite { name: name(), place }),
        None => Ok(values),
    }
}

/// Where the tensors are that are called as one of `names`, or lie below it; `key` is what lists these names.
fn ranges(key: &'static str, names: &[String], layout: &Layout) -> Result<Vec<Range<usize>>, ModelError> {
    let mut all = Vec::new();
    for name in names {
        let is_called = |entry: &&Entry| {
            entry
                .name
                .strip_prefix(name.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let before = all.len();
        all.extend(layout.entries().iter().filter(is_called).map(Entry::range));
        if all.len() == before {
            let known =
                layout.entries().iter().map(|entry| entry.name.clone()).collect::<Vec<_>>().join(", ");
            return Err(ModelError::NoTensor { key, name: name.clone(), known });
        }
    }
    Ok(all)
}

/// A model with tensors that stay as they are, or that start from others than it draws.
struct FineTuned {
    model: Box<dyn Model>,
    /// Where those are that stay, in ascending order.
    frozen: Vec<Range<usize>>,
    start: Vec<(Range<usize>, Vec<f32>)>,
}

impl Model for FineTuned {
    fn layout(&self) -> &Arc<Layout> {
        self.model.layout()
    }

    fn initial(&self, random: &mut Stream) -> Parameters {
        let mut parameters = self.model.initial(random);
        for (range, values) in &self.start {
            parameters.values_mut()[range.clone()].copy_from_slice(values);
        }
        parameters
    }

    fn loss_and_gradient(&self, parameters: &[f32], batch: &Batch) -> Result<(f32, Vec<f32>), ModelError> {
        let (loss, mut gradient) = self.model.loss_and_gradient(parameters, batch)?;
        clear(&mut gradient, &self.frozen);
        Ok((loss, gradient))
    }

    fn logits(&self, parameters: &[f32], batch: &Batch) -> Result<Vec<f32>, ModelError> {
        self.model.logits(parameters, batch)
    }

    fn representations(&self, parameters: &[f32], batch: &Batch) -> Result<Vec<f32>, ModelError> {
        self.model.representations(parameters, batch)
    }

    fn many_devices(&self) -> Option<Box<dyn ManyDevices>> {
        self.model.many_devices()
    }

    fn frozen(&self) -> &[Range<usize>] {
        &self.frozen
    }
}

/// Sets the values in `ranges` to 0.
pub(crate) fn clear(values: &mut [f32], ranges: &[Range<usize>]) {
    ranges.iter().for_each(|range| values[range.clone()].fill(0.0));
}

/// Puts what `model` freezes back to what it is in `global`: whatever the updates say of it, it stays.
pub fn restore_frozen(model: &dyn Model, values: &mut [f32], global: &[f32]) {
    for range in model.frozen() {
        zip(&mut values[range.clone()], &global[range.clone()]).for_each(|(value, stays)| *value = *stays);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use rand::SeedableRng;

    use super::super::build;
    use super::super::gradient_check::random_batch;
    use super::super::{Mlp, many_devices};
    use super::*;
    use crate::training::{Descent, train};

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn freezing(frozen: &[&str]) -> Result<Box<dyn Model>, ModelError> {
        let architecture = Arc::new(Mlp { hidden: vec![5, 4] });
        build(&Freezing { architecture, frozen: names(frozen) }, &[3], 2)
    }

    fn initial(model: &dyn Model, seed: u64) -> Parameters {
        model.initial(&mut Stream::seed_from_u64(seed))
    }

    #[test]
    fn what_is_frozen_stays_whatever_training_is() {
        let model = freezing(&["fc1", "head.weight"]).unwrap();
        let global: Arc<[f32]> = initial(&*model, 1).into_values().into();
        let momentum: Arc<[f32]> = vec![0.5; global.len()].into();
        let descents =
            [Descent::plain(0.5), Descent { weight_decay: 0.1, momentum: 0.9, ..Descent::plain(0.5) }];
        for (descent, momentum) in [(descents[0], None), (descents[1], None), (descents[1], Some(momentum))] {
            let batches = (0..3).map(|_| random_batch(&[3], 2, 6));
            let trained = train(&*model, global.clone(), &descent, momentum, batches).unwrap();
            for entry in model.layout().entries() {
                let stays = entry.name.starts_with("fc1") || entry.name == "head.weight";
                let same = trained.parameters[entry.range()] == global[entry.range()];
                assert_eq!(same, stays, "{} {descent:?}", entry.name);
            }
        }
    }

    #[test]
    fn what_is_frozen_has_no_gradient_and_the_rest_has_that_of_the_model() {
        let (frozen, free) = (freezing(&["fc2"]).unwrap(), freezing(&["fc1"]).unwrap());
        let (parameters, batch) = (initial(&*frozen, 1), random_batch(&[3], 2, 6));
        let gradient = |model: &dyn Model| model.loss_and_gradient(parameters.values(), &batch).unwrap().1;
        let (gradient, other) = (gradient(&*frozen), gradient(&*free));
        for entry in frozen.layout().entries() {
            let values = &gradient[entry.range()];
            let is_frozen = entry.name.starts_with("fc2.");
            assert_eq!(values.iter().all(|value| *value == 0.0), is_frozen, "{}", entry.name);
            assert!(is_frozen || entry.name.starts_with("fc1.") || values == &other[entry.range()]);
        }
        let model: Arc<dyn Model> = frozen.into();
        assert!(format!("{:?}", many_devices(&model, &[3])).contains("one device after the other"));
    }

    #[test]
    fn an_update_cannot_move_what_is_frozen() {
        let model = freezing(&["fc1"]).unwrap();
        let (global, mut aggregate) =
            (initial(&*model, 1).into_values(), vec![9.0; model.layout().dimension()]);
        restore_frozen(&*model, &mut aggregate, &global);
        let stays = model.frozen().iter().map(ExactSizeIterator::len).sum::<usize>();
        assert_eq!((stays, &aggregate[..stays]), (20, &global[..20]));
        assert!(aggregate[stays..].iter().all(|value| *value == 9.0));
    }

    #[test]
    fn names_that_are_none_are_refused_with_those_there_are_and_so_is_nothing_to_train() {
        let refused = |frozen: &[&str]| freezing(frozen).err().unwrap().to_string();
        assert_eq!(
            refused(&["fc"]),
            "frozen: the model has no layer or tensor `fc`; it has fc1.weight, fc1.bias, fc2.weight, fc2.bias, head.weight, \
             head.bias"
        );
        assert!(refused(&["fc1", "fc2", "head"]).contains("leaves nothing to train"));
    }

    /// A file with the tensors of an MLP, some of which are called otherwise.
    fn file(hidden: &[u32], renamed: &[(&str, &str)]) -> Vec<u8> {
        let model = build(&Mlp { hidden: hidden.to_vec() }, &[3], 2).unwrap();
        let parameters = initial(&*model, 7);
        let name = |entry: &Entry| {
            renamed.iter().find(|(old, _)| *old == entry.name).map_or(&*entry.name, |(_, new)| new).to_owned()
        };
        let tensors = model.layout().entries().iter().map(|entry| (name(entry), entry.shape.clone()));
        let renamed = Parameters::new(Arc::new(Layout::new(tensors)), parameters.into_values()).unwrap();
        renamed.to_safetensors(HashMap::new(), []).unwrap()
    }

    #[test]
    fn a_model_starts_from_the_weights_of_a_file_and_draws_the_rest() {
        let build = || build(&Mlp { hidden: vec![5, 4] }, &[3], 2).unwrap();
        let model = build();
        let bytes = file(&[5, 4], &[("fc2.bias", "other.bias")]);
        let read = Pretrained::read(model.layout(), &bytes, &names(&["head"])).unwrap();
        assert_eq!(read.drawn, ["fc2.bias", "head.weight", "head.bias"]);
        assert_eq!(read.surplus, ["other.bias"]);
        let started = initial(&*read.start(build()), 1);
        let (drawn, stored) = (initial(&*model, 1), initial(&*model, 7));
        for entry in model.layout().entries() {
            let from_file = ["fc1.weight", "fc1.bias", "fc2.weight"].contains(&&*entry.name);
            let expected = if from_file { &stored } else { &drawn };
            assert_eq!(started.values()[entry.range()], expected.values()[entry.range()], "{}", entry.name);
        }
    }

    #[test]
    fn a_file_of_another_model_is_refused_by_tensor_and_both_shapes() {
        let model = build(&Mlp { hidden: vec![5, 4] }, &[3], 2).unwrap();
        let refused = |bytes: &[u8], anew: &[&str]| {
            Pretrained::read(model.layout(), bytes, &names(anew)).unwrap_err().to_string()
        };
        let other = refused(&file(&[5, 6], &[]), &[]);
        assert!(
            other.starts_with(
                "the tensor `fc2.weight` of the file has shape [6, 5], that of the model [4, 5]"
            ),
            "{other}"
        );
        let renamed: Vec<(String, String)> =
            model.layout().entries().iter().map(|e| (e.name.clone(), format!("x.{}", e.name))).collect();
        let renamed: Vec<(&str, &str)> = renamed.iter().map(|(old, new)| (&**old, &**new)).collect();
        let foreign = refused(&file(&[5, 4], &renamed), &[]);
        assert!(
            foreign.contains("has none of the model's tensors, fc1.weight")
                && foreign.contains("but x.fc1.bias"),
            "{foreign}"
        );
        assert!(
            refused(&file(&[5, 4], &[]), &["tail"])
                .starts_with("anew: the model has no layer or tensor `tail`")
        );
        assert!(refused(&file(&[5, 4], &[])[..60], &[]).starts_with("not a valid safetensors"));
    }
}
