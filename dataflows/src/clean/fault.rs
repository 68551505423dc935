//! Field faults: one column could not be read, and the row stays.

use crate::record::Stream;

/// A column that can hold a value no rule reads. A closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum FieldFault {
    /// `pin.follower_count`: negative, overflowing or otherwise unreadable.
    FollowerCount,
    /// `pin.downloaded`: neither 0 nor 1. Checked, though no column keeps it.
    Downloaded,
    /// `geo.coordinates`: not on the globe, or one of the two missing.
    Coordinates,
    /// `geo.timestamp`: no time.
    Timestamp,
    /// `user.age`: no whole number of years in 0…150.
    Age,
    /// `user.date_joined`: no time.
    DateJoined,
}

impl FieldFault {
    /// Every one, by table.
    pub const ALL: [FieldFault; 6] = [
        FieldFault::FollowerCount,
        FieldFault::Downloaded,
        FieldFault::Coordinates,
        FieldFault::Timestamp,
        FieldFault::Age,
        FieldFault::DateJoined,
    ];

    /// The stream, which is also the name of the table.
    #[must_use]
    pub fn table(self) -> Stream {
        match self {
            FieldFault::FollowerCount | FieldFault::Downloaded => Stream::Pin,
            FieldFault::Coordinates | FieldFault::Timestamp => Stream::Geo,
            FieldFault::Age | FieldFault::DateJoined => Stream::User,
        }
    }

    /// The name of the column.
    #[must_use]
    pub fn column(self) -> &'static str {
        match self {
            FieldFault::FollowerCount => "follower_count",
            FieldFault::Downloaded => "downloaded",
            FieldFault::Coordinates => "coordinates",
            FieldFault::Timestamp => "timestamp",
            FieldFault::Age => "age",
            FieldFault::DateJoined => "date_joined",
        }
    }
}

/// The field faults of one row: a set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FieldFaults(u8);

impl FieldFaults {
    /// Adds one.
    pub fn add(&mut self, fault: FieldFault) {
        self.0 |= 1 << fault as u8;
    }

    /// Whether the row has this fault.
    #[must_use]
    pub fn has(self, fault: FieldFault) -> bool {
        self.0 & (1 << fault as u8) != 0
    }

    /// Whether the row has none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}
