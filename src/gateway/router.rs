//! The routes, and what goes around every request: who sends it, how many he sends, how large it is.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{ACCEPT_ENCODING, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use futures::StreamExt;

use super::admission::Admission;
use super::config::GatewayConfig;
use super::folder::STREAMS;
use super::metrics::{self, Tallies};
use super::refusal::Refusal;
use super::{streams, topics};
use crate::http::{Denied, From as Sender, Guard, JSON, NO_STORE, RoutePurpose, body, given, harden};

/// How long, and how much, is read of a body that nobody wants.
const UNWANTED: (Duration, usize) = (Duration::from_secs(1), 16 << 20);

/// What the routes know.
pub(super) struct Front {
    pub(super) config: GatewayConfig,
    pub(super) guard: Guard<Role>,
    pub(super) admission: Admission,
    pub(super) topics: Option<topics::Behind>,
    pub(super) streams: Option<streams::Behind>,
    pub(super) tallies: Tallies,
}

/// Shared by all requests.
pub(super) type Shared = Arc<Front>;

/// What a token stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Writer,
    Metrics,
    Admin,
}

/// What a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wants {
    /// To know whether the process lives.
    Life,
    /// Figures.
    Metrics,
    /// To send records, or to know what there is.
    Records,
    /// To make or delete a stream.
    Manage,
}

fn wants(method: &Method, route: &str) -> Wants {
    match route {
        "/healthz" => Wants::Life,
        "/metrics" => Wants::Metrics,
        _ if route.ends_with("/streams/{stream}") && [Method::POST, Method::DELETE].contains(method) => Wants::Manage,
        _ => Wants::Records,
    }
}

impl Role {
    fn may(self, wants: Wants) -> bool {
        match self {
            Role::Writer => wants == Wants::Records,
            Role::Metrics => wants == Wants::Metrics,
            Role::Admin => true,
        }
    }
}

/// All routes, each also behind one more segment in front: the stage that Amazon's gateway puts there.
pub(super) fn router(front: Shared) -> Router {
    let routes = || topics::routes().merge(streams::routes());
    Router::new()
        .merge(routes())
        .nest("/{stage}", routes())
        .route("/healthz", get(async || body(JSON, NO_STORE, "{\"alive\":true}")))
        .route("/metrics", get(metrics::metrics))
        .fallback(async |request: Request| turn_away(request, Refusal::NotFound).await)
        .method_not_allowed_fallback(async |request: Request| turn_away(request, Refusal::NoSuchMethod).await)
        .layer(from_fn_with_state(Arc::clone(&front), attend))
        .with_state(front)
}

/// Says no in the shape that the path's clients know.
async fn turn_away(request: Request, refusal: Refusal) -> Response {
    let path = request.uri().path().to_owned();
    drain(request.into_body()).await;
    if path.split('/').any(|segment| segment == "streams") { streams::refuse(refusal) } else { topics::refuse(refusal) }
}

/// Goes around every request.
async fn attend(
    State(front): State<Shared>,
    Extension(Sender(from)): Extension<Sender>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let wants = wants(request.method(), &route);
    let mut response = match admit(&front, &request, wants, from, began) {
        Ok(()) => next.run(request).await,
        Err(refusal) => turn_away(request, refusal).await,
    };
    match response.status() {
        StatusCode::UNAUTHORIZED => {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // RFC 9110, 15.5.16: what would have been accepted.
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        _ => {}
    }
    harden(response.headers_mut());
    front.tallies.request(&route, response.status().as_u16(), began.elapsed());
    response
}

fn admit(front: &Front, request: &Request, wants: Wants, from: IpAddr, now: Instant) -> Result<(), Refusal> {
    let headers = request.headers();
    let purpose = if matches!(wants, Wants::Life | Wants::Metrics) { RoutePurpose::Probe } else { RoutePurpose::Api };
    front.guard.admit(request, purpose).map_err(Refusal::Denied)?;
    if wants == Wants::Life {
        return Ok(());
    }
    let token = given(headers);
    // Who has no token yet is counted by his address: guessing is slow, too.
    let permitted = front.guard.permit(headers, from, |role| role.may(wants));
    let client = if permitted.is_ok() && !token.is_empty() { token.to_owned() } else { from.to_string() };
    front.admission.request(&client, now).map_err(Refusal::TooMany)?;
    permitted.map_err(Refusal::Denied)?;
    if wants == Wants::Manage && !front.config.manage_streams {
        return Err(Refusal::Denied(Denied::Forbidden));
    }
    Ok(())
}

/// Reads past a body that nobody wants, as far as that is worth while: were the connection closed with bytes unread, the
/// system would reset it, and its sender might never see why he was refused.
pub(super) async fn drain(body: Body) {
    let (time, mut left) = UNWANTED;
    let reading = async {
        let mut parts = body.into_data_stream();
        while let Some(Ok(part)) = parts.next().await {
            match left.checked_sub(part.len()) {
                Some(less) => left = less,
                None => break,
            }
        }
    };
    // Who sends slower than that has to look for himself.
    let _ = tokio::time::timeout(time, reading).await;
}

/// Runs what waits without taking a thread from others.
pub(super) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

/// Which file of a recording a topic or a stream is, by the last word of its name: `12e255fc4fcd.pin`,
/// `streaming-12e255fc4fcd-geo`, `user`.
pub(super) fn stream_of(name: &str) -> Option<usize> {
    let word = name.rsplit(['.', '-', '_']).next()?;
    STREAMS.iter().position(|stream| *stream == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_of_a_name_tells_the_stream() {
        let names = ["pin", "12e255fc4fcd.pin", "streaming-12e255fc4fcd-geo", "a_user", "pinterest", "x.pins", ""];
        assert_eq!(names.map(stream_of), [Some(0), Some(0), Some(1), Some(2), None, None, None]);
    }

    #[test]
    fn only_admins_change_streams() {
        let of = |method: Method, route: &str| wants(&method, route);
        assert_eq!(of(Method::DELETE, "/{stage}/streams/{stream}"), Wants::Manage);
        assert_eq!(of(Method::POST, "/streams/{stream}"), Wants::Manage);
        assert_eq!(of(Method::GET, "/streams/{stream}"), Wants::Records);
        assert_eq!(of(Method::PUT, "/streams/{stream}/record"), Wants::Records);
        let may = |role: Role| [Wants::Metrics, Wants::Records, Wants::Manage].map(|wants| role.may(wants));
        assert_eq!(may(Role::Writer), [false, true, false]);
        assert_eq!(may(Role::Metrics), [true, false, false]);
        assert_eq!(may(Role::Admin), [true; 3]);
    }
}
