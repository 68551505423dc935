//! Finds the files of a recording, and derives the stream of each from its name.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use pinflow_dataflows::ingest::StreamHint;
use pinflow_dataflows::record::Stream;

use super::LINE_BYTES_MAX;
use super::archive_reader::PartitionObjects;
use super::compression::{FileCompression, detect_file_layout};
use super::config::RecordingConfig;
use super::json_array::RecordLayout;
use super::unread_report::UnreadItem;
use pinflow_connect::source::SourceError;
use pinflow_core::file_limit::explain;

/// One file to read. It is a partition of the source.
#[derive(Debug, Clone)]
pub(super) struct RecordingFile {
    pub(super) path: PathBuf,
    /// The name and key of the partition: `recording/‹file›` or `recording/‹name›/‹file›`.
    pub(super) key: String,
    /// The streams that its rows belong to.
    pub(super) stream_hint: StreamHint,
    /// Its compression when it was found.
    pub(super) compression: FileCompression,
    /// Its layout when it was found.
    pub(super) layout: RecordLayout,
    /// Its stored size in bytes when it was found.
    pub(super) bytes: u64,
    /// For a partition of an archive: its objects, which are read instead of a file.
    pub(super) archived: Option<PartitionObjects>,
}

/// What was found at a path.
#[derive(Debug, Default)]
pub(super) struct DiscoveredFiles {
    /// The files to read: sorted by name within a stream, and the streams interleaved, so that related posts are read at
    /// about the same time.
    pub(super) files: Vec<RecordingFile>,
    /// Files that are not read.
    pub(super) unread: Vec<UnreadItem>,
    /// Problems with files that must be read and cannot be.
    pub(super) problems: Vec<String>,
}

/// Extensions of JSON files, before that of a compression.
const JSON_EXTENSIONS: [&str; 3] = [".jsonl", ".ndjson", ".json"];
/// Extensions of compressed files.
const COMPRESSED_EXTENSIONS: [&str; 2] = [".gz", ".zst"];
/// Suffixes of files that are still being written.
const UNFINISHED_SUFFIXES: [&str; 3] = [".tmp", ".part", "~"];

/// Names of the tables in the notebooks' database, with the stream of their rows.
const NOTEBOOK_TABLES: [(&str, Stream); 3] =
    [("pinterest_data", Stream::Pin), ("geolocation_data", Stream::Geo), ("user_data", Stream::User)];

/// The stream of a file, derived from its name; `None` if the name has another form.
///
/// The name ends in `.jsonl`, `.ndjson` or `.json`, then optionally `.gz` or `.zst`. Its first word, in any case, is
/// `pin`, `geo` or `user`: `pin.jsonl`, `geo-0001.jsonl.gz`, `User_2.ndjson.zst`, but not `pinterest.jsonl`. Or it begins
/// with the name of a table of the notebooks: `pinterest_data.jsonl`, `geolocation_data-2.json.gz`.
#[must_use]
pub fn stream_from_file_name(file: &str) -> Option<Stream> {
    let stem = COMPRESSED_EXTENSIONS.iter().find_map(|ending| file.strip_suffix(ending)).unwrap_or(file);
    let stem = JSON_EXTENSIONS.iter().find_map(|ending| stem.strip_suffix(ending))?;
    let is_letter = |letter: char| letter.is_alphabetic();
    let begins_with = |table: &str| {
        let begins = stem.get(..table.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(table));
        begins && !stem[table.len()..].starts_with(is_letter)
    };
    if let Some((_, stream)) = NOTEBOOK_TABLES.into_iter().find(|(table, _)| begins_with(table)) {
        return Some(stream);
    }
    let word = stem.split(|letter: char| !is_letter(letter)).next()?;
    Stream::ALL.into_iter().find(|stream| word.eq_ignore_ascii_case(stream.name()))
}

/// Whether a file of a folder is never data: hidden, a marker such as `_SUCCESS`, or still being written.
pub(super) fn is_ignored_name(file: &str) -> bool {
    file.starts_with(['.', '_']) || UNFINISHED_SUFFIXES.iter().any(|ending| file.ends_with(ending))
}

/// The part of a partition key before the name of the file.
pub(super) fn key_prefix(config: &RecordingConfig) -> String {
    match &config.name {
        None => "recording/".to_owned(),
        Some(name) => format!("recording/{name}/"),
    }
}

/// Finds the files of a recording at `path`, except those that are `known`.
///
/// # Errors
/// If the path cannot be read.
pub(super) fn find_files(
    config: &RecordingConfig,
    path: &Path,
    known: impl Fn(&Path) -> bool,
) -> Result<DiscoveredFiles, SourceError> {
    let unreadable =
        |cause: io::Error| SourceError::Read { partition: path.display().to_string(), cause: explain(cause) };
    let meta = fs::metadata(path).map_err(unreadable)?;
    let mut found = DiscoveredFiles::default();
    if meta.is_dir() {
        for entry in fs::read_dir(path).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if !known(&path) {
                found.add_path(config, &path, true);
            }
        }
        found.interleave_streams();
    } else {
        found.add_path(config, path, false);
    }
    Ok(found)
}

