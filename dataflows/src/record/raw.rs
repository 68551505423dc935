//! What producers write: the fields of all three streams, before anyone knows which stream a row belongs to.

use super::{Geo, Pin, Stream, User, Value};

/// A field that is read. `index` and `ind` are one field, and so are `img_src` and `image_src`.
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
    /// How many there are.
    pub const COUNT: usize = Field::DateJoined as usize + 1;

    /// The name on the wire.
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

    /// The field of this name or alias. Names are compared byte by byte: `Ind` or ` ind` is another name.
    #[must_use]
    pub fn named(name: &str) -> Option<Field> {
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

    /// The stream whose rows have this field; the key belongs to all of them.
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
    /// The fields of a row of this stream, in the order in which producers write them.
    #[must_use]
    pub fn fields(self) -> &'static [Field] {
        match self {
            Stream::Pin => &Pin::FIELDS,
            Stream::Geo => &Geo::FIELDS,
            Stream::User => &User::FIELDS,
        }
    }

    /// The fields that tell this stream from the others.
    #[must_use]
    pub const fn telling(self) -> &'static [Field] {
        match self {
            Stream::Pin => &[Field::UniqueId, Field::Category],
            Stream::Geo => &[Field::Latitude, Field::Longitude, Field::Country],
            Stream::User => &[Field::FirstName, Field::LastName, Field::Age],
        }
    }
}

/// A row as a producer wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw<'a> {
    fields: [Value<'a>; Field::COUNT],
    present: Fields,
    /// Fields that no stream has.
    pub unknown: u32,
}

/// A set of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fields(u32);

impl Fields {
    const fn of(fields: &[Field]) -> Fields {
        let (mut set, mut at) = (0, 0);
        while at < fields.len() {
            set |= 1 << fields[at] as u8;
            at += 1;
        }
        Fields(set)
    }

    fn telling(stream: Stream) -> Fields {
        const SETS: [Fields; 3] =
            [Fields::of(Stream::Pin.telling()), Fields::of(Stream::Geo.telling()), Fields::of(Stream::User.telling())];
        SETS[stream as usize]
    }

    fn known(stream: Stream) -> Fields {
        const SETS: [Fields; 3] = [Fields::of(&Pin::FIELDS), Fields::of(&Geo::FIELDS), Fields::of(&User::FIELDS)];
        SETS[stream as usize]
    }
}

impl Default for Raw<'_> {
    fn default() -> Self {
        Raw { fields: [Value::Null; Field::COUNT], present: Fields(0), unknown: 0 }
    }
}

impl<'a> Raw<'a> {
    /// Puts a field. False, and the first value stays, if it stood there already and said something else.
    #[must_use]
    #[inline]
    pub fn put(&mut self, field: Field, value: Value<'a>) -> bool {
        if self.has(field) {
            return self.get(field).says_the_same(&value);
        }
        self.present.0 |= 1 << field as u8;
        self.fields[field as usize] = value;
        true
    }

    /// A field; `Null` where it is absent.
    #[must_use]
    #[inline]
    pub fn get(&self, field: Field) -> Value<'a> {
        self.fields[field as usize]
    }

    /// Whether the field is there, null or not.
    #[must_use]
    #[inline]
    pub fn has(&self, field: Field) -> bool {
        self.present.0 & (1 << field as u8) != 0
    }

    /// Whether no field that is read is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.present.0 == 0
    }

    /// Whether a field is there that tells this stream from the others.
    #[must_use]
    pub fn tells(&self, stream: Stream) -> bool {
        self.present.0 & Fields::telling(stream).0 != 0
    }

    /// Whether a field of this stream is there besides the key.
    #[must_use]
    pub fn has_any_of(&self, stream: Stream) -> bool {
        self.present.0 & Fields::known(stream).0 & !Fields::of(&[Field::Ind]).0 != 0
    }

    /// How many fields a row of this stream does not have, those of other streams included.
    #[must_use]
    pub fn unknown_to(&self, stream: Stream) -> u32 {
        self.unknown + (self.present.0 & !Fields::known(stream).0).count_ones()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Text;
    use super::*;

    #[test]
    fn every_field_is_found_by_its_name_and_belongs_to_its_stream() {
        for stream in Stream::ALL {
            for &field in stream.fields() {
                assert_eq!(Field::named(field.name()), Some(field));
                assert!(field == Field::Ind || field.stream() == Some(stream), "{field:?}");
            }
            assert!(stream.telling().iter().all(|field| field.stream() == Some(stream)));
        }
        let listed: usize = Stream::ALL.iter().map(|stream| stream.fields().len() - 1).sum();
        assert_eq!(listed + 1, Field::COUNT);
        for other in ["", "Ind", " ind", "ind ", "INDEX", "imgsrc", "title\u{301}"] {
            assert_eq!(Field::named(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_field_that_stands_twice_must_say_the_same() {
        let mut raw = Raw::default();
        assert!(raw.put(Field::Age, Value::Number("20")));
        assert!(raw.put(Field::Age, Value::Number("20")));
        assert!(raw.put(Field::Age, Value::Text(Text::plain("20"))));
        assert!(raw.put(Field::Age, Value::Text(Text::new(r"\u00320", true))));
        assert!(!raw.put(Field::Age, Value::Number("20.0")));
        assert!(!raw.put(Field::Age, Value::Null));
        assert_eq!((raw.get(Field::Age), raw.get(Field::Ind)), (Value::Number("20"), Value::Null));
        assert!(raw.has(Field::Age) && !raw.has(Field::Ind));
    }

    #[test]
    fn fields_of_another_stream_are_unknown() {
        let mut raw = Raw { unknown: 2, ..Raw::default() };
        for field in [Field::Ind, Field::Country, Field::Age] {
            assert!(raw.put(field, Value::Null));
        }
        assert_eq!(raw.unknown_to(Stream::Geo), 3);
        assert_eq!(raw.unknown_to(Stream::Pin), 4);
    }
}
