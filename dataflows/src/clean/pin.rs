//! Cleans pin posts.

use std::borrow::Cow;

use crate::record::{Field, Ind, JsonValue, NotAString, Pin, RawRow, array_strings};
use crate::rejection::Rejection;

use super::number::{numeric_text, parse_abbreviated_count, parse_whole};
use super::text::{is_empty, keep_unless_placeholder, no_text, short_text, text_column, wrong_type};
use super::{FieldFault, FieldFaults};

const NO_TITLE: &str = "No Title Data Available";
const NO_DESCRIPTION: [&str; 3] = ["No description available", "No description available Story format", "Untitled"];
const NO_USER: &str = "User Info Error";
const NO_TAGS: &str = "N,o, ,T,a,g,s, ,A,v,a,i,l,a,b,l,e";
const NO_IMAGE: &str = "Image src error.";
const SAVED_IN: &str = "Local save in ";

/// Cleans a pin post. Unreadable columns are null and added to `faults`. Texts that become symbols may have
/// `text_bytes_max` bytes.
///
/// # Errors
/// `wrong_type` if a field has a JSON type that is not allowed for it.
pub fn clean_pin<'a>(
    raw: &RawRow<'a>,
    ind: Ind,
    text_bytes_max: usize,
    faults: &mut FieldFaults,
) -> Result<Pin<'a>, Rejection> {
    check_downloaded(raw.get(Field::Downloaded), faults)?;
    Ok(Pin {
        ind,
        unique_id: text_column(raw, Field::UniqueId, &[])?,
        title: text_column(raw, Field::Title, &[NO_TITLE])?,
        description: text_column(raw, Field::Description, &NO_DESCRIPTION)?,
        follower_count: follower_count(raw.get(Field::FollowerCount), faults)?,
        poster_name: short_text(raw, Field::PosterName, &[NO_USER], (text_bytes_max, FieldFault::PosterName), faults)?,
        tag_list: tag_list(raw)?,
        is_image_or_video: text_column(raw, Field::IsImageOrVideo, &[])?,
        image_src: text_column(raw, Field::ImageSrc, &[NO_IMAGE])?,
        save_location: text_column(raw, Field::SaveLocation, &[])?.and_then(save_location),
        category: short_text(raw, Field::Category, &[], (text_bytes_max, FieldFault::Category), faults)?,
    })
}

fn follower_count(value: JsonValue<'_>, faults: &mut FieldFaults) -> Result<Option<i64>, Rejection> {
    let Some(text) = numeric_text(Field::FollowerCount, value)? else { return Ok(None) };
    let read = match value {
        JsonValue::Number(_) => parse_whole(&text).filter(|&count| count >= 0),
        _ if text == NO_USER => return Ok(None),
        _ => parse_abbreviated_count(&text),
    };
    if read.is_none() {
        faults.insert(FieldFault::FollowerCount);
    }
    Ok(read)
}

/// The tags: a string, or an array of strings that is joined with `,`.
fn tag_list<'a>(raw: &RawRow<'a>) -> Result<Option<Cow<'a, str>>, Rejection> {
    let array @ JsonValue::Array(written) = raw.get(Field::TagList) else {
        return text_column(raw, Field::TagList, &[NO_TAGS]);
    };
    let mut joined = String::with_capacity(written.len());
    for (number, tag) in array_strings(written).enumerate() {
        let tag = tag.map_err(|NotAString| wrong_type(Field::TagList, &array, "an array of strings or a string"))?;
        if number > 0 {
            joined.push(',');
        }
        tag.unescape_into(&mut joined).map_err(|lone| no_text(Field::TagList, lone))?;
    }
    Ok(keep_unless_placeholder(Cow::Owned(joined), &[NO_TAGS]))
}

/// Checks the field `downloaded`, which no column holds.
fn check_downloaded(value: JsonValue<'_>, faults: &mut FieldFaults) -> Result<(), Rejection> {
    if let Some(text) = numeric_text(Field::Downloaded, value)?
        && !matches!(parse_whole(&text), Some(0 | 1))
    {
        faults.insert(FieldFault::Downloaded);
    }
    Ok(())
}

