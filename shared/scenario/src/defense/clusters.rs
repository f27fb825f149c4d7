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
    while links.pop().is_some() {
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
    fn what_holds_together_longest_is_the_densest() {
        let points = [0.0, 1.0, 2.0, 2.5, 50.0, 51.0];
        assert_eq!(densest(6, 4, apart(&points)), [0, 1, 2, 3]);
        // Four of them have to stay, and the four fall apart at their longest link.
        assert_eq!(densest(6, 3, apart(&[0.0, 1.0, 2.5, 2.6, 2.7, 50.0])), [2, 3, 4]);
        assert_eq!(densest(1, 1, apart(&[0.0])), [0]);
    }
}
