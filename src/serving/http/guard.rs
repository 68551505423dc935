//! Who may ask for what: names, origins, tokens.

use std::net::IpAddr;
use std::path::Path;

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::config::{HttpConfig, Tokens};
use super::reply::Fault;
use crate::secret::{SecretError, SecretFrom};

/// What a route shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shows {
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
pub(super) fn shows(path: &str) -> Shows {
    match path {
        "/healthz" => Shows::Life,
        "/" => Shows::Page,
        _ if path.starts_with("/assets/") => Shows::Page,
        "/metrics" => Shows::Metrics,
        "/rejected" => Shows::Payloads,
        _ => Shows::Answers,
    }
}

/// What a role may see.
type May = fn(Shows) -> bool;

/// A token's hash, and what it opens.
type Token = ([u8; 32], May);

/// Decides on requests.
pub(super) struct Guard {
    hosts: Vec<String>,
    /// Hashes of tokens, with what each may see. Empty: everybody may see everything.
    tokens: Vec<Token>,
}

impl Guard {
    /// Reads the tokens.
    ///
    /// # Errors
    /// If one is not there.
    pub(super) fn new(config: &HttpConfig, base: &Path) -> Result<Guard, SecretError> {
        let Tokens { read, metrics, admin } = &config.tokens;
        let roles: [(&Option<SecretFrom>, May); 3] =
            [(read, |shows| shows == Shows::Answers), (metrics, |shows| shows == Shows::Metrics), (admin, |_| true)];
        let given = roles.into_iter().filter_map(|(from, may)| Some((from.as_ref()?, may)));
        let tokens = given.map(|(from, may)| Ok((hash(from.read(base)?.expose()), may)));
        Ok(Guard { hosts: config.hosts.clone(), tokens: tokens.collect::<Result<_, SecretError>>()? })
    }

    /// Lets a request pass, or says why not.
    pub(super) fn admit(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Fault> {
        let host =
            headers.get(HOST).and_then(|host| host.to_str().ok()).or_else(|| uri.authority().map(Authority::as_str));
        let Some(host) = host else { return Err(Fault::bad("the request names no Host")) };
        if !self.is_ours(host) {
            let message = "this is not served under that name; name it in [serve] hosts, or ask by address";
            return Err(Fault::new(StatusCode::MISDIRECTED_REQUEST, "unknown_host", message));
        }
        let foreign = |origin: &str| origin.split_once("://").is_none_or(|(_, from)| !from.eq_ignore_ascii_case(host));
        let crosses = headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site" || site == "same-site");
        // A link from elsewhere opens the page; what the page then asks for comes from its own origin.
        let opens = uri.path() == "/" && headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate");
        if (crosses && !opens) || headers.get(ORIGIN).is_some_and(|origin| origin.to_str().map_or(true, foreign)) {
            let message = "pages of other origins may not read this";
            return Err(Fault::new(StatusCode::FORBIDDEN, "foreign_origin", message));
        }
        self.permit(shows(uri.path()), headers)
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

    fn permit(&self, shows: Shows, headers: &HeaderMap) -> Result<(), Fault> {
        if matches!(shows, Shows::Life | Shows::Page) || self.tokens.is_empty() {
            return Ok(());
        }
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given =
            given.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let given = hash(given.map_or("", |(_, token)| token.trim()));
        // All of them are looked at, and hashes are compared: time tells nothing of a token.
        let (mut known, mut allowed) = (Choice::from(0), Choice::from(0));
        for (token, may) in &self.tokens {
            let same = token.ct_eq(&given);
            known |= same;
            allowed |= same & Choice::from(u8::from(may(shows)));
        }
        if bool::from(allowed) {
            Ok(())
        } else if bool::from(known) {
            Err(Fault::new(StatusCode::FORBIDDEN, "forbidden", "this token does not allow that"))
        } else {
            Err(Fault::new(StatusCode::UNAUTHORIZED, "unauthorized", "a bearer token is wanted"))
        }
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn guard(hosts: &[&str], tokens: Vec<Token>) -> Guard {
        Guard { hosts: hosts.iter().map(|host| (*host).to_owned()).collect(), tokens }
    }

    fn headers(of: &[(&str, &str)]) -> HeaderMap {
        of.iter()
            .map(|(name, value)| (name.parse::<axum::http::HeaderName>().unwrap(), value.parse().unwrap()))
            .collect()
    }

    fn status(guard: &Guard, path: &str, of: &[(&str, &str)]) -> u16 {
        guard.admit(&path.parse().unwrap(), &headers(of)).map_or_else(|fault| fault.status.as_u16(), |()| 200)
    }

    #[test]
    fn only_our_names_and_origins_are_served() {
        let guard = guard(&["pinflow.example.com"], Vec::new());
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
    fn a_token_opens_what_its_role_may_see() {
        let guard = guard(
            &[],
            vec![
                (hash("r"), |shows| shows == Shows::Answers),
                (hash("m"), |shows| shows == Shows::Metrics),
                (hash("a"), |_| true),
            ],
        );
        let of = |path: &str, token: &str| status(&guard, path, &[("host", "localhost"), ("authorization", token)]);
        let paths = ["/healthz", "/", "/assets/page.js", "/metrics", "/answers", "/nowhere", "/rejected"];
        let tried = |token: &str| paths.map(|path| of(path, token));
        assert_eq!(tried("Bearer r"), [200, 200, 200, 403, 200, 200, 403]);
        assert_eq!(tried("bearer m"), [200, 200, 200, 200, 403, 403, 403]);
        assert_eq!(tried("Bearer a"), [200; 7]);
        for wrong in ["Bearer x", "Bearer ", "Bearer", "Basic r", "r"] {
            assert_eq!(tried(wrong), [200, 200, 200, 401, 401, 401, 401], "{wrong}");
        }
    }
}
