//! Which objects a sample takes: by a hash of the name and a seed, so that the same run can be
//! repeated and successive runs look at others.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::model::PartName;

/// A share of the objects, chosen by `seed`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Above 0 and at most 1.
    pub share: f64,
    pub seed: u64,
}

impl Sample {
    /// Everything.
    pub const ALL: Self = Self { share: 1.0, seed: 0 };

    pub fn is_all(&self) -> bool {
        self.share >= 1.0
    }

    /// Where an object stands in this sample's order; the lowest ones are taken.
    pub fn rank(&self, name: &PartName) -> u64 {
        let mut bytes = [0u8; 64];
        bytes[..32].copy_from_slice(name.digest.as_bytes());
        if let Some(base) = &name.base {
            bytes[32..].copy_from_slice(base.as_bytes());
        }
        xxh3_64_with_seed(&bytes, self.seed)
    }

    pub fn takes(&self, name: &PartName) -> bool {
        // The cast saturates, and 64 bits are more than a share needs to be exact.
        self.is_all() || self.rank(name) < (self.share * u64::MAX as f64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Digest, Kept};

    #[test]
    fn a_share_is_taken_and_another_seed_takes_others() {
        let names: Vec<PartName> = (0..10_000u32)
            .map(|i| PartName {
                digest: Digest::of(&i.to_be_bytes()),
                base: None,
                kept: Kept::Open,
            })
            .collect();
        let taken = |seed| -> Vec<bool> {
            let sample = Sample { share: 0.05, seed };
            names.iter().map(|n| sample.takes(n)).collect()
        };
        let (a, b) = (taken(1), taken(2));
        let count = a.iter().filter(|t| **t).count();
        assert!((350..650).contains(&count), "{count}");
        assert_eq!(a, taken(1));
        let both = a.iter().zip(&b).filter(|(a, b)| **a && **b).count();
        assert!(both < count / 4, "{both} of {count}");
        assert!(names.iter().all(|n| Sample::ALL.takes(n)));
    }
}
