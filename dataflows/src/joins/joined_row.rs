//! Joined rows, and the columns that are read of them.

use pinflow_sql::catalog::{GEO_RELATION, PIN_RELATION, USER_RELATION};
use pinflow_sql::datum::SqlType;
use pinflow_sql::expr::{ExprKind, ScalarExpr};

use super::{GeoProjection, PinProjection, UserProjection};
use crate::symbol::Symbol;

/// The rows of one `ind`. Those that are absent are all null.
#[derive(Debug, Clone, Copy)]
pub struct JoinedRow<'a> {
    /// The pin.
    pub pin: &'a PinProjection,
    /// The geo post.
    pub geo: &'a GeoProjection,
    /// The user.
    pub user: &'a UserProjection,
}

impl JoinedRow<'static> {
    /// No rows.
    pub(crate) const NULL: JoinedRow<'static> =
        JoinedRow { pin: &PinProjection::NULL, geo: &GeoProjection::NULL, user: &UserProjection::NULL };
}

/// A set of relations, by their index in the catalog.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RelationSet(u8);

impl RelationSet {
    /// The number of sets.
    pub(super) const COUNT: usize = 8;
    /// Only pins.
    pub(super) const PIN: RelationSet = RelationSet(1 << PIN_RELATION);
    /// Only geo posts.
    pub(super) const GEO: RelationSet = RelationSet(1 << GEO_RELATION);
    /// Only users.
    pub(super) const USER: RelationSet = RelationSet(1 << USER_RELATION);

    /// The set of these relations.
    #[must_use]
    pub fn of(relations: &[usize]) -> RelationSet {
        RelationSet(relations.iter().fold(0, |set, relation| set | 1 << relation))
    }

    /// All sets that are not empty.
    pub(super) fn all() -> impl Iterator<Item = RelationSet> {
        (1..RelationSet::COUNT as u8).map(RelationSet)
    }

    pub(super) fn index(self) -> usize {
        self.0.into()
    }

    /// The index of the one relation in the set.
    #[must_use]
    pub fn only_index(self) -> usize {
        self.0.trailing_zeros() as usize
    }

    /// Whether there is a relation that both sets have.
    #[must_use]
    pub fn intersects(self, other: RelationSet) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether the set has all relations of another.
    #[must_use]
    pub fn contains(self, other: RelationSet) -> bool {
        self.0 & other.0 == other.0
    }

    /// The relations of both sets.
    #[must_use]
    pub fn with(self, other: RelationSet) -> RelationSet {
        RelationSet(self.0 | other.0)
    }
}

/// The position of the column that an expression reads as a whole, and whether it reads only the year of it.
pub(crate) fn column_or_year(expr: &ScalarExpr) -> Option<(usize, bool)> {
    match &expr.kind {
        ExprKind::Column(position) => Some((*position, false)),
        ExprKind::Call(function, arguments) if function.spec().name == "year" => match &arguments[..] {
            [ScalarExpr { kind: ExprKind::Column(position), ty: SqlType::Time }] => Some((*position, true)),
            _ => None,
        },
        _ => None,
    }
}

/// A column that is held of every row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldColumn {
    /// `pin.category`
    Category,
    /// `pin.poster_name`
    Poster,
    /// `pin.follower_count`
    Followers,
    /// `geo.country`
    Country,
    /// `year(geo.timestamp)`
    PostYear,
    /// `user.user_name`
    UserName,
    /// `user.age`
    Age,
    /// `year(user.date_joined)`
    JoinYear,
}

impl HeldColumn {
    /// The held column of this relation and name: the column itself, or the year of it.
    #[must_use]
    pub fn find(relation: usize, name: &str, is_year: bool) -> Option<HeldColumn> {
        Some(match (relation, name, is_year) {
            (PIN_RELATION, "category", false) => HeldColumn::Category,
            (PIN_RELATION, "poster_name", false) => HeldColumn::Poster,
            (PIN_RELATION, "follower_count", false) => HeldColumn::Followers,
            (GEO_RELATION, "country", false) => HeldColumn::Country,
            (GEO_RELATION, "timestamp", true) => HeldColumn::PostYear,
            (USER_RELATION, "user_name", false) => HeldColumn::UserName,
            (USER_RELATION, "age", false) => HeldColumn::Age,
            (USER_RELATION, "date_joined", true) => HeldColumn::JoinYear,
            _ => return None,
        })
    }

    /// Reads the column, if it is a text.
    pub(crate) fn text(self) -> Option<fn(&JoinedRow<'_>) -> Option<Symbol>> {
        Some(match self {
            HeldColumn::Category => |row| row.pin.category,
            HeldColumn::Poster => |row| row.pin.poster,
            HeldColumn::Country => |row| row.geo.country,
            HeldColumn::UserName => |row| row.user.name,
            _ => return None,
        })
    }

    /// The name of the column, if it is a text.
    pub(crate) fn text_column(self) -> Option<&'static str> {
        Some(match self {
            HeldColumn::Category => "category",
            HeldColumn::Poster => "poster_name",
            HeldColumn::Country => "country",
            HeldColumn::UserName => "user_name",
            _ => return None,
        })
    }

    /// Reads the column, if it is a whole number.
    pub(crate) fn long(self) -> Option<fn(&JoinedRow<'_>) -> Option<i64>> {
        Some(match self {
            HeldColumn::Followers => |row| row.pin.followers(),
            HeldColumn::PostYear => |row| row.geo.post_year().map(i64::from),
            HeldColumn::Age => |row| row.user.age.map(i64::from),
            HeldColumn::JoinYear => |row| row.user.year_joined().map(i64::from),
            _ => return None,
        })
    }

    /// The value as a small number, if the column has few values. 0 is null.
    pub(crate) fn memo_key(self) -> Option<fn(&JoinedRow<'_>) -> u32> {
        Some(match self {
            HeldColumn::Category => |row| row.pin.category.map_or(0, Symbol::number),
            HeldColumn::Country => |row| row.geo.country.map_or(0, Symbol::number),
            HeldColumn::PostYear => |row| row.geo.post_year().map_or(0, i32::cast_unsigned),
            HeldColumn::JoinYear => |row| row.user.year_joined().map_or(0, i32::cast_unsigned),
            HeldColumn::Age => |row| row.user.age.map_or(0, |age| u32::from(age) + 1),
            HeldColumn::Poster | HeldColumn::Followers | HeldColumn::UserName => return None,
        })
    }
}
