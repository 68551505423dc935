//! The three tables of the posting emulator.

use pinflow_dataflows::record::Stream;

use pinflow_mysql::TextCell;

/// A table. Its first column is the key.
#[derive(Debug)]
pub(super) struct TableSchema {
    pub(super) stream: Stream,
    pub(super) name: &'static str,
    /// Name and type of each column.
    pub(super) columns: &'static [(&'static str, &'static str)],
}

/// The tables, with the columns of the original database dump.
pub(super) const TABLES: [TableSchema; 3] = [
    TableSchema {
        stream: Stream::Pin,
        name: "pinterest_data",
        columns: &[
            ("index", "BIGINT NOT NULL"),
            ("unique_id", "TEXT"),
            ("title", "TEXT"),
            ("description", "TEXT"),
            ("poster_name", "TEXT"),
            ("follower_count", "TEXT"),
            ("tag_list", "TEXT"),
            ("is_image_or_video", "TEXT"),
            ("image_src", "TEXT"),
            ("downloaded", "BIGINT"),
            ("save_location", "TEXT"),
            ("category", "TEXT"),
        ],
    },
    TableSchema {
        stream: Stream::Geo,
        name: "geolocation_data",
        columns: &[
            ("ind", "BIGINT NOT NULL"),
            ("timestamp", "DATETIME"),
            ("latitude", "DOUBLE"),
            ("longitude", "DOUBLE"),
            ("country", "TEXT"),
        ],
    },
    TableSchema {
        stream: Stream::User,
        name: "user_data",
        columns: &[
            ("ind", "BIGINT NOT NULL"),
            ("first_name", "TEXT"),
            ("last_name", "TEXT"),
            ("age", "BIGINT"),
            ("date_joined", "DATETIME"),
        ],
    },
];

impl TableSchema {
    pub(super) fn for_stream(stream: Stream) -> &'static TableSchema {
        match stream {
            Stream::Pin => &TABLES[0],
            Stream::Geo => &TABLES[1],
            Stream::User => &TABLES[2],
        }
    }

    /// The accepted names of the key column.
    pub(super) fn key_names(&self) -> [&'static str; 2] {
        let ours = self.columns[0].0;
        [ours, if ours == "ind" { "index" } else { "ind" }]
    }
}

/// A value as text. Empty if it is NULL or missing.
pub(super) fn cell_text(row: &[TextCell], at: usize) -> String {
    row.get(at).and_then(Option::as_deref).map(String::from_utf8_lossy).unwrap_or_default().into_owned()
}
