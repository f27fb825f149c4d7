//! Matrix products on the calling thread alone.
//!
//! Devices train beside each other, one thread each, so a product that spreads over threads gains nothing; and
//! candle's `matmul` asks the operating system for the number of processors each time, which takes longer than
//! many of the products here. So they go to the `gemm` crate, on which candle stands too, with no threads.

use candle_core::FloatDType;

/// A number that matrices are made of: 32 bits to train, 64 to check gradients.
pub(super) trait Element: FloatDType {}

impl Element for f32 {}
impl Element for f64 {}

/// Column `index` of the matrix whose rows of `width` values are `rows`, one after the other.
pub(super) fn column<T>(rows: &[T], width: usize, index: usize) -> impl Iterator<Item = &T> {
    rows[index..].iter().step_by(width)
}

/// A matrix in a slice: rows lie equally far apart, and so do the values of a row. Rows may overlap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matrix<'a, T> {
    values: &'a [T],
    rows: usize,
    columns: usize,
    row_step: usize,
    column_step: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// The matrix whose value at `(row, column)` is `values[row * row_step + column]`.
    ///
    /// # Panics
    /// If there are too few values.
    pub(super) fn new(values: &'a [T], [rows, columns]: [usize; 2], row_step: usize) -> Self {
        assert!(fits(values.len(), [rows, columns], row_step), "a matrix of {rows} x {columns} values");
        Matrix { values, rows, columns, row_step, column_step: 1 }
    }

    /// Rows become columns.
    pub(super) fn transposed(self) -> Self {
        Matrix {
            rows: self.columns,
            columns: self.rows,
            row_step: self.column_step,
            column_step: self.row_step,
            ..self
        }
    }
}

/// Whether the last value of a matrix, whose rows start `row_step` apart, lies within `length` values; which, as
/// the length of a slice, fits into `isize`, and so does then every step that is taken.
fn fits(length: usize, [rows, columns]: [usize; 2], row_step: usize) -> bool {
    let (Some(last_row), Some(last_column)) = (rows.checked_sub(1), columns.checked_sub(1)) else {
        return isize::try_from(row_step).is_ok();
    };
    let last = last_row.checked_mul(row_step).and_then(|start| start.checked_add(last_column));
    last.is_some_and(|last| last < length) && isize::try_from(row_step).is_ok()
}