fn save_location(location: Cow<'_, str>) -> Option<Cow<'_, str>> {
    let place = match location {
        Cow::Borrowed(text) => Cow::Borrowed(text.strip_prefix(SAVED_IN).unwrap_or(text)),
        Cow::Owned(mut text) => {
            if text.starts_with(SAVED_IN) {
                text.drain(..SAVED_IN.len());
            }
            Cow::Owned(text)
        }
    };
    if is_empty(&place) { None } else { Some(place) }
}

#[cfg(test)]
mod tests {
    use crate::record::JsonString;
    use crate::rejection::RejectionReason;

    use super::*;

    fn clean_fields<'a>(fields: &[(Field, JsonValue<'a>)]) -> Result<(Pin<'a>, FieldFaults), Rejection> {
        let (mut raw, mut faults) = (RawRow::default(), FieldFaults::default());
        for (field, value) in fields {
            assert!(raw.set_field(*field, *value));
        }
        clean_pin(&raw, 7, 1024, &mut faults).map(|pin| (pin, faults))
    }

    fn string(text: &str) -> JsonValue<'_> {
        JsonValue::Text(JsonString::without_escapes(text))
    }

    #[test]
    fn pin_with_only_its_key_has_no_faults() {
        let (pin, faults) = clean_fields(&[]).expect("a row");
        assert_eq!((pin.ind, pin.title, pin.follower_count), (7, None, None));
        assert!(faults.is_empty());
    }

    #[test]
    fn placeholders_are_null() {
        for (field, placeholder) in [
            (Field::Title, "No Title Data Available"),
            (Field::Description, "No description available"),
            (Field::Description, "No description available Story format"),
            (Field::Description, "Untitled"),
            (Field::PosterName, "User Info Error"),
            (Field::FollowerCount, "User Info Error"),
            (Field::TagList, "N,o, ,T,a,g,s, ,A,v,a,i,l,a,b,l,e"),
            (Field::ImageSrc, "Image src error."),
            (Field::SaveLocation, "Local save in "),
            (Field::SaveLocation, "Local save in  \u{a0}"),
            (Field::UniqueId, ""),
            (Field::IsImageOrVideo, " "),
            (Field::Category, "\u{2003}"),
        ] {
            assert_eq!(clean_fields(&[(field, string(placeholder))]), clean_fields(&[]), "{placeholder}");
        }
    }

    #[test]
    fn unreadable_follower_count_is_a_fault() {
        for (value, count) in [
            (string("94"), 94),
            (string("136k"), 136_000),
            (string(" 2M "), 2_000_000),
            (JsonValue::Number("94"), 94),
            (JsonValue::Number("1.0"), 1),
            (JsonValue::Number("-0"), 0),
        ] {
            let (pin, faults) = clean_fields(&[(Field::FollowerCount, value)]).expect("a row");
            assert_eq!((pin.follower_count, faults.is_empty()), (Some(count), true));
        }
        for value in [
            string(""),
            string("-5"),
            string("many"),
            string("99999999999B"),
            JsonValue::Number("-5"),
            JsonValue::Number("1.5"),
            JsonValue::Number("1e400"),
        ] {
            let (pin, faults) = clean_fields(&[(Field::FollowerCount, value)]).expect("a row");
            assert_eq!((pin.follower_count, faults.contains(FieldFault::FollowerCount)), (None, true));
        }
        let refusal = clean_fields(&[(Field::FollowerCount, JsonValue::Array("[]"))]).expect_err("an array");
        assert_eq!(refusal.reason, RejectionReason::WrongType);
    }

    #[test]
    fn save_location_loses_its_prefix_once() {
        for (written, kept) in [
            ("Local save in /data/art", "/data/art"),
            ("/data/art", "/data/art"),
            ("local save in /x", "local save in /x"),
            ("Local save in Local save in x", "Local save in x"),
        ] {
            for value in
                [JsonValue::Text(JsonString::new(written, false)), JsonValue::Text(JsonString::new(written, true))]
            {
                let (pin, _) = clean_fields(&[(Field::SaveLocation, value)]).expect("a row");
                assert_eq!(pin.save_location.as_deref(), Some(kept));
            }
        }
    }

    #[test]
    fn tag_array_is_joined_and_other_elements_reject_row() {
        for (array, tags) in [
            (r#"["Oil Pastel", "Art\u2026", "a,b"]"#, Some("Oil Pastel,Art…,a,b")),
            (r#"["one"]"#, Some("one")),
            ("[]", None),
            (r#"[""]"#, None),
            (r#"["N","o"," ","T","a","g","s"," ","A","v","a","i","l","a","b","l","e"]"#, None),
        ] {
            assert_eq!(
                clean_fields(&[(Field::TagList, JsonValue::Array(array))]).expect("a row").0.tag_list.as_deref(),
                tags
            );
        }
        for array in ["[1]", "[null]", r#"["a",["b"]]"#] {
            let refusal = clean_fields(&[(Field::TagList, JsonValue::Array(array))]).expect_err("no strings");
            assert_eq!(refusal.reason, RejectionReason::WrongType);
        }
        let refusal = clean_fields(&[(Field::TagList, JsonValue::Array(r#"["\udc00"]"#))]).expect_err("no text");
        assert_eq!(refusal.reason, RejectionReason::NotUtf8);
    }

    #[test]
    fn downloaded_other_than_0_or_1_is_a_fault() {
        for value in [JsonValue::Number("0"), JsonValue::Number("1"), string("1"), JsonValue::Null] {
            assert!(clean_fields(&[(Field::Downloaded, value)]).expect("a row").1.is_empty());
        }
        for value in [JsonValue::Number("2"), JsonValue::Number("-1"), string("yes"), string("")] {
            assert!(clean_fields(&[(Field::Downloaded, value)]).expect("a row").1.contains(FieldFault::Downloaded));
        }
        assert!(clean_fields(&[(Field::Downloaded, JsonValue::Bool(true))]).is_err());
    }
}
