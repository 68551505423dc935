//! A budget of bytes: what requests and replies hold in memory together.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;

/// Bytes that may be held at the same time. Nobody waits for room: who finds none is told so and gives back what it has,
/// so two requests can never wait for each other. What is alone may take more than the limit, so that nothing is refused
/// for ever; how large one request or reply may be is bounded elsewhere.
#[derive(Debug)]
pub(crate) struct ByteBudget {
    limit: usize,
    reserved: AtomicUsize,
}

/// There is no room in the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BudgetExhausted;

impl ByteBudget {
    pub(crate) fn new(limit: usize) -> Arc<ByteBudget> {
        Arc::new(ByteBudget { limit, reserved: AtomicUsize::new(0) })
    }

    /// A reservation of nothing yet.
    pub(crate) fn open_reservation(self: &Arc<ByteBudget>) -> ByteReservation {
        ByteReservation { budget: Arc::clone(self), bytes: 0 }
    }

    /// Bytes that are reserved now.
    pub(crate) fn reserved_bytes(&self) -> usize {
        self.reserved.load(Relaxed)
    }

    /// Adds to a reservation of `own` bytes.
    fn try_add(&self, own: usize, more: usize) -> Result<(), BudgetExhausted> {
        let add = |reserved: usize| reserved.checked_add(more).filter(|sum| *sum <= self.limit || reserved == own);
        self.reserved.fetch_update(Relaxed, Relaxed, add).map(drop).map_err(|_| BudgetExhausted)
    }
}

/// Bytes of a budget that one request or reply holds; given back when dropped.
#[derive(Debug)]
pub(crate) struct ByteReservation {
    budget: Arc<ByteBudget>,
    bytes: usize,
}

impl ByteReservation {
    /// Makes the reservation at least this large.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), BudgetExhausted> {
        let Some(more) = bytes.checked_sub(self.bytes) else { return Ok(()) };
        self.budget.try_add(self.bytes, more)?;
        self.bytes = bytes;
        Ok(())
    }

    /// Makes the reservation as large as what is held now. What is there already cannot be refused, so this may go over
    /// the limit: reserve enough before.
    pub(crate) fn settle_at(&mut self, bytes: usize) {
        if bytes >= self.bytes {
            self.budget.reserved.fetch_add(bytes - self.bytes, Relaxed);
        } else {
            self.budget.reserved.fetch_sub(self.bytes - bytes, Relaxed);
        }
        self.bytes = bytes;
    }

    /// Bytes that hold their reservation until the last reader of them is done.
    pub(crate) fn hold_with(mut self, bytes: Bytes) -> Bytes {
        self.settle_at(bytes.len());
        Bytes::from_owner(ReservedBytes { bytes, _reservation: self })
    }
}

impl Drop for ByteReservation {
    fn drop(&mut self) {
        self.budget.reserved.fetch_sub(self.bytes, Relaxed);
    }
}

struct ReservedBytes {
    bytes: Bytes,
    _reservation: ByteReservation,
}

impl AsRef<[u8]> for ReservedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Makes a reply hold a reservation until it is written. A stream is passed on as it is: its size is not known.
pub(crate) async fn hold_reply(response: Response, reservation: ByteReservation) -> Response {
    if response.body().size_hint().exact().is_none() {
        return response;
    }
    let (parts, body) = response.into_parts();
    // It is in memory already: this cannot fail, and copies nothing.
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    Response::from_parts(parts, Body::from(reservation.hold_with(bytes)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reservation_that_does_not_fit_is_refused_and_changes_nothing() {
        let budget = ByteBudget::new(100);
        let mut first = budget.open_reservation();
        first.grow_to(60).unwrap();
        let mut second = budget.open_reservation();
        assert_eq!(second.grow_to(41), Err(BudgetExhausted));
        assert_eq!(budget.reserved_bytes(), 60);
        second.grow_to(40).unwrap();
        // Growing to less is no shrinking.
        second.grow_to(1).unwrap();
        assert_eq!(budget.reserved_bytes(), 100);
        drop(first);
        assert_eq!(budget.reserved_bytes(), 40);
        second.settle_at(5);
        assert_eq!(budget.reserved_bytes(), 5);
        assert_eq!(budget.open_reservation().grow_to(usize::MAX), Err(BudgetExhausted));
        // Alone it may have as much as it wants.
        second.grow_to(1_000).unwrap();
        assert_eq!(budget.open_reservation().grow_to(1), Err(BudgetExhausted));
        drop(second);
        assert_eq!(budget.reserved_bytes(), 0);
    }

    #[tokio::test]
    async fn reply_holds_its_bytes_until_the_last_copy_is_dropped() {
        let budget = ByteBudget::new(100);
        let mut reservation = budget.open_reservation();
        reservation.grow_to(80).unwrap();
        let reply = hold_reply(Response::new(Body::from("0123456789")), reservation).await;
        assert_eq!(budget.reserved_bytes(), 10);
        let bytes = axum::body::to_bytes(reply.into_body(), usize::MAX).await.unwrap();
        let part = bytes.slice(2..3);
        drop(bytes);
        assert_eq!((budget.reserved_bytes(), &part[..]), (10, &b"2"[..]));
        drop(part);
        assert_eq!(budget.reserved_bytes(), 0);
    }
}
