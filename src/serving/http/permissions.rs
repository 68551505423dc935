//! Who may see what.

use std::net::IpAddr;
use std::path::Path;

use axum::extract::Request;

use super::config::{HttpConfig, ServeTokens};
use crate::http::{AccessControl, AccessError, RoutePurpose, TokenFailures};
use crate::secret::SecretError;

/// What a route shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RouteContent {
    /// Whether the process lives.
    Life,
    /// The page's own files, which are the same everywhere.
    Page,
    /// Figures.
    Metrics,
    /// Answers.
    Answers,
    /// Messages as they came.
    Payloads,
}

/// What a path shows; of an unknown one, that it is unknown is for readers of answers.
fn route_content(path: &str) -> RouteContent {
    match path {
        "/healthz" => RouteContent::Life,
        "/" => RouteContent::Page,
        _ if path.starts_with("/assets/") => RouteContent::Page,
        "/metrics" => RouteContent::Metrics,
        "/rejected" => RouteContent::Payloads,
        _ => RouteContent::Answers,
    }
}

/// What a token stands for.
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

/// Reads the tokens.
///
/// # Errors
/// If one is not there.
pub(super) fn build_access_control(
    config: &HttpConfig,
    base: &Path,
) -> Result<AccessControl<ServingRole>, SecretError> {
    let ServeTokens { read, metrics, admin } = &config.tokens;
    let roles = [(read, ServingRole::Reader), (metrics, ServingRole::Metrics), (admin, ServingRole::Admin)];
    AccessControl::new(&config.hosts, roles, TokenFailures::new(config.failed_tokens_per_min_max), base)
}

/// Lets a request pass, or says why not.
pub(super) fn check_access(
    access: &AccessControl<ServingRole>,
    request: &Request,
    from: IpAddr,
) -> Result<(), AccessError> {
    let path = request.uri().path();
    let content = route_content(path);
    let purpose = match path {
        "/" => RoutePurpose::Page,
        _ if content == RouteContent::Page => RoutePurpose::Asset,
        "/healthz" | "/readyz" | "/metrics" => RoutePurpose::Probe,
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
    fn a_role_sees_what_is_its() {
        let paths = ["/metrics", "/answers", "/nowhere", "/rejected"];
        let seen = |role: ServingRole| paths.map(|path| role.may_see(route_content(path)));
        assert_eq!(seen(ServingRole::Reader), [false, true, true, false]);
        assert_eq!(seen(ServingRole::Metrics), [true, false, false, false]);
        assert_eq!(seen(ServingRole::Admin), [true; 4]);
        assert_eq!(
            ["/healthz", "/", "/assets/page.js"].map(route_content),
            [RouteContent::Life, RouteContent::Page, RouteContent::Page]
        );
    }
}
