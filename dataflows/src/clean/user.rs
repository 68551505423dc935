//! User posts, cleaned.

use std::borrow::Cow;

use crate::record::{Field, Ind, Raw, User};
use crate::rejection::Rejection;

use super::geo::time;
use super::number::{digits, whole};
use super::text::short_text;
use super::{FieldFault, FieldFaults};

const AGE_MAX: u8 = 150;

/// Cleans a user post; what could not be read is added to `faults`. The full name is written into `name`, so that
/// no row allocates one. `text_bytes_max` bounds each of the two names: the full name is one byte longer than both.
///
/// # Errors
/// `wrong_type` if a field has a JSON type that its rule cannot read.
pub fn user<'a, 'r: 'a>(
    raw: &Raw<'r>,
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
        age: age(raw, faults)?,
        date_joined: time(raw, Field::DateJoined, FieldFault::DateJoined, faults)?,
    })
}

fn age(raw: &Raw<'_>, faults: &mut FieldFaults) -> Result<Option<u8>, Rejection> {
    let Some(text) = digits(Field::Age, raw.get(Field::Age))? else { return Ok(None) };
    let age = whole(&text).and_then(|age| u8::try_from(age).ok()).filter(|&age| age <= AGE_MAX);
    if age.is_none() {
        faults.add(FieldFault::Age);
    }
    Ok(age)
}

#[cfg(test)]
mod tests {
    use crate::record::{Text, Value};

    use super::*;

    fn with<T>(fields: &[(Field, Value<'_>)], look: impl FnOnce(Result<User<'_>, Rejection>, FieldFaults) -> T) -> T {
        let (mut raw, mut faults, mut name) = (Raw::default(), FieldFaults::default(), String::new());
        for (field, value) in fields {
            assert!(raw.put(*field, *value));
        }
        let read = user(&raw, 7, 1024, &mut name, &mut faults);
        look(read, faults)
    }

    #[test]
    fn the_name_is_what_is_there_of_it() {
        let string = |text: &'static str| Value::Text(Text::plain(text));
        for (first, last, expected) in [
            (string("Abigail"), string("Ali"), Some("Abigail Ali")),
            (string("Abigail"), Value::Null, Some("Abigail")),
            (Value::Null, string("Ali"), Some("Ali")),
            (string(" "), string("Ali"), Some("Ali")),
            (string(" Ann"), string("Lee "), Some(" Ann Lee ")),
            (Value::Null, string(""), None),
        ] {
            with(&[(Field::FirstName, first), (Field::LastName, last)], |user, _| {
                assert_eq!(user.expect("a row").user_name.as_deref(), expected);
            });
        }
    }

    #[test]
    fn ages_of_people() {
        for (value, expected, fault) in [
            (Value::Number("0"), Some(0), false),
            (Value::Number("150"), Some(150), false),
            (Value::Number("20.0"), Some(20), false),
            (Value::Text(Text::plain(" 20 ")), Some(20), false),
            (Value::Null, None, false),
            (Value::Number("151"), None, true),
            (Value::Number("256"), None, true),
            (Value::Number("-1"), None, true),
            (Value::Number("20.5"), None, true),
            (Value::Text(Text::plain("12abc")), None, true),
            (Value::Text(Text::plain("")), None, true),
        ] {
            with(&[(Field::Age, value)], |user, faults| {
                assert_eq!((user.expect("a row").age, faults.has(FieldFault::Age)), (expected, fault));
            });
        }
        with(&[(Field::Age, Value::Object("{}"))], |user, _| assert!(user.is_err()));
    }
}
