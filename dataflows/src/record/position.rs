//! Positions: where a record is in its source.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The position of a record in its source: a line number, an offset or a sequence number. A greater one is later.
///
/// It is a whole number below 2^189. Lines and offsets fit the low 64 bits. Sequence numbers of Kinesis have up to 56
/// digits (less than 2^187), and all of them matter for the order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Position {
    // From the most significant part on, so that the derived order is that of the numbers.
    high: u64,
    middle: u64,
    low: u64,
}

/// Bits of a [limb](Position::limbs).
const LIMB_BITS: u32 = 63;
const LIMB: u64 = u64::MAX >> 1;

impl Position {
    /// The most digits of a position.
    pub const DIGITS: usize = 56;
    /// The most digits of a number that fits 64 bits.
    pub const NARROW_DIGITS: usize = 20;
    /// The least position.
    pub const START: Position = Position { high: 0, middle: 0, low: 0 };
    /// The position after every record. It is greater than any position of a source.
    pub const END: Position = Position { high: (1 << 61) - 1, middle: u64::MAX, low: u64::MAX };

    /// The position as a `u64`, if it fits.
    #[must_use]
    pub fn narrow(self) -> Option<u64> {
        (self.high == 0 && self.middle == 0).then_some(self.low)
    }

    /// The 64-bit words of the number, the highest first.
    pub(crate) fn words(self) -> [u64; 3] {
        [self.high, self.middle, self.low]
    }

    /// Makes a position of its words. `None` if it is beyond [`Position::END`].
    pub(crate) fn from_words([high, middle, low]: [u64; 3]) -> Option<Position> {
        Some(Position { high, middle, low }).filter(|position| *position <= Position::END)
    }

    /// The next position, at most [`Position::END`].
    #[must_use]
    pub fn after(self) -> Position {
        let (low, carried) = self.low.overflowing_add(1);
        let (middle, carried) = self.middle.overflowing_add(u64::from(carried));
        Position { high: self.high.saturating_add(u64::from(carried)), middle, low }.min(Position::END)
    }

    /// The previous position, or 0 for 0.
    #[must_use]
    pub fn before(self) -> Position {
        if self == Position::START {
            return self;
        }
        let (low, borrowed) = self.low.overflowing_sub(1);
        let (middle, borrowed) = self.middle.overflowing_sub(u64::from(borrowed));
        Position { high: self.high - u64::from(borrowed), middle, low }
    }

    /// The number shifted right by `bits`.
    #[must_use]
    pub fn shifted(self, bits: u32) -> Position {
        let Position { high, middle, low } = self;
        match (bits / 64, bits % 64) {
            (0, 0) => self,
            (0, bits) => Position {
                high: high >> bits,
                middle: middle >> bits | high << (64 - bits),
                low: low >> bits | middle << (64 - bits),
            },
            (1, 0) => Position { high: 0, middle: high, low: middle },
            (1, bits) => Position { high: 0, middle: high >> bits, low: middle >> bits | high << (64 - bits) },
            (2, bits) => Position { high: 0, middle: 0, low: high >> bits },
            _ => Position::START,
        }
    }

    /// The number in limbs of 63 bits, the lowest first, so that each fits a signed 64-bit column.
    #[must_use]
    pub fn limbs(self) -> [u64; 3] {
        [0, 1, 2].map(|limb| self.shifted(LIMB_BITS * limb).low & LIMB)
    }

    /// Makes a position of its limbs. `None` if a limb has more than 63 bits.
    #[must_use]
    pub fn from_limbs([low, middle, high]: [u64; 3]) -> Option<Position> {
        let whole = [low, middle, high].iter().all(|limb| *limb <= LIMB);
        whole.then_some(Position { high: high >> 2, middle: middle >> 1 | high << 62, low: low | middle << 63 })
    }

    /// The decimal digits, padded with zeros on the left to [`Position::DIGITS`].
    #[must_use]
    pub fn digits(self) -> [u8; Position::DIGITS] {
        let mut digits = [b'0'; Position::DIGITS];
        let mut places = digits.iter_mut().rev();
        let mut rest = self;
        // Nineteen digits at a time: 10^19 is the largest power of ten that fits 64 bits.
        while rest != Position::START {
            let part;
            (rest, part) = rest.div_rem(10_u64.pow(19));
            let mut part = part;
            for place in places.by_ref().take(19) {
                *place += (part % 10) as u8;
                part /= 10;
            }
        }
        digits
    }

    fn div_rem(self, by: u64) -> (Position, u64) {
        let step = |part: u64, rest: u64| {
            let whole = u128::from(rest) << 64 | u128::from(part);
            // The remainder is less than the divisor, so the quotient fits.
            ((whole / u128::from(by)) as u64, (whole % u128::from(by)) as u64)
        };
        let (high, rest) = step(self.high, 0);
        let (middle, rest) = step(self.middle, rest);
        let (low, rest) = step(self.low, rest);
        (Position { high, middle, low }, rest)
    }

