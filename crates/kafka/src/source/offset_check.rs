//! Compares a position with the offsets that a partition holds. No I/O.

/// What the broker says of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OffsetRange {
    /// The oldest offset that it holds.
    pub(super) low: u64,
    /// The offset that its next record will have.
    pub(super) high: u64,
}

/// How a position stands to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OffsetCheck {
    /// Everything from the position on is there.
    InRange,
    /// Records from the position up to this one are gone.
    Expired {
        /// The last of them.
        to: u64,
    },
    /// The partition ends before the position: another one has taken its place, or its end was cut off.
    PastEnd,
}

/// Judges a position.
pub(super) fn check_offset(next: u64, held: OffsetRange) -> OffsetCheck {
    if next < held.low {
        OffsetCheck::Expired { to: held.low - 1 }
    } else if next > held.high {
        OffsetCheck::PastEnd
    } else {
        OffsetCheck::InRange
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_position_stands_somewhere() {
        let held = OffsetRange { low: 10, high: 20 };
        let stands: Vec<OffsetCheck> = [0, 9, 10, 15, 20, 21].map(|next| check_offset(next, held)).to_vec();
        let lost = OffsetCheck::Expired { to: 9 };
        assert_eq!(
            stands,
            [lost, lost, OffsetCheck::InRange, OffsetCheck::InRange, OffsetCheck::InRange, OffsetCheck::PastEnd]
        );
        assert_eq!(check_offset(0, OffsetRange { low: 0, high: 0 }), OffsetCheck::InRange);
    }
}
