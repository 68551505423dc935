//! Who may ask: under which names, from which pages, with which token.

use std::net::IpAddr;
use std::path::Path;

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::secret::{SecretError, SecretFrom};

/// Where clients of Amazon's API Gateway put their key.
const API_KEY: &str = "x-api-key";

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// It names no host.
    NoHost,
    /// It names a host that is not ours.
    UnknownHost,
    /// A page of another origin sent it.
    ForeignOrigin,
    /// It carries no token that is known.
    Unauthorized,
    /// Its token does not allow that.
    Forbidden,
}

impl Denied {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Denied::NoHost => StatusCode::BAD_REQUEST,
            Denied::UnknownHost => StatusCode::MISDIRECTED_REQUEST,
            Denied::Unauthorized => StatusCode::UNAUTHORIZED,
            Denied::ForeignOrigin | Denied::Forbidden => StatusCode::FORBIDDEN,
        }
    }

    /// A name for programs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Denied::NoHost => "bad_request",
            Denied::UnknownHost => "unknown_host",
            Denied::ForeignOrigin => "foreign_origin",
            Denied::Unauthorized => "unauthorized",
            Denied::Forbidden => "forbidden",
        }
    }

    /// Words for people.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Denied::NoHost => "the request names no Host",
            Denied::UnknownHost => "this is not served under that name; name it in hosts, or ask by address",
            Denied::ForeignOrigin => "pages of other origins may not do this",
            Denied::Unauthorized => "a bearer token is wanted",
            Denied::Forbidden => "this token does not allow that",
        }
    }
}

/// A token's hash, and what it opens.
struct Token<R> {
    hash: [u8; 32],
    role: R,
}

/// Decides on requests. A role, `R`, is what a token stands for.
pub(crate) struct Guard<R> {
    hosts: Vec<String>,
    /// Empty: everybody may do everything.
    tokens: Vec<Token<R>>,
}

impl<R: Copy> Guard<R> {
    /// Reads the tokens. `base` is what relative paths are relative to.
    ///
    /// # Errors
    /// If one is not there.
    pub(crate) fn new<'a>(
        hosts: &[String],
        tokens: impl IntoIterator<Item = (&'a Option<SecretFrom>, R)>,
        base: &Path,
    ) -> Result<Guard<R>, SecretError> {
        let given = tokens.into_iter().filter_map(|(from, role)| Some((from.as_ref()?, role)));
        let read = given.map(|(from, role)| Ok(Token { hash: hash(from.read(base)?.expose()), role }));
        Ok(Guard { hosts: hosts.to_vec(), tokens: read.collect::<Result<_, SecretError>>()? })
    }

    /// Lets a request pass that names us and comes from no page of somebody else's; `opens` says that it is one that
    /// a link from elsewhere may make.
    pub(crate) fn admit(&self, uri: &Uri, headers: &HeaderMap, opens: bool) -> Result<(), Denied> {
        let host =
            headers.get(HOST).and_then(|host| host.to_str().ok()).or_else(|| uri.authority().map(Authority::as_str));
        let Some(host) = host else { return Err(Denied::NoHost) };
        if !self.is_ours(host) {
            return Err(Denied::UnknownHost);
        }
        let foreign = |origin: &str| origin.split_once("://").is_none_or(|(_, from)| !from.eq_ignore_ascii_case(host));
        let crosses = headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site" || site == "same-site");
        // A link from elsewhere opens a page; what the page then asks for comes from its own origin.
        let opens = opens && headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate");
        if (crosses && !opens) || headers.get(ORIGIN).is_some_and(|origin| origin.to_str().map_or(true, foreign)) {
            return Err(Denied::ForeignOrigin);
        }
        Ok(())
    }

