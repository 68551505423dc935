//! The store of added questions: one file `questions/NAME.sql` each, beside the tables.
//!
//! The first line of a file says in which version it is stored. A file without such a line has version 1: its text is the
//! question.

use pinflow_dataflows::questions::QuestionName;
use pinflow_storage::{Location, StorageError};

use crate::config::QUESTION_BYTES_MAX;

/// The folder of stored questions, inside that of the tables.
const QUESTIONS_FOLDER: &str = "questions";
/// The extension of their files.
const EXTENSION: &str = ".sql";

/// The begin of the first line. The version follows.
const VERSION_LINE: &str = "-- pinflow question, version ";
/// The version that this program writes, and the latest that it reads.
const STORED_VERSION: u32 = 1;

/// Where added questions are kept.
#[derive(Debug, Clone)]
pub(super) struct QuestionStore {
    tables: Location,
}

/// A stored question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredQuestion {
    /// Its name.
    pub(super) name: QuestionName,
    /// Its text, or why it cannot be read as one.
    pub(super) sql: Result<String, String>,
}

impl QuestionStore {
    /// The store beside these tables. They need not exist.
    pub(super) fn new(tables: Location) -> QuestionStore {
        QuestionStore { tables }
    }

    /// Where the question of a name is stored, as shown to users.
    pub(super) fn display_path(&self, name: &QuestionName) -> String {
        self.tables.join(QUESTIONS_FOLDER).join(&file_name(name)).to_string()
    }

    /// All stored questions, by name.
    ///
    /// # Errors
    /// If the folder or a file cannot be read.
    pub(super) async fn read_all(&self) -> Result<Vec<StoredQuestion>, StorageError> {
        let tables = match self.tables.resolve_existing() {
            Err(StorageError::NotFound { .. }) => return Ok(Vec::new()),
            found => found?,
        };
        let folder = tables.join(QUESTIONS_FOLDER);
        let mut stored = Vec::new();
        for (file, bytes) in folder.list_entries().await?.files {
            let Some(name) = file.strip_suffix(EXTENSION).and_then(|name| QuestionName::parse(name).ok()) else {
                tracing::warn!(file, folder = %folder, "a file among the stored questions is none of pinflow's; ignoring it");
                continue;
            };
            if bytes > (QUESTION_BYTES_MAX + version_line().len()) as u64 {
                let sql = Err(format!("its file is larger than {} KiB", QUESTION_BYTES_MAX >> 10));
                stored.push(StoredQuestion { name, sql });
            } else if let Some(contents) = folder.read_file(&file).await? {
                stored.push(StoredQuestion { name, sql: read_text(contents.into()) });
            }
        }
        stored.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(stored)
    }

    /// What is stored under a name.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) async fn read(&self, name: &QuestionName) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.folder().await?.read_file(&file_name(name)).await?.map(Vec::from))
    }

    /// Stores a question of a new name. `false` if one of this name is stored already.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) async fn create(&self, name: &QuestionName, sql: &str) -> Result<bool, StorageError> {
        self.folder().await?.create_file(&file_name(name), (version_line() + sql).as_bytes()).await
    }

    /// Stores a question over the one of its name.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) async fn replace(&self, name: &QuestionName, sql: &str) -> Result<(), StorageError> {
        self.replace_bytes(name, (version_line() + sql).as_bytes()).await
    }

    /// Stores again what was stored under a name, whatever it is.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) async fn replace_bytes(&self, name: &QuestionName, contents: &[u8]) -> Result<(), StorageError> {
        self.folder().await?.replace_file(&file_name(name), contents).await
    }

    /// Deletes a stored question, if there is one.
    ///
    /// # Errors
    /// If it cannot be deleted.
    pub(super) async fn delete(&self, name: &QuestionName) -> Result<(), StorageError> {
        self.folder().await?.delete_file(&file_name(name)).await
    }

    /// The folder of the files, under its canonical name.
    async fn folder(&self) -> Result<Location, StorageError> {
        Ok(self.tables.prepare_for_writing().await?.join(QUESTIONS_FOLDER))
    }
}

fn file_name(name: &QuestionName) -> String {
    format!("{name}{EXTENSION}")
}

fn version_line() -> String {
    format!("{VERSION_LINE}{STORED_VERSION}\n")
}

/// The question in a file, or why it cannot be read as one.
fn read_text(contents: Vec<u8>) -> Result<String, String> {
    let text = String::from_utf8(contents).map_err(|_| "its file is not text in UTF-8".to_owned())?;
    let Some((version, sql)) = text.strip_prefix(VERSION_LINE).and_then(|text| text.split_once('\n')) else {
        return Ok(text);
    };
    match version.trim_end().parse() {
        Ok(1..=STORED_VERSION) => Ok(sql.to_owned()),
        _ => Err(format!(
            "its file was stored by a later pinflow, in version {version}; this one knows versions up to {STORED_VERSION}"
        )),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stored_questions_are_read_by_name_and_other_files_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let tables = folder.path().join("tables");
        let store = QuestionStore::new(Location::from_folder(&tables));
        assert_eq!(store.read_all().await.unwrap(), []);
        let [one, two] = ["b_one", "A2"].map(|name| QuestionName::parse(name).unwrap());
        assert!(store.create(&one, "SELECT 1 AS a").await.unwrap());
        assert!(!store.create(&one, "SELECT 2 AS a").await.unwrap());
        store.create(&two, "SELECT 3 AS a").await.unwrap();
        store.replace(&two, "SELECT 'é' AS a").await.unwrap();
        let questions = tables.join("questions");
        for (file, contents) in [("notes.txt", &b"x"[..]), ("a-b.sql", b"x"), ("bytes.sql", b"\xff")] {
            std::fs::write(questions.join(file), contents).unwrap();
        }
        std::fs::write(questions.join("large.sql"), vec![b' '; QUESTION_BYTES_MAX + 99]).unwrap();
        // Stored before there were versions, and by a later program.
        std::fs::write(questions.join("old.sql"), "SELECT 4 AS a").unwrap();
        std::fs::write(questions.join("later.sql"), "-- pinflow question, version 2\nSELECT 5 AS a").unwrap();
        let read = store.read_all().await.unwrap();
        let shown: Vec<_> = read.iter().map(|stored| (stored.name.as_str(), stored.sql.as_deref().ok())).collect();
        let expected = [
            ("A2", Some("SELECT 'é' AS a")),
            ("b_one", Some("SELECT 1 AS a")),
            ("bytes", None),
            ("large", None),
            ("later", None),
            ("old", Some("SELECT 4 AS a")),
        ];
        assert_eq!(shown, expected);
        store.delete(&one).await.unwrap();
        store.delete(&one).await.unwrap();
        assert_eq!(store.read_all().await.unwrap().len(), 5);
        let file = std::fs::read_to_string(questions.join("A2.sql")).unwrap();
        assert_eq!(file, "-- pinflow question, version 1\nSELECT 'é' AS a");
    }
}
