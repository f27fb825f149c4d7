//! The largest eigenvalue of a matrix of inner products.

use nalgebra::{DMatrix, SymmetricEigen};

use super::Gram;
use super::gram::dot;

/// How far from an eigenvector what is returned may be: the residual, in shares of the eigenvalue.
const RESIDUAL: f64 = 1e-10;
/// After so many steps it is first seen whether they are enough; from then on, after half as many again.
const FIRST_LOOK: usize = 12;

/// The largest eigenvalue of a symmetric matrix without negative ones, and an eigenvector of length 1 with it. Of a matrix of
/// zeros it is 0 and the first axis.
///
/// By Lanczos's method, with every direction made orthogonal to all before it: a step is one product with the matrix, and the
/// ends of a spectrum take few.
pub fn largest_eigenpair(matrix: &Gram) -> (f64, Vec<f64>) {
    let size = matrix.size();
    let largest = (0..size).map(|i| matrix.product(i, i)).fold(0.0, f64::max);
    if largest <= 0.0 || !largest.is_finite() {
        return (0.0, (0..size).map(|i| if i == 0 { 1.0 } else { 0.0 }).collect());
    }
    // Numbers about 1 neither overflow nor vanish.
    let rows: Vec<Vec<f64>> =
        (0..size).map(|i| matrix.row(i).iter().map(|product| product / largest).collect()).collect();
    let mut basis = vec![unit((0..size).map(irregular).collect())];
    let (mut diagonal, mut beside) = (Vec::new(), Vec::new());
    let mut look = FIRST_LOOK;
    loop {
        let last = &basis[basis.len() - 1];
        let mut next: Vec<f64> = rows.iter().map(|row| dot(row, last)).collect();
        diagonal.push(dot(&next, last));
        // Twice is enough for what rounding leaves.
        for _ in 0..2 {
            for direction in &basis {
                let along = dot(&next, direction);
                next.iter_mut().zip(direction).for_each(|(value, part)| *value -= along * part);
            }
        }
        let rest = dot(&next, &next).sqrt();
        let is_all = rest <= f64::EPSILON || basis.len() == size;
        if is_all || basis.len() == look {
            let (value, shares) = of_tridiagonal(&diagonal, &beside);
            if is_all || rest * shares[shares.len() - 1].abs() <= RESIDUAL * value {
                let of = |i: usize| basis.iter().zip(&shares).map(|(part, share)| part[i] * share).sum();
                return (value.max(0.0) * largest, unit((0..size).map(of).collect()));
            }
            look += look / 2;
        }
        next.iter_mut().for_each(|value| *value /= rest);
        beside.push(rest);
        basis.push(next);
    }
}

/// The largest eigenvalue of the symmetric matrix with this diagonal and these values beside it, and its eigenvector.
fn of_tridiagonal(diagonal: &[f64], beside: &[f64]) -> (f64, Vec<f64>) {
    let matrix = DMatrix::from_fn(diagonal.len(), diagonal.len(), |i, j| match i.abs_diff(j) {
        0 => diagonal[i],
        1 => beside[i.min(j)],
        _ => 0.0,
    });
    let SymmetricEigen { eigenvalues, eigenvectors } = SymmetricEigen::new(matrix);
    let place = eigenvalues.imax();
    (eigenvalues[place], eigenvectors.column(place).iter().copied().collect())
}

/// Numbers from 1/2 to 3/2 in no order that a matrix has: no eigenvector is orthogonal to them but by accident.
fn irregular(place: usize) -> f64 {
    0.5 + (place as f64 * 0.618_033_988_749_894_9).fract()
}

fn unit(values: Vec<f64>) -> Vec<f64> {
    let length = dot(&values, &values).sqrt();
    values.into_iter().map(|value| value / length).collect()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

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

    #[test]
    fn a_matrix_of_parts_that_do_not_touch_has_that_of_the_part_with_the_largest() {
        let block = |i: usize, j: usize| match (i / 20, j / 20) {
            (0, 0) => 1.0,
            (1, 1) => 3.0,
            (2, 2) if i == j => 7.0,
            _ => 0.0,
        };
        let (value, vector) = largest_eigenpair(&Gram::new(60, block));
        assert!((value - 60.0).abs() < 1e-9, "{value}");
        assert!(vector[20..40].iter().all(|part| (part.abs() - 0.05_f64.sqrt()).abs() < 1e-9), "{vector:?}");
    }

    proptest! {
        #[test]
        fn it_is_what_all_eigenvalues_of_the_matrix_say(points in vec(vec(-1.0..1.0_f64, 40), 2..60)) {
            let gram = Gram::new(points.len(), |i, j| dot(&points[i], &points[j]));
            let (value, vector) = largest_eigenpair(&gram);
            let whole = DMatrix::from_fn(points.len(), points.len(), |i, j| gram.product(i, j));
            let largest = whole.clone().symmetric_eigenvalues().max();
            prop_assert!((value - largest).abs() <= 1e-12 * largest, "{value}, not {largest}");
            let image = whole * nalgebra::DVector::from_vec(vector.clone());
            let residual = image.iter().zip(&vector).map(|(image, part)| (image - value * part).powi(2));
            prop_assert!(residual.sum::<f64>().sqrt() <= 1e-9 * largest);
        }
    }
}
