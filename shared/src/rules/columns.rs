//! What the coordinate-wise rules share: one walk over the columns of the update matrix.

use rayon::prelude::*;

use super::Updates;

/// Columns transposed at a time: 100 devices' worth (25 KiB) fits a first-level cache, and each row is still
/// read in whole cache lines.
pub(super) const BLOCK: usize = 64;

/// Applies `statistic` to each column: the values of one coordinate in device order, to reorder at will.
pub(super) fn map_columns(updates: &Updates<'_>, statistic: impl Fn(&mut [f32]) -> f32 + Sync) -> Vec<f32> {
    let devices = updates.len();
    let mut result = vec![0.0; updates.dimension()];
    result.par_chunks_mut(BLOCK).enumerate().for_each_init(
        || vec![0.0; BLOCK * devices],
        |columns, (block, output)| {
            let first = block * BLOCK;
            for (device, row) in updates.rows().iter().enumerate() {
                let values = &row[first..first + output.len()];
                for (column, value) in columns.chunks_exact_mut(devices).zip(values) {
                    column[device] = *value;
                }
            }
            for (value, column) in output.iter_mut().zip(columns.chunks_exact_mut(devices)) {
                *value = statistic(column);
            }
        },
    );
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_column_arrives_whole_and_in_device_order() {
        for dimension in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5] {
            let data: Vec<Vec<f32>> =
                (0..3).map(|device| (0..dimension).map(|j| (10 * j + device) as f32).collect()).collect();
            let rows: Vec<&[f32]> = data.iter().map(Vec::as_slice).collect();
            let result = map_columns(&Updates::new(&rows, None).unwrap(), |column| {
                assert_eq!(column, [column[0], column[0] + 1.0, column[0] + 2.0]);
                column[0]
            });
            assert_eq!(result, data[0]);
        }
    }
}
