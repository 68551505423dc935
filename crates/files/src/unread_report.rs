//! Reports files that were found and are not read.
//!
//! Data in a silently skipped file is missed too late. So everything that is not read is
//! classified. Possible data is a warning in a run and a problem in `check`. Files that are never data (hidden files, markers,
//! documentation, checksums, Delta tables) are only listed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::file_discovery::is_ignored_name;
use pinflow_core::finding::Finding;

/// The most names listed in a message.
const NAMES_SHOWN_MAX: usize = 5;
/// The most entries of a subfolder that are searched for data.
const FOLDER_ENTRIES_MAX: usize = 1_000;
/// The depth of that search: deeper than `topics/TOPIC/year=…/month=…/day=…/hour=…`.
const FOLDER_DEPTH_MAX: usize = 8;

/// A file, folder or object that is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnreadItem {
    /// Its path for messages.
    pub(super) name: String,
    pub(super) kind: UnreadKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum UnreadKind {
    /// A file whose name does not tell the stream.
    File,
    /// A subfolder.
    Folder(PathBuf),
    /// An object that does not belong to the archive, with its relative path.
    Object(String),
}

/// What an unread item seems to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum DataGuess {
    /// JSON under a name that does not tell the stream.
    Json,
    /// JSON in an unsupported compression.
    OtherCompression,
    /// Comma- or tab-separated values.
    Csv,
    /// Avro, Parquet, ORC.
    Binary,
    /// A folder that contains data.
    DataFolder,
    /// Data in an object whose path is not that of an archive.
    DataObject,
    /// Unknown.
    Unknown,
    /// Never data.
    NotData,
}

impl DataGuess {
    fn is_data(self) -> bool {
        self < DataGuess::Unknown
    }

    /// Why it is not read, and what to do.
    fn reason(self) -> &'static str {
        match self {
            DataGuess::Json => {
                "the name does not tell the stream: begin it with pin, geo or user (or pinterest_data, geolocation_data, \
                 user_data) and end it in .jsonl, .ndjson or .json, then perhaps .gz or .zst; or make it a source of its \
                 own with `stream`"
            }
            DataGuess::OtherCompression => "only plain text, gzip and zstd are read: compress it with one of them",
            DataGuess::Csv => "CSV is not read: export it as JSON Lines or as a JSON array",
            DataGuess::Binary => {
                "only JSON is read: export it as JSON Lines (for the S3 sink connector: \
                 format.class = io.confluent.connect.s3.format.json.JsonFormat)"
            }
            DataGuess::DataFolder => "folders in the folder are not read: add it as another source, or move it away",
            DataGuess::DataObject => {
                "only JSON objects named topics/TOPIC/partition=N/TOPIC+N+OFFSET.json, perhaps with .gz or .zst, are read \
                 (the connector's DefaultPartitioner and JsonFormat): write them so, or copy them into a folder as JSON \
                 Lines named by stream"
            }
            DataGuess::Unknown => {
                "it does not look like a recording; move it away if it is none, rename it if it is one"
            }
            DataGuess::NotData => "hidden, a marker, unfinished, documentation or a table",
        }
    }
}

/// Unread items, grouped by reason.
#[derive(Debug, Clone, Default)]
pub(super) struct UnreadReport(BTreeMap<DataGuess, Vec<String>>);

impl UnreadReport {
    /// Classifies the items. Folders are searched.
    pub(super) fn classify(unread: &[UnreadItem]) -> UnreadReport {
        let tables: BTreeSet<&str> = unread.iter().filter_map(UnreadItem::delta_table).collect();
        let mut groups: BTreeMap<DataGuess, Vec<String>> = BTreeMap::new();
        for one in unread {
            groups.entry(one.classify(&tables)).or_default().push(one.name.clone());
        }
        UnreadReport(groups)
    }

    /// Findings for `check`: data is a problem, an unknown file a risk.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let finding = |(class, names): (&DataGuess, &Vec<String>)| {
            let text = describe_group(*class, names);
            match class {
                DataGuess::Unknown => Finding::Risk(text),
                DataGuess::NotData => Finding::Passed(text),
                _ => Finding::Problem(text),
            }
        };
        self.0.iter().map(finding).collect()
    }

    /// Warns about everything that may be data.
    pub(super) fn log_warnings(&self, source: &Path) {
        for (class, names) in self.0.iter().filter(|(class, _)| **class != DataGuess::NotData) {
            tracing::warn!(
                source = %source.display(),
                files = names.len(),
                names = shown_names(names),
                why = class.reason(),
                "files were found and are not read"
            );
        }
    }
}

