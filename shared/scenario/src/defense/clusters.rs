//! Clusters of updates.

/// The points of the largest cluster of `points`, in ascending order, by the mean shift with a flat kernel (Comaniciu and Meer
/// 2002).
///
/// Its bandwidth is the mean over the points of the distance to the farther half of the others, as scikit-learn estimates it.
/// Each point climbs to the mean of those within the bandwidth, until it stands; of summits nearer than the bandwidth, the one
/// with most points counts, and a point belongs to the nearest that is within the bandwidth. Of equal clusters, it is that of
/// the lowest point.
pub(super) fn largest_by_mean_shift<const N: usize>(points: &[[f64; N]]) -> Vec<usize> {
    const STEPS: usize = 300;
    let bandwidth = bandwidth(points);
    let near = |from: &[f64; N]| -> Vec<usize> {
        (0..points.len()).filter(|point| distance(&points[*point], from) <= bandwidth).collect()
    };
    let summit = |start: &[f64; N]| {
        let mut at = *start;
        for _ in 0..STEPS {
            let within = near(&at);
            let mut mean = [0.0; N];
            for point in &within {
                mean.iter_mut()
                    .zip(points[*point])
                    .for_each(|(sum, value)| *sum += value / within.len() as f64);
            }
            let step = distance(&mean, &at);
            at = mean;
            if step <= 1e-3 * bandwidth {
                break;
            }
        }
        (near(&at).len(), at)
    };
    let mut summits: Vec<(usize, [f64; N])> = points.iter().map(summit).collect();
    // Stable: of equals the first stays ahead.
    summits.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let mut centres: Vec<[f64; N]> = Vec::new();
    for (_, at) in summits {
        if centres.iter().all(|centre| distance(centre, &at) > bandwidth) {
            centres.push(at);
        }
    }
    let mut clusters = vec![Vec::new(); centres.len()];
    for (place, point) in points.iter().enumerate() {
        let nearest = (0..centres.len())
            .min_by(|a, b| distance(&centres[*a], point).total_cmp(&distance(&centres[*b], point)));
        if let Some(nearest) = nearest.filter(|nearest| distance(&centres[*nearest], point) <= bandwidth) {
            clusters[nearest].push(place);
        }
    }
    largest(clusters)
}

/// The mean distance from a point to the point such that half of all are nearer.
fn bandwidth<const N: usize>(points: &[[f64; N]]) -> f64 {
    let rank = (points.len() / 2).max(1) - 1;
    let far = |from: &[f64; N]| {
        let mut distances: Vec<f64> = points.iter().map(|point| distance(point, from)).collect();
        distances.sort_by(f64::total_cmp);
        distances[rank]
    };
    points.iter().map(far).sum::<f64>() / points.len() as f64
}

