//! Made-up posts, one of each stream.

#![allow(dead_code, reason = "each test uses its part")]

use pinflow_dataflows::record::Stream;

pub(crate) const PIN: &str = r#"{"index":4211,"unique_id":"7c1f-44","title":"Paper \"lanterns\" \u2026","description":"No description available","poster_name":"Ida & Söhne 🎄","follower_count":"12k","tag_list":"paper,light","is_image_or_video":"image","image_src":"https://images.example/a.jpg","downloaded":1,"save_location":"Local save in /data/home-decor","category":"home-decor"}"#;
pub(crate) const GEO: &str =
    r#"{"ind":4211,"timestamp":"2019-04-30T08:15:00","latitude":-12.5,"longitude":101.25,"country":"Côte d'Ivoire"}"#;
pub(crate) const USER: &str =
    r#"{"ind":4211,"first_name":"Ida","last_name":"Berg","age":31,"date_joined":"2016-02-29T23:59:59"}"#;

pub(crate) fn sample_of(stream: Stream) -> &'static str {
    match stream {
        Stream::Pin => PIN,
        Stream::Geo => GEO,
        Stream::User => USER,
    }
}
