//! Receives request bodies. Memory is reserved for the bytes that have arrived, not for an announced length.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use futures::StreamExt;
use tokio::time::timeout;

use super::error::GatewayError;
use super::middleware::{GatewayState, drain_body};
use pinflow_http::ByteReservation;

/// Longest time for a whole body.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Time before the minimum rate applies, see [`MIN_UPLOAD_BYTES_PER_SEC`].
const UPLOAD_GRACE: Duration = Duration::from_secs(5);
/// Minimum average rate of a body after the grace, bytes per second. It ends requests that announce much and send nothing.
const MIN_UPLOAD_BYTES_PER_SEC: usize = 4 << 10;
/// First size of a body's buffer, bytes. It doubles when it is full.
const MIN_BUFFER_BYTES: usize = 4 << 10;
/// UTF-8 byte order mark, which some programs put before JSON.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// About how many bytes a record needs in addition to its data, while it is written and in the reply.
const RECORD_OVERHEAD_BYTES: usize = 512;

/// A complete request body.
pub(super) struct UploadedBody {
    /// The body without a byte order mark.
    pub(super) bytes: Bytes,
    /// Memory of the body, its records and the reply.
    pub(super) reservation: ByteReservation,
}

impl UploadedBody {
    /// Reserves the memory of its records. Their bytes are copied once while the body still exists.
    pub(super) fn reserve_records(&mut self, records: usize) -> Result<(), GatewayError> {
        let bytes = 2 * self.bytes.len() + records * RECORD_OVERHEAD_BYTES;
        self.reservation.grow_to(bytes).map_err(|_| GatewayError::Busy)
    }
}

/// Receives a request's body. If it is rejected, discards the rest as [`drain_body`] does.
pub(super) async fn receive_body(
    state: &GatewayState,
    headers: &HeaderMap,
    body: Body,
) -> Result<UploadedBody, GatewayError> {
    let bytes_max = state.config.body_bytes_max;
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let mut parts = body.into_data_stream();
    let taken = match refused_encoding(headers) {
        Some(encoding) => Err(GatewayError::ContentEncoding(encoding)),
        None if announced.is_some_and(|announced| announced > bytes_max) => Err(GatewayError::TooLarge(bytes_max)),
        None => {
            let reservation = state.admission.open_reservation();
            BodyReader { buffer: Vec::new(), reservation, announced, bytes_max }.read_body(&mut parts).await
        }
    };
    match taken {
        Ok(upload) => {
            state.metrics.bytes.fetch_add(upload.bytes.len() as u64, Relaxed);
            Ok(upload)
        }
        // A stalled or closed body has nothing to drain.
        Err(error @ (GatewayError::Slow(_) | GatewayError::SlowUpload(_) | GatewayError::BrokenOff)) => Err(error),
        Err(error) => {
            drain_body(Body::from_stream(parts)).await;
            Err(error)
        }
    }
}

/// The first `Content-Encoding` that is not accepted. Nothing is decompressed: a small body could become any size.
fn refused_encoding(headers: &HeaderMap) -> Option<String> {
    let named = headers.get_all(CONTENT_ENCODING).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let codings = named.flat_map(|value| value.split(',').map(|coding| coding.trim().to_owned()).collect::<Vec<_>>());
    let refused = codings.filter(|coding| !coding.is_empty()).find(|coding| !coding.eq_ignore_ascii_case("identity"));
    refused.map(|coding| coding.chars().filter(char::is_ascii_graphic).take(40).collect())
}

struct BodyReader {
    buffer: Vec<u8>,
    reservation: ByteReservation,
    announced: Option<usize>,
    bytes_max: usize,
}

