//! Raw rows: the fields of all three streams, before the stream of a row is known.

use super::{Geo, JsonValue, Pin, Stream, User};

/// A known field. `index` and `ind` are the same field, and so are `img_src` and `image_src`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "each is the field of its name")]
pub enum Field {
    Ind,
    UniqueId,
    Title,
    Description,
    PosterName,
    FollowerCount,
    TagList,
    IsImageOrVideo,
    ImageSrc,
    Downloaded,
    SaveLocation,
    Category,
    Timestamp,
    Latitude,
    Longitude,
    Country,
    FirstName,
    LastName,
    Age,
    DateJoined,
}

impl Field {
    /// The number of fields.
    pub const COUNT: usize = Field::DateJoined as usize + 1;

    /// The name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Field::Ind => "ind",
            Field::UniqueId => "unique_id",
            Field::Title => "title",
            Field::Description => "description",
            Field::PosterName => "poster_name",
            Field::FollowerCount => "follower_count",
            Field::TagList => "tag_list",
            Field::IsImageOrVideo => "is_image_or_video",
            Field::ImageSrc => "image_src",
            Field::Downloaded => "downloaded",
            Field::SaveLocation => "save_location",
            Field::Category => "category",
            Field::Timestamp => "timestamp",
            Field::Latitude => "latitude",
            Field::Longitude => "longitude",
            Field::Country => "country",
            Field::FirstName => "first_name",
            Field::LastName => "last_name",
            Field::Age => "age",
            Field::DateJoined => "date_joined",
        }
    }

    /// The field with this name or alias. Names are compared byte by byte: `Ind` and ` ind` are unknown.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Field> {
        Some(match name {
            "ind" | "index" => Field::Ind,
            "unique_id" => Field::UniqueId,
            "title" => Field::Title,
            "description" => Field::Description,
            "poster_name" => Field::PosterName,
            "follower_count" => Field::FollowerCount,
            "tag_list" => Field::TagList,
            "is_image_or_video" => Field::IsImageOrVideo,
            "image_src" | "img_src" => Field::ImageSrc,
            "downloaded" => Field::Downloaded,
            "save_location" => Field::SaveLocation,
            "category" => Field::Category,
            "timestamp" => Field::Timestamp,
            "latitude" => Field::Latitude,
            "longitude" => Field::Longitude,
            "country" => Field::Country,
            "first_name" => Field::FirstName,
            "last_name" => Field::LastName,
            "age" => Field::Age,
            "date_joined" => Field::DateJoined,
            _ => return None,
        })
    }

    /// The stream that has this field. `None` for the key, which all streams have.
    #[must_use]
    pub fn stream(self) -> Option<Stream> {
        match self {
            Field::Ind => None,
            Field::Timestamp | Field::Latitude | Field::Longitude | Field::Country => Some(Stream::Geo),
            Field::FirstName | Field::LastName | Field::Age | Field::DateJoined => Some(Stream::User),
            _ => Some(Stream::Pin),
        }
    }
}

impl Stream {
    /// The fields of this stream's rows, in the order in which producers write them.
    #[must_use]
    pub fn fields(self) -> &'static [Field] {
        match self {
            Stream::Pin => &Pin::FIELDS,
            Stream::Geo => &Geo::FIELDS,
            Stream::User => &User::FIELDS,
        }
    }

    /// The fields that identify this stream among the three.
    #[must_use]
    pub const fn identifying_fields(self) -> &'static [Field] {
        match self {
            Stream::Pin => &[Field::UniqueId, Field::Category],
            Stream::Geo => &[Field::Latitude, Field::Longitude, Field::Country],
            Stream::User => &[Field::FirstName, Field::LastName, Field::Age],
        }
    }
}

/// A row as a producer wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRow<'a> {
    fields: [JsonValue<'a>; Field::COUNT],
    present: FieldSet,
    /// The number of fields that no stream has.
    pub unknown: u32,
}

/// A set of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FieldSet(u32);

impl FieldSet {
    const fn from_fields(fields: &[Field]) -> FieldSet {
        let (mut set, mut at) = (0, 0);
        while at < fields.len() {
            set |= 1 << fields[at] as u8;
            at += 1;
        }
        FieldSet(set)
    }

    fn identifying_fields(stream: Stream) -> FieldSet {
        const SETS: [FieldSet; 3] = [
            FieldSet::from_fields(Stream::Pin.identifying_fields()),
            FieldSet::from_fields(Stream::Geo.identifying_fields()),
            FieldSet::from_fields(Stream::User.identifying_fields()),
        ];
        SETS[stream as usize]
    }