    fn is_ours(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
            _ => host,
        };
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        // An address is nobody's to point elsewhere.
        bare.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(name))
    }

    /// Lets a request pass whose token allows what it is about.
    pub(crate) fn permit(&self, headers: &HeaderMap, allows: impl Fn(R) -> bool) -> Result<(), Denied> {
        if self.tokens.is_empty() {
            return Ok(());
        }
        let given = hash(given(headers));
        // All of them are looked at, and hashes are compared: time tells nothing of a token.
        let (mut known, mut allowed) = (Choice::from(0), Choice::from(0));
        for token in &self.tokens {
            let same = token.hash.ct_eq(&given);
            known |= same;
            allowed |= same & Choice::from(u8::from(allows(token.role)));
        }
        if bool::from(allowed) {
            Ok(())
        } else if bool::from(known) {
            Err(Denied::Forbidden)
        } else {
            Err(Denied::Unauthorized)
        }
    }
}

/// The token that a request carries; empty if none.
pub(crate) fn given(headers: &HeaderMap) -> &str {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text(AUTHORIZATION.as_str())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    bearer.or_else(|| text(API_KEY)).unwrap_or_default()
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn guard(hosts: &[&str], tokens: &[&str]) -> Guard<usize> {
        let tokens = tokens.iter().enumerate().map(|(role, token)| Token { hash: hash(token), role });
        Guard { hosts: hosts.iter().map(|host| (*host).to_owned()).collect(), tokens: tokens.collect() }
    }

    fn headers(of: &[(&str, &str)]) -> HeaderMap {
        of.iter()
            .map(|(name, value)| (name.parse::<axum::http::HeaderName>().unwrap(), value.parse().unwrap()))
            .collect()
    }

    fn status(guard: &Guard<usize>, path: &str, of: &[(&str, &str)]) -> u16 {
        let admitted = guard.admit(&path.parse().unwrap(), &headers(of), path == "/");
        admitted.map_or_else(|denied| denied.status().as_u16(), |()| 200)
    }

    #[test]
    fn only_our_names_and_origins_are_served() {
        let guard = guard(&["pinflow.example.com"], &[]);
        for host in [
            "localhost",
            "LOCALHOST:7461",
            "127.0.0.1:7461",
            "[::1]:7461",
            "[::1]",
            "10.0.0.7",
            "pinflow.example.com:443",
        ] {
            assert_eq!(status(&guard, "/answers", &[("host", host)]), 200, "{host}");
        }
        for host in ["evil.example.com", "localhost.evil.com:7461", "127.0.0.1.nip.io", "", "localhost:x"] {
            assert_eq!(status(&guard, "/answers", &[("host", host)]), 421, "{host}");
        }
        assert_eq!(status(&guard, "/answers", &[]), 400);
        let origin = |origin| status(&guard, "/answers", &[("host", "localhost:1"), ("origin", origin)]);
        assert_eq!((origin("http://localhost:1"), origin("http://localhost:2"), origin("null")), (200, 403, 403));
        let site = |site| status(&guard, "/answers", &[("host", "localhost:1"), ("sec-fetch-site", site)]);
        assert_eq!((site("same-origin"), site("none"), site("cross-site")), (200, 200, 403));
        let link = |path, mode| {
            status(&guard, path, &[("host", "localhost:1"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", mode)])
        };
        assert_eq!((link("/", "navigate"), link("/", "cors"), link("/answers", "navigate")), (200, 403, 403));
    }

    #[test]
    fn a_token_opens_what_its_role_may_do() {
        let open = guard(&[], &[]);
        assert_eq!(open.permit(&headers(&[]), |_| false), Ok(()));
        let guard = guard(&[], &["zero", "one"]);
        let of = |name: &str, value: &str, allowed: usize| {
            let permitted = guard.permit(&headers(&[(name, value)]), |role| role == allowed);
            permitted.map_or_else(|denied| denied.status().as_u16(), |()| 200)
        };
        assert_eq!((of("authorization", "Bearer zero", 0), of("authorization", "bearer zero", 1)), (200, 403));
        assert_eq!((of("x-api-key", "one", 1), of("x-api-key", "one", 0)), (200, 403));
        for wrong in ["Bearer x", "Bearer ", "Bearer", "Basic zero", "zero"] {
            assert_eq!(of("authorization", wrong, 0), 401, "{wrong}");
        }
    }
}