impl DiscoveredFiles {
    fn add_path(&mut self, config: &RecordingConfig, path: &Path, in_folder: bool) {
        let shown = path.display();
        let Some(file) = path.file_name().and_then(|name| name.to_str()) else {
            self.problems.push(format!("{shown}: the name is not UTF-8 and cannot be part of `_source`; rename it"));
            return;
        };
        if in_folder && is_ignored_name(file) {
            self.unread.push(UnreadItem::file(path));
            return;
        }
        let Some(stream_hint) =
            config.stream.map(StreamHint::from).or_else(|| stream_from_file_name(file).map(StreamHint::Only))
        else {
            match in_folder {
                true if path.is_dir() => self.unread.push(UnreadItem::folder(path)),
                true => self.unread.push(UnreadItem::file(path)),
                false => self.problems.push(format!(
                    "{shown}: its name does not tell the stream; set stream = \"pin\", \"geo\", \"user\" or \"auto\""
                )),
            }
            return;
        };
        match inspect_file(path, config.follow) {
            Ok((meta, ..)) if in_folder && meta.is_dir() => self.unread.push(UnreadItem::folder(path)),
            Ok((meta, ..)) if !meta.is_file() => self.problems.push(format!("{shown}: not a regular file")),
            Ok((_, FileCompression::Foreign(kind), _)) => {
                self.problems.push(format!("{shown}: a {kind} file; only plain text, gzip and zstd can be read"));
            }
            Ok((_, compression, _)) if config.follow && compression != FileCompression::Plain => {
                self.problems.push(format!(
                    "{shown}: {}, and a compressed file cannot be followed; read it without `follow`",
                    compression.name()
                ));
            }
            Ok((_, _, RecordLayout::Array)) if config.follow => self.problems.push(array_not_followed_problem(path)),
            Ok((meta, compression, layout)) => self.files.push(RecordingFile {
                path: path.to_owned(),
                key: key_prefix(config) + file,
                stream_hint,
                compression,
                layout,
                bytes: meta.len(),
                archived: None,
            }),
            // Renamed or removed since the folder was listed. A broken link still exists, and is a problem.
            Err(_) if in_folder && fs::symlink_metadata(path).is_err() => {}
            Err(cause) => self.problems.push(format!("{shown}: {}", explain(cause))),
        }
    }

    /// Sorts the files by name within a stream, and interleaves the streams.
    fn interleave_streams(&mut self) {
        self.files.sort_by(|a, b| (a.stream_hint, &a.key).cmp(&(b.stream_hint, &b.key)));
        let mut turns: Vec<(usize, RecordingFile)> = Vec::with_capacity(self.files.len());
        for file in self.files.drain(..) {
            let turn = match turns.last() {
                Some((turn, before)) if before.stream_hint == file.stream_hint => turn + 1,
                _ => 0,
            };
            turns.push((turn, file));
        }
        turns.sort_by_key(|(turn, _)| *turn);
        self.files.extend(turns.into_iter().map(|(_, file)| file));
        self.unread.sort_by(|a, b| a.name.cmp(&b.name));
        self.problems.sort();
    }
}

/// The problem text for a JSON array that is to be followed.
pub(super) fn array_not_followed_problem(path: &Path) -> String {
    format!(
        "{}: a JSON array cannot be followed, since it has an end; read it without `follow`, or write one object per line",
        path.display()
    )
}

/// The metadata, compression and layout of a file. Anything but a regular file is not opened.
fn inspect_file(path: &Path, grows: bool) -> io::Result<(Metadata, FileCompression, RecordLayout)> {
    let meta = fs::metadata(path)?;
    if !meta.is_file() {
        return Ok((meta, FileCompression::Plain, RecordLayout::Lines));
    }
    let mut file = File::open(path)?;
    let compression = FileCompression::detect(&mut file)?;
    let layout = detect_file_layout(&mut file, compression, LINE_BYTES_MAX, grows)?;
    Ok((meta, compression, layout))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn stream_is_derived_from_the_file_name() {
        let cases = [
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
        for (file, stream) in cases {
            assert_eq!(stream_from_file_name(file), Some(stream), "{file}");
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
            assert_eq!(stream_from_file_name(file), None, "{file}");
        }
    }

    #[test]
    fn streams_are_interleaved_and_names_sorted() {
        let folder = tempfile::tempdir().unwrap();
        for file in
            ["pin-2.jsonl", "pin-1.jsonl", "pin-3.jsonl", "geo.jsonl", "user-b.jsonl", "user-a.jsonl", "notes.txt"]
        {
            fs::write(folder.path().join(file), "{}\n").unwrap();
        }
        fs::create_dir(folder.path().join("pin-old.jsonl")).unwrap();
        fs::write(folder.path().join(".pin.jsonl"), "").unwrap();
        let found = find_files(&RecordingConfig::with_path("unused"), folder.path(), |_| false).unwrap();
        let keys: Vec<&str> = found.files.iter().map(|file| file.key.as_str()).collect();
        let wanted =
            ["pin-1", "geo", "user-a", "pin-2", "user-b", "pin-3"].map(|file| format!("recording/{file}.jsonl"));
        assert_eq!(keys, wanted);
        assert_eq!(found.unread.len(), 3, "{:?}", found.unread);
        assert!(found.problems.is_empty(), "{:?}", found.problems);
    }

    #[test]
    fn unreadable_file_is_a_problem_and_not_skipped() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pin.jsonl.xz"), b"\xfd7zXZ\0").unwrap();
        fs::write(folder.path().join("pin.jsonl"), b"PAR1....").unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("geo.jsonl")).unwrap();
        let found = find_files(&RecordingConfig::with_path("unused"), folder.path(), |_| false).unwrap();
        assert_eq!((found.files.len(), found.unread.len()), (0, 1), "{found:?}");
        assert_eq!(found.problems.len(), 2, "{found:?}");
        assert!(found.problems[1].contains("parquet"), "{found:?}");
    }
}