    fn known_fields(stream: Stream) -> FieldSet {
        const SETS: [FieldSet; 3] = [
            FieldSet::from_fields(&Pin::FIELDS),
            FieldSet::from_fields(&Geo::FIELDS),
            FieldSet::from_fields(&User::FIELDS),
        ];
        SETS[stream as usize]
    }
}

impl Default for RawRow<'_> {
    fn default() -> Self {
        RawRow { fields: [JsonValue::Null; Field::COUNT], present: FieldSet(0), unknown: 0 }
    }
}

impl<'a> RawRow<'a> {
    /// Sets a field. Returns false and keeps the first value if the field is already set to a different one.
    #[must_use]
    #[inline]
    pub fn set_field(&mut self, field: Field, value: JsonValue<'a>) -> bool {
        if self.is_present(field) {
            return self.get(field).has_same_content(&value);
        }
        self.present.0 |= 1 << field as u8;
        self.fields[field as usize] = value;
        true
    }

    /// The value of a field, or `Null` if it is absent.
    #[must_use]
    #[inline]
    pub fn get(&self, field: Field) -> JsonValue<'a> {
        self.fields[field as usize]
    }

    /// Whether the field is present, null or not.
    #[must_use]
    #[inline]
    pub fn is_present(&self, field: Field) -> bool {
        self.present.0 & (1 << field as u8) != 0
    }

    /// Whether no known field is present.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.present.0 == 0
    }

    /// Whether a field is present that identifies this stream.
    #[must_use]
    pub fn has_identifying_field(&self, stream: Stream) -> bool {
        self.present.0 & FieldSet::identifying_fields(stream).0 != 0
    }

    /// Whether a field of this stream is present besides the key.
    #[must_use]
    pub fn has_any_of(&self, stream: Stream) -> bool {
        self.present.0 & FieldSet::known_fields(stream).0 & !FieldSet::from_fields(&[Field::Ind]).0 != 0
    }

    /// The number of fields that this stream does not have, including those of other streams.
    #[must_use]
    pub fn unknown_to(&self, stream: Stream) -> u32 {
        self.unknown + (self.present.0 & !FieldSet::known_fields(stream).0).count_ones()
    }
}

#[cfg(test)]
mod tests {
    use super::super::JsonString;
    use super::*;

    #[test]
    fn every_field_is_found_by_name_and_belongs_to_its_stream() {
        for stream in Stream::ALL {
            for &field in stream.fields() {
                assert_eq!(Field::from_name(field.name()), Some(field));
                assert!(field == Field::Ind || field.stream() == Some(stream), "{field:?}");
            }
            assert!(stream.identifying_fields().iter().all(|field| field.stream() == Some(stream)));
        }
        let listed: usize = Stream::ALL.iter().map(|stream| stream.fields().len() - 1).sum();
        assert_eq!(listed + 1, Field::COUNT);
        for other in ["", "Ind", " ind", "ind ", "INDEX", "imgsrc", "title\u{301}"] {
            assert_eq!(Field::from_name(other), None, "{other:?}");
        }
    }

    #[test]
    fn duplicate_field_with_other_value_is_refused() {
        let mut raw = RawRow::default();
        assert!(raw.set_field(Field::Age, JsonValue::Number("20")));
        assert!(raw.set_field(Field::Age, JsonValue::Number("20")));
        assert!(raw.set_field(Field::Age, JsonValue::Text(JsonString::without_escapes("20"))));
        assert!(raw.set_field(Field::Age, JsonValue::Text(JsonString::new(r"\u00320", true))));
        assert!(!raw.set_field(Field::Age, JsonValue::Number("20.0")));
        assert!(!raw.set_field(Field::Age, JsonValue::Null));
        assert_eq!((raw.get(Field::Age), raw.get(Field::Ind)), (JsonValue::Number("20"), JsonValue::Null));
        assert!(raw.is_present(Field::Age) && !raw.is_present(Field::Ind));
    }

    #[test]
    fn fields_of_another_stream_count_as_unknown() {
        let mut raw = RawRow { unknown: 2, ..RawRow::default() };
        for field in [Field::Ind, Field::Country, Field::Age] {
            assert!(raw.set_field(field, JsonValue::Null));
        }
        assert_eq!(raw.unknown_to(Stream::Geo), 3);
        assert_eq!(raw.unknown_to(Stream::Pin), 4);
    }
}
