//! Inner products of updates: all that many rules need to know of a round.

/// The inner products of all pairs of some vectors: of the m updates of a round, in their order, and then of other vectors.
///
/// A combination of the vectors is written as its coefficients: what a rule iterates on are m numbers, and not d. See
/// [`Round::gram`] for how precise the products are.
///
/// [`Round::gram`]: super::Round::gram
#[derive(Clone, Debug, PartialEq)]
pub struct Gram {
    size: usize,
    /// Row-major, symmetric.
    values: Vec<f64>,
}

impl Gram {
    /// That of `size` vectors, whose products `product` knows: of each pair once, the one that comes first in front.
    pub fn new(size: usize, product: impl Fn(usize, usize) -> f64) -> Self {
        let mut values = vec![0.0; size * size];
        for i in 0..size {
            for j in i..size {
                values[i * size + j] = product(i, j);
                values[j * size + i] = values[i * size + j];
            }
        }
        Gram { size, values }
    }

    /// Number of vectors.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The inner products of a vector with all, itself among them.
    pub fn row(&self, vector: usize) -> &[f64] {
        &self.values[vector * self.size..][..self.size]
    }

    /// The inner product of two vectors.
    pub fn product(&self, a: usize, b: usize) -> f64 {
        self.row(a)[b]
    }

    /// The Euclidean length of a vector.
    pub fn norm(&self, vector: usize) -> f64 {
        self.product(vector, vector).max(0.0).sqrt()
    }

    /// The Euclidean length of each vector.
    pub fn norms(&self) -> Vec<f64> {
        (0..self.size).map(|vector| self.norm(vector)).collect()
    }

    /// The cosine of the angle between two vectors, -1 to 1; 0 where one of them is zero, and has no direction.
    pub fn cosine(&self, a: usize, b: usize) -> f64 {
        let norms = self.norm(a) * self.norm(b);
        if norms > 0.0 { (self.product(a, b) / norms).clamp(-1.0, 1.0) } else { 0.0 }
    }

    /// The squared Euclidean distance of two vectors.
    pub fn squared_distance(&self, a: usize, b: usize) -> f64 {
        (self.product(a, a) + self.product(b, b) - 2.0 * self.product(a, b)).max(0.0)
    }

    /// The inner product of each vector with the combination that has these coefficients, one for each vector.
    pub fn products_with(&self, coefficients: &[f64]) -> Vec<f64> {
        (0..self.size).map(|vector| dot(self.row(vector), coefficients)).collect()
    }

    /// The squared length of the combination that has these coefficients, one for each vector.
    pub fn squared_norm(&self, coefficients: &[f64]) -> f64 {
        dot(&self.products_with(coefficients), coefficients).max(0.0)
    }

    /// The squared distance of each vector from the combination that has these coefficients, one for each vector.
    pub fn squared_distances_from(&self, coefficients: &[f64]) -> Vec<f64> {
        let with = self.products_with(coefficients);
        let square = dot(&with, coefficients);
        (0..self.size)
            .map(|vector| (self.product(vector, vector) - 2.0 * with[vector] + square).max(0.0))
            .collect()
    }

    /// That of the vectors as they are seen from their mean, with shares in it that add up to 1.
    #[must_use]
    pub fn centred(&self, shares: &[f64]) -> Self {
        let with = self.products_with(shares);
        let square = dot(&with, shares);
        Gram::new(self.size, |i, j| self.product(i, j) - with[i] - with[j] + square)
    }

    /// That of some of the vectors, in this order.
    #[must_use]
    pub fn select(&self, vectors: &[usize]) -> Self {
        Gram::new(vectors.len(), |i, j| self.product(vectors[i], vectors[j]))
    }

    /// That of combinations of the vectors, of which each has one coefficient for each vector.
    #[must_use]
    pub fn of_combinations(&self, combinations: &[Vec<f64>]) -> Self {
        let with: Vec<Vec<f64>> =
            combinations.iter().map(|coefficients| self.products_with(coefficients)).collect();
        Gram::new(combinations.len(), |i, j| {
            // Two that are the same are so to the last bit.
            if combinations[i] == combinations[j] {
                dot(&with[i], &combinations[i])
            } else {
                dot(&with[i], &combinations[j])
            }
        })
    }
}

/// The inner product of two vectors of one length.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
