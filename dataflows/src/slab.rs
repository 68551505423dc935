//! A slab: values indexed by a dense number, in chunks of a fixed size.

/// A vector in chunks. Growing moves no value and leaves no unused doubled capacity behind.
#[derive(Debug)]
pub(crate) struct ChunkedVec<T>(Vec<Box<[T]>>);

/// The number of values in one chunk.
const CHUNK_VALUES: usize = 4096;

impl<T> Default for ChunkedVec<T> {
    fn default() -> Self {
        ChunkedVec(Vec::new())
    }
}

impl<T: Default> ChunkedVec<T> {
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        let index = index as usize;
        self.0.get(index / CHUNK_VALUES).map(|chunk| &chunk[index % CHUNK_VALUES])
    }

    /// All values, including those of unused indices.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }

    /// The number of values, including those of unused indices.
    pub(crate) fn capacity(&self) -> u32 {
        u32::try_from(self.0.len() * CHUNK_VALUES).unwrap_or(u32::MAX)
    }

    /// The size in memory, bytes.
    pub(crate) fn allocated_bytes(&self) -> usize {
        self.0.len() * CHUNK_VALUES * size_of::<T>()
    }

    /// The value at an index. Grows the slab if necessary.
    pub(crate) fn get_or_grow(&mut self, index: u32) -> &mut T {
        let index = index as usize;
        while self.0.len() <= index / CHUNK_VALUES {
            self.0.push((0..CHUNK_VALUES).map(|_| T::default()).collect());
        }
        &mut self.0[index / CHUNK_VALUES][index % CHUNK_VALUES]
    }
}
