//! What becomes of the state of questions that are dropped.

use std::cell::Cell;
use std::rc::Rc;

/// Frees a state that nothing refers to any more.
pub type DisposeState = fn(Box<dyn Send>);

/// Takes over the state of dropped questions of a graph. Clones are the same.
///
/// A state can hold millions of groups, or a group with millions of values, and freeing it takes as long as making it.
/// The operators must not wait for that.
#[derive(Debug, Clone, Default)]
pub struct StateDisposal(Rc<Cell<Option<DisposeState>>>);

impl StateDisposal {
    /// Sets how states are freed from now on: for example on another thread. Until then they are freed at once.
    pub fn set(&self, dispose: DisposeState) {
        self.0.set(Some(dispose));
    }

    /// Frees a state.
    pub fn dispose_of(&self, state: impl Send + 'static) {
        match self.0.get() {
            Some(dispose) => dispose(Box::new(state)),
            None => drop(state),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn state_is_freed_at_once_or_handed_over() {
        static HANDED_OVER: AtomicUsize = AtomicUsize::new(0);
        let (disposal, state) = (StateDisposal::default(), Arc::new(1));
        disposal.dispose_of(Arc::clone(&state));
        assert_eq!(Arc::strong_count(&state), 1);
        disposal.clone().set(|state| {
            HANDED_OVER.fetch_add(1, Ordering::Relaxed);
            // As long as a thread holds it.
            std::mem::forget(state);
        });
        disposal.dispose_of(Arc::clone(&state));
        assert_eq!((Arc::strong_count(&state), HANDED_OVER.load(Ordering::Relaxed)), (2, 1));
    }
}
