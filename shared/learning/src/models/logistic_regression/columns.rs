//! Weights by feature instead of by class, so that one feature meets the weights of all classes side by side.

/// Classes side by side: one vector register of AVX-512, two of AVX2, four of NEON.
pub(super) const TILE: usize = 16;

/// Features transposed together: their tiles stay in the innermost cache until all classes have been there.
const BLOCK: usize = 16;

/// The values of up to [`TILE`] classes; those beyond the last class are 0.
pub(super) type Tile = [f32; TILE];

/// Adds `factor` times `values`.
#[inline(always)]
pub(super) fn add_scaled(sums: &mut Tile, factor: f32, values: &Tile) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += factor * value;
    }
}

/// One tile per feature of a matrix `[classes, features]`, for the classes from `first` on.
#[inline(always)]
pub(super) fn transpose(weights: &[f32], features: usize, first: usize) -> Vec<Tile> {
    let mut columns = vec![[0.0; TILE]; features];
    let rows = weights[first * features..].chunks_exact(features).take(TILE);
    for (block, place) in columns.chunks_mut(BLOCK).zip((0..).step_by(BLOCK)) {
        for (class, row) in rows.clone().enumerate() {
            for (column, weight) in block.iter_mut().zip(&row[place..]) {
                column[class] = *weight;
            }
        }
    }
    columns
}

/// Writes tiles back into the rows of a matrix `[classes, features]`, from the class `first` on.
#[inline(always)]
pub(super) fn transpose_back(columns: &[Tile], weights: &mut [f32], first: usize) {
    let features = columns.len();
    let weights = &mut weights[first * features..];
    for (block, place) in columns.chunks(BLOCK).zip((0..).step_by(BLOCK)) {
        for (class, row) in weights.chunks_exact_mut(features).take(TILE).enumerate() {
            for (weight, column) in row[place..].iter_mut().zip(block) {
                *weight = column[class];
            }
        }
    }
}

/// Sum of the columns at `entries`, each times its value: four partial sums, each of every fourth entry.
#[inline(always)]
pub(super) fn weighted_sum(columns: &[Tile], entries: &[(u32, f32)]) -> Tile {
    // Each in a register of its own.
    let (mut first, mut second, mut third, mut fourth) = ([0.0; TILE], [0.0; TILE], [0.0; TILE], [0.0; TILE]);
    let (fours, rest) = entries.as_chunks::<4>();
    for [a, b, c, d] in fours {
        add_scaled(&mut first, a.1, &columns[a.0 as usize]);
        add_scaled(&mut second, b.1, &columns[b.0 as usize]);
        add_scaled(&mut third, c.1, &columns[c.0 as usize]);
        add_scaled(&mut fourth, d.1, &columns[d.0 as usize]);
    }
    add_scaled(&mut first, 1.0, &second);
    add_scaled(&mut third, 1.0, &fourth);
    add_scaled(&mut first, 1.0, &third);
    for &(place, value) in rest {
        add_scaled(&mut first, value, &columns[place as usize]);
    }
    first
}
