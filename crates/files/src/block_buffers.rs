//! Reuses the memory of blocks.
//!
//! A block is freed by the worker that parsed it, soon after it was read. With memory from the allocator each block would
//! be zeroed, and often brings page faults. A buffer that comes back has its old bytes and is in the processor's cache.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;

/// How many buffers wait for reuse: as many as blocks are usually on their way.
const MAX_FREE_BUFFERS: usize = 16;

type FreeBuffers = Mutex<Vec<Vec<u8>>>;

/// Buffers of one reader. Cheap to make; holds nothing until a lent block comes back.
#[derive(Debug, Default)]
pub(super) struct BlockBuffers {
    free: Arc<FreeBuffers>,
}

impl BlockBuffers {
    /// A buffer of at least this many initialized bytes, with any content.
    pub(super) fn take(&self, bytes: usize) -> Vec<u8> {
        let mut buffer = self.free.lock().pop().unwrap_or_default();
        if buffer.len() < bytes {
            buffer.reserve_exact(bytes - buffer.len());
            buffer.resize(bytes, 0);
        }
        buffer
    }

    /// Frees what waits for reuse.
    pub(super) fn release(&self) {
        *self.free.lock() = Vec::new();
    }

    /// Makes a block of a buffer. Its memory comes back when the last reference to the block is dropped, if these
    /// buffers still exist then.
    pub(super) fn lend(&self, text: Vec<u8>) -> Bytes {
        Bytes::from_owner(LentBlock { text, home: Arc::downgrade(&self.free) })
    }
}

/// A block whose memory is reused.
struct LentBlock {
    text: Vec<u8>,
    home: Weak<FreeBuffers>,
}

impl AsRef<[u8]> for LentBlock {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

impl Drop for LentBlock {
    fn drop(&mut self) {
        let Some(home) = self.home.upgrade() else { return };
        let mut free = home.lock();
        if free.len() < MAX_FREE_BUFFERS {
            free.push(std::mem::take(&mut self.text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_block_is_reused_and_a_kept_one_is_not_changed() {
        let buffers = BlockBuffers::default();
        let (first, second) = (buffers.lend(b"first".to_vec()), buffers.lend(b"second".to_vec()));
        let kept = first.slice(1..);
        drop((first, second));
        let mut again = buffers.take(4);
        assert_eq!(again, b"second");
        again.fill(b'x');
        assert_eq!(buffers.take(4), [0; 4], "the part of the first block is still in use");
        assert_eq!(&kept[..], b"irst");
    }

    #[test]
    fn blocks_that_outlive_their_buffers_are_freed() {
        let buffers = BlockBuffers::default();
        let block = buffers.lend(vec![1; 9]);
        let free = Arc::downgrade(&buffers.free);
        drop(buffers);
        assert!(free.upgrade().is_none());
        assert_eq!(block.len(), 9);
    }

    #[test]
    fn few_buffers_wait_for_reuse() {
        let buffers = BlockBuffers::default();
        drop((0..100).map(|_| buffers.lend(vec![0; 9])).collect::<Vec<_>>());
        assert_eq!(buffers.free.lock().len(), MAX_FREE_BUFFERS);
    }
}