    /// The number times ten plus a digit. `None` if it is too large.
    fn append_digit(self, digit: u8) -> Option<Position> {
        let step = |part: u64, carried: u64| {
            let whole = u128::from(part) * 10 + u128::from(carried);
            (whole as u64, (whole >> 64) as u64)
        };
        let (low, carried) = step(self.low, digit.into());
        let (middle, carried) = step(self.middle, carried);
        let (high, carried) = step(self.high, carried);
        let appended = Position { high, middle, low };
        (carried == 0 && appended < Position::END).then_some(appended)
    }

    /// Parses decimal digits, with any number of leading zeros.
    ///
    /// `None` if there is no digit, another character, or a number of more than [`Position::DIGITS`] digits.
    #[must_use]
    pub fn parse(digits: &[u8]) -> Option<Position> {
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        let digits = &digits[zeros..];
        if digits.len() < Position::NARROW_DIGITS {
            let low = digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
            return Some(Position::from(low));
        }
        if digits.len() > Position::DIGITS {
            return None;
        }
        digits.iter().try_fold(Position::START, |number, digit| number.append_digit(digit - b'0'))
    }
}

impl From<u64> for Position {
    fn from(low: u64) -> Position {
        Position { high: 0, middle: 0, low }
    }
}

impl FromStr for Position {
    type Err = &'static str;

    /// Parses the output of `Display`.
    fn from_str(text: &str) -> Result<Position, &'static str> {
        match text {
            "end" => Ok(Position::END),
            digits => Position::parse(digits.as_bytes()).ok_or("a position is a whole number of at most 56 digits"),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Position::END {
            return f.pad("end");
        }
        let digits = self.digits();
        let text = std::str::from_utf8(&digits).unwrap_or_default().trim_start_matches('0');
        f.pad_integral(true, "", if text.is_empty() { "0" } else { text })
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_number() -> impl Strategy<Value = String> {
        prop_oneof!["0|[1-9][0-9]{0,18}", "[1-9][0-9]{19,37}", "[1-9][0-9]{38,55}"]
    }

    proptest! {
        #[test]
        fn parsed_positions_keep_text_and_order(one in any_number(), other in any_number()) {
            let read = |text: &str| text.parse::<Position>().unwrap();
            prop_assert_eq!(read(&one).to_string(), one.clone());
            prop_assert_eq!(Position::parse(&read(&one).digits()), Some(read(&one)));
            prop_assert_eq!(read(&one).cmp(&read(&other)), (one.len(), &one).cmp(&(other.len(), &other)));
            prop_assert_eq!(read(&one).digits().cmp(&read(&other).digits()), read(&one).cmp(&read(&other)));
            prop_assert_eq!(Position::from_limbs(read(&one).limbs()), Some(read(&one)));
            prop_assert!(read(&one) < Position::END);
        }

        #[test]
        fn position_after_is_next_and_before_is_its_inverse(number in any_number()) {
            let position: Position = number.parse().unwrap();
            prop_assert!(position < position.after());
            prop_assert_eq!(position.after().before(), position);
        }

        #[test]
        fn each_shifted_bit_halves_the_position(number in any_number(), bits in 0..200_u32) {
            let position: Position = number.parse().unwrap();
            let halved = (0..bits).fold(position, |position, _| position.div_rem(2).0);
            prop_assert_eq!(position.shifted(bits), halved);
        }
    }

    #[test]
    fn positions_at_the_limits_are_exact() {
        let carried = Position { high: 0, middle: u64::MAX, low: u64::MAX }.after();
        assert_eq!(carried, Position { high: 1, middle: 0, low: 0 });
        assert_eq!(Position::from_limbs(Position::END.limbs()), Some(Position::END));
        assert_eq!(Position::END.after(), Position::END);
        assert_eq!(Position::START.before(), Position::START);
        assert_eq!("end".parse(), Ok(Position::END));
        assert_eq!(Position::END.to_string(), "end");
        assert_eq!(format!("{:020}", Position::from(42)), "00000000000000000042");
        assert_eq!(Position::from(u64::MAX).narrow(), Some(u64::MAX));
        assert_eq!(Position::from(u64::MAX).after().narrow(), None);
        let most = "9".repeat(56);
        assert_eq!(most.parse::<Position>().unwrap().to_string(), most);
        for wrong in ["", "-1", "1e3", " 1", "x", &format!("1{}", "0".repeat(56))] {
            assert!(wrong.parse::<Position>().is_err(), "{wrong}");
        }
    }
}
