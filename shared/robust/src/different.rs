//! Each distinct value once.

/// Of what is equal the first place, in order, and for each of `all` which of those it is equal to. Without one or
/// another update, a rule that selects often makes the same.
pub fn different<T: PartialEq>(all: &[T]) -> (Vec<usize>, Vec<usize>) {
    let mut firsts: Vec<usize> = Vec::new();
    let mut places = Vec::with_capacity(all.len());
    for (index, item) in all.iter().enumerate() {
        let place = firsts.iter().position(|&first| all[first] == *item).unwrap_or(firsts.len());
        if place == firsts.len() {
            firsts.push(index);
        }
        places.push(place);
    }
    (firsts, places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_equal_is_there_once() {
        assert_eq!(different(&["c", "a", "c", "c", "b", "a"]), (vec![0, 1, 4], vec![0, 1, 0, 0, 2, 1]));
        assert_eq!(different::<u8>(&[]), (vec![], vec![]));
    }
}
