//! The largest eigenvalue of a matrix of inner products.

use nalgebra::{DMatrix, SymmetricEigen};

use super::Gram;

/// The largest eigenvalue of a symmetric matrix without negative ones, and an eigenvector of length 1 with it. Of a matrix of
/// zeros it is 0 and the first axis.
pub fn largest_eigenpair(matrix: &Gram) -> (f64, Vec<f64>) {
    let size = matrix.size();
    let largest = (0..size).map(|i| matrix.product(i, i)).fold(0.0, f64::max);
    if largest <= 0.0 || !largest.is_finite() {
        return (0.0, (0..size).map(|i| if i == 0 { 1.0 } else { 0.0 }).collect());
    }
    // Numbers about 1 neither overflow nor vanish.
    let scaled = DMatrix::from_fn(size, size, |i, j| matrix.product(i, j) / largest);
    let SymmetricEigen { eigenvalues, eigenvectors } = SymmetricEigen::new(scaled);
    let place = eigenvalues.imax();
    (eigenvalues[place].max(0.0) * largest, eigenvectors.column(place).iter().copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_eigenvector_with_the_largest_eigenvalue() {
        let (value, vector) = largest_eigenpair(&Gram::new(2, |i, j| [[2.0, 1.0], [1.0, 2.0]][i][j] * 1e40));
        assert!((value / 3e40 - 1.0).abs() < 1e-12, "{value}");
        assert!(
            (vector[0] - vector[1]).abs() < 1e-12 && (vector[0].abs() - 0.5_f64.sqrt()).abs() < 1e-12,
            "{vector:?}"
        );
        assert_eq!(largest_eigenpair(&Gram::new(2, |_, _| 0.0)), (0.0, vec![1.0, 0.0]));
    }
}
