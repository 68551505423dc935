//! The messages of a pass, in a file beside the tables: `dead-letters/000001.jsonl`.
//!
//! A pass is written as a whole before a message of it is read, and never changes. So its positions mean the same
//! messages after every restart. The first line has the version of the format and the number of messages. Each other
//! line is a message.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pinflow_dataflows::record::{Micros, Stream};
use pinflow_dataflows::symbol::Symbol;
use serde::{Deserialize, Serialize};

use super::super::newest::row_id;
use super::error::ReplayError;
use pinflow_connect::sink::RowId;
use pinflow_delta::StoredRejection;
use pinflow_storage::{Location, StorageError};

/// The folder of the passes, inside that of the tables, and the begin of their `_source`.
pub(super) const PASS_FOLDER: &str = "dead-letters";
const EXTENSION: &str = ".jsonl";
/// The version of the format of a pass. A program refuses passes of later versions.
const FORMAT_VERSION: u32 = 1;

/// A rejected message that is read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReplayedMessage {
    /// The row that was rejected.
    pub(super) origin: RowId,
    /// When it arrived at first, microseconds since 1970.
    pub(super) arrived_at: Option<Micros>,
    /// Its stream. `None` if its fields tell.
    pub(super) stream: Option<Stream>,
    pub(super) payload: Vec<u8>,
}

/// The first line of a file.
#[derive(Serialize, Deserialize)]
struct PassHeader {
    pinflow_replay_pass: u32,
    messages: u64,
}

/// Any other line of a file.
#[derive(Serialize, Deserialize)]
struct MessageLine {
    #[serde(rename = "_source")]
    source: String,
    #[serde(rename = "_position")]
    position: String,
    #[serde(rename = "_sub")]
    sub: u32,
    #[serde(rename = "_arrived_at")]
    arrived_at: Option<Micros>,
    stream: Option<String>,
    payload: String,
}

/// A pass, without its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReplayPass {
    /// Counted from 1.
    number: u32,
    /// How many messages it has. Their positions count from 1.
    pub(super) messages: u64,
}

impl ReplayPass {
    /// The `_source` of its rows, and the key of its position.
    ///
    /// It is less than the names of all other sources. So with `duplicates = "latest"` a row without an arrival time
    /// never takes the place of one that was accepted at once.
    pub(super) fn source_name(self) -> String {
        format!("{PASS_FOLDER}/{:06}", self.number)
    }
}

/// The place of a rejection in the passes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in super::super) struct ReplayPlace {
    pass: u32,
    /// Its position there.
    pub(in super::super) position: u64,
}

impl ReplayPlace {
    /// The `_source` that its rows have.
    pub(in super::super) fn source_name(self) -> String {
        ReplayPass { number: self.pass, messages: 0 }.source_name()
    }

    /// The place in words.
    pub(in super::super) fn describe(self) -> String {
        format!("as {} {}", self.source_name(), self.position)
    }
}

/// The rejections that are in a pass.
pub(super) type ReplayPlaces = HashMap<RowId, ReplayPlace>;

/// The passes beside the tables.
#[derive(Debug, Clone)]
pub(in super::super) struct PassStore {
    folder: Location,
    pub(super) passes: Vec<ReplayPass>,
    /// The rejections in the passes.
    pub(super) places: Arc<ReplayPlaces>,
}

impl PassStore {
    /// Reads all passes beside these tables.
    ///
    /// # Errors
    /// If one cannot be read, or is missing.
    pub(in super::super) async fn read(tables: &Location) -> Result<PassStore, ReplayError> {
        let mut store =
            PassStore { folder: tables.join(PASS_FOLDER), passes: Vec::new(), places: Arc::new(ReplayPlaces::new()) };
        for (expected, number) in (1..).zip(store.list_numbers().await?) {
            if number != expected {
                return Err(ReplayError::foreign(&store.folder, &file_name(expected), "it is missing"));
            }
            let messages = store.read_file(number).await?;
            store.add(number, &messages);
        }
        Ok(store)
    }