fn distance<const N: usize>(a: &[f64; N], b: &[f64; N]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

/// The larger of two clusters that `points` points are joined to, one pair of clusters after the other, always those with the
/// least mean distance between their points (average linkage). Of equal ones, it is that of the lowest point.
pub(super) fn larger_by_average_linkage(points: usize, distance: impl Fn(usize, usize) -> f64) -> Vec<usize> {
    let mut clusters: Vec<Vec<usize>> = (0..points).map(|point| vec![point]).collect();
    let mut sums: Vec<Vec<f64>> =
        (0..points).map(|a| (0..points).map(|b| distance(a, b)).collect()).collect();
    while clusters.len() > 2 {
        let (mut pair, mut least) = ((0, 1), f64::INFINITY);
        for a in 0..clusters.len() {
            for b in a + 1..clusters.len() {
                let mean = sums[a][b] / (clusters[a].len() * clusters[b].len()) as f64;
                if mean < least {
                    (pair, least) = ((a, b), mean);
                }
            }
        }
        let (a, b) = pair;
        let joined = clusters.remove(b);
        clusters[a].extend(joined);
        let row = sums.remove(b);
        sums[a].iter_mut().zip(row).for_each(|(sum, other)| *sum += other);
        for sums in &mut sums {
            let other = sums.remove(b);
            sums[a] += other;
        }
    }
    largest(clusters)
}

/// Distances that differ by less are the same: cosines have no more digits.
const SAME: f64 = 1e-7;

/// The points that hold together longest, where at least `least` must: what is left before a cluster of so many falls apart when
/// the pairs of points that are nearest links are cut, the farthest first. That is HDBSCAN's one cluster, for more than half of
/// the points (Campello et al. 2013; one neighbour makes a core).
pub(super) fn densest(points: usize, least: usize, distance: impl Fn(usize, usize) -> f64) -> Vec<usize> {
    // The links of the minimum spanning tree, by Prim's algorithm.
    let mut links: Vec<(f64, usize, usize)> = Vec::new();
    let mut to_tree: Vec<(f64, usize)> = (0..points).map(|point| (distance(point, 0), 0)).collect();
    let mut outside: Vec<usize> = (1..points).collect();
    while !outside.is_empty() {
        let place =
            (0..outside.len()).min_by(|a, b| to_tree[outside[*a]].0.total_cmp(&to_tree[outside[*b]].0));
        let point = outside.remove(place.unwrap_or_default());
        let (length, other) = to_tree[point];
        links.push((length, point, other));
        for outer in &outside {
            let length = distance(*outer, point);
            if length < to_tree[*outer].0 {
                to_tree[*outer] = (length, point);
            }
        }
    }
    links.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut left: Vec<usize> = (0..points).collect();
    while let Some(longest) = links.last().map(|link| link.0) {
        // Links of one length are cut at once.
        links.retain(|link| link.0 < longest - SAME);
        let Some(part) = parts(&left, &links).into_iter().find(|part| part.len() >= least) else { break };
        left = part;
    }
    left
}

/// What `points` fall into, joined by `links`.
fn parts(points: &[usize], links: &[(f64, usize, usize)]) -> Vec<Vec<usize>> {
    let mut parts: Vec<Vec<usize>> = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for start in points {
        if !seen.insert(*start) {
            continue;
        }
        let mut part = vec![*start];
        let mut next = 0;
        while next < part.len() {
            let point = part[next];
            next += 1;
            for (_, a, b) in links {
                let other = if *a == point {
                    b
                } else if *b == point {
                    a
                } else {
                    continue;
                };
                if points.contains(other) && seen.insert(*other) {
                    part.push(*other);
                }
            }
        }
        part.sort_unstable();
        parts.push(part);
    }
    parts
}

/// The places of `numbers` in so many clusters, those of the least numbers first: the ones whose squared distances from their means
/// are least in sum. Fewer, if there are not so many numbers.
pub(super) fn clusters_of_numbers(numbers: &[f64], clusters: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|a, b| numbers[*a].total_cmp(&numbers[*b]));
    let sorted: Vec<f64> = order.iter().map(|place| numbers[*place]).collect();
    let (_, starts) = spreads(&sorted, clusters.min(numbers.len()));
    let ends = starts.iter().skip(1).copied().chain([sorted.len()]);
    std::iter::zip(&starts, ends).map(|(start, end)| order[*start..end].to_vec()).collect()
}

/// Of ascending numbers, for 1 to `most` clusters the least sum of squared distances from their means; and where each of the most
/// clusters begins. Clusters of numbers are intervals, so that the best are found one after the other.
fn spreads(sorted: &[f64], most: usize) -> (Vec<f64>, Vec<usize>) {
    let count = sorted.len();
    let (mut sums, mut squares) = (vec![0.0; count + 1], vec![0.0; count + 1]);
    for (place, value) in sorted.iter().enumerate() {
        sums[place + 1] = sums[place] + value;
        squares[place + 1] = squares[place] + value * value;
    }
    let spread = |start: usize, end: usize| {
        let sum: f64 = sums[end] - sums[start];
        (squares[end] - squares[start] - sum * sum / (end - start) as f64).max(0.0)
    };
    let mut least: Vec<Vec<f64>> =
        vec![(0..=count).map(|end| if end == 0 { 0.0 } else { spread(0, end) }).collect()];
    let mut begins: Vec<Vec<usize>> = vec![vec![0; count + 1]];
    for clusters in 1..most {
        let (mut best, mut begin) = (vec![f64::INFINITY; count + 1], vec![0; count + 1]);
        for end in clusters + 1..=count {
            for (start, before) in least[clusters - 1].iter().enumerate().take(end).skip(clusters) {
                let total = before + spread(start, end);
                if total < best[end] {
                    (best[end], begin[end]) = (total, start);
                }
            }
        }
        least.push(best);
        begins.push(begin);
    }
    let mut starts = Vec::new();
    let mut end = count;
    for clusters in (0..most.min(begins.len())).rev() {
        end = begins[clusters][end];
        starts.push(end);
    }
    starts.reverse();
    (least.iter().map(|least| least[count]).collect(), starts)
}

