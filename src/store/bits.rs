//! Which items of a chunk: a bitmap over positions.

/// A set of positions in a chunk, as it is stored: bit `p % 8` of byte `p / 8`,
/// without trailing zero bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits(Vec<u8>);

impl Bits {
    /// The set that [`as_bytes`](Self::as_bytes) wrote.
    pub fn from_bytes(bytes: &[u8]) -> Bits {
        Bits(bytes.to_vec())
    }

    /// As it is stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether a position is in the set.
    pub fn has(&self, position: u32) -> bool {
        self.0
            .get(position as usize / 8)
            .is_some_and(|byte| byte & (1 << (position % 8)) != 0)
    }

    /// Adds a position; false if it was in the set already.
    pub fn add(&mut self, position: u32) -> bool {
        let place = position as usize / 8;
        if place >= self.0.len() {
            self.0.resize(place + 1, 0);
        }
        let bit = 1 << (position % 8);
        let new = self.0[place] & bit == 0;
        self.0[place] |= bit;
        new
    }

    /// How many positions are in the set.
    pub fn count(&self) -> u32 {
        self.0.iter().map(|byte| byte.count_ones()).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set_of_positions(positions in prop::collection::vec(0_u32..100, 0..50)) {
            let mut bits = Bits::default();
            let mut model = std::collections::BTreeSet::new();
            for position in positions {
                prop_assert_eq!(bits.add(position), model.insert(position));
            }
            let read = Bits::from_bytes(bits.as_bytes());
            prop_assert_eq!(&read, &bits);
            prop_assert_eq!(bits.count() as usize, model.len());
            for position in 0..120 {
                prop_assert_eq!(read.has(position), model.contains(&position));
            }
        }
    }
}
