//! Collects the data files that followers have put for each window.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use pinflow_connect::sink::WrittenFile;
use pinflow_core::position::Epoch;

/// The files of one process for the window that ends with an epoch.
pub(super) type WindowFiles = (Epoch, Vec<WrittenFile>);

/// Waits for the files of all followers.
pub(crate) struct FileCollector {
    followers: usize,
    receiver: mpsc::UnboundedReceiver<WindowFiles>,
    /// Files of windows that are not committed yet, and how many followers have reported.
    reported: BTreeMap<Epoch, (usize, Vec<WrittenFile>)>,
}

impl FileCollector {
    /// Collects the files of so many followers.
    pub(super) fn new(followers: usize) -> (mpsc::UnboundedSender<WindowFiles>, FileCollector) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (sender, FileCollector { followers, receiver, reported: BTreeMap::new() })
    }

    /// The files that followers have put for the window that ends with `epoch`. Waits for all of them. Never returns if
    /// one is lost: that ends the run.
    pub(crate) async fn collect_files(&mut self, epoch: Epoch) -> Vec<WrittenFile> {
        while self.reported.get(&epoch).is_none_or(|(followers, _)| *followers < self.followers) {
            let Some((of, files)) = self.receiver.recv().await else { std::future::pending().await };
            let (followers, all) = self.reported.entry(of).or_default();
            *followers += 1;
            all.extend(files);
        }
        self.reported.remove(&epoch).map(|(_, files)| files).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> WrittenFile {
        WrittenFile { table: "pin".to_owned(), name: name.to_owned(), bytes: 1, rows: 1, statistics: String::new() }
    }

    #[tokio::test]
    async fn files_of_a_window_are_complete_once_every_follower_has_reported() {
        let (sender, mut collector) = FileCollector::new(2);
        // One follower is a window ahead.
        for (epoch, files) in [(3, vec![file("a")]), (7, vec![file("b")]), (3, vec![])] {
            sender.send((epoch, files)).expect("is received");
        }
        assert_eq!(collector.collect_files(3).await, [file("a")]);
        let early = tokio::time::timeout(std::time::Duration::from_millis(20), collector.collect_files(7)).await;
        assert!(early.is_err(), "one follower has not reported");
        sender.send((7, vec![file("c")])).expect("is received");
        assert_eq!(collector.collect_files(7).await, [file("b"), file("c")]);
        assert!(collector.reported.is_empty());
    }
}