/// Whether `numbers` from 0 to 1 fall into two clusters rather than one by the gap statistic: whether two are so much tighter
/// than those of uniform numbers from 0 to 1, of which some sets are given (Tibshirani et al. 2001).
pub(super) fn are_two_by_gaps(numbers: &[f64], references: &[Vec<f64>]) -> bool {
    if numbers.len() < 3 {
        return false;
    }
    let tightness = |numbers: &[f64]| -> [f64; 2] {
        let mut sorted = numbers.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (spreads, _) = spreads(&sorted, 2);
        [0, 1].map(|clusters| spreads[clusters].max(f64::MIN_POSITIVE).ln())
    };
    let (found, count) = (tightness(numbers), references.len() as f64);
    let references: Vec<[f64; 2]> = references.iter().map(|reference| tightness(reference)).collect();
    let mean = |clusters: usize| references.iter().map(|reference| reference[clusters]).sum::<f64>() / count;
    let [gap_of_one, gap_of_two] = [0, 1].map(|clusters| mean(clusters) - found[clusters]);
    let variance = references.iter().map(|reference| (reference[1] - mean(1)).powi(2)).sum::<f64>() / count;
    gap_of_one < gap_of_two - variance.sqrt() * (1.0 + 1.0 / count).sqrt()
}

/// The largest cluster, in ascending order; of equal ones, that of the lowest point.
fn largest(clusters: Vec<Vec<usize>>) -> Vec<usize> {
    let sorted = clusters.into_iter().map(|mut cluster| {
        cluster.sort_unstable();
        cluster
    });
    let rank = |cluster: &Vec<usize>| (cluster.len(), std::cmp::Reverse(cluster.first().copied()));
    sorted.max_by_key(rank).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rand::{Rng as _, SeedableRng as _};

    use super::*;

    fn apart(points: &[f64]) -> impl Fn(usize, usize) -> f64 + '_ {
        |a, b| (points[a] - points[b]).abs()
    }

    #[test]
    fn the_mean_shift_finds_where_most_points_are() {
        let points = [0.0, 0.1, 9.0, 0.2, 9.1, 0.15].map(|value| [value, -value]);
        assert_eq!(largest_by_mean_shift(&points), [0, 1, 3, 5]);
        assert_eq!(largest_by_mean_shift(&[[1.0]; 3]), [0, 1, 2]);
        assert_eq!(largest_by_mean_shift(&[[1.0]]), [0]);
    }

    #[test]
    fn linkage_ends_with_two_clusters() {
        assert_eq!(larger_by_average_linkage(5, apart(&[0.0, 10.0, 1.0, 11.0, 0.5])), [0, 2, 4]);
        // Of two that are as large, the one with the lowest point.
        assert_eq!(larger_by_average_linkage(4, apart(&[9.0, 1.0, 9.5, 0.5])), [0, 2]);
        assert_eq!(larger_by_average_linkage(1, apart(&[3.0])), [0]);
    }

    #[test]
    fn clusters_of_numbers_are_the_tightest() {
        let numbers = [5.0, 0.1, 5.2, 0.0, 9.0];
        assert_eq!(clusters_of_numbers(&numbers, 1), [[3, 1, 0, 2, 4]]);
        assert_eq!(clusters_of_numbers(&numbers, 3), [vec![3, 1], vec![0, 2], vec![4]]);
        assert_eq!(clusters_of_numbers(&[1.0], 2), [[0]]);
        // All ways to cut in two, one by one.
        let sorted = [0.0, 1.0, 1.5, 4.0, 4.1, 6.0];
        let spread = |part: &[f64]| {
            let mean = part.iter().sum::<f64>() / part.len() as f64;
            part.iter().map(|value| (value - mean).powi(2)).sum::<f64>()
        };
        let least =
            (1..6).map(|cut| spread(&sorted[..cut]) + spread(&sorted[cut..])).fold(f64::INFINITY, f64::min);
        assert!((spreads(&sorted, 2).0[1] - least).abs() < 1e-12);
    }

    #[test]
    fn the_gap_statistic_tells_two_clusters_from_one() {
        let random = &mut learning::random::Stream::seed_from_u64(3);
        let references: Vec<Vec<f64>> =
            (0..20).map(|_| (0..40).map(|_| random.random_range(0.0..1.0)).collect()).collect();
        let even: Vec<f64> = (0..40).map(|i| f64::from(i) / 39.0).collect();
        assert!(!are_two_by_gaps(&even, &references));
        let two: Vec<f64> =
            (0..40).map(|i| f64::from(i % 20) * 0.001 + if i < 20 { 0.0 } else { 0.981 }).collect();
        assert!(are_two_by_gaps(&two, &references));
        assert!(!are_two_by_gaps(&[0.0, 1.0], &[vec![0.1, 0.9]]));
    }

    #[test]
    fn what_holds_together_longest_is_the_densest() {
        let points = [0.0, 1.0, 2.0, 2.5, 50.0, 51.0];
        assert_eq!(densest(6, 4, apart(&points)), [0, 1, 2, 3]);
        // Four of them have to stay, and the four fall apart at their longest link.
        assert_eq!(densest(6, 3, apart(&[0.0, 1.0, 2.5, 2.6, 2.7, 50.0])), [2, 3, 4]);
        assert_eq!(densest(1, 1, apart(&[0.0])), [0]);
    }
}
