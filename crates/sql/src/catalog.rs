//! The relations that a question can read.
//!
//! Nothing outside this module's users knows the names of tables: binder, planner and operators see relations only
//! through a [`RelationCatalog`].

use crate::datum::SqlType;

/// A column of a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogColumn {
    /// The name, in lower case.
    pub name: &'static str,
    /// The type.
    pub ty: SqlType,
    /// Whether values can be null.
    pub nullable: bool,
    /// Whether `SELECT *` leaves it out. It can still be named.
    pub hidden: bool,
    /// Whether the graph holds its values for every row anyway, so that reading it costs no memory.
    pub held: bool,
}

/// A relation with a key: all rows of one key are on one worker, and joins on the key are local.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogRelation {
    /// The name, in lower case.
    pub name: &'static str,
    /// The columns, in order.
    pub columns: &'static [CatalogColumn],
    /// The index of the key column.
    pub key: usize,
}

impl CatalogRelation {
    /// The index of the column of this name, in any case.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name))
    }
}

/// All relations. A relation is known by its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelationCatalog {
    /// The relations.
    pub relations: &'static [CatalogRelation],
}

impl RelationCatalog {
    /// The index of the relation of this name, in any case.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<usize> {
        self.relations.iter().position(|relation| relation.name.eq_ignore_ascii_case(name))
    }
}

const fn column(name: &'static str, ty: SqlType, held: bool) -> CatalogColumn {
    CatalogColumn { name, ty, nullable: true, hidden: false, held }
}

const fn key(name: &'static str) -> CatalogColumn {
    CatalogColumn { name, ty: SqlType::Long, nullable: false, hidden: false, held: true }
}

const fn lineage(name: &'static str, ty: SqlType, nullable: bool) -> CatalogColumn {
    CatalogColumn { name, ty, nullable, hidden: true, held: false }
}

/// The cleaned tables of posts, with the columns of the data contract (`docs/reference/semantics.md`).
pub static POSTS: RelationCatalog = RelationCatalog { relations: &[PIN, GEO, USER] };

/// The index of `pin` in [`POSTS`].
pub const PIN_RELATION: usize = 0;
/// The index of `geo` in [`POSTS`].
pub const GEO_RELATION: usize = 1;
/// The index of `user` in [`POSTS`].
pub const USER_RELATION: usize = 2;

const PIN: CatalogRelation = CatalogRelation {
    name: "pin",
    key: 0,
    columns: &[
        key("ind"),
        column("unique_id", SqlType::Text, false),
        column("title", SqlType::Text, false),
        column("description", SqlType::Text, false),
        column("follower_count", SqlType::Long, true),
        column("poster_name", SqlType::Text, true),
        column("tag_list", SqlType::Text, false),
        column("is_image_or_video", SqlType::Text, false),
        column("image_src", SqlType::Text, false),
        column("save_location", SqlType::Text, false),
        column("category", SqlType::Text, true),
        lineage("_source", SqlType::Text, false),
        lineage("_arrived_at", SqlType::Time, true),
    ],
};

const GEO: CatalogRelation = CatalogRelation {
    name: "geo",
    key: 0,
    columns: &[
        key("ind"),
        column("country", SqlType::Text, true),
        column("coordinates", SqlType::Doubles, false),
        column("timestamp", SqlType::Time, false),
        lineage("_source", SqlType::Text, false),
        lineage("_arrived_at", SqlType::Time, true),
    ],
};

const USER: CatalogRelation = CatalogRelation {
    name: "user",
    key: 0,
    columns: &[
        key("ind"),
        column("user_name", SqlType::Text, true),
        column("age", SqlType::Long, true),
        column("date_joined", SqlType::Time, false),
        lineage("_source", SqlType::Text, false),
        lineage("_arrived_at", SqlType::Time, true),
    ],
};
