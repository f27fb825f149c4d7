//! The training data where models are trained.

use candle_core::{DType, Device, Result, Tensor};
use learning::data::{Dataset, Drawn};

/// Examples of a data set.
#[derive(Debug)]
pub(super) struct Examples {
    /// `[N, features]`.
    features: Tensor,
    classes: usize,
}

impl Examples {
    /// Takes all examples of `dataset` to `device`.
    pub(super) fn new(dataset: &Dataset, device: &Device) -> Result<Self> {
        let all: Vec<u32> = (0..dataset.len() as u32).collect();
        let features = dataset.batch(&all).features;
        let shape = (dataset.len(), dataset.example_len());
        let features = Tensor::from_slice(&features.to_floats(), shape, device)?;
        Ok(Examples { features, classes: dataset.classes() })
    }

    /// Values of an example.
    pub(super) fn features(&self) -> usize {
        self.features.dims()[1]
    }

    /// As many examples for each of m devices: `[m, n, features]`, and ones at their classes, `[m, n, classes]`.
    pub(super) fn gather(&self, drawn: &[&Drawn]) -> Result<(Tensor, Tensor)> {
        let (devices, count) = (drawn.len(), drawn.first().map_or(0, |drawn| drawn.indices.len()));
        let device = self.features.device();
        let to_device = |values: fn(&Drawn) -> &[u32]| {
            let values: Vec<u32> = drawn.iter().copied().flat_map(values).copied().collect();
            Tensor::from_vec(values, (devices, count, 1), device)
        };
        let indices = to_device(|drawn| &drawn.indices)?.flatten_all()?;
        let features = self.features.index_select(&indices, 0)?.reshape((devices, count, ()))?;
        let classes = Tensor::arange(0, self.classes as u32, device)?;
        let right = to_device(|drawn| &drawn.labels)?.broadcast_eq(&classes)?.to_dtype(DType::F32)?;
        Ok((features, right))
    }
}

#[cfg(test)]
mod tests {
    use learning::data::Features;

    use super::super::testing::device;
    use super::*;

    #[test]
    fn each_device_gets_its_own_with_the_labels_that_were_drawn() {
        let features = Features::Floats((0..8).map(|value| value as f32).collect());
        let dataset = Dataset::new(vec![2], 3, features, vec![0, 1, 2, 0]).unwrap();
        let examples = Examples::new(&dataset, device()).unwrap();
        let [first, second] =
            [([3, 0], [1, 0]), ([1, 1], [2, 1])].map(|(indices, labels): ([u32; 2], [u32; 2])| Drawn {
                indices: indices.to_vec(),
                labels: labels.to_vec(),
            });
        let (features, right) = examples.gather(&[&first, &second]).unwrap();
        let expected = [[[6., 7.], [0., 1.]], [[2., 3.], [2., 3.]]];
        assert_eq!(features.to_vec3::<f32>().unwrap(), expected.map(|device| device.map(Vec::from).to_vec()));
        let expected = [[[0., 1., 0.], [1., 0., 0.]], [[0., 0., 1.], [0., 1., 0.]]];
        assert_eq!(right.to_vec3::<f32>().unwrap(), expected.map(|device| device.map(Vec::from).to_vec()));
    }
}
