//! Random documents that are the same in each run.

/// As long as a document may be.
const LONGEST: usize = 32_000;

/// A generator of numbers (`SplitMix64`, of Steele, Lea and Flood). Not for secrets.
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`; 0 where that is 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.number() % bound).unwrap_or_default()
    }

    /// So many letters and digits.
    pub(super) fn word(&mut self, length: usize) -> String {
        const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let letter = |_| LETTERS.get(self.below(32)).copied().map_or('0', char::from);
        (0..length).map(letter).collect()
    }

    /// A document of up to 30 pieces of others.
    pub(super) fn document(&mut self, sources: &[String]) -> String {
        let mut document = String::new();
        for _ in 0..=self.below(30) {
            let Some(source) = sources.get(self.below(sources.len())) else {
                break;
            };
            let room = LONGEST.saturating_sub(document.len());
            let start = source.floor_char_boundary(self.below(source.len()));
            let length = self.below(4_000).min(room);
            let end = source.floor_char_boundary((start + length).min(source.len()));
            let piece = source.get(start..end).unwrap_or_default();
            let times = if self.below(4) == 0 { self.below(8) } else { 1 };
            for _ in 0..times {
                if document.len() + piece.len() <= LONGEST {
                    document.push_str(piece);
                }
            }
        }
        document
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_repeat_and_are_as_long_as_may_be() {
        let sources = ["{me{id}}".repeat(4_000), "😀".repeat(1_000)];
        let (mut one, mut other) = (Random::new(7), Random::new(7));
        let mut longest = 0;
        for _ in 0..200 {
            let document = one.document(&sources);
            assert_eq!(document, other.document(&sources));
            assert!(document.len() <= LONGEST);
            longest = longest.max(document.len());
        }
        assert!(longest > LONGEST / 2, "{longest}");
        assert_eq!(one.word(5).len(), 5);
        assert!((0..100).all(|_| one.below(3) < 3));
    }
}
