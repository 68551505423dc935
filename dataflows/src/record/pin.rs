//! Pin posts: what was posted, and by whom.

use std::borrow::Cow;

use super::{Field, Ind};

/// A cleaned pin post. `None` means absent. Texts borrow from the message where possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin<'a> {
    /// The join key.
    pub ind: Ind,
    /// The post's id.
    pub unique_id: Option<Cow<'a, str>>,
    /// The title.
    pub title: Option<Cow<'a, str>>,
    /// The description.
    pub description: Option<Cow<'a, str>>,
    /// The poster's number of followers, never negative.
    pub follower_count: Option<i64>,
    /// The poster's name.
    pub poster_name: Option<Cow<'a, str>>,
    /// Tags, joined with `,`.
    pub tag_list: Option<Cow<'a, str>>,
    /// The kind of media.
    pub is_image_or_video: Option<Cow<'a, str>>,
    /// The URL of the image.
    pub image_src: Option<Cow<'a, str>>,
    /// Where the post was saved.
    pub save_location: Option<Cow<'a, str>>,
    /// The category.
    pub category: Option<Cow<'a, str>>,
}

impl Pin<'_> {
    /// The fields of a raw row, in the order in which producers write them.
    pub const FIELDS: [Field; 12] = [
        Field::Ind,
        Field::UniqueId,
        Field::Title,
        Field::Description,
        Field::PosterName,
        Field::FollowerCount,
        Field::TagList,
        Field::IsImageOrVideo,
        Field::ImageSrc,
        Field::Downloaded,
        Field::SaveLocation,
        Field::Category,
    ];
}
