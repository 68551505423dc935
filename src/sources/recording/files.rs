//! Which files a recording consists of, and what each one's name says.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use pinflow_dataflows::ingest::StreamHint;
use pinflow_dataflows::record::Stream;

use super::LINE_BYTES_MAX;
use super::archived::Objects;
use super::array::Layout;
use super::compression::{Compression, look_at_layout};
use super::config::RecordingConfig;
use super::unread::Unread;
use crate::file_limit::explain;
use crate::sources::SourceError;

/// One file to be read; a partition.
#[derive(Debug, Clone)]
pub(super) struct RecordingFile {
    /// Where it is.
    pub(super) path: PathBuf,
    /// `recording/‹file›` or `recording/‹name›/‹file›`: name of the partition, and key of its position.
    pub(super) key: String,
    /// What its rows are.
    pub(super) carries: StreamHint,
    /// How it was compressed when it was found.
    pub(super) compression: Compression,
    /// How its records were told apart when it was found.
    pub(super) layout: Layout,
    /// How long it was when it was found, as stored.
    pub(super) bytes: u64,
    /// If it is a partition of an archive: its objects, which are read in the place of a file.
    pub(super) archived: Option<Objects>,
}

/// What a path holds.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The files to read: by name within a stream, and the streams in turns, so that what belongs together is
    /// read at about the same time.
    pub(super) files: Vec<RecordingFile>,
    /// What is not read.
    pub(super) unread: Vec<Unread>,
    /// What cannot be read though it must be.
    pub(super) faults: Vec<String>,
}

/// Endings of JSON Lines, before that of a compression.
const ENDINGS: [&str; 3] = [".jsonl", ".ndjson", ".json"];
/// Endings of compressed files.
const COMPRESSED_ENDINGS: [&str; 2] = [".gz", ".zst"];
/// Endings of files that are still being made.
const UNFINISHED_ENDINGS: [&str; 3] = [".tmp", ".part", "~"];

/// The original's tables, by the stream that their rows are.
const ORIGINAL_TABLES: [(&str, Stream); 3] =
    [("pinterest_data", Stream::Pin), ("geolocation_data", Stream::Geo), ("user_data", Stream::User)];

/// Which stream a file's name tells.
///
/// The name ends in `.jsonl`, `.ndjson` or `.json`, then perhaps `.gz` or `.zst`, and the letters it begins with,
/// upper or lower case, are `pin`, `geo` or `user`: `pin.jsonl`, `geo-0001.jsonl.gz`, `User_2.ndjson.zst`,
/// but not `pinterest.jsonl`. Or it begins with the name of one of the original's tables: `pinterest_data.jsonl`,
/// `geolocation_data-2.json.gz`.
#[must_use]
pub fn stream_of(file: &str) -> Option<Stream> {
    let stem = COMPRESSED_ENDINGS.iter().find_map(|ending| file.strip_suffix(ending)).unwrap_or(file);
    let stem = ENDINGS.iter().find_map(|ending| stem.strip_suffix(ending))?;
    let is_letter = |letter: char| letter.is_alphabetic();
    let begins_with = |table: &str| {
        let begins = stem.get(..table.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(table));
        begins && !stem[table.len()..].starts_with(is_letter)
    };
    if let Some((_, stream)) = ORIGINAL_TABLES.into_iter().find(|(table, _)| begins_with(table)) {
        return Some(stream);
    }
    let word = stem.split(|letter: char| !is_letter(letter)).next()?;
    Stream::ALL.into_iter().find(|stream| word.eq_ignore_ascii_case(stream.name()))
}

/// Whether a folder's file is none of its data: hidden, a marker like `_SUCCESS`, or still being made.
pub(super) fn is_aside(file: &str) -> bool {
    file.starts_with(['.', '_']) || UNFINISHED_ENDINGS.iter().any(|ending| file.ends_with(ending))
}

/// What stands before the file's name in the keys of a recording.
pub(super) fn prefix(config: &RecordingConfig) -> String {
    match &config.name {
        None => "recording/".to_owned(),
        Some(name) => format!("recording/{name}/"),
    }
}

/// Looks for the files of a recording at `path`, but not at those that are known.
///
/// # Errors
/// If the path cannot be read.
pub(super) fn find(config: &RecordingConfig, path: &Path, known: impl Fn(&Path) -> bool) -> Result<Found, SourceError> {
    let unreadable =
        |cause: io::Error| SourceError::Read { partition: path.display().to_string(), cause: explain(cause) };
    let meta = fs::metadata(path).map_err(unreadable)?;
    let mut found = Found::default();
    if meta.is_dir() {
        for entry in fs::read_dir(path).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if !known(&path) {
                found.add(config, &path, true);
            }
        }
        found.order();
    } else {
        found.add(config, path, false);
    }
    Ok(found)
}