impl BodyReader {
    async fn read_body(mut self, parts: &mut BodyDataStream) -> Result<UploadedBody, GatewayError> {
        let begun = Instant::now();
        loop {
            let (wait, error) = self.next_deadline(begun.elapsed());
            match timeout(wait, parts.next()).await {
                Err(_) => return Err(error),
                Ok(None) => break,
                Ok(Some(Err(_))) => return Err(GatewayError::BrokenOff),
                Ok(Some(Ok(part))) => self.append_part(&part)?,
            }
        }
        self.reservation.settle_at(self.buffer.capacity());
        let bytes = Bytes::from(self.buffer);
        let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).map_or_else(|| bytes.clone(), |rest| bytes.slice_ref(rest));
        Ok(UploadedBody { bytes, reservation: self.reservation })
    }

    /// How long to wait for the next bytes, and the error if they do not arrive.
    fn next_deadline(&self, elapsed: Duration) -> (Duration, GatewayError) {
        let earned = Duration::from_secs_f64(self.buffer.len() as f64 / MIN_UPLOAD_BYTES_PER_SEC as f64);
        let until = UPLOAD_GRACE + earned;
        let error = if until < UPLOAD_TIMEOUT {
            GatewayError::SlowUpload(MIN_UPLOAD_BYTES_PER_SEC)
        } else {
            GatewayError::Slow(UPLOAD_TIMEOUT)
        };
        (until.min(UPLOAD_TIMEOUT).saturating_sub(elapsed), error)
    }

    fn append_part(&mut self, part: &[u8]) -> Result<(), GatewayError> {
        let length = self.buffer.len() + part.len();
        if length > self.bytes_max {
            return Err(GatewayError::TooLarge(self.bytes_max));
        }
        if length > self.buffer.capacity() {
            let doubled = (2 * self.buffer.capacity()).max(MIN_BUFFER_BYTES).min(self.bytes_max);
            let capacity = self.announced.map_or(doubled, |announced| doubled.min(announced)).max(length);
            self.reservation.grow_to(capacity).map_err(|_| GatewayError::Busy)?;
            self.buffer.reserve_exact(capacity - self.buffer.len());
        }
        self.buffer.extend_from_slice(part);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::stream;

    use super::*;
    use pinflow_http::ByteBudget;

    fn body_reader(budget: &std::sync::Arc<ByteBudget>, announced: Option<usize>) -> BodyReader {
        BodyReader { buffer: Vec::new(), reservation: budget.open_reservation(), announced, bytes_max: 100_000 }
    }

    fn body_stream(of: Vec<Vec<u8>>) -> BodyDataStream {
        Body::from_stream(stream::iter(of.into_iter().map(Ok::<_, std::io::Error>))).into_data_stream()
    }

    #[tokio::test]
    async fn body_reserves_received_bytes_and_not_the_announced_length() {
        let budget = ByteBudget::new(1 << 20);
        let mut open = body_reader(&budget, Some(100_000));
        assert_eq!(budget.reserved_bytes(), 0);
        open.append_part(&[b'x'; 10]).unwrap();
        assert_eq!(budget.reserved_bytes(), MIN_BUFFER_BYTES);
        let small = body_reader(&budget, Some(10))
            .read_body(&mut body_stream(vec![vec![b'x'; 4], vec![b'x'; 6]]))
            .await
            .unwrap();
        assert_eq!((small.bytes.len(), budget.reserved_bytes()), (10, MIN_BUFFER_BYTES + 10));
        drop((open, small));
        assert_eq!(budget.reserved_bytes(), 0);
    }

    #[tokio::test]
    async fn body_over_its_limit_or_the_budget_is_rejected() {
        let budget = ByteBudget::new(50_000);
        let mut other = budget.open_reservation();
        other.grow_to(10).unwrap();
        let read = |bytes: usize| {
            let budget = budget.clone();
            async move {
                body_reader(&budget, None).read_body(&mut body_stream(vec![vec![b'x'; 999]; bytes / 999])).await.err()
            }
        };
        assert_eq!(read(30_000).await, None);
        assert_eq!(read(60_000).await, Some(GatewayError::Busy));
        let budget = ByteBudget::new(1 << 20);
        let large = body_reader(&budget, None).read_body(&mut body_stream(vec![vec![b'x'; 50_000]; 3])).await.err();
        assert_eq!(large, Some(GatewayError::TooLarge(100_000)));
        assert_eq!(budget.reserved_bytes(), 0);
    }

    #[test]
    fn body_deadline_extends_while_the_minimum_rate_is_kept() {
        let budget = ByteBudget::new(1 << 20);
        let waits = |bytes: usize, elapsed: u64| {
            let mut reader = body_reader(&budget, Some(90_000));
            reader.buffer = vec![b'x'; bytes];
            let (wait, error) = reader.next_deadline(Duration::from_secs(elapsed));
            (wait.as_secs(), error)
        };
        assert_eq!(waits(0, 0), (5, GatewayError::SlowUpload(MIN_UPLOAD_BYTES_PER_SEC)));
        assert_eq!(waits(0, 6).0, 0);
        assert_eq!(waits(10 * MIN_UPLOAD_BYTES_PER_SEC, 6), (9, GatewayError::SlowUpload(MIN_UPLOAD_BYTES_PER_SEC)));
        assert_eq!(waits(100 * MIN_UPLOAD_BYTES_PER_SEC, 6), (24, GatewayError::Slow(UPLOAD_TIMEOUT)));
        assert_eq!(waits(100 * MIN_UPLOAD_BYTES_PER_SEC, 31).0, 0);
    }

    #[tokio::test]
    async fn byte_order_mark_is_removed() {
        let budget = ByteBudget::new(1 << 20);
        let read = async |body: &[u8]| {
            body_reader(&budget, None).read_body(&mut body_stream(vec![body.to_vec()])).await.unwrap().bytes
        };
        assert_eq!(read(b"\xef\xbb\xbf{}").await, "{}");
        assert_eq!(read(b"{}").await, "{}");
        assert_eq!(read(b"\xef\xbb").await, &b"\xef\xbb"[..]);
    }

    #[test]
    fn refused_encoding_names_the_first_compression() {
        let of = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CONTENT_ENCODING, axum::http::HeaderValue::from_static(line));
            }
            refused_encoding(&headers)
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["identity"]), None);
        assert_eq!(of(&["gzip"]).as_deref(), Some("gzip"));
        assert_eq!(of(&["identity", "br, gzip"]).as_deref(), Some("br"));
    }
}
