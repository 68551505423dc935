//! Who may see what.

use std::net::IpAddr;
use std::path::Path;

use axum::extract::Request;

use super::config::{HttpConfig, Tokens};
use crate::http::{Denied, Guard, RoutePurpose, TokenFailures};
use crate::secret::SecretError;

/// What a route shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
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
fn shows(path: &str) -> Shows {
    match path {
        "/healthz" => Shows::Life,
        "/" => Shows::Page,
        _ if path.starts_with("/assets/") => Shows::Page,
        "/metrics" => Shows::Metrics,
        "/rejected" => Shows::Payloads,
        _ => Shows::Answers,
    }
}

/// What a token stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Reader,
    Metrics,
    Admin,
}

impl Role {
    fn may_see(self, shows: Shows) -> bool {
        match self {
            Role::Reader => shows == Shows::Answers,
            Role::Metrics => shows == Shows::Metrics,
            Role::Admin => true,
        }
    }
}

/// Reads the tokens.
///
/// # Errors
/// If one is not there.
pub(super) fn guard(config: &HttpConfig, base: &Path) -> Result<Guard<Role>, SecretError> {
    let Tokens { read, metrics, admin } = &config.tokens;
    let roles = [(read, Role::Reader), (metrics, Role::Metrics), (admin, Role::Admin)];
    Guard::new(&config.hosts, roles, TokenFailures::new(config.failed_tokens_per_min_max), base)
}

/// Lets a request pass, or says why not.
pub(super) fn admit(guard: &Guard<Role>, request: &Request, from: IpAddr) -> Result<(), Denied> {
    let path = request.uri().path();
    let shows = shows(path);
    let purpose = match path {
        "/" => RoutePurpose::Page,
        _ if shows == Shows::Page => RoutePurpose::Asset,
        "/healthz" | "/readyz" | "/metrics" => RoutePurpose::Probe,
        _ => RoutePurpose::Api,
    };
    guard.admit(request, purpose)?;
    match shows {
        Shows::Life | Shows::Page => Ok(()),
        _ => guard.permit(request.headers(), from, |role| role.may_see(shows)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_sees_what_is_its() {
        let paths = ["/metrics", "/answers", "/nowhere", "/rejected"];
        let seen = |role: Role| paths.map(|path| role.may_see(shows(path)));
        assert_eq!(seen(Role::Reader), [false, true, true, false]);
        assert_eq!(seen(Role::Metrics), [true, false, false, false]);
        assert_eq!(seen(Role::Admin), [true; 4]);
        assert_eq!(["/healthz", "/", "/assets/page.js"].map(shows), [Shows::Life, Shows::Page, Shows::Page]);
    }
}
