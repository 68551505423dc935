//! What is found beside the files that are read, and what to say of it.
//!
//! A file that is left out in silence is data that nobody misses until it is late. So everything that is found and not
//! read is classified: what looks like data is a warning of a run and a fault of `check`; what is never data (hidden
//! files, markers, documentation, checksums, Delta tables) is only listed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::files::is_aside;
use crate::finding::Finding;

/// Names that a message spells out.
const NAMES_SHOWN_MAX: usize = 5;
/// Entries of a folder in the folder that are looked at in search of data.
const FOLDER_ENTRIES_MAX: usize = 1_000;
/// How deep that search goes: deeper than `topics/TOPIC/year=…/month=…/day=…/hour=…`.
const FOLDER_DEPTH_MAX: usize = 8;

/// Something that was found and is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unread {
    /// Where it is, for people.
    pub(super) name: String,
    pub(super) kind: UnreadKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum UnreadKind {
    /// A file of a folder, with a name that tells no stream.
    File,
    /// A folder in the folder.
    Folder(PathBuf),
    /// An object beside those of an archive, under this path.
    Object(String),
}

/// What something that is not read seems to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Guess {
    /// JSON under a name that tells no stream.
    Json,
    /// JSON in a compression that is not read.
    OtherCompression,
    /// Comma- or tab-separated values.
    Csv,
    /// Avro, Parquet, ORC.
    Binary,
    /// A folder in which data is.
    DataFolder,
    /// An object that holds data and whose path is no archive's.
    DataObject,
    /// Nothing that is known.
    Unknown,
    /// Never data.
    Aside,
}

impl Guess {
    fn is_data(self) -> bool {
        self < Guess::Unknown
    }

    /// Why it is not read, and what to do.
    fn reason(self) -> &'static str {
        match self {
            Guess::Json => {
                "the name does not tell the stream: begin it with pin, geo or user (or pinterest_data, geolocation_data, \
                 user_data) and end it in .jsonl, .ndjson or .json, then perhaps .gz or .zst; or make it a source of its \
                 own with `stream`"
            }
            Guess::OtherCompression => "only plain text, gzip and zstd are read: compress it with one of them",
            Guess::Csv => "CSV is not read: export it as JSON Lines or as a JSON array",
            Guess::Binary => {
                "only JSON is read: export it as JSON Lines (for the S3 sink connector: \
                 format.class = io.confluent.connect.s3.format.json.JsonFormat)"
            }
            Guess::DataFolder => "folders in the folder are not read: make it a source of its own, or move it away",
            Guess::DataObject => {
                "only JSON objects named topics/TOPIC/partition=N/TOPIC+N+OFFSET.json, perhaps with .gz or .zst, are read \
                 (the connector's DefaultPartitioner and JsonFormat): write them so, or copy them into a folder as JSON \
                 Lines named by stream"
            }
            Guess::Unknown => "it does not look like a recording; move it away if it is none, rename it if it is one",
            Guess::Aside => "hidden, a marker, unfinished, documentation or a table",
        }
    }
}

/// What is not read, in groups with the same reason.
#[derive(Debug, Clone, Default)]
pub(super) struct UnreadReport(BTreeMap<Guess, Vec<String>>);

impl UnreadReport {
    /// Classifies; looks into folders.
    pub(super) fn of(unread: &[Unread]) -> UnreadReport {
        let tables: BTreeSet<&str> = unread.iter().filter_map(Unread::table).collect();
        let mut groups: BTreeMap<Guess, Vec<String>> = BTreeMap::new();
        for one in unread {
            groups.entry(one.guess(&tables)).or_default().push(one.name.clone());
        }
        UnreadReport(groups)
    }

    /// For `check`: what looks like data is a fault, what is not known a risk.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let finding = |(guess, names): (&Guess, &Vec<String>)| {
            let text = sentence(*guess, names);
            match guess {
                Guess::Unknown => Finding::Risk(text),
                Guess::Aside => Finding::Well(text),
                _ => Finding::Fault(text),
            }
        };
        self.0.iter().map(finding).collect()
    }

    /// Warns of everything but what is never data.
    pub(super) fn warn(&self, source: &Path) {
        for (guess, names) in self.0.iter().filter(|(guess, _)| **guess != Guess::Aside) {
            tracing::warn!(
                source = %source.display(),
                files = names.len(),
                names = shown_names(names),
                why = guess.reason(),
                "files were found and are not read"
            );
        }
    }
}

