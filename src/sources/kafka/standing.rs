//! How a position stands to what a partition holds. No I/O here.

/// What the broker says of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    /// The oldest offset that it holds.
    pub(super) low: u64,
    /// The offset that its next record will have.
    pub(super) high: u64,
}

/// How a position stands to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Everything from the position on is there.
    Whole,
    /// Records from the position up to this one are gone.
    Lost {
        /// The last of them.
        to: u64,
    },
    /// The partition ends before the position: another one has taken its place, or its end was cut off.
    Short,
}

/// Judges a position.
pub(super) fn standing(next: u64, held: Range) -> Standing {
    if next < held.low {
        Standing::Lost { to: held.low - 1 }
    } else if next > held.high {
        Standing::Short
    } else {
        Standing::Whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_position_stands_somewhere() {
        let held = Range { low: 10, high: 20 };
        let stands: Vec<Standing> = [0, 9, 10, 15, 20, 21].map(|next| standing(next, held)).to_vec();
        let lost = Standing::Lost { to: 9 };
        assert_eq!(stands, [lost, lost, Standing::Whole, Standing::Whole, Standing::Whole, Standing::Short]);
        assert_eq!(standing(0, Range { low: 0, high: 0 }), Standing::Whole);
    }
}
