//! A source of choices: a list of numbers, and zeros after its end.

/// Decisions from a list of numbers. Zero is the simplest choice, so a shorter list or smaller numbers give a smaller
/// query.
#[derive(Debug, Clone)]
pub struct RandomChoices {
    numbers: Vec<u32>,
    next: usize,
}

impl RandomChoices {
    /// RandomChoices by these numbers.
    pub fn new(numbers: Vec<u32>) -> RandomChoices {
        RandomChoices { numbers, next: 0 }
    }

    /// A number from 0 to `limit` − 1.
    pub fn below(&mut self, limit: usize) -> usize {
        let number = self.numbers.get(self.next).copied().unwrap_or(0);
        self.next += 1;
        // Small numbers stay small.
        (number as usize * limit) >> 32
    }

    /// Whether something of a probability (in percent) happens.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) >= 100 - percent
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, several: &'a [T]) -> &'a T {
        &several[self.below(several.len())]
    }
}