impl fmt::Display for UnreadReport {
    /// A line for each reason.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(|(guess, names)| sentence(*guess, names)).collect();
        f.write_str(&lines.join("\n"))
    }
}

fn sentence(guess: Guess, names: &[String]) -> String {
    format!("not read: {}: {}", shown_names(names), guess.reason())
}

/// The first few names, and how many there are if that is not all.
fn shown_names(names: &[String]) -> String {
    let shown = names.iter().take(NAMES_SHOWN_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = match names.len().saturating_sub(NAMES_SHOWN_MAX) {
        0 => String::new(),
        more => format!(" and {more} more ({} in all)", names.len()),
    };
    shown + &more
}

impl Unread {
    /// A file that is not read, at this path.
    pub(super) fn file(path: &Path) -> Unread {
        Unread { name: path.display().to_string(), kind: UnreadKind::File }
    }

    /// A folder that is not read.
    pub(super) fn folder(path: &Path) -> Unread {
        Unread { name: path.display().to_string(), kind: UnreadKind::Folder(path.to_owned()) }
    }

    /// The path of the Delta table whose log this object is a part of.
    fn table(&self) -> Option<&str> {
        match &self.kind {
            UnreadKind::Object(path) => path.split_once("/_delta_log/").map(|(table, _)| table),
            _ => None,
        }
    }

    fn guess(&self, tables: &BTreeSet<&str>) -> Guess {
        match &self.kind {
            UnreadKind::File => guess_file(file_name(&self.name)),
            UnreadKind::Folder(path) if is_aside(file_name(&self.name)) || is_table(path) => Guess::Aside,
            UnreadKind::Folder(path) => guess_folder(path),
            UnreadKind::Object(path) => guess_object(path, tables),
        }
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn is_table(folder: &Path) -> bool {
    folder.join("_delta_log").is_dir()
}

/// By the name of a file alone.
fn guess_file(file: &str) -> Guess {
    let name = file.to_ascii_lowercase();
    if is_aside(file) || is_documentation(&name) {
        return Guess::Aside;
    }
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    let (packed, foreign) = ([".gz", ".zst"], [".xz", ".bz2", ".lz4", ".zip", ".snappy", ".z", ".br", ".7z", ".tar"]);
    let unpacked = packed.iter().chain(&foreign).find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
    // A rotated file is JSON, too: pin.jsonl.1, pin.jsonl-20260131.
    let is_json = [".jsonl", ".ndjson", ".json"].iter().any(|ending| unpacked.contains(ending));
    let ends_unpacked = |endings: &[&str]| endings.iter().any(|ending| unpacked.ends_with(ending));
    if is_json && ends(&foreign) {
        Guess::OtherCompression
    } else if is_json {
        Guess::Json
    } else if ends_unpacked(&[".csv", ".tsv"]) {
        Guess::Csv
    } else if ends_unpacked(&[".avro", ".parquet", ".orc"]) {
        Guess::Binary
    } else {
        Guess::Unknown
    }
}

/// What stands beside data in many folders; of a name in small letters.
fn is_documentation(name: &str) -> bool {
    let begins = ["readme", "license", "licence", "notice", "changelog", "md5sum", "sha1sum", "sha256sum", "sha512sum"];
    let endings = [".md", ".md5", ".sha1", ".sha256", ".sha512", ".crc", ".asc", ".sig", ".toml", ".swp"];
    begins.iter().any(|begin| name.starts_with(begin)) || endings.iter().any(|ending| name.ends_with(ending))
}

/// Searches a folder for files that look like data.
fn guess_folder(folder: &Path) -> Guess {
    let mut left = FOLDER_ENTRIES_MAX;
    match holds_data(folder, FOLDER_DEPTH_MAX, &mut left) {
        true => Guess::DataFolder,
        false if left == 0 => Guess::Unknown,
        false => Guess::Aside,
    }
}

fn holds_data(folder: &Path, depth: usize, left: &mut usize) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    for entry in entries.flatten() {
        if *left == 0 {
            return false;
        }
        *left -= 1;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        // A link to a folder is not followed: it may lead around in a circle.
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let found = match is_folder {
            true if is_aside(&name) || is_table(&path) || depth == 0 => false,
            true => holds_data(&path, depth - 1, left),
            false => guess_file(&name).is_data(),
        };
        if found {
            return true;
        }
    }
    false
}

fn guess_object(path: &str, tables: &BTreeSet<&str>) -> Guess {
    let folders: Vec<&str> = path.split('/').collect();
    let is_note = folders.first() == Some(&"resume");
    let in_table = path.match_indices('/').any(|(at, _)| tables.contains(&path[..at]));
    if is_note || in_table || folders.iter().any(|part| is_aside(part)) {
        return Guess::Aside;
    }
    match guess_file(file_name(path)) {
        guess if guess.is_data() => Guess::DataObject,
        guess => guess,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn file_names_tell_data_from_what_stands_beside_it() {
        for (file, wanted) in [
            ("pins.jsonl", Guess::Json),
            ("posts.json.gz", Guess::Json),
            ("pin.jsonl.1", Guess::Json),
            ("pin.jsonl-20260131.gz", Guess::Json),
            ("pin.jsonl.xz", Guess::OtherCompression),
            ("pin.csv", Guess::Csv),
            ("pin.tsv.gz", Guess::Csv),
            ("pin.parquet", Guess::Binary),
            ("ab.pin+0+0000000000.snappy.parquet", Guess::Binary),
            ("ab.pin+0+0000000000.avro", Guess::Binary),
            ("notes.txt", Guess::Unknown),
            ("README.md", Guess::Aside),
            ("LICENSE", Guess::Aside),
            ("SHA256SUMS", Guess::Aside),
            ("pin.jsonl.sha256", Guess::Aside),
            ("_SUCCESS", Guess::Aside),
            (".hidden.jsonl", Guess::Aside),
            ("pin.jsonl.part", Guess::Aside),
        ] {
            assert_eq!(guess_file(file), wanted, "{file}");
        }
    }

    #[test]
    fn folders_are_searched_for_data_and_tables_are_left_alone() {
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
        let guess = |name: &str| Unread::folder(&folder.path().join(name)).guess(&BTreeSet::new());
        assert_eq!((guess("tables"), guess("tables/pin")), (Guess::Aside, Guess::Aside));
        assert_eq!((guess("old"), guess("notes")), (Guess::DataFolder, Guess::Aside));
    }

    #[test]
    fn objects_of_another_layout_are_data_and_notes_and_tables_are_not() {
        let object = |path: &str| Unread { name: path.to_owned(), kind: UnreadKind::Object(path.to_owned()) };
        let tables = BTreeSet::from(["tables/pin"]);
        for (path, wanted) in [
            ("topics/ab.user/year=2024/month=01/day=01/hour=00/ab.user+0+0000000000.json", Guess::DataObject),
            ("topics/ab.user/partition=0/ab.user+0+0000000000.avro", Guess::DataObject),
            ("resume/ab.user/0.json", Guess::Aside),
            ("tables/pin/part-0.parquet", Guess::Aside),
            ("topics/_temporary/x.json", Guess::Aside),
            ("topics/what", Guess::Unknown),
        ] {
            assert_eq!(object(path).guess(&tables), wanted, "{path}");
        }
        assert_eq!(object("tables/pin/_delta_log/0.json").table(), Some("tables/pin"));
    }

    #[test]
    fn long_lists_are_cut_and_counted() {
        let unread: Vec<Unread> = (0..7).map(|n| Unread::file(Path::new(&format!("f{n}.csv")))).collect();
        let findings = UnreadReport::of(&unread).findings();
        let [Finding::Fault(text)] = &findings[..] else { panic!("{findings:?}") };
        assert!(text.contains("f4.csv and 2 more (7 in all): CSV is not read"), "{text}");
    }
}
