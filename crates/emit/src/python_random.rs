//! Python's `random.Random`, so that the draws of the posting emulator can be repeated exactly.
//!
//! Follows `CPython` since 3.2: `random.seed(int)` is MT19937's `init_by_array` with the 32-bit words of the number,
//! least significant first (`Modules/_randommodule.c`). `randrange` and `randint` draw as many bits as the limit has,
//! again until the number is below it (`Lib/random.py`, `_randbelow_with_getrandbits`).

use rand_mt::Mt;

/// Python's `random.Random`.
#[derive(Debug, Clone)]
pub(crate) struct PythonRandom(Box<Mt>);

impl PythonRandom {
    /// `random.seed(seed)`.
    pub(crate) fn new(seed: u64) -> PythonRandom {
        let words = [seed as u32, (seed >> 32) as u32];
        let len = if words[1] == 0 { 1 } else { 2 };
        PythonRandom(Box::new(Mt::new_with_key(words.into_iter().take(len))))
    }

    /// `random.randrange(limit)`. `limit` must be at least 1.
    pub(crate) fn randrange(&mut self, limit: u32) -> u32 {
        let bits = 32 - limit.leading_zeros();
        loop {
            let drawn = self.0.next_u32() >> (32 - bits);
            if drawn < limit {
                return drawn;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Pause and row of each draw.
    fn python_draws(seed: u64, count: usize) -> Vec<(u32, u32)> {
        let mut python_random = PythonRandom::new(seed);
        (0..count).map(|_| (python_random.randrange(2), python_random.randrange(11_001))).collect()
    }

    #[test]
    fn draws_equal_those_of_python() {
        // Printed by Python 3.11.
        #[rustfmt::skip]
        let of_100 = [
            (0, 7528), (1, 2863), (1, 5730), (1, 8304), (0, 8731), (0, 1313), (1, 4315), (0, 10794), (0, 5494), (0, 5069),
            (0, 2923), (0, 3089), (1, 6063), (1, 3454), (1, 7554), (1, 6145), (0, 10625), (0, 2959), (0, 9875), (1, 2418),
            (0, 3156), (0, 428), (0, 7343), (1, 2074),
        ];
        assert_eq!(python_draws(100, 24), of_100);
        for (seed, words) in [
            (0, [3_626_764_237, 1_654_615_998]),
            (1, [577_090_037, 2_444_712_010]),
            (1 << 32, [485_306_839, 1_508_871_100]),
            ((1 << 40) + 7, [2_635_837_658, 3_209_733_218]),
            (u64::MAX, [93_740_670, 1_068_495_656]),
        ] {
            let PythonRandom(mut mt) = PythonRandom::new(seed);
            assert_eq!([mt.next_u32(), mt.next_u32()], words, "seed {seed}");
        }
    }

    #[test]
    #[allow(clippy::print_stderr, reason = "people who run the tests must see what was left out")]
    fn installed_python_draws_the_same() {
        let script = "import random,sys\nrandom.seed(int(sys.argv[1]))\n\
                      for _ in range(3000): print(random.randrange(0, 2), random.randint(0, 11000))";
        for seed in [0_u64, 100, 4_294_967_295, 4_294_967_296, 987_654_321_987] {
            let Ok(output) = Command::new("python3").args(["-c", script, &seed.to_string()]).output() else {
                eprintln!("no python3 here: its draws are compared with the list in this file only");
                return;
            };
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let expected: String =
                python_draws(seed, 3000).iter().map(|(pause, row)| format!("{pause} {row}\n")).collect();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), expected, "seed {seed}");
        }
    }

    #[test]
    #[allow(clippy::print_stderr, reason = "people who run the tests must see what was left out")]
    fn recorded_order_of_the_emulator_is_repeated() {
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/real/emulator_order.csv");
        let Ok(text) = std::fs::read_to_string(&path) else {
            eprintln!("no recorded order beside this checkout: draws are compared with Python's alone");
            return;
        };
        let recorded: Vec<u32> =
            text.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse().unwrap()).collect();
        assert_eq!(recorded.len(), 20_000);
        let drawn: Vec<u32> = python_draws(100, recorded.len()).into_iter().map(|(_, row)| row).collect();
        assert!(drawn == recorded, "the order differs");
    }
}
