//! The router, and the middleware of all routes: access, request rate, metrics, and error replies.

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

use super::admission::AdmissionControl;
use super::config::GatewayConfig;
use super::error::GatewayError;
use super::metrics::{self, GatewayMetrics};
use super::recording_folder::STREAMS;
use super::{streams, topics};
use pinflow_http::{
    AccessControl, AccessError, ClientAddr, JSON_TYPE, NO_STORE, RoutePurpose, bearer_token, set_security_headers,
    typed_response,
};

/// Longest time, and most bytes, to read of a rejected request's body.
const DRAIN_LIMITS: (Duration, usize) = (Duration::from_secs(1), 16 << 20);

/// State that all request handlers share.
pub(super) struct GatewayState {
    pub(super) config: GatewayConfig,
    pub(super) access: AccessControl<GatewayRole>,
    pub(super) admission: AdmissionControl,
    pub(super) topics: Option<topics::TopicsBackend>,
    pub(super) streams: Option<streams::StreamsBackend>,
    pub(super) metrics: GatewayMetrics,
}

pub(super) type SharedGatewayState = Arc<GatewayState>;

/// The role that a token grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GatewayRole {
    Writer,
    Metrics,
    Admin,
}

/// What a request does. It decides which roles are permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GatewayAction {
    /// Health check. No token needed.
    Life,
    /// Read metrics.
    Metrics,
    /// Send records, list or describe.
    Records,
    /// Create or delete a stream.
    Manage,
}

fn requested_action(method: &Method, route: &str) -> GatewayAction {
    match route {
        "/healthz" => GatewayAction::Life,
        "/metrics" => GatewayAction::Metrics,
        _ if route.ends_with("/streams/{stream}") && [Method::POST, Method::DELETE].contains(method) => {
            GatewayAction::Manage
        }
        _ => GatewayAction::Records,
    }
}

impl GatewayRole {
    fn allows_action(self, action: GatewayAction) -> bool {
        match self {
            GatewayRole::Writer => action == GatewayAction::Records,
            GatewayRole::Metrics => action == GatewayAction::Metrics,
            GatewayRole::Admin => true,
        }
    }
}

/// All routes. Those of topics and streams also exist below a first segment, the stage of Amazon API Gateway.
pub(super) fn build_router(state: SharedGatewayState) -> Router {
    let routes = || topics::routes().merge(streams::routes());
    Router::new()
        .merge(routes())
        .nest("/{stage}", routes())
        .route("/healthz", get(async || typed_response(JSON_TYPE, NO_STORE, "{\"alive\":true}")))
        .route("/metrics", get(metrics::get_metrics))
        .fallback(async |request: Request| reject(request, GatewayError::NotFound).await)
        .method_not_allowed_fallback(async |request: Request| reject(request, GatewayError::NoSuchMethod).await)
        .layer(from_fn_with_state(Arc::clone(&state), handle_request))
        .with_state(state)
}

/// Rejects a request, in the error format of its route family.
async fn reject(request: Request, error: GatewayError) -> Response {
    let path = request.uri().path().to_owned();
    drain_body(request.into_body()).await;
    if path.split('/').any(|segment| segment == "streams") {
        streams::error_response(error)
    } else {
        topics::error_response(error)
    }
}

/// Middleware of all routes: checks the request, runs it, counts it, sets headers.
async fn handle_request(
    State(state): State<SharedGatewayState>,
    Extension(ClientAddr(from)): Extension<ClientAddr>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let action = requested_action(request.method(), &route);
    let mut response = match check_request(&state, &request, action, from, began) {
        Ok(()) => next.run(request).await,
        Err(error) => reject(request, error).await,
    };
    match response.status() {
        StatusCode::UNAUTHORIZED => {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // RFC 9110, 15.5.16: a 415 names the accepted codings.
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        _ => {}
    }
    set_security_headers(response.headers_mut());
    state.metrics.count_request(&route, response.status().as_u16(), began.elapsed());
    response
}

fn check_request(
    state: &GatewayState,
    request: &Request,
    action: GatewayAction,
    from: IpAddr,
    now: Instant,
) -> Result<(), GatewayError> {
    let headers = request.headers();
    let purpose = if matches!(action, GatewayAction::Life | GatewayAction::Metrics) {
        RoutePurpose::Probe
    } else {
        RoutePurpose::Api
    };
    state.access.check_request(request, purpose).map_err(GatewayError::AccessError)?;
    if action == GatewayAction::Life {
        return Ok(());
    }
    let token = bearer_token(headers);
    // Without a valid token, count by address: this also slows down guessing.
    let permitted = state.access.check_permission(headers, from, |role| role.allows_action(action));
    let client = if permitted.is_ok() && !token.is_empty() { token.to_owned() } else { from.to_string() };
    state.admission.count_request(&client, now).map_err(GatewayError::TooMany)?;
    permitted.map_err(GatewayError::AccessError)?;
    if action == GatewayAction::Manage && !state.config.manage_streams {
        return Err(GatewayError::AccessError(AccessError::Forbidden));
    }
    Ok(())
}

/// Reads and discards a body within [`DRAIN_LIMITS`]. Closing a connection with unread bytes resets it, and the client might
/// lose the error reply.
pub(super) async fn drain_body(body: Body) {
    let (time, mut left) = DRAIN_LIMITS;
    let reading = async {
        let mut parts = body.into_data_stream();
        while let Some(Ok(part)) = parts.next().await {
            match left.checked_sub(part.len()) {
                Some(less) => left = less,
                None => break,
            }
        }
    };
    // After the time limit the connection is closed anyway.
    let _ = tokio::time::timeout(time, reading).await;
}

/// Runs blocking work without blocking other tasks of this thread.
pub(super) fn run_blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

/// The index in [`STREAMS`] of a topic or stream, by the last word of its name: `12e255fc4fcd.pin`,
/// `streaming-12e255fc4fcd-geo`, `user`.
pub(super) fn recording_stream(name: &str) -> Option<usize> {
    let word = name.rsplit(['.', '-', '_']).next()?;
    STREAMS.iter().position(|stream| *stream == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recording_stream_is_the_last_word_of_a_name() {
        let names = ["pin", "12e255fc4fcd.pin", "streaming-12e255fc4fcd-geo", "a_user", "pinterest", "x.pins", ""];
        assert_eq!(names.map(recording_stream), [Some(0), Some(0), Some(1), Some(2), None, None, None]);
    }

    #[test]
    fn only_admin_role_manages_streams() {
        let of = |method: Method, route: &str| requested_action(&method, route);
        assert_eq!(of(Method::DELETE, "/{stage}/streams/{stream}"), GatewayAction::Manage);
        assert_eq!(of(Method::POST, "/streams/{stream}"), GatewayAction::Manage);
        assert_eq!(of(Method::GET, "/streams/{stream}"), GatewayAction::Records);
        assert_eq!(of(Method::PUT, "/streams/{stream}/record"), GatewayAction::Records);
        let may = |role: GatewayRole| {
            [GatewayAction::Metrics, GatewayAction::Records, GatewayAction::Manage]
                .map(|action| role.allows_action(action))
        };
        assert_eq!(may(GatewayRole::Writer), [false, true, false]);
        assert_eq!(may(GatewayRole::Metrics), [true, false, false]);
        assert_eq!(may(GatewayRole::Admin), [true; 3]);
    }
}
