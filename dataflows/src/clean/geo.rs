//! Cleans geo posts.

use crate::record::{Field, Geo, Ind, JsonValue, Micros, RawRow};
use crate::rejection::Rejection;

use super::number::{numeric_text, parse_decimal};
use super::text::{short_text, unescape_field, wrong_type};
use super::time::parse_micros;
use super::{FieldFault, FieldFaults};

/// Cleans a geo post. Unreadable columns are null and added to `faults`. Texts may have `text_bytes_max` bytes.
///
/// # Errors
/// `wrong_type` if a field has a JSON type that is not allowed for it.
pub fn clean_geo<'a>(
    raw: &RawRow<'a>,
    ind: Ind,
    text_bytes_max: usize,
    faults: &mut FieldFaults,
) -> Result<Geo<'a>, Rejection> {
    let latitude = angle_column(raw, Field::Latitude, 90.0)?;
    let longitude = angle_column(raw, Field::Longitude, 180.0)?;
    let coordinates = latitude.zip(longitude).map(|(latitude, longitude)| [latitude, longitude]);
    if coordinates.is_none() {
        faults.insert(FieldFault::Coordinates);
    }
    Ok(Geo {
        ind,
        country: short_text(raw, Field::Country, &[], (text_bytes_max, FieldFault::Country), faults)?,
        coordinates,
        timestamp: time_column(raw, Field::Timestamp, FieldFault::Timestamp, faults)?,
    })
}

/// An angle within ±`limit` degrees.
fn angle_column(raw: &RawRow<'_>, field: Field, limit: f64) -> Result<Option<f64>, Rejection> {
    let angle = numeric_text(field, raw.get(field))?.and_then(|text| parse_decimal(&text));
    Ok(angle.filter(|angle| (-limit..=limit).contains(angle)))
}

/// A time column. A string that is not a time is a fault.
pub(super) fn time_column(
    raw: &RawRow<'_>,
    field: Field,
    fault: FieldFault,
    faults: &mut FieldFaults,
) -> Result<Option<Micros>, Rejection> {
    let time = match raw.get(field) {
        JsonValue::Null => return Ok(None),
        JsonValue::Text(text) => parse_micros(unescape_field(field, text)?.trim()),
        other => return Err(wrong_type(field, &other, "a string")),
    };
    if time.is_none() {
        faults.insert(fault);
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use crate::record::JsonString;

    use super::*;

    fn clean_fields<'a>(fields: &[(Field, JsonValue<'a>)]) -> Result<(Geo<'a>, FieldFaults), Rejection> {
        let (mut raw, mut faults) = (RawRow::default(), FieldFaults::default());
        for (field, value) in fields {
            assert!(raw.set_field(*field, *value));
        }
        clean_geo(&raw, 7, 1024, &mut faults).map(|geo| (geo, faults))
    }

    #[test]
    fn coordinates_out_of_range_or_incomplete_are_a_fault() {
        let string = |text: &'static str| JsonValue::Text(JsonString::without_escapes(text));
        for (latitude, longitude, expected) in [
            (JsonValue::Number("-90"), JsonValue::Number("180"), Some([-90.0, 180.0])),
            (JsonValue::Number("90.0"), JsonValue::Number("-180.0"), Some([90.0, -180.0])),
            (string("-89.9787"), string(" -173.293 "), Some([-89.9787, -173.293])),
            (JsonValue::Number("90.0001"), JsonValue::Number("0"), None),
            (JsonValue::Number("0"), JsonValue::Number("-180.0001"), None),
            (JsonValue::Number("1e400"), JsonValue::Number("0"), None),
            (string("NaN"), JsonValue::Number("0"), None),
            (string(""), JsonValue::Number("0"), None),
            (JsonValue::Null, JsonValue::Number("0"), None),
            (JsonValue::Number("0"), JsonValue::Null, None),
            (JsonValue::Null, JsonValue::Null, None),
        ] {
            let fields = [(Field::Latitude, latitude), (Field::Longitude, longitude)];
            let (geo, faults) = clean_fields(&fields).expect("a row");
            assert_eq!(
                (geo.coordinates, faults.contains(FieldFault::Coordinates)),
                (expected, expected.is_none()),
                "{fields:?}"
            );
        }
        assert!(clean_fields(&[(Field::Latitude, JsonValue::Bool(true))]).is_err());
    }

    #[test]
    fn unreadable_time_is_a_fault_and_null_is_not() {
        let (geo, faults) =
            clean_fields(&[(Field::Timestamp, JsonValue::Text(JsonString::without_escapes(" 1970-01-01 00:00:01 ")))])
                .expect("a row");
        assert_eq!((geo.timestamp, faults.contains(FieldFault::Timestamp)), (Some(1_000_000), false));
        let (geo, faults) =
            clean_fields(&[(Field::Timestamp, JsonValue::Text(JsonString::without_escapes("yesterday")))])
                .expect("a row");
        assert_eq!((geo.timestamp, faults.contains(FieldFault::Timestamp)), (None, true));
        let (geo, faults) = clean_fields(&[(Field::Timestamp, JsonValue::Null)]).expect("a row");
        assert_eq!((geo.timestamp, faults.contains(FieldFault::Timestamp)), (None, false));
        assert!(clean_fields(&[(Field::Timestamp, JsonValue::Number("1598586767"))]).is_err());
    }
}