impl Found {
    fn add(&mut self, config: &RecordingConfig, path: &Path, in_folder: bool) {
        let shown = path.display();
        let Some(file) = path.file_name().and_then(|name| name.to_str()) else {
            self.faults
                .push(format!("{shown}: the name is not UTF-8 and cannot become a part of `_source`; rename it"));
            return;
        };
        if in_folder && is_aside(file) {
            self.unread.push(Unread::file(path));
            return;
        }
        let Some(carries) = config.stream.map(StreamHint::from).or_else(|| stream_of(file).map(StreamHint::Only))
        else {
            match in_folder {
                true if path.is_dir() => self.unread.push(Unread::folder(path)),
                true => self.unread.push(Unread::file(path)),
                false => self.faults.push(format!(
                    "{shown}: its name tells no stream; say stream = \"pin\", \"geo\", \"user\" or \"auto\""
                )),
            }
            return;
        };
        match look(path, config.follow) {
            Ok((meta, ..)) if in_folder && meta.is_dir() => self.unread.push(Unread::folder(path)),
            Ok((meta, ..)) if !meta.is_file() => self.faults.push(format!("{shown}: not a regular file")),
            Ok((_, Compression::Foreign(kind), _)) => {
                self.faults.push(format!("{shown}: a {kind} file; only plain text, gzip and zstd can be read"));
            }
            Ok((_, compression, _)) if config.follow && compression != Compression::Plain => self.faults.push(format!(
                "{shown}: {}, and a compressed file cannot be followed; read it without `follow`",
                compression.name()
            )),
            Ok((_, _, Layout::Array)) if config.follow => self.faults.push(array_is_not_followed(path)),
            Ok((meta, compression, layout)) => self.files.push(RecordingFile {
                path: path.to_owned(),
                key: prefix(config) + file,
                carries,
                compression,
                layout,
                bytes: meta.len(),
                archived: None,
            }),
            // Renamed or removed since the folder was listed; a link that leads nowhere is still there.
            Err(_) if in_folder && fs::symlink_metadata(path).is_err() => {}
            Err(cause) => self.faults.push(format!("{shown}: {}", explain(cause))),
        }
    }

    /// Puts the files into their order.
    fn order(&mut self) {
        self.files.sort_by(|a, b| (a.carries, &a.key).cmp(&(b.carries, &b.key)));
        let mut turns: Vec<(usize, RecordingFile)> = Vec::with_capacity(self.files.len());
        for file in self.files.drain(..) {
            let turn = match turns.last() {
                Some((turn, before)) if before.carries == file.carries => turn + 1,
                _ => 0,
            };
            turns.push((turn, file));
        }
        turns.sort_by_key(|(turn, _)| *turn);
        self.files.extend(turns.into_iter().map(|(_, file)| file));
        self.unread.sort_by(|a, b| a.name.cmp(&b.name));
        self.faults.sort();
    }
}

/// Why a JSON array cannot be followed.
pub(super) fn array_is_not_followed(path: &Path) -> String {
    format!(
        "{}: a JSON array cannot be followed, since it has an end; read it without `follow`, or write one object a line",
        path.display()
    )
}

/// A file's facts, its compression and its layout; anything but a regular file is not opened.
fn look(path: &Path, grows: bool) -> io::Result<(Metadata, Compression, Layout)> {
    let meta = fs::metadata(path)?;
    if !meta.is_file() {
        return Ok((meta, Compression::Plain, Layout::Lines));
    }
    let mut file = File::open(path)?;
    let compression = Compression::look(&mut file)?;
    let layout = look_at_layout(&mut file, compression, LINE_BYTES_MAX, grows)?;
    Ok((meta, compression, layout))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_their_stream() {
        let told = [
            ("pin.jsonl", Stream::Pin),
            ("pin-0001.jsonl.gz", Stream::Pin),
            ("pin0001.json", Stream::Pin),
            ("pin.2026-01-31.jsonl.zst", Stream::Pin),
            ("GEO_1.ndjson", Stream::Geo),
            ("user.json.zst", Stream::User),
            ("pinterest_data.jsonl", Stream::Pin),
            ("Geolocation_Data.json", Stream::Geo),
            ("geolocation_data-0001.ndjson.gz", Stream::Geo),
            ("user_data_2.jsonl.zst", Stream::User),
        ];
        for (file, stream) in told {
            assert_eq!(stream_of(file), Some(stream), "{file}");
        }
        for file in [
            "pinterest.jsonl",
            "pinterest_database.jsonl",
            "geolocation.jsonl",
            "pin",
            "pin.txt",
            "pin.jsonl.bz2",
            "my-pin.jsonl",
            "users.jsonl",
            ".jsonl",
            "pinß.jsonl",
        ] {
            assert_eq!(stream_of(file), None, "{file}");
        }
    }

    #[test]
    fn streams_take_turns_and_names_are_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for file in
            ["pin-2.jsonl", "pin-1.jsonl", "pin-3.jsonl", "geo.jsonl", "user-b.jsonl", "user-a.jsonl", "notes.txt"]
        {
            fs::write(folder.path().join(file), "{}\n").unwrap();
        }
        fs::create_dir(folder.path().join("pin-old.jsonl")).unwrap();
        fs::write(folder.path().join(".pin.jsonl"), "").unwrap();
        let found = find(&RecordingConfig::at("unused"), folder.path(), |_| false).unwrap();
        let keys: Vec<&str> = found.files.iter().map(|file| file.key.as_str()).collect();
        let wanted =
            ["pin-1", "geo", "user-a", "pin-2", "user-b", "pin-3"].map(|file| format!("recording/{file}.jsonl"));
        assert_eq!(keys, wanted);
        assert_eq!(found.unread.len(), 3, "{:?}", found.unread);
        assert!(found.faults.is_empty(), "{:?}", found.faults);
    }

    #[test]
    fn what_cannot_be_read_is_a_fault_not_an_omission() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pin.jsonl.xz"), b"\xfd7zXZ\0").unwrap();
        fs::write(folder.path().join("pin.jsonl"), b"PAR1....").unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("geo.jsonl")).unwrap();
        let found = find(&RecordingConfig::at("unused"), folder.path(), |_| false).unwrap();
        assert_eq!((found.files.len(), found.unread.len()), (0, 1), "{found:?}");
        assert_eq!(found.faults.len(), 2, "{found:?}");
        assert!(found.faults[1].contains("parquet"), "{found:?}");
    }
}
