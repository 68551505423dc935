//! Which role may read which route.

use std::net::IpAddr;
use std::path::Path;

use axum::extract::Request;
use axum::http::Method;

use super::config::{HttpConfig, ServeTokens};
use pinflow_core::secret::SecretError;
use pinflow_http::{AccessControl, AccessError, RoutePurpose, TokenFailures};

/// What a route returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RouteContent {
    /// Liveness and readiness. No token needed.
    Life,
    /// The web page's static files. No token needed.
    Page,
    /// Prometheus metrics.
    Metrics,
    /// Answers, changes, status, graph.
    Answers,
    /// Payloads of rejected messages.
    Payloads,
    /// Changes of the questions of the run, and results of verifications.
    RunChanges,
}

/// What a request returns or changes. Unknown paths need the permission to read answers.
fn route_content(method: &Method, path: &str) -> RouteContent {
    let reads = [Method::GET, Method::HEAD].contains(method);
    match path {
        "/questions" | "/verification" if !reads => RouteContent::RunChanges,
        _ if !reads && path.starts_with("/questions/") => RouteContent::RunChanges,
        "/healthz" => RouteContent::Life,
        "/" => RouteContent::Page,
        _ if path.starts_with("/assets/") => RouteContent::Page,
        "/metrics" => RouteContent::Metrics,
        "/rejected" => RouteContent::Payloads,
        _ => RouteContent::Answers,
    }
}

/// The role that a token grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServingRole {
    Reader,
    Metrics,
    Admin,
}

impl ServingRole {
    fn may_see(self, content: RouteContent) -> bool {
        match self {
            ServingRole::Reader => content == RouteContent::Answers,
            ServingRole::Metrics => content == RouteContent::Metrics,
            ServingRole::Admin => true,
        }
    }
}

/// Reads the tokens of `[serve]`.
///
/// # Errors
/// If a token cannot be read.
pub(super) fn build_access_control(
    config: &HttpConfig,
    base: &Path,
) -> Result<AccessControl<ServingRole>, SecretError> {
    let ServeTokens { read, metrics, admin } = &config.tokens;
    let roles = [(read, ServingRole::Reader), (metrics, ServingRole::Metrics), (admin, ServingRole::Admin)];
    AccessControl::new(&config.hosts, roles, TokenFailures::new(config.failed_tokens_per_min_max), base)
}

/// Checks `Host`, origin and token of a request.
pub(super) fn check_access(
    access: &AccessControl<ServingRole>,
    request: &Request,
    from: IpAddr,
) -> Result<(), AccessError> {
    let path = request.uri().path();
    let content = route_content(request.method(), path);
    let purpose = match path {
        "/" => RoutePurpose::Page,
        _ if content == RouteContent::Page => RoutePurpose::Asset,
        "/healthz" | "/readyz" | "/metrics" => RoutePurpose::Probe,
        _ if content == RouteContent::RunChanges => RoutePurpose::Change,
        _ => RoutePurpose::Api,
    };
    access.check_request(request, purpose)?;
    match content {
        RouteContent::Life | RouteContent::Page => Ok(()),
        _ => access.check_permission(request.headers(), from, |role| role.may_see(content)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_reads_only_its_routes() {
        let paths = ["/metrics", "/answers", "/nowhere", "/rejected"];
        let content = |path: &str| route_content(&Method::GET, path);
        let seen = |role: ServingRole| paths.map(|path| role.may_see(content(path)));
        assert_eq!(seen(ServingRole::Reader), [false, true, true, false]);
        assert_eq!(seen(ServingRole::Metrics), [true, false, false, false]);
        assert_eq!(seen(ServingRole::Admin), [true; 4]);
        assert_eq!(
            ["/healthz", "/", "/assets/page.js"].map(content),
            [RouteContent::Life, RouteContent::Page, RouteContent::Page]
        );
    }

    #[test]
    fn only_the_admin_changes_questions_and_results_and_every_reader_sees_them() {
        for path in ["/questions", "/questions/mine", "/questions/a/b", "/verification"] {
            for method in [Method::POST, Method::DELETE, Method::PUT, Method::PATCH] {
                let edit = route_content(&method, path);
                let may =
                    [ServingRole::Reader, ServingRole::Metrics, ServingRole::Admin].map(|role| role.may_see(edit));
                assert_eq!(may, [false, false, true], "{method} {path}");
            }
            for method in [Method::GET, Method::HEAD] {
                assert!(ServingRole::Reader.may_see(route_content(&method, path)), "{method} {path}");
            }
        }
    }
}
