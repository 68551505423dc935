//! Replaces or removes wrong values, so that the rest of a document can still be read and checked.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::value_type::ConfigKey;

/// Inserts the example of a required key, so that the rest of the table can be read.
pub(super) fn insert_example(table: &mut DeTable<'_>, key: &ConfigKey) {
    if key.is_required
        && let Ok(value) = DeValue::parse(key.example)
    {
        table.insert(Spanned::new(0..0, key.name.into()), value);
    }
}

/// The smallest or largest allowed number.
pub(super) fn clamped_number(is_small: bool, min: u64, max: u64) -> DeValue<'static> {
    let number = if is_small { min } else { max };
    let text = match number {
        0 => "0",
        1 => "1",
        number if number == u64::from(u32::MAX) => "4294967295",
        _ => "9223372036854775807",
    };
    DeValue::parse(text).map_or(DeValue::Boolean(false), Spanned::into_inner)
}

/// Removes the entry at a byte offset from a table, at any depth. Returns whether there was one.
pub(super) fn remove_at(value: &mut Spanned<DeValue<'_>>, at: usize) -> bool {
    let DeValue::Table(table) = value.get_mut() else { return false };
    let found = table.iter().find(|(key, value)| key.span().start == at || value.span().contains(&at));
    let Some((key, held)) = found else { return false };
    let deeper = matches!(held.get_ref(), DeValue::Table(_)) && held.span().start != at && key.span().start != at;
    let name = key.get_ref().to_string();
    if deeper && table.get_mut(name.as_str()).is_some_and(|held| remove_at(held, at)) {
        return true;
    }
    table.remove(name.as_str()).is_some()
}
