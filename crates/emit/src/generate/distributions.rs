//! The distributions of real posts: measured on about 11,000 rows of each of the three tables of the posting emulator.

/// A combination of present and missing parts of a pin post.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PinVariant {
    /// How many of 6,524 real pin posts look like this.
    pub(crate) of_real: u64,
    pub(crate) media: &'static str,
    /// The placeholder in the description. `None`: a real description.
    pub(crate) description: Option<&'static str>,
    /// Title, poster name and follower count are placeholders.
    pub(crate) poster_error: bool,
    pub(crate) no_tags: bool,
    /// The image could not be read, so it was not downloaded.
    pub(crate) image_error: bool,
}

const IMAGE: &str = "image";
const VIDEO: &str = "video";
const STORY: &str = "multi-video(story page format)";
const NO_TEXT: Option<&str> = Some("No description available");
const NO_STORY: Option<&str> = Some("No description available Story format");

const fn pin_variant(
    of_real: u64,
    media: &'static str,
    description: Option<&'static str>,
    [poster_error, no_tags, image_error]: [bool; 3],
) -> PinVariant {
    PinVariant { of_real, media, description, poster_error, no_tags, image_error }
}

/// All combinations that occur, most frequent first.
pub(crate) const PIN_VARIANTS: [PinVariant; 11] = [
    pin_variant(5680, IMAGE, None, [false, false, false]),
    pin_variant(322, STORY, NO_STORY, [false, false, false]),
    pin_variant(190, VIDEO, None, [false, false, false]),
    pin_variant(132, STORY, NO_STORY, [false, false, true]),
    pin_variant(95, IMAGE, NO_TEXT, [false, false, false]),
    pin_variant(48, STORY, NO_STORY, [true, true, true]),
    pin_variant(37, IMAGE, None, [false, true, false]),
    pin_variant(8, STORY, NO_STORY, [false, true, false]),
    pin_variant(6, VIDEO, NO_TEXT, [false, false, false]),
    pin_variant(3, IMAGE, Some("Untitled"), [false, false, false]),
    pin_variant(3, VIDEO, None, [false, true, false]),
];

/// The number of real pin posts in [`PIN_VARIANTS`].
pub(crate) const PIN_VARIANTS_TOTAL: u64 = 6524;

/// The first row of each category in tables of [`REAL_INDS`] rows.
pub(crate) const CATEGORY_STARTS: [u64; 13] =
    [0, 892, 1638, 2637, 3467, 4330, 5077, 5863, 6725, 7576, 8484, 9457, 10315];

/// Rows of each real table.
pub(crate) const REAL_INDS: u64 = 11_149;

/// Pairs of a number of posts, and how many people posted that often. 5,051 people, 10,649 posts.
pub(crate) const POSTS_PER_PERSON: [(u16, u16); 44] = [
    (1, 3681),
    (2, 610),
    (3, 262),
    (4, 146),
    (5, 85),
    (6, 59),
    (7, 37),
    (8, 31),
    (9, 23),
    (10, 23),
    (11, 10),
    (12, 9),
    (13, 9),
    (14, 6),
    (15, 5),
    (16, 5),
    (17, 2),
    (18, 5),
    (19, 5),
    (20, 3),
    (21, 2),
    (23, 1),
    (24, 5),
    (28, 3),
    (30, 1),
    (31, 1),
    (32, 1),
    (35, 3),
    (36, 1),
    (38, 1),
    (40, 1),
    (44, 2),
    (47, 1),
    (49, 1),
    (52, 1),
    (53, 1),
    (60, 1),
    (68, 1),
    (80, 1),
    (83, 1),
    (86, 2),
    (87, 1),
    (138, 1),
    (244, 1),
];

/// Follower counts at every 20-quantile, of posters with 1, 2…3, 4…10 and more posts.
pub(crate) const FOLLOWERS: [[u64; 21]; 4] = [
    [
        0, 7, 33, 90, 181, 282, 481, 813, 1000, 2000, 3000, 5000, 6000, 9000, 13_000, 20_000, 30_000, 50_000, 92_000,
        224_000, 8_000_000,
    ],
    [
        2, 234, 1000, 3000, 5000, 7000, 10_000, 13_000, 18_000, 23_000, 29_000, 37_000, 45_000, 56_000, 75_000,
        100_000, 128_000, 175_000, 267_000, 487_000, 2_000_000,
    ],
    [
        0, 1000, 5000, 9000, 16_000, 19_000, 24_000, 31_000, 41_000, 48_000, 59_000, 76_000, 94_000, 123_000, 160_000,
        205_000, 306_000, 426_000, 662_000, 1_000_000, 15_000_000,
    ],
    [
        5, 873, 7000, 14_000, 31_000, 54_000, 68_000, 97_000, 132_000, 198_000, 229_000, 309_000, 459_000, 500_000,
        648_000, 799_000, 942_000, 1_000_000, 2_000_000, 5_000_000, 8_000_000,
    ],
];

/// Characters of a title at every decile.
pub(crate) const TITLE_CHARS: [u64; 11] = [4, 21, 30, 37, 44, 50, 56, 61, 67, 78, 100];

/// Characters of a description at every decile, if the site did not truncate it.
pub(crate) const DESCRIPTION_CHARS: [u64; 11] = [2, 40, 67, 90, 111, 127, 137, 144, 152, 157, 178];

/// Characters of a truncated description, without its ending of U+2026 U+00A0.
pub(crate) const CUT_DESCRIPTION_CHARS: usize = 177;

/// Truncated descriptions, per mille.
pub(crate) const CUT_DESCRIPTIONS_PER_MILLE: u64 = 398;

/// First and last `timestamp`, in seconds since 1970: 2017-10-19T15:13:42 and 2022-10-19T17:54:26.
pub(crate) const TIMESTAMP_SECS: (u64, u64) = (1_508_426_022, 1_666_202_066);

/// First and last `date_joined`, in seconds since 1970: 2015-10-21T03:17:47 and 2017-10-20T10:44:26.
pub(crate) const DATE_JOINED_SECS: (u64, u64) = (1_445_397_467, 1_508_496_266);

/// The lowest age, and the number of ages: 20…60.
pub(crate) const MIN_AGE_AND_COUNT: (u64, u64) = (20, 41);
