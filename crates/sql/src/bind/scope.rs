//! The names that an expression can use, and what they stand for.

use crate::datum::SqlType;
use crate::expr::ScalarExpr;

/// A column that can be named.
#[derive(Debug, Clone)]
pub(crate) struct ScopeColumn {
    /// The name of its relation; empty for a column that a join with USING merged.
    pub(crate) relation: String,
    /// The name.
    pub(crate) name: String,
    /// What it stands for. `None` if its definition has a problem, which has been recorded.
    pub(crate) expr: Option<ScalarExpr>,
    /// Whether `*` leaves it out.
    pub(crate) hidden: bool,
    /// Whether it is found only with the name of its relation: the two sides of a join with USING.
    pub(crate) merged: bool,
}

/// The columns of the relations of one FROM.
#[derive(Debug, Clone, Default)]
pub(crate) struct NameScope {
    /// The columns, in order.
    pub(crate) columns: Vec<ScopeColumn>,
    /// The names of the relations, in order.
    pub(crate) relations: Vec<String>,
    /// Whether a relation has a problem that has been recorded, so that any name may be one of its columns.
    pub(crate) open: bool,
}

/// What was found under a name.
#[derive(Debug)]
pub(crate) enum NameLookup {
    Found(ScalarExpr),
    /// It exists, or may exist, but a problem has been recorded for it.
    Broken,
    Missing,
    /// The relations that have it.
    Ambiguous(Vec<String>),
}

impl NameScope {
    /// Looks a column up by its name, and by that of its relation if it is given.
    pub(crate) fn look_up(&self, relation: Option<&str>, name: &str) -> NameLookup {
        let fits = |column: &&ScopeColumn| {
            column.name.eq_ignore_ascii_case(name)
                && match relation {
                    Some(relation) => column.relation.eq_ignore_ascii_case(relation),
                    None => !column.merged,
                }
        };
        let found: Vec<&ScopeColumn> = self.columns.iter().filter(fits).collect();
        match found[..] {
            [] if self.open => NameLookup::Broken,
            [] => NameLookup::Missing,
            [only] => only.expr.clone().map_or(NameLookup::Broken, NameLookup::Found),
            _ => NameLookup::Ambiguous(found.iter().map(|column| column.relation.clone()).collect()),
        }
    }

    pub(crate) fn has_relation(&self, name: &str) -> bool {
        self.relations.iter().any(|relation| relation.eq_ignore_ascii_case(name))
    }

    /// Adds the columns of another scope, whose rows come after this one's in a joined row.
    pub(crate) fn append(&mut self, other: NameScope, width: usize) {
        self.columns.extend(other.columns.into_iter().map(|mut column| {
            if let Some(expr) = &mut column.expr {
                expr.map_columns(&mut |position| position + width);
            }
            column
        }));
        self.relations.extend(other.relations);
        self.open |= other.open;
    }

    /// What `there is no column …` should add: a similar name, else the names there are.
    pub(crate) fn hint_for(&self, relation: Option<&str>, name: &str) -> String {
        let fits = |column: &&ScopeColumn| relation.is_none_or(|it| column.relation.eq_ignore_ascii_case(it));
        let columns: Vec<&ScopeColumn> = self.columns.iter().filter(fits).collect();
        let similar = closest_name(name, columns.iter().map(|column| column.name.as_str()));
        if let Some(similar) = similar {
            let owner = columns.iter().find(|column| column.name == similar).map_or("", |column| &column.relation);
            return match owner {
                "" => format!("; do you mean `{similar}`?"),
                owner => format!("; {owner} has `{similar}`"),
            };
        }
        let shown: Vec<&str> =
            columns.iter().filter(|column| !column.hidden).map(|column| column.name.as_str()).collect();
        match shown.len() {
            0 => String::new(),
            1 => format!("; there is {}", shown[0]),
            2..=12 => format!("; there are {}", join_words(&shown)),
            more => format!("; there are {} and {} more", shown[..8].join(", "), more - 8),
        }
    }
}

/// `a, b and c`.
pub(crate) fn join_words(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// The name most like a word, if there is one that can be meant.
pub(crate) fn closest_name<'n>(word: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let word = word.to_lowercase();
    let rated = names.map(|name| {
        let lower = name.to_lowercase();
        let mut likeness = strsim::jaro_winkler(&word, &lower);
        if word.len() >= 3 && lower.len() >= 3 && (lower.contains(&word) || word.contains(&lower)) {
            likeness += 0.1;
        }
        (likeness, name)
    });
    rated.filter(|(likeness, _)| *likeness >= 0.82).max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, name)| name)
}

/// The name of a column whose text is an expression: `avg_follower_count` for `avg(follower_count)`.
pub(crate) fn snake_name(text: &str) -> String {
    let mut name = String::new();
    for letter in text.chars() {
        if letter.is_alphanumeric() {
            name.extend(letter.to_lowercase());
        } else if !name.ends_with('_') && !name.is_empty() {
            name.push('_');
        }
        if name.len() >= 60 {
            break;
        }
    }
    let trimmed = name.trim_end_matches('_');
    if trimmed.is_empty() { "value".to_owned() } else { trimmed.to_owned() }
}

/// A column of a relation that a query makes.
#[derive(Debug, Clone)]
pub(crate) struct QueryColumn {
    pub(crate) name: String,
    /// `None` if its definition has a problem, which has been recorded.
    pub(crate) ty: Option<SqlType>,
    pub(crate) hidden: bool,
}
