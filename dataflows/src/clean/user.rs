//! Cleans user posts.

use std::borrow::Cow;

use crate::record::{Field, Ind, RawRow, User};
use crate::rejection::Rejection;

use super::geo::time_column;
use super::number::{numeric_text, parse_whole};
use super::text::short_text;
use super::{FieldFault, FieldFaults};

const AGE_MAX: u8 = 150;

/// Cleans a user post. Unreadable columns are null and added to `faults`.
///
/// Each of the two names may have `text_bytes_max` bytes, so the full name may have twice as many plus one. It is
/// written to the buffer `name`, so that no row allocates.
///
/// # Errors
/// `wrong_type` if a field has a JSON type that is not allowed for it.
pub fn clean_user<'a, 'r: 'a>(
    raw: &RawRow<'r>,
    ind: Ind,
    text_bytes_max: usize,
    name: &'a mut String,
    faults: &mut FieldFaults,
) -> Result<User<'a>, Rejection> {
    let first = short_text(raw, Field::FirstName, &[], (text_bytes_max, FieldFault::FirstName), faults)?;
    let last = short_text(raw, Field::LastName, &[], (text_bytes_max, FieldFault::LastName), faults)?;
    let user_name = match (first, last) {
        (Some(first), Some(last)) => {
            name.clear();
            name.extend([&*first, " ", &*last]);
            Some(Cow::Borrowed(name.as_str()))
        }
        (first, last) => first.or(last),
    };
    Ok(User {
        ind,
        user_name,
        age: age_column(raw, faults)?,
        date_joined: time_column(raw, Field::DateJoined, FieldFault::DateJoined, faults)?,
    })
}

fn age_column(raw: &RawRow<'_>, faults: &mut FieldFaults) -> Result<Option<u8>, Rejection> {
    let Some(text) = numeric_text(Field::Age, raw.get(Field::Age))? else { return Ok(None) };
    let age = parse_whole(&text).and_then(|age| u8::try_from(age).ok()).filter(|&age| age <= AGE_MAX);
    if age.is_none() {
        faults.insert(FieldFault::Age);
    }
    Ok(age)
}

#[cfg(test)]
mod tests {
    use crate::record::{JsonString, JsonValue};

    use super::*;

    fn clean_fields<T>(
        fields: &[(Field, JsonValue<'_>)],
        look: impl FnOnce(Result<User<'_>, Rejection>, FieldFaults) -> T,
    ) -> T {
        let (mut raw, mut faults, mut name) = (RawRow::default(), FieldFaults::default(), String::new());
        for (field, value) in fields {
            assert!(raw.set_field(*field, *value));
        }
        let read = clean_user(&raw, 7, 1024, &mut name, &mut faults);
        look(read, faults)
    }

    #[test]
    fn user_name_joins_present_parts() {
        let string = |text: &'static str| JsonValue::Text(JsonString::without_escapes(text));
        for (first, last, expected) in [
            (string("Abigail"), string("Ali"), Some("Abigail Ali")),
            (string("Abigail"), JsonValue::Null, Some("Abigail")),
            (JsonValue::Null, string("Ali"), Some("Ali")),
            (string(" "), string("Ali"), Some("Ali")),
            (string(" Ann"), string("Lee "), Some(" Ann Lee ")),
            (JsonValue::Null, string(""), None),
        ] {
            clean_fields(&[(Field::FirstName, first), (Field::LastName, last)], |user, _| {
                assert_eq!(user.expect("a row").user_name.as_deref(), expected);
            });
        }
    }

    #[test]
    fn age_outside_0_to_150_is_a_fault() {
        for (value, expected, fault) in [
            (JsonValue::Number("0"), Some(0), false),
            (JsonValue::Number("150"), Some(150), false),
            (JsonValue::Number("20.0"), Some(20), false),
            (JsonValue::Text(JsonString::without_escapes(" 20 ")), Some(20), false),
            (JsonValue::Null, None, false),
            (JsonValue::Number("151"), None, true),
            (JsonValue::Number("256"), None, true),
            (JsonValue::Number("-1"), None, true),
            (JsonValue::Number("20.5"), None, true),
            (JsonValue::Text(JsonString::without_escapes("12abc")), None, true),
            (JsonValue::Text(JsonString::without_escapes("")), None, true),
        ] {
            clean_fields(&[(Field::Age, value)], |user, faults| {
                assert_eq!((user.expect("a row").age, faults.contains(FieldFault::Age)), (expected, fault));
            });
        }
        clean_fields(&[(Field::Age, JsonValue::Object("{}"))], |user, _| assert!(user.is_err()));
    }
}