/// Sets the matrix in `sum`, whose rows start `row_step` apart, to the product `left right`; what lies between its
/// rows stays. With `add` the product is added to it.
///
/// # Panics
/// If the shapes do not fit each other, if rows of the sum would overlap, or if `sum` is too short.
pub(super) fn multiply<T: Element>(
    left: Matrix<T>,
    right: Matrix<T>,
    sum: &mut [T],
    row_step: usize,
    add: bool,
) {
    let (rows, columns, depth) = (left.rows, right.columns, left.columns);
    assert_eq!(depth, right.rows, "the columns of one matrix are the rows of the other");
    assert!(columns <= row_step, "rows of {columns} values every {row_step} overlap");
    assert!(fits(sum.len(), [rows, columns], row_step), "no room for {rows} x {columns} values");
    let [alpha, beta] = [T::one(), T::one()];
    #[expect(unsafe_code, reason = "the crate `gemm` takes pointers")]
    // SAFETY: `T` is `f32` or `f64`, the only two `Element`s, both of which `gemm` knows. It reads the places
    // row * row_step + column * column_step of `left` (rows x depth) and of `right` (depth x columns), which lie
    // within their slices: `Matrix::new` has checked the last of them, and a transposed matrix has the same ones.
    // It writes those of `sum` (rows x columns), which lie within its slice and differ from each other by the two
    // assertions above. The steps fit into `isize` by `fits`. `sum` is borrowed exclusively, so the other two do
    // not overlap it, and it is initialised, so it may be read.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            depth,
            sum.as_mut_ptr(),
            1,
            row_step.cast_signed(),
            add,
            left.values.as_ptr(),
            left.column_step.cast_signed(),
            left.row_step.cast_signed(),
            right.values.as_ptr(),
            right.column_step.cast_signed(),
            right.row_step.cast_signed(),
            alpha,
            beta,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::random::Stream;

    /// By the definition; the matrix in `sum` as [`multiply`] has it.
    fn naive<T: Element>(left: Matrix<T>, right: Matrix<T>, sum: &mut [T], row_step: usize, add: bool) {
        let at = |matrix: Matrix<T>, row: usize, column: usize| {
            matrix.values[row * matrix.row_step + column * matrix.column_step]
        };
        for row in 0..left.rows {
            for column in 0..right.columns {
                let place = &mut sum[row * row_step + column];
                let before = if add { *place } else { T::zero() };
                *place =
                    (0..left.columns).fold(before, |sum, k| sum + at(left, row, k) * at(right, k, column));
            }
        }
    }

    fn noise<T: Element>(length: usize, random: &mut Stream) -> Vec<T> {
        (0..length).map(|_| T::from_f64(random.random_range(-1.0..1.0))).collect()
    }

    /// Both ways of laying out each factor, rows that overlap or lie apart, with and without a sum to add to.
    fn assert_products<T: Element>(tolerance: f64) {
        let random = &mut Stream::seed_from_u64(1);
        let sides = [0, 1, 2, 3, 8, 17, 40];
        for case in 0..2000 {
            let [rows, columns, depth] = [0; 3].map(|_: usize| sides[random.random_range(0..sides.len())]);
            let mut factor = |[rows, columns]: [usize; 2]| {
                let step = random.random_range(0..=columns + 3);
                (noise::<T>(rows * step + columns, random), step)
            };
            let [left_shape, right_shape] = [[rows, depth], [depth, columns]];
            let turned = |[rows, columns]: [usize; 2]| [columns, rows];
            let (turn_left, turn_right) = (case & 1 > 0, case & 2 > 0);
            let (left_values, left_step) = factor(if turn_left { turned(left_shape) } else { left_shape });
            let (right_values, right_step) =
                factor(if turn_right { turned(right_shape) } else { right_shape });
            let matrix = |values, shape, step, turn: bool| {
                if turn {
                    Matrix::new(values, turned(shape), step).transposed()
                } else {
                    Matrix::new(values, shape, step)
                }
            };
            let left = matrix(&left_values, left_shape, left_step, turn_left);
            let right = matrix(&right_values, right_shape, right_step, turn_right);
            let step = columns + case % 5;
            let before: Vec<T> = noise(rows * step + columns, random);
            let (mut sum, mut expected) = (before.clone(), before);
            multiply(left, right, &mut sum, step, case & 4 > 0);
            naive(left, right, &mut expected, step, case & 4 > 0);
            for (value, expected) in sum.iter().zip(&expected) {
                let error = (value.to_f64() - expected.to_f64()).abs();
                assert!(error <= tolerance, "{value} instead of {expected}: {left_shape:?} {right_shape:?}");
            }
        }
    }

    #[test]
    fn it_computes_the_product_and_writes_nothing_else() {
        assert_products::<f32>(1e-4);
        assert_products::<f64>(1e-12);
    }

    #[test]
    fn a_large_product_is_the_same_each_time() {
        let random = &mut Stream::seed_from_u64(2);
        let (left, right) = (noise::<f32>(300 * 700, random), noise::<f32>(700 * 130, random));
        let product = || {
            let mut sum = vec![0.0; 300 * 130];
            let left = Matrix::new(&left, [300, 700], 700);
            multiply(left, Matrix::new(&right, [700, 130], 130), &mut sum, 130, false);
            sum
        };
        let mut expected = vec![0.0; 300 * 130];
        let left = Matrix::new(&left, [300, 700], 700);
        naive(left, Matrix::new(&right, [700, 130], 130), &mut expected, 130, false);
        let close = |(value, expected): (&f32, &f32)| (value - expected).abs() < 1e-3;
        assert!(product().iter().zip(&expected).all(close));
        assert_eq!(product(), product());
    }

    #[test]
    #[should_panic(expected = "a matrix of 2 x 3 values")]
    fn a_matrix_that_ends_behind_its_slice_is_refused() {
        let _ = Matrix::new(&[0f32; 6], [2, 3], 4);
    }

    #[test]
    #[should_panic(expected = "a matrix of")]
    fn a_matrix_whose_size_overflows_is_refused() {
        let _ = Matrix::new(&[0f32; 6], [3, 3], usize::MAX / 2 + 1);
    }

    #[test]
    #[should_panic(expected = "a matrix of")]
    fn an_empty_matrix_of_rows_too_far_apart_is_refused() {
        let _ = Matrix::new(&[0f32; 6], [0, 3], usize::MAX);
    }

    #[test]
    #[should_panic(expected = "the rows of the other")]
    fn matrices_that_do_not_fit_each_other_are_refused() {
        let matrix = Matrix::new(&[0f32; 6], [2, 3], 3);
        multiply(matrix, matrix, &mut [0.0; 9], 3, false);
    }

    #[test]
    #[should_panic(expected = "no room for")]
    fn a_sum_that_is_too_short_is_refused() {
        let matrix = Matrix::new(&[0f32; 6], [2, 3], 3);
        multiply(matrix, matrix.transposed(), &mut [0.0; 3], 2, false);
    }

    #[test]
    #[should_panic(expected = "overlap")]
    fn a_sum_whose_rows_overlap_is_refused() {
        let matrix = Matrix::new(&[0f32; 6], [2, 3], 3);
        multiply(matrix, matrix.transposed(), &mut [0.0; 9], 1, false);
    }
}
