//! A feed: an endless recording of generated posts, written at a steady rate on a thread of its own.
//!
//! It has neither signal handling nor progress of its own, so that a pipeline in the same process can follow it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use pinflow_dataflows::record::Stream;
use tokio::sync::watch;

use super::delivery::DeliveryTracker;
use super::destinations::{self, Destination, IfFileExists, OutputCompression};
use super::error::EmitError;
use super::generate::{ComposerConfig, DrawOrder, MalformedOptions, MessageComposer, WrapMode};
use super::senders::{DestinationSender, run_senders_unwatched};
use super::stop::StopRequest;
use crate::acks::DestinationAcks;

/// More draws than any feed makes.
const ENDLESS_DRAWS: u64 = 1 << 48;

/// What a feed generates.
#[derive(Debug, Clone)]
pub struct FeedSettings {
    /// The folder of the recording. A recording that is there is continued.
    pub folder: PathBuf,
    /// Rows in each of the three tables that posts are drawn from, at least one. Rows are drawn with replacement, so a
    /// small number repeats early.
    pub inds: u64,
    /// Messages per second over all streams, above 0.
    pub rate: f64,
    /// Share of malformed messages, 0 to 1.
    pub malformed: f64,
    /// Seed of the random numbers.
    pub seed: u64,
}

/// A feed that is running.
#[derive(Debug)]
pub struct PostFeed {
    stop: watch::Sender<Option<Instant>>,
    thread: JoinHandle<Result<u64, EmitError>>,
}

/// A file of the recording, opened, and the draw that continues it.
struct OpenedStream {
    stream: Stream,
    first_draw: u64,
    acks: Arc<DestinationAcks>,
    destination: Box<dyn Destination>,
}

impl PostFeed {
    /// Opens the files and starts the thread. `on_end` runs when the feed ends, also if that is because of an error.
    ///
    /// # Errors
    /// If the folder or a file cannot be created or continued, or the system refuses a thread.
    pub fn start(settings: FeedSettings, on_end: impl FnOnce() + Send + 'static) -> Result<PostFeed, EmitError> {
        let (stop, is_stopped) = StopRequest::manual();
        let delivery = DeliveryTracker::without_signals(is_stopped);
        let opened = open_streams(&settings, &delivery)?;
        let thread = std::thread::Builder::new().name("feed".to_owned()).spawn(move || {
            let sent = send_posts(&settings, opened, &delivery);
            on_end();
            sent
        });
        Ok(PostFeed { stop, thread: thread.map_err(EmitError::io("start the thread of the feed"))? })
    }

    /// Stops the feed. Returns the number of messages that it wrote.
    ///
    /// # Errors
    /// The error that ended it.
    pub fn stop(self) -> Result<u64, EmitError> {
        self.stop.send_replace(Some(Instant::now()));
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn open_streams(settings: &FeedSettings, delivery: &DeliveryTracker) -> Result<Vec<OpenedStream>, EmitError> {
    let folder = &settings.folder;
    std::fs::create_dir_all(folder).map_err(EmitError::io(format!("make folder {}", folder.display())))?;
    let open = |stream| -> Result<OpenedStream, EmitError> {
        let path = destinations::recording_path(folder, stream, OutputCompression::None);
        let recorded = destinations::count_recorded(&path, OutputCompression::None);
        let first_draw = recorded.map_err(EmitError::io(format!("find where to continue {}", path.display())))?;
        let acks = delivery.add_destination(path.display().to_string(), first_draw, None);
        let (exists, compress) = (IfFileExists::Append, OutputCompression::None);
        let opened: io::Result<_> = destinations::open_file(&path, exists, compress, Arc::clone(&acks));
        let destination = opened.map_err(EmitError::io(format!("open {}", path.display())))?;
        Ok(OpenedStream { stream, first_draw, acks, destination })
    };
    Stream::ALL.into_iter().map(open).collect()
}

fn send_posts(
    settings: &FeedSettings,
    opened: Vec<OpenedStream>,
    delivery: &DeliveryTracker,
) -> Result<u64, EmitError> {
    let FeedSettings { inds, rate, malformed, seed, .. } = settings;
    let (order, options) = (DrawOrder::Emulator, MalformedOptions::default());
    let config = ComposerConfig::new(*seed, *inds, order, WrapMode::None, *malformed, options);
    let sender = |OpenedStream { stream, first_draw, acks, destination }| {
        let composers = vec![MessageComposer::new(&config, stream, first_draw..ENDLESS_DRAWS)];
        DestinationSender { acks, destination, composers }
    };
    let sent = run_senders_unwatched(opened.into_iter().map(sender).collect(), *rate, delivery)?;
    Ok(sent.iter().map(|(_, stats)| stats.messages).sum())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    fn settings(folder: PathBuf) -> FeedSettings {
        FeedSettings { folder, inds: 50, rate: 3_000.0, malformed: 0.0, seed: 7 }
    }

    fn recorded(folder: &std::path::Path, stream: Stream) -> String {
        let path = destinations::recording_path(folder, stream, OutputCompression::None);
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn stopped_feed_is_continued_with_the_next_draw() {
        let place = tempfile::tempdir().unwrap();
        let mut written = 0;
        for _ in 0..2 {
            let (ended, has_ended) = channel();
            let feed = PostFeed::start(settings(place.path().to_owned()), move || ended.send(()).unwrap()).unwrap();
            std::thread::sleep(Duration::from_millis(200));
            written += feed.stop().unwrap();
            has_ended.recv().unwrap();
        }
        let texts = Stream::ALL.map(|stream| recorded(place.path(), stream));
        let lines: usize = texts.iter().map(|text| text.lines().count()).sum();
        assert_eq!(lines as u64, written);
        assert!(written > 60, "{written}");
        // As one feed would have written them: no draw is left out or repeated.
        let whole = ComposerConfig::new(7, 50, DrawOrder::Emulator, WrapMode::None, 0.0, MalformedOptions::default());
        for (stream, text) in Stream::ALL.into_iter().zip(&texts) {
            let mut composer = MessageComposer::new(&whole, stream, 0..text.lines().count() as u64);
            let mut expected = Vec::new();
            while !composer.is_done() {
                composer.write_message(&mut expected);
            }
            assert!(text.as_bytes() == expected, "{stream}");
        }
    }

    #[test]
    fn feed_into_a_place_that_is_no_folder_does_not_start() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = PostFeed::start(settings(file), || {}).unwrap_err();
        assert!(pinflow_core::error_text::error_text(&error).contains("make folder "), "{error}");
    }
}
