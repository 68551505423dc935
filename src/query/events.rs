//! Client of Server-Sent Events, with reconnects (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::Response;

use super::client::QueryClient;
use super::error::QueryError;
use pinflow_core::error_text::error_text;

/// Backoff before a reconnect. It doubles with each attempt up to [`MAX_RETRY_BACKOFF`].
const MIN_RETRY_BACKOFF: Duration = Duration::from_millis(250);
const MAX_RETRY_BACKOFF: Duration = Duration::from_secs(10);

/// A stream of changes that reconnects and resumes after lost connections.
pub(super) struct ChangeStream<'a> {
    client: &'a QueryClient,
    path: &'a str,
    params: Vec<(String, String)>,
    response: Option<Response>,
    reader: SseParser,
    /// Whether a connection ever succeeded. A failure of the first one is an error and not retried.
    was_connected: bool,
    backoff: Duration,
}

impl<'a> ChangeStream<'a> {
    pub(super) fn new(client: &'a QueryClient, path: &'a str, params: Vec<(String, String)>) -> ChangeStream<'a> {
        ChangeStream {
            client,
            path,
            params,
            response: None,
            reader: SseParser::default(),
            was_connected: false,
            backoff: MIN_RETRY_BACKOFF,
        }
    }

    /// Waits for the next event: its name and its data.
    pub(super) async fn next_event(&mut self) -> Result<(String, String), QueryError> {
        loop {
            if let Some(event) = self.reader.events.pop_front() {
                return Ok(event);
            }
            let Some(response) = &mut self.response else {
                self.connect().await?;
                continue;
            };
            match response.chunk().await {
                Ok(Some(bytes)) => {
                    self.backoff = MIN_RETRY_BACKOFF;
                    self.reader.push_bytes(&bytes);
                }
                lost => {
                    let why = lost.err().map_or_else(|| "closed by the server".to_owned(), |error| error_text(&error));
                    tracing::warn!("connection lost ({why}); reconnecting");
                    self.response = None;
                    self.reader.discard_partial_event();
                    self.back_off().await;
                }
            }
        }
    }

    async fn connect(&mut self) -> Result<(), QueryError> {
        match self.client.send_get(self.path, &self.params, self.reader.last_id.as_deref()).await {
            Ok(response) => {
                if self.was_connected {
                    tracing::info!("reconnected");
                }
                (self.response, self.was_connected) = (Some(response), true);
                Ok(())
            }
            // A run that was restarted returns 503 while it rebuilds its answers.
            Err(error) if !self.was_connected || !error.is_transient() => Err(error),
            Err(error) => {
                tracing::debug!("{}", error_text(&error));
                self.back_off().await;
                Ok(())
            }
        }
    }

    async fn back_off(&mut self) {
        tokio::time::sleep(self.backoff).await;
        self.backoff = (self.backoff * 2).min(MAX_RETRY_BACKOFF);
    }
}

/// Parses bytes into Server-Sent Events.
#[derive(Default)]
struct SseParser {
    partial_line: Vec<u8>,
    kind: String,
    data: String,
    id: Option<String>,
    last_id: Option<String>,
    events: VecDeque<(String, String)>,
}

impl SseParser {
    fn push_bytes(&mut self, bytes: &[u8]) {
        self.partial_line.extend_from_slice(bytes);
        let mut start = 0;
        let partial_line = std::mem::take(&mut self.partial_line);
        while let Some(length) = memchr::memchr(b'\n', &partial_line[start..]) {
            let line = String::from_utf8_lossy(&partial_line[start..start + length]).into_owned();
            self.push_line(line.trim_end_matches('\r'));
            start += length + 1;
        }
        self.partial_line = partial_line[start..].to_vec();
    }

    fn push_line(&mut self, line: &str) {
        if line.is_empty() {
            self.last_id = self.id.take().or(self.last_id.take());
            let (kind, data) = (std::mem::take(&mut self.kind), std::mem::take(&mut self.data));
            if !data.is_empty() {
                self.events.push_back((kind, data));
            }
            return;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.kind),
            "data" => {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            "id" => self.id = Some(value.to_owned()),
            // Comments and unknown fields are ignored.
            _ => {}
        }
    }

    /// Discards an incomplete event after a lost connection. The server sends it again.
    fn discard_partial_event(&mut self) {
        self.partial_line.clear();
        self.kind.clear();
        self.data.clear();
        self.id = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_parsed_from_chunks_of_any_size() {
        let text = b":\n\nid: 1-2\nevent: snapshot\ndata: {\"a\":1}\n\nevent: change\r\ndata: x\r\ndata:y\r\n\r\nid: 1-3\nevent: change\ndata: z\n\n";
        let expected = [("snapshot", "{\"a\":1}"), ("change", "x\ny"), ("change", "z")];
        for step in 1..text.len() {
            let mut reader = SseParser::default();
            text.chunks(step).for_each(|chunk| reader.push_bytes(chunk));
            let events: Vec<_> = reader.events.iter().map(|(kind, data)| (kind.as_str(), data.as_str())).collect();
            assert_eq!(events, expected);
            assert_eq!(reader.last_id.as_deref(), Some("1-3"));
        }
    }

    #[test]
    fn incomplete_event_is_discarded_on_reconnect() {
        let mut reader = SseParser::default();
        reader.push_bytes(b"id: 1-1\nevent: change\ndata: whole\n\nid: 1-2\nevent: change\ndata: ha");
        reader.discard_partial_event();
        reader.push_bytes(b"event: change\ndata: next\n\n");
        assert_eq!(reader.events.iter().map(|(_, data)| data.as_str()).collect::<Vec<_>>(), ["whole", "next"]);
        assert_eq!(reader.last_id.as_deref(), Some("1-1"));
    }
}
