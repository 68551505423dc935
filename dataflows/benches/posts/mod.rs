//! Posts of a million `ind`s. Shared by the benches of the graph.

use std::borrow::Cow;

use pinflow_dataflows::graph::WorkerGraph;
use pinflow_dataflows::record::{Geo, Lineage, Pin, User};
use pinflow_dataflows::symbol::Symbol;

const YEAR: i64 = 31_556_952_000_000;

/// A pseudo-random number (Steele, Lea and Flood, *SplitMix*).
pub(crate) fn splitmix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Texts made before the clock starts, because the parser would make them.
pub(crate) struct BenchTexts {
    categories: Vec<String>,
    countries: Vec<String>,
    pub(crate) posters: Vec<String>,
    pub(crate) names: Vec<String>,
}

impl BenchTexts {
    pub(crate) fn new(inds: u64) -> BenchTexts {
        let posters = inds * 45 / 100;
        BenchTexts {
            categories: (0..13).map(|n| format!("category {n}")).collect(),
            countries: (0..243).map(|n| format!("Country {n}")).collect(),
            posters: (0..posters).map(|n| format!("poster {n}")).collect(),
            names: (0..posters).map(|n| format!("Name {n}")).collect(),
        }
    }
}

/// Sends the three rows of an `ind`. A poster is one person, and there are about 2,000 distinct follower counts.
pub(crate) fn send_posts(graph: &mut WorkerGraph, texts: &BenchTexts, source: Symbol, ind: u64, version: u64) {
    let random = splitmix(ind ^ (version << 40));
    let person = splitmix(ind) % texts.posters.len() as u64;
    let of_person = splitmix(person + 0x5555);
    let lineage = |n: u64| Lineage { arrived_at: Some(version as i64), source, position: (3 * ind + n).into(), sub: 0 };
    let steps = (random >> 20) % 2_000;
    let pin = Pin {
        ind,
        unique_id: None,
        title: None,
        description: None,
        follower_count: Some((steps * steps) as i64),
        poster_name: Some(Cow::Borrowed(&texts.posters[person as usize])),
        tag_list: None,
        is_image_or_video: None,
        image_src: None,
        save_location: None,
        category: Some(Cow::Borrowed(&texts.categories[(random % 13) as usize])),
    };
    let geo = Geo {
        ind,
        country: Some(Cow::Borrowed(&texts.countries[(of_person % 243) as usize])),
        coordinates: None,
        timestamp: Some(48 * YEAR + (random >> 10) as i64 % (5 * YEAR)),
    };
    let user = User {
        ind,
        user_name: Some(Cow::Borrowed(&texts.names[person as usize])),
        age: Some(20 + (of_person >> 32) as u8 % 41),
        date_joined: Some(45 * YEAR + (of_person >> 8) as i64 % (5 * YEAR)),
    };
    graph.pin(lineage(0), &pin);
    graph.geo(lineage(1), &geo);
    graph.user(lineage(2), &user);
}
