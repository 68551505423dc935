//! Caches the hashes of frequent texts.

use super::{Symbol, generation, hash_text};

/// How many hashes are cached: more than there are categories, countries and the like.
const SLOTS: usize = 4_096;

/// The hashes of texts, by symbol. They are the same in all processes of a cluster, where symbols are not.
///
/// It holds no symbol: a number that stands for another text after a sweep is not taken for the old one, because the hashes
/// are of one generation of symbols.
pub(crate) struct TextHashes {
    generation: u64,
    slots: Box<[Option<(Symbol, u64)>]>,
}

impl Default for TextHashes {
    fn default() -> TextHashes {
        TextHashes { generation: generation(), slots: vec![None; SLOTS].into_boxed_slice() }
    }
}

impl TextHashes {
    /// The hash of the text of a symbol that is in use.
    #[inline]
    pub(crate) fn hash_of(&mut self, symbol: Symbol) -> u64 {
        let now = generation();
        if now != self.generation {
            self.generation = now;
            self.slots.fill(None);
        }
        let slot = &mut self.slots[symbol.number() as usize % SLOTS];
        match *slot {
            Some((known, hash)) if known == symbol => hash,
            _ => {
                let hash = hash_text(&symbol.text());
                *slot = Some((symbol, hash));
                hash
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_that_of_the_text_whether_it_is_cached_or_not() {
        let mut hashes = TextHashes::default();
        let texts: Vec<String> = (0..3 * SLOTS).map(|number| format!("text {number}")).collect();
        // The second time some are cached, and some were replaced.
        for _ in 0..2 {
            for text in &texts {
                assert_eq!(hashes.hash_of(Symbol::new(text)), hash_text(text), "{text}");
            }
        }
    }
}
