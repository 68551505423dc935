//! A byte budget that all requests and replies share, so that their memory is bounded.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;

/// The bytes that may be reserved at the same time.
///
/// A reservation never waits: it fails at once if the budget is exhausted, so two requests cannot deadlock on each other.
/// A single reservation may exceed the limit while no other exists. Otherwise a reply larger than the limit could never
/// be sent. The size of one request or reply is bounded elsewhere.
#[derive(Debug)]
pub struct ByteBudget {
    limit: usize,
    reserved: AtomicUsize,
}

/// The reservation does not fit into what is left of the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetExhausted;

impl ByteBudget {
    /// A budget of `limit` bytes, none of them reserved.
    pub fn new(limit: usize) -> Arc<ByteBudget> {
        Arc::new(ByteBudget { limit, reserved: AtomicUsize::new(0) })
    }

    /// Opens a reservation of 0 bytes.
    pub fn open_reservation(self: &Arc<ByteBudget>) -> ByteReservation {
        ByteReservation { budget: Arc::clone(self), bytes: 0 }
    }

    /// Bytes reserved now, over all reservations.
    pub fn reserved_bytes(&self) -> usize {
        self.reserved.load(Relaxed)
    }

    /// Adds `more` bytes to a reservation of `own` bytes.
    fn try_add(&self, own: usize, more: usize) -> Result<(), BudgetExhausted> {
        let add = |reserved: usize| reserved.checked_add(more).filter(|sum| *sum <= self.limit || reserved == own);
        self.reserved.fetch_update(Relaxed, Relaxed, add).map(drop).map_err(|_| BudgetExhausted)
    }
}

/// The share of a [`ByteBudget`] that one request or reply holds. Dropping it returns the bytes.
#[derive(Debug)]
pub struct ByteReservation {
    budget: Arc<ByteBudget>,
    bytes: usize,
}

impl ByteReservation {
    /// Grows the reservation to at least `bytes`. It never shrinks it.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), BudgetExhausted> {
        let Some(more) = bytes.checked_sub(self.bytes) else { return Ok(()) };
        self.budget.try_add(self.bytes, more)?;
        self.bytes = bytes;
        Ok(())
    }

    /// Sets the reservation to the bytes that are really in memory. This cannot fail and may exceed the limit, so reserve
    /// enough with [`ByteReservation::grow_to`] first.
    pub fn settle_at(&mut self, bytes: usize) {
        if bytes >= self.bytes {
            self.budget.reserved.fetch_add(bytes - self.bytes, Relaxed);
        } else {
            self.budget.reserved.fetch_sub(self.bytes - bytes, Relaxed);
        }
        self.bytes = bytes;
    }

    /// Ties the reservation to `bytes`: it is returned when the last clone of them is dropped.
    pub fn hold_with(mut self, bytes: Bytes) -> Bytes {
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

/// Keeps the reservation until the reply is written. A streamed body is returned as it is, because its size is unknown.
pub async fn hold_reply(response: Response, reservation: ByteReservation) -> Response {
    if response.body().size_hint().exact().is_none() {
        return response;
    }
    let (parts, body) = response.into_parts();
    // The body is in memory already, so this neither fails nor copies.
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
        // `grow_to` does not shrink.
        second.grow_to(1).unwrap();
        assert_eq!(budget.reserved_bytes(), 100);
        drop(first);
        assert_eq!(budget.reserved_bytes(), 40);
        second.settle_at(5);
        assert_eq!(budget.reserved_bytes(), 5);
        assert_eq!(budget.open_reservation().grow_to(usize::MAX), Err(BudgetExhausted));
        // The only reservation may exceed the limit.
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
