//! Label flipping (paper section 4.1).

use super::{Attack, AttackError, Needs, View};

/// Trains on label L-1-l in place of l, and then behaves.
#[derive(Clone, Copy, Debug)]
pub struct LabelFlip;

impl Attack for LabelFlip {
    fn needs(&self) -> Needs {
        Needs::Nothing
    }

    fn label(&self, label: u8, classes: usize) -> u8 {
        (classes - 1 - usize::from(label)) as u8
    }

    fn craft(&self, view: &View<'_>) -> Result<Vec<Vec<f32>>, AttackError> {
        Ok(view.before_attack.iter().map(|(_, model)| model.to_vec()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_mirrored() {
        let flipped: Vec<u8> = (0..10).map(|label| LabelFlip.label(label, 10)).collect();
        assert_eq!(flipped, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
        assert_eq!(LabelFlip.label(1, 2), 0);
    }
}
