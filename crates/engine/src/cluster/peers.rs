//! What a process knows of the others, for `/status`, `/metrics` and the page.

use std::time::Instant;

use parking_lot::Mutex;

/// What is known of one process.
#[derive(Debug, Clone)]
pub struct PeerFigures {
    /// Its number. 0 leads.
    pub process: usize,
    /// Its address.
    pub address: String,
    /// Workers that have started.
    pub workers: usize,
    /// Rows that it has parsed in this run.
    pub rows: u64,
    /// Resident memory, bytes. 0 if it is not known.
    pub resident: u64,
    /// What its writer waits for.
    pub paused: Option<String>,
    /// When it was last heard.
    pub heard_at: Instant,
}

/// All processes of the cluster. Empty in a run of one process.
#[derive(Debug, Default)]
pub struct PeerTable(Mutex<Vec<PeerFigures>>);

impl PeerTable {
    /// Begins to keep figures of processes with these addresses.
    pub(crate) fn begin(&self, addresses: impl IntoIterator<Item = String>) {
        let now = Instant::now();
        let figures = |(process, address)| PeerFigures {
            process,
            address,
            workers: 0,
            rows: 0,
            resident: 0,
            paused: None,
            heard_at: now,
        };
        *self.0.lock() = addresses.into_iter().enumerate().map(figures).collect();
    }

    /// Changes the figures of a process, which was heard now.
    pub(crate) fn update(&self, process: usize, change: impl FnOnce(&mut PeerFigures)) {
        if let Some(figures) = self.0.lock().get_mut(process) {
            figures.heard_at = Instant::now();
            change(figures);
        }
    }

    /// The figures of all processes.
    #[must_use]
    pub fn figures(&self) -> Vec<PeerFigures> {
        self.0.lock().clone()
    }

    /// A process that cannot write its files, and what it waits for.
    #[must_use]
    pub fn paused(&self) -> Option<String> {
        let table = self.0.lock();
        let mut waiting = table.iter().filter_map(|figures| figures.paused.as_ref().map(|cause| (figures, cause)));
        waiting.next().map(|(PeerFigures { process, address, .. }, cause)| {
            format!("process {process} of the cluster ({address}): {cause}")
        })
    }

    /// The greatest resident memory of any process but this one, bytes.
    pub(crate) fn max_resident(&self) -> u64 {
        self.0.lock().iter().map(|figures| figures.resident).max().unwrap_or(0)
    }
}