impl fmt::Display for UnreadReport {
    /// A line for each reason.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(|(class, names)| describe_group(*class, names)).collect();
        f.write_str(&lines.join("\n"))
    }
}

fn describe_group(class: DataGuess, names: &[String]) -> String {
    format!("not read: {}: {}", shown_names(names), class.reason())
}

/// The first few names, and the number of the others.
fn shown_names(names: &[String]) -> String {
    let shown = names.iter().take(NAMES_SHOWN_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = match names.len().saturating_sub(NAMES_SHOWN_MAX) {
        0 => String::new(),
        more => format!(" and {more} more ({} in all)", names.len()),
    };
    shown + &more
}

impl UnreadItem {
    pub(super) fn file(path: &Path) -> UnreadItem {
        UnreadItem { name: path.display().to_string(), kind: UnreadKind::File }
    }

    pub(super) fn folder(path: &Path) -> UnreadItem {
        UnreadItem { name: path.display().to_string(), kind: UnreadKind::Folder(path.to_owned()) }
    }

    /// The path of the Delta table whose log contains this object.
    fn delta_table(&self) -> Option<&str> {
        match &self.kind {
            UnreadKind::Object(path) => path.split_once("/_delta_log/").map(|(delta_table, _)| delta_table),
            _ => None,
        }
    }

    fn classify(&self, tables: &BTreeSet<&str>) -> DataGuess {
        match &self.kind {
            UnreadKind::File => classify_file(file_name(&self.name)),
            UnreadKind::Folder(path) if is_ignored_name(file_name(&self.name)) || is_delta_table(path) => {
                DataGuess::NotData
            }
            UnreadKind::Folder(path) => classify_folder(path),
            UnreadKind::Object(path) => classify_object(path, tables),
        }
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn is_delta_table(folder: &Path) -> bool {
    folder.join("_delta_log").is_dir()
}

/// Classifies a file by its name alone.
fn classify_file(file: &str) -> DataGuess {
    let name = file.to_ascii_lowercase();
    if is_ignored_name(file) || is_documentation(&name) {
        return DataGuess::NotData;
    }
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    let (packed, foreign) = ([".gz", ".zst"], [".xz", ".bz2", ".lz4", ".zip", ".snappy", ".z", ".br", ".7z", ".tar"]);
    let unpacked = packed.iter().chain(&foreign).find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
    // A rotated file is JSON, too: pin.jsonl.1, pin.jsonl-20260131.
    let is_json = [".jsonl", ".ndjson", ".json"].iter().any(|ending| unpacked.contains(ending));
    let ends_unpacked = |endings: &[&str]| endings.iter().any(|ending| unpacked.ends_with(ending));
    if is_json && ends(&foreign) {
        DataGuess::OtherCompression
    } else if is_json {
        DataGuess::Json
    } else if ends_unpacked(&[".csv", ".tsv"]) {
        DataGuess::Csv
    } else if ends_unpacked(&[".avro", ".parquet", ".orc"]) {
        DataGuess::Binary
    } else {
        DataGuess::Unknown
    }
}

/// Whether a lower-case name is one of the usual companions of data: documentation, checksums, signatures.
fn is_documentation(name: &str) -> bool {
    let begins = ["readme", "license", "licence", "notice", "changelog", "md5sum", "sha1sum", "sha256sum", "sha512sum"];
    let endings = [".md", ".md5", ".sha1", ".sha256", ".sha512", ".crc", ".asc", ".sig", ".toml", ".swp"];
    begins.iter().any(|begin| name.starts_with(begin)) || endings.iter().any(|ending| name.ends_with(ending))
}

/// Searches a folder for files that look like data.
fn classify_folder(folder: &Path) -> DataGuess {
    let mut left = FOLDER_ENTRIES_MAX;
    match contains_data(folder, FOLDER_DEPTH_MAX, &mut left) {
        true => DataGuess::DataFolder,
        false if left == 0 => DataGuess::Unknown,
        false => DataGuess::NotData,
    }
}

fn contains_data(folder: &Path, depth: usize, left: &mut usize) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    for entry in entries.flatten() {
        if *left == 0 {
            return false;
        }
        *left -= 1;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        // Links to folders are not followed: they may form a cycle.
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let found = match is_folder {
            true if is_ignored_name(&name) || is_delta_table(&path) || depth == 0 => false,
            true => contains_data(&path, depth - 1, left),
            false => classify_file(&name).is_data(),
        };
        if found {
            return true;
        }
    }
    false
}

fn classify_object(path: &str, tables: &BTreeSet<&str>) -> DataGuess {
    let folders: Vec<&str> = path.split('/').collect();
    let is_resume_marker = folders.first() == Some(&"resume");
    let in_table = path.match_indices('/').any(|(at, _)| tables.contains(&path[..at]));
    if is_resume_marker || in_table || folders.iter().any(|part| is_ignored_name(part)) {
        return DataGuess::NotData;
    }
    match classify_file(file_name(path)) {
        class if class.is_data() => DataGuess::DataObject,
        class => class,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn file_is_classified_by_its_name() {
        for (file, wanted) in [
            ("pins.jsonl", DataGuess::Json),
            ("posts.json.gz", DataGuess::Json),
            ("pin.jsonl.1", DataGuess::Json),
            ("pin.jsonl-20260131.gz", DataGuess::Json),
            ("pin.jsonl.xz", DataGuess::OtherCompression),
            ("pin.csv", DataGuess::Csv),
            ("pin.tsv.gz", DataGuess::Csv),
            ("pin.parquet", DataGuess::Binary),
            ("ab.pin+0+0000000000.snappy.parquet", DataGuess::Binary),
            ("ab.pin+0+0000000000.avro", DataGuess::Binary),
            ("notes.txt", DataGuess::Unknown),
            ("README.md", DataGuess::NotData),
            ("LICENSE", DataGuess::NotData),
            ("SHA256SUMS", DataGuess::NotData),
            ("pin.jsonl.sha256", DataGuess::NotData),
            ("_SUCCESS", DataGuess::NotData),
            (".hidden.jsonl", DataGuess::NotData),
            ("pin.jsonl.part", DataGuess::NotData),
        ] {
            assert_eq!(classify_file(file), wanted, "{file}");
        }
    }

    #[test]
    fn folder_is_searched_for_data_and_delta_tables_are_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let make = |path: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        make("tables/pin/_delta_log/00000000000000000000.json");
        make("tables/pin/part-0.parquet");
        make("old/2024/01/pin.jsonl");
        make("notes/a.txt");
        let class = |name: &str| UnreadItem::folder(&folder.path().join(name)).classify(&BTreeSet::new());
        assert_eq!((class("tables"), class("tables/pin")), (DataGuess::NotData, DataGuess::NotData));
        assert_eq!((class("old"), class("notes")), (DataGuess::DataFolder, DataGuess::NotData));
    }

    #[test]
    fn object_of_another_layout_is_data_and_markers_and_tables_are_not() {
        let object = |path: &str| UnreadItem { name: path.to_owned(), kind: UnreadKind::Object(path.to_owned()) };
        let tables = BTreeSet::from(["tables/pin"]);
        for (path, wanted) in [
            ("topics/ab.user/year=2024/month=01/day=01/hour=00/ab.user+0+0000000000.json", DataGuess::DataObject),
            ("topics/ab.user/partition=0/ab.user+0+0000000000.avro", DataGuess::DataObject),
            ("resume/ab.user/0.json", DataGuess::NotData),
            ("tables/pin/part-0.parquet", DataGuess::NotData),
            ("topics/_temporary/x.json", DataGuess::NotData),
            ("topics/what", DataGuess::Unknown),
        ] {
            assert_eq!(object(path).classify(&tables), wanted, "{path}");
        }
        assert_eq!(object("tables/pin/_delta_log/0.json").delta_table(), Some("tables/pin"));
    }

    #[test]
    fn long_list_of_names_is_truncated_and_counted() {
        let unread: Vec<UnreadItem> = (0..7).map(|n| UnreadItem::file(Path::new(&format!("f{n}.csv")))).collect();
        let findings = UnreadReport::classify(&unread).findings();
        let [Finding::Problem(text)] = &findings[..] else { panic!("{findings:?}") };
        assert!(text.contains("f4.csv and 2 more (7 in all): CSV is not read"), "{text}");
    }
}
