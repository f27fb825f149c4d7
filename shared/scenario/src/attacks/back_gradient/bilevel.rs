//! The bilevel problem: training examples that raise the validation loss of the model trained on them.

use rayon::prelude::*;

use super::softmax_regression::{Example, SoftmaxRegression, add_scaled};

/// What the attacker assumes: a victim that takes `steps` steps of full-batch gradient descent, from zeros, on
/// `clean` and the poison, and is then judged by its loss on `validation`.
#[derive(Clone, Debug)]
pub(super) struct Bilevel {
    pub(super) model: SoftmaxRegression,
    pub(super) clean: Vec<Example>,
    pub(super) validation: Vec<Example>,
    pub(super) learning_rate: f64,
    pub(super) steps: usize,
}

impl Bilevel {
    /// Validation loss of the victim.
    #[cfg(test)]
    pub(super) fn victim_loss(&self, poison: &[Example]) -> f64 {
        let (_, victim) = self.train(poison);
        self.model.loss(&victim, &self.validation)
    }

    /// Gradient of [`Bilevel::victim_loss`] with respect to the features of each poisoned example: reverse-mode
    /// differentiation of the whole training (algorithm 2 of Munoz-Gonzalez et al.).
    ///
    /// They reverse the descent to get the earlier models back, since those of a deep network do not fit in memory.
    /// Those of logistic regression do, so they are kept, and the gradient is exact.
    pub(super) fn hypergradient(&self, poison: &[Example]) -> Vec<Vec<f64>> {
        let (earlier, victim) = self.train(poison);
        let mut by_model = self.model.gradient(&victim, &self.validation);
        for derivative in &mut by_model {
            *derivative /= self.validation.len() as f64;
        }
        let mut by_features = vec![vec![0.0; self.model.features]; poison.len()];
        let step = -self.step_of_one(poison);
        for parameters in earlier.iter().rev() {
            by_features.par_iter_mut().zip(poison).for_each(|(by_features, example)| {
                let mixed = self.model.mixed_derivative(parameters, &by_model, example);
                add_scaled(by_features, step, &mixed);
            });
            let clean = self.model.hessian_vector(parameters, &by_model, &self.clean);
            let poisoned = self.model.hessian_vector(parameters, &by_model, poison);
            add_scaled(&mut by_model, step, &clean);
            add_scaled(&mut by_model, step, &poisoned);
        }
        by_features
    }

    /// The models before each step, and the one after the last.
    fn train(&self, poison: &[Example]) -> (Vec<Vec<f64>>, Vec<f64>) {
        let mut earlier = Vec::with_capacity(self.steps);
        let mut parameters = vec![0.0; self.model.dimension()];
        let step = -self.step_of_one(poison);
        for _ in 0..self.steps {
            earlier.push(parameters.clone());
            let clean = self.model.gradient(&parameters, &self.clean);
            let poisoned = self.model.gradient(&parameters, poison);
            add_scaled(&mut parameters, step, &clean);
            add_scaled(&mut parameters, step, &poisoned);
        }
        (earlier, parameters)
    }

    /// The learning rate on the loss of one example, so that sums come out as means.
    fn step_of_one(&self, poison: &[Example]) -> f64 {
        self.learning_rate / (self.clean.len() + poison.len()) as f64
    }
}

#[cfg(test)]
mod tests {
    use learning::random::{Purpose, Stream, stream};
    use rand::Rng;

    use super::*;

    fn draw(count: usize, random: &mut Stream) -> Vec<Example> {
        let example = |_| Example {
            features: (0..4).map(|_| random.random_range(0.0..1.0)).collect(),
            label: random.random_range(0..3),
        };
        (0..count).map(example).collect()
    }

    fn problem() -> (Bilevel, Vec<Example>) {
        let random = &mut stream(5, Purpose::BackGradient, None, 0);
        let problem = Bilevel {
            model: SoftmaxRegression { features: 4, classes: 3 },
            clean: draw(20, random),
            validation: draw(10, random),
            learning_rate: 0.7,
            steps: 25,
        };
        (problem, draw(3, random))
    }

    #[test]
    fn the_hypergradient_is_that_of_finite_differences_of_the_whole_training() {
        const STEP: f64 = 1e-5;
        let (problem, poison) = problem();
        let hypergradient = problem.hypergradient(&poison);
        for (example, derivatives) in hypergradient.iter().enumerate() {
            for (feature, &derivative) in derivatives.iter().enumerate() {
                let loss_at = |offset: f64| {
                    let mut moved = poison.clone();
                    moved[example].features[feature] += offset;
                    problem.victim_loss(&moved)
                };
                let difference = (loss_at(STEP) - loss_at(-STEP)) / (2.0 * STEP);
                assert!(
                    (derivative - difference).abs() < 1e-8,
                    "example {example}, feature {feature}: {derivative} where {difference} is right"
                );
                assert!(derivative.abs() > 1e-6, "too small to tell");
            }
        }
    }

    #[test]
    fn a_victim_that_takes_no_step_cannot_be_poisoned() {
        let (problem, poison) = problem();
        let idle = Bilevel { steps: 0, ..problem };
        assert_eq!(idle.hypergradient(&poison), vec![vec![0.0; 4]; 3]);
        assert!((idle.victim_loss(&poison) - 3f64.ln()).abs() < 1e-12);
    }
}
