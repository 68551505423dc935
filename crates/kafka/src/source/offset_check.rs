//! Compares a position with the offsets that a partition holds. No I/O.

/// The offsets that a partition holds, as the broker reports them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OffsetRange {
    /// The oldest available offset.
    pub(super) low: u64,
    /// The offset of the next record.
    pub(super) high: u64,
}

/// The result of comparing a position with the offset range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OffsetCheck {
    /// All records from the position on are available.
    InRange,
    /// Records from the position up to this offset have expired.
    Expired {
        /// The last expired offset.
        to: u64,
    },
    /// The partition ends before the position: it was re-created, or its end was truncated.
    PastEnd,
}

/// Compares a position with the range of available offsets.
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
    fn position_is_expired_in_range_or_past_end() {
        let held = OffsetRange { low: 10, high: 20 };
        let checks: Vec<OffsetCheck> = [0, 9, 10, 15, 20, 21].map(|next| check_offset(next, held)).to_vec();
        let lost = OffsetCheck::Expired { to: 9 };
        assert_eq!(
            checks,
            [lost, lost, OffsetCheck::InRange, OffsetCheck::InRange, OffsetCheck::InRange, OffsetCheck::PastEnd]
        );
        assert_eq!(check_offset(0, OffsetRange { low: 0, high: 0 }), OffsetCheck::InRange);
    }
}
