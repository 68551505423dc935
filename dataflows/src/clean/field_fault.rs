//! Field faults: a column that could not be read is null, and its row is kept.

use crate::record::Stream;

/// A column whose value can be unreadable. This is a closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum FieldFault {
    /// `pin.follower_count`: negative, overflowing or otherwise unreadable.
    FollowerCount,
    /// `pin.poster_name`: longer than [`MessageLimits::text_bytes_max`](crate::ingest::MessageLimits::text_bytes_max).
    PosterName,
    /// `pin.category`: longer than [`MessageLimits::text_bytes_max`](crate::ingest::MessageLimits::text_bytes_max).
    Category,
    /// `pin.downloaded`: neither 0 nor 1. It is checked although no column holds it.
    Downloaded,
    /// `geo.coordinates`: out of range, or one of the two is missing.
    Coordinates,
    /// `geo.country`: longer than [`MessageLimits::text_bytes_max`](crate::ingest::MessageLimits::text_bytes_max).
    Country,
    /// `geo.timestamp`: not a time.
    Timestamp,
    /// `user.first_name`: longer than [`MessageLimits::text_bytes_max`](crate::ingest::MessageLimits::text_bytes_max). Part of the
    /// column `user_name`.
    FirstName,
    /// `user.last_name`: longer than [`MessageLimits::text_bytes_max`](crate::ingest::MessageLimits::text_bytes_max). Part of the
    /// column `user_name`.
    LastName,
    /// `user.age`: not a whole number of years in 0…150.
    Age,
    /// `user.date_joined`: not a time.
    DateJoined,
}

impl FieldFault {
    /// All field faults, by table.
    pub const ALL: [FieldFault; 11] = [
        FieldFault::FollowerCount,
        FieldFault::PosterName,
        FieldFault::Category,
        FieldFault::Downloaded,
        FieldFault::Coordinates,
        FieldFault::Country,
        FieldFault::Timestamp,
        FieldFault::FirstName,
        FieldFault::LastName,
        FieldFault::Age,
        FieldFault::DateJoined,
    ];

    /// The stream, whose name is also the name of the table.
    #[must_use]
    pub fn table(self) -> Stream {
        match self {
            FieldFault::FollowerCount | FieldFault::PosterName | FieldFault::Category | FieldFault::Downloaded => {
                Stream::Pin
            }
            FieldFault::Coordinates | FieldFault::Country | FieldFault::Timestamp => Stream::Geo,
            FieldFault::FirstName | FieldFault::LastName | FieldFault::Age | FieldFault::DateJoined => Stream::User,
        }
    }

    /// The problem of the value, for messages.
    #[must_use]
    pub fn problem(self) -> &'static str {
        match self {
            FieldFault::PosterName
            | FieldFault::Category
            | FieldFault::Country
            | FieldFault::FirstName
            | FieldFault::LastName => "too long",
            _ => "unreadable",
        }
    }

    /// The name of the column, or of the field that is a part of the column.
    #[must_use]
    pub fn column(self) -> &'static str {
        match self {
            FieldFault::FollowerCount => "follower_count",
            FieldFault::PosterName => "poster_name",
            FieldFault::Category => "category",
            FieldFault::Downloaded => "downloaded",
            FieldFault::Coordinates => "coordinates",
            FieldFault::Country => "country",
            FieldFault::Timestamp => "timestamp",
            FieldFault::FirstName => "first_name",
            FieldFault::LastName => "last_name",
            FieldFault::Age => "age",
            FieldFault::DateJoined => "date_joined",
        }
    }
}

/// The set of field faults of one row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FieldFaults(u16);

impl FieldFaults {
    /// Adds a fault.
    pub fn insert(&mut self, fault: FieldFault) {
        self.0 |= 1 << fault as u8;
    }

    /// Whether the row has this fault.
    #[must_use]
    pub fn contains(self, fault: FieldFault) -> bool {
        self.0 & (1 << fault as u8) != 0
    }

    /// Whether the row has none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}