    /// Where a rejection is in the passes; `None` if no replay has chosen it.
    pub(in super::super) fn place_of(&self, rejection: &StoredRejection) -> Option<ReplayPlace> {
        // Most tables have no pass.
        if self.places.is_empty() { None } else { self.places.get(&row_id(rejection)).copied() }
    }

    /// The numbers of the files in the folder, in order.
    async fn list_numbers(&self) -> Result<Vec<u32>, ReplayError> {
        let entries = match self.folder.list_entries().await {
            Err(StorageError::NotFound { .. }) => Vec::new(),
            listed => listed?.files,
        };
        let mut numbers = Vec::new();
        for (name, _) in entries {
            let number = name.strip_suffix(EXTENSION).and_then(|number| number.parse::<u32>().ok());
            match number.filter(|number| file_name(*number) == name) {
                Some(number) => numbers.push(number),
                None => return Err(ReplayError::foreign(&self.folder, &name, "its name is not that of a pass")),
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The messages of a pass.
    ///
    /// # Errors
    /// If its file cannot be read, or is not as it was written.
    pub(super) async fn read_messages(&self, pass: ReplayPass) -> Result<Vec<ReplayedMessage>, ReplayError> {
        let messages = self.read_file(pass.number).await?;
        if messages.len() as u64 == pass.messages {
            return Ok(messages);
        }
        let what = format!("it has {} messages, and had {} at the start", messages.len(), pass.messages);
        Err(ReplayError::foreign(&self.folder, &file_name(pass.number), &what))
    }

    async fn read_file(&self, number: u32) -> Result<Vec<ReplayedMessage>, ReplayError> {
        let name = file_name(number);
        let bytes = self.folder.read_file(&name).await?.unwrap_or_default();
        read_lines(&bytes).map_err(|what| ReplayError::foreign(&self.folder, &name, &what))
    }

    fn add(&mut self, number: u32, messages: &[ReplayedMessage]) {
        self.passes.push(ReplayPass { number, messages: messages.len() as u64 });
        let place = |position| ReplayPlace { pass: number, position };
        let places = (1..).zip(messages).map(|(position, message)| (message.origin, place(position)));
        Arc::make_mut(&mut self.places).extend(places);
    }

    /// Stores these messages as the next pass. It is durable when this returns.
    ///
    /// # Errors
    /// If it cannot be written, or another replay has written one meanwhile.
    pub(super) async fn create(&mut self, messages: &[ReplayedMessage]) -> Result<(), ReplayError> {
        let number = u32::try_from(self.passes.len()).unwrap_or(u32::MAX).saturating_add(1);
        let name = file_name(number);
        if !self.folder.create_file(&name, &write_lines(messages)).await? {
            return Err(ReplayError::Concurrent { file: self.folder.join(&name).to_string() });
        }
        self.add(number, messages);
        Ok(())
    }
}

fn file_name(number: u32) -> String {
    format!("{number:06}{EXTENSION}")
}

fn write_lines(messages: &[ReplayedMessage]) -> Vec<u8> {
    let mut text = Vec::new();
    let header = PassHeader { pinflow_replay_pass: FORMAT_VERSION, messages: messages.len() as u64 };
    write_line(&header, &mut text);
    for ReplayedMessage { origin, arrived_at, stream, payload } in messages {
        let line = MessageLine {
            source: origin.source.text().to_owned(),
            position: origin.position.to_string(),
            sub: origin.sub,
            arrived_at: *arrived_at,
            stream: stream.map(|stream| stream.name().to_owned()),
            payload: STANDARD.encode(payload),
        };
        write_line(&line, &mut text);
    }
    text
}

fn write_line(line: &impl Serialize, text: &mut Vec<u8>) {
    serde_json::to_writer(&mut *text, line).expect("a line of texts and numbers has a JSON form");
    text.push(b'\n');
}

fn read_lines(bytes: &[u8]) -> Result<Vec<ReplayedMessage>, String> {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let PassHeader { pinflow_replay_pass: version, messages } =
        serde_json::from_slice(lines.next().unwrap_or_default()).map_err(|error| format!("line 1: {error}"))?;
    if version > FORMAT_VERSION {
        return Err(format!("a later pinflow has written it (format {version}, this one reads {FORMAT_VERSION})"));
    }
    let read = |(line, number)| read_line(line).map_err(|what| format!("line {number}: {what}"));
    let found = lines.zip(2_u64..).map(read).collect::<Result<Vec<_>, _>>()?;
    if found.len() as u64 == messages {
        return Ok(found);
    }
    Err(format!("it has {} messages, and its first line says {messages}", found.len()))
}

fn read_line(line: &[u8]) -> Result<ReplayedMessage, String> {
    let MessageLine { source, position, sub, arrived_at, stream, payload } =
        serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let position = position.parse().map_err(|_| format!("{position:?} is no position"))?;
    let stream = stream.map(|name| stream_named(&name).ok_or_else(|| format!("{name:?} is no stream"))).transpose()?;
    let payload = STANDARD.decode(payload).map_err(|error| error.to_string())?;
    let origin = RowId { source: Symbol::new(&source), position, sub };
    Ok(ReplayedMessage { origin, arrived_at, stream, payload })
}

/// The stream of a name.
pub(super) fn stream_named(name: &str) -> Option<Stream> {
    Stream::ALL.into_iter().find(|stream| stream.name() == name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    fn message(sub: u32, stream: Option<Stream>, payload: &[u8]) -> ReplayedMessage {
        let position = "49590338271490256608559692538361571095921575989136588898".parse().unwrap();
        ReplayedMessage {
            origin: RowId { source: Symbol::new("kinesis/12ab-pin/shardId-000000000001"), position, sub },
            arrived_at: stream.map(|_| 1_000_000),
            stream,
            payload: payload.to_vec(),
        }
    }

    #[tokio::test]
    async fn passes_are_numbered_and_come_back_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let tables = Location::from_folder(folder.path());
        let mut store = PassStore::read(&tables).await.unwrap();
        assert!(store.passes.is_empty());
        let (first, second) =
            (vec![message(0, None, b"\xff{}"), message(1, Some(Stream::Geo), b"")], vec![message(2, None, b"{}")]);
        let mut late = store.clone();
        store.create(&first).await.unwrap();
        store.create(&second).await.unwrap();
        // The number is taken: two commands cannot both write it.
        assert!(matches!(late.create(&first).await, Err(ReplayError::Concurrent { .. })));
        // A file that a killed process was writing does not count.
        std::fs::write(folder.path().join("dead-letters/000003.jsonl#12"), "{").unwrap();
        let store = PassStore::read(&tables).await.unwrap();
        let names: Vec<_> = store.passes.iter().map(|pass| pass.source_name()).collect();
        assert_eq!(names, ["dead-letters/000001", "dead-letters/000002"]);
        assert_eq!(store.read_messages(store.passes[0]).await.unwrap(), first);
        assert_eq!(store.read_messages(store.passes[1]).await.unwrap(), second);
        assert_eq!(store.places.len(), 3);
        assert_eq!(store.places[&first[1].origin], ReplayPlace { pass: 1, position: 2 });
        std::fs::remove_file(folder.path().join("dead-letters/000001.jsonl")).unwrap();
        assert!(PassStore::read(&tables).await.is_err(), "its messages would be replayed twice");
    }

    #[test]
    fn pass_that_is_cut_off_or_of_a_later_version_is_refused() {
        let text = write_lines(&[message(0, None, b"{}"), message(1, None, b"{}")]);
        assert_eq!(read_lines(&text).unwrap().len(), 2);
        let text = String::from_utf8(text).unwrap();
        let error = |text: &str| read_lines(text.as_bytes()).unwrap_err();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(error(&lines[..2].join("\n")), "it has 1 messages, and its first line says 2");
        assert!(error(&text[..text.len() - 9]).starts_with("line 3: "));
        assert!(error("").starts_with("line 1: "));
        let later = text.replace("\"pinflow_replay_pass\":1", "\"pinflow_replay_pass\":2");
        assert!(error(&later).contains("a later pinflow has written it"));
    }
}
