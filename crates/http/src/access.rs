//! Access control: checks a request's `Host`, framing and origin, and its token.
//!
//! `Host` and origin are checked against DNS rebinding and cross-site requests. Requests that two HTTP parsers could read
//! differently are rejected, so that no proxy in front can be made to see another request than this server.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use axum::http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN, REFERER, TRANSFER_ENCODING, USER_AGENT};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, Version};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::token_failures::TokenFailures;
use pinflow_core::secret::{SecretError, SecretFrom};

/// Header in which clients of Amazon API Gateway send their key.
const API_KEY_HEADER: &str = "x-api-key";

/// Why a request is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessError {
    /// It has no `Host` header.
    NoHost,
    /// It has several `Host` headers. A proxy might route by one and this server by the other.
    SeveralHosts,
    /// Its target is a URL whose host differs from the `Host` header.
    OtherAuthority,
    /// Its body has a transfer coding other than `chunked`.
    TransferCoding,
    /// Its `Host` is none of the configured names, `localhost` or an IP address.
    UnknownHost,
    /// It was sent by a page of another origin.
    ForeignOrigin,
    /// It has no token, or an unknown one.
    Unauthorized,
    /// Its address sent too many unknown tokens. Tokens are checked again after this time.
    TooManyFailures(Duration),
    /// Its token does not permit the request.
    Forbidden,
}

impl AccessError {
    /// The status that a refused request is answered with.
    pub fn status(self) -> StatusCode {
        match self {
            AccessError::NoHost
            | AccessError::SeveralHosts
            | AccessError::OtherAuthority
            | AccessError::TransferCoding => StatusCode::BAD_REQUEST,
            AccessError::TooManyFailures(_) => StatusCode::TOO_MANY_REQUESTS,
            AccessError::UnknownHost => StatusCode::MISDIRECTED_REQUEST,
            AccessError::Unauthorized => StatusCode::UNAUTHORIZED,
            AccessError::ForeignOrigin | AccessError::Forbidden => StatusCode::FORBIDDEN,
        }
    }

    /// Stable error name, for the `error` field of replies.
    pub fn error_name(self) -> &'static str {
        match self {
            AccessError::NoHost
            | AccessError::SeveralHosts
            | AccessError::OtherAuthority
            | AccessError::TransferCoding => "bad_request",
            AccessError::TooManyFailures(_) => "too_many_failures",
            AccessError::UnknownHost => "unknown_host",
            AccessError::ForeignOrigin => "foreign_origin",
            AccessError::Unauthorized => "unauthorized",
            AccessError::Forbidden => "forbidden",
        }
    }

    /// Message for the client.
    pub fn message(self) -> &'static str {
        match self {
            AccessError::NoHost => "the request has no Host header",
            AccessError::SeveralHosts => "the request has more than one Host header; send one",
            AccessError::OtherAuthority => "the request's URL and its Host header name different hosts",
            AccessError::TransferCoding => {
                "the only accepted Transfer-Encoding is `chunked`; send the body uncompressed"
            }
            AccessError::UnknownHost => {
                "this host name is not served; add it to `hosts` in the configuration, or use the IP address"
            }
            AccessError::ForeignOrigin => "requests from pages of other origins are not allowed",
            AccessError::Unauthorized => "a bearer token is required",
            AccessError::TooManyFailures(_) => {
                "too many requests with an unknown token from this address; retry after the time in Retry-After"
            }
            AccessError::Forbidden => "this token does not permit the request",
        }
    }

    /// Value of the `Retry-After` header.
    pub fn retry_after(self) -> Option<Duration> {
        match self {
            AccessError::TooManyFailures(wait) => Some(wait),
            _ => None,
        }
    }
}

/// What a request is for. It decides which checks of `Host` and origin apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoutePurpose {
    /// The HTML page. Links from other sites may open it.
    Page,
    /// A static file of the page. Browsers send `Origin` when they load fonts, and behind a proxy it differs from `Host`, so
    /// the origin is not checked.
    Asset,
    /// Health or metrics. Load balancers use HTTP/1.0 without `Host`, which no browser does.
    Probe,
    /// A change of the server's state. A browser must say that its own page sent it.
    Change,
    /// Any other route.
    Api,
}

/// A token's SHA-256 hash and the role that it grants.
struct RoleToken<R> {
    hash: [u8; 32],
    role: R,
}

/// Checks requests. `R` is the role that a token grants.
pub struct AccessControl<R> {
    hosts: Vec<String>,
    /// If empty, every request is permitted.
    tokens: Vec<RoleToken<R>>,
    failures: TokenFailures,
}

impl<R: Copy> AccessControl<R> {
    /// Reads the tokens. Relative paths are resolved against `base`. `failures` limits unknown tokens per address.
    ///
    /// # Errors
    /// If a token cannot be read.
    pub fn new<'a>(
        hosts: &[String],
        tokens: impl IntoIterator<Item = (&'a Option<SecretFrom>, R)>,
        failures: TokenFailures,
        base: &Path,
    ) -> Result<AccessControl<R>, SecretError> {
        let given = tokens.into_iter().filter_map(|(from, role)| Some((from.as_ref()?, role)));
        let read = given.map(|(from, role)| Ok(RoleToken { hash: hash_token(from.read(base)?.expose()), role }));
        Ok(AccessControl { hosts: hosts.to_vec(), tokens: read.collect::<Result<_, SecretError>>()?, failures })
    }

    /// Checks framing, `Host` and origin.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn check_request<B>(&self, request: &Request<B>, purpose: RoutePurpose) -> Result<(), AccessError> {
        let headers = request.headers();
        if !has_unambiguous_length(headers) {
            return Err(AccessError::TransferCoding);
        }
        match named_host(request)? {
            Some(host) => self.check_host(host, headers, purpose),
            None if purpose == RoutePurpose::Probe && request.version() == Version::HTTP_10 => Ok(()),
            None => Err(AccessError::NoHost),
        }
    }

    fn check_host(&self, host: &str, headers: &HeaderMap, purpose: RoutePurpose) -> Result<(), AccessError> {
        if !self.is_own_host(host) {
            return Err(AccessError::UnknownHost);
        }
        if purpose == RoutePurpose::Asset {
            return Ok(());
        }
        let foreign = |origin: &str| origin.split_once("://").is_none_or(|(_, from)| !from.eq_ignore_ascii_case(host));
        let crosses = headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site" || site == "same-site");
        // A link from another site may open the page. The page's own requests are same-origin.
        let opens =
            purpose == RoutePurpose::Page && headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate");
        if (crosses && !opens) || headers.get(ORIGIN).is_some_and(|origin| origin.to_str().map_or(true, foreign)) {
            return Err(AccessError::ForeignOrigin);
        }
        // Browsers send `Origin` with every change. One without it was stripped of it, or is too old to be protected.
        let is_anonymous = headers.get(ORIGIN).is_none() && is_from_browser(headers);
        if purpose == RoutePurpose::Change && is_anonymous { Err(AccessError::ForeignOrigin) } else { Ok(()) }
    }

    fn is_own_host(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
            _ => host,
        };
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        // DNS rebinding needs a name: an IP address is always safe.
        bare.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(name))
    }

    /// Checks that the token's role satisfies `allows`.
    ///
    /// # Errors
    /// If the token is missing, unknown or not permitted, or if `from` sent too many unknown tokens.
    pub fn check_permission(
        &self,
        headers: &HeaderMap,
        from: IpAddr,
        allows: impl Fn(R) -> bool,
    ) -> Result<(), AccessError> {
        if self.tokens.is_empty() {
            return Ok(());
        }
        let (token, now) = (bearer_token(headers), Instant::now());
        // A missing token is no guess and is not counted.
        if token.is_empty() {
            return Err(AccessError::Unauthorized);
        }
        // Before the token is checked: otherwise the reply would reveal a correct guess.
        if let Some(wait) = self.failures.wait_time(from, now) {
            return Err(AccessError::TooManyFailures(wait));
        }
        let permitted = self.check_token(token, allows);
        if permitted == Err(AccessError::Unauthorized) {
            self.failures.record_failure(from, now);
        }
        permitted
    }

    fn check_token(&self, token: &str, allows: impl Fn(R) -> bool) -> Result<(), AccessError> {
        let given = hash_token(token);
        // Compare the hashes of all tokens in constant time, so that timing reveals nothing about a token.
        let (mut known, mut allowed) = (Choice::from(0), Choice::from(0));
        for token in &self.tokens {
            let same = token.hash.ct_eq(&given);
            known |= same;
            allowed |= same & Choice::from(u8::from(allows(token.role)));
        }
        if bool::from(allowed) {
            Ok(())
        } else if bool::from(known) {
            Err(AccessError::Forbidden)
        } else {
            Err(AccessError::Unauthorized)
        }
    }
}

/// Whether a browser sent the request. Other clients send none of these by themselves.
fn is_from_browser(headers: &HeaderMap) -> bool {
    let is_agent = |agent: &HeaderValue| agent.to_str().is_ok_and(|agent| agent.starts_with("Mozilla/"));
    ["sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest"].iter().any(|name| headers.contains_key(*name))
        || headers.contains_key(REFERER)
        || headers.contains_key(COOKIE)
        || headers.get(USER_AGENT).is_some_and(is_agent)
}

/// Whether every HTTP parser finds the same end of the body (no request smuggling).
fn has_unambiguous_length(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"),
        _ => false,
    }
}

/// The host of a request (RFC 9112, section 3.2). `None` if HTTP/1.0 omits it.
fn named_host<B>(request: &Request<B>) -> Result<Option<&str>, AccessError> {
    let (uri, mut hosts) = (request.uri(), request.headers().get_all(HOST).iter());
    let host = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Err(AccessError::SeveralHosts),
        (Some(host), None) => host.to_str().map_err(|_| AccessError::UnknownHost)?,
        (None, None) if request.version() == Version::HTTP_10 => return Ok(uri.authority().map(Authority::as_str)),
        (None, None) => return Ok(None),
    };
    let is_same =
        |authority: &str| without_default_port(authority, uri).eq_ignore_ascii_case(without_default_port(host, uri));
    match uri.authority() {
        Some(authority) if !is_same(authority.as_str()) => Err(AccessError::OtherAuthority),
        _ => Ok(Some(host)),
    }
}

fn without_default_port<'a>(host: &'a str, uri: &Uri) -> &'a str {
    let port = if uri.scheme_str() == Some("https") { ":443" } else { ":80" };
    host.strip_suffix(port).unwrap_or(host)
}

/// The token of a request, from `Authorization: Bearer` or `x-api-key`. Empty if there is none.
pub fn bearer_token(headers: &HeaderMap) -> &str {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text(AUTHORIZATION.as_str())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    bearer.or_else(|| text(API_KEY_HEADER)).unwrap_or_default()
}

fn hash_token(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn access_control(hosts: &[&str], tokens: &[&str]) -> AccessControl<usize> {
        let tokens = tokens.iter().enumerate().map(|(role, token)| RoleToken { hash: hash_token(token), role });
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        AccessControl { hosts, tokens: tokens.collect(), failures: TokenFailures::new(5) }
    }

    fn headers(of: &[(&str, &str)]) -> HeaderMap {
        of.iter()
            .map(|(name, value)| (name.parse::<axum::http::HeaderName>().unwrap(), value.parse().unwrap()))
            .collect()
    }

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn status_of(guard: &AccessControl<usize>, version: Version, target: &str, of: &[(&str, &str)]) -> u16 {
        let mut request = Request::new(());
        *request.uri_mut() = target.parse().unwrap();
        *request.version_mut() = version;
        for (name, value) in of {
            request.headers_mut().append(name.parse::<axum::http::HeaderName>().unwrap(), value.parse().unwrap());
        }
        let purpose = match target {
            "/" => RoutePurpose::Page,
            "/assets/page.js" => RoutePurpose::Asset,
            "/healthz" => RoutePurpose::Probe,
            "/questions" => RoutePurpose::Change,
            _ => RoutePurpose::Api,
        };
        guard.check_request(&request, purpose).map_or_else(|denied| denied.status().as_u16(), |()| 200)
    }

    fn status(guard: &AccessControl<usize>, path: &str, of: &[(&str, &str)]) -> u16 {
        status_of(guard, Version::HTTP_11, path, of)
    }

    #[test]
    fn request_with_ambiguous_host_or_length_is_rejected() {
        let guard = access_control(&[], &[]);
        let local = ("host", "localhost");
        assert_eq!(status(&guard, "/answers", &[local, local]), 400);
        assert_eq!(status(&guard, "/answers", &[local, ("host", "evil.test")]), 400);
        assert_eq!(status(&guard, "http://localhost/answers", &[local]), 200);
        assert_eq!(status(&guard, "http://LOCALHOST:80/answers", &[local]), 200);
        assert_eq!(status(&guard, "http://evil.test/answers", &[local]), 400);
        assert_eq!(status(&guard, "http://localhost/answers", &[("host", "evil.test")]), 400);
        assert_eq!(status(&guard, "http://localhost/answers", &[]), 400);
        for (coding, status_wanted) in
            [("chunked", 200), ("Chunked", 200), ("gzip, chunked", 400), ("chunked, chunked", 400), ("identity", 400)]
        {
            assert_eq!(status(&guard, "/answers", &[local, ("transfer-encoding", coding)]), status_wanted, "{coding}");
        }
        let twice = [local, ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")];
        assert_eq!(status(&guard, "/answers", &twice), 400);
    }

    #[test]
    fn change_from_a_browser_needs_its_own_origin() {
        let guard = access_control(&[], &[]);
        let host = ("host", "localhost:7461");
        let own = ("origin", "http://localhost:7461");
        for (headers, wanted) in [
            (vec![host], 200),
            (vec![host, ("user-agent", "curl/8.5.0")], 200),
            (vec![host, own, ("sec-fetch-site", "same-origin"), ("user-agent", "Mozilla/5.0")], 200),
            (vec![host, ("sec-fetch-site", "same-origin")], 403),
            (vec![host, ("user-agent", "Mozilla/5.0")], 403),
            (vec![host, ("referer", "http://localhost:7461/")], 403),
            (vec![host, ("cookie", "a=b")], 403),
            (vec![host, ("origin", "null")], 403),
            (vec![host, ("origin", "http://localhost:7462")], 403),
            (vec![host, own, ("sec-fetch-site", "same-site")], 403),
        ] {
            assert_eq!(status(&guard, "/questions", &headers), wanted, "{headers:?}");
        }
    }

    #[test]
    fn probe_without_host_is_served_to_http_1_0_only() {
        let guard = access_control(&[], &[]);
        assert_eq!(status_of(&guard, Version::HTTP_10, "/healthz", &[]), 200);
        assert_eq!(status_of(&guard, Version::HTTP_10, "/healthz", &[("host", "evil.test")]), 421);
        assert_eq!(status_of(&guard, Version::HTTP_10, "/answers", &[]), 400);
        assert_eq!(status_of(&guard, Version::HTTP_11, "/healthz", &[]), 400);
        assert_eq!(status_of(&guard, Version::HTTP_10, "http://localhost/answers", &[]), 200);
        assert_eq!(status_of(&guard, Version::HTTP_10, "http://evil.test/answers", &[]), 421);
    }

    #[test]
    fn address_with_too_many_unknown_tokens_is_rejected_before_its_token_is_checked() {
        let guard = access_control(&[], &["zero"]);
        let send = |name: &str, token: &str, from: IpAddr| {
            let permitted = guard.check_permission(&headers(&[(name, token)]), from, |_| true);
            permitted.map_or_else(|denied| denied.status().as_u16(), |()| 200)
        };
        // A request without a token is no guess.
        (0..10).for_each(|_| assert_eq!(send("accept", "*/*", CLIENT), 401));
        (0..5).for_each(|_| assert_eq!(send("x-api-key", "wrong", CLIENT), 401));
        assert_eq!((send("x-api-key", "wrong", CLIENT), send("x-api-key", "zero", CLIENT)), (429, 429));
        assert_eq!(send("x-api-key", "zero", "10.0.0.1".parse().unwrap()), 200);
        let denied = guard.check_permission(&headers(&[("x-api-key", "zero")]), CLIENT, |_| true).unwrap_err();
        assert!(denied.retry_after().is_some_and(|wait| wait <= Duration::from_secs(60)));
    }

    #[test]
    fn host_and_origin_other_than_own_are_rejected() {
        let guard = access_control(&["pinflow.example.com"], &[]);
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
        let typeface = |host| status(&guard, "/assets/page.js", &[("host", host), ("origin", "http://proxy.test")]);
        assert_eq!((typeface("localhost:1"), typeface("evil.test")), (200, 421));
        let site = |site| status(&guard, "/answers", &[("host", "localhost:1"), ("sec-fetch-site", site)]);
        assert_eq!((site("same-origin"), site("none"), site("cross-site")), (200, 200, 403));
        let link = |path, mode| {
            status(&guard, path, &[("host", "localhost:1"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", mode)])
        };
        assert_eq!((link("/", "navigate"), link("/", "cors"), link("/answers", "navigate")), (200, 403, 403));
    }

    #[test]
    fn token_permits_what_its_role_allows() {
        let open = access_control(&[], &[]);
        assert_eq!(open.check_permission(&headers(&[]), CLIENT, |_| false), Ok(()));
        let guard = access_control(&[], &["zero", "one"]);
        let of = |name: &str, value: &str, allowed: usize| {
            let permitted = guard.check_permission(&headers(&[(name, value)]), CLIENT, |role| role == allowed);
            permitted.map_or_else(|denied| denied.status().as_u16(), |()| 200)
        };
        assert_eq!((of("authorization", "Bearer zero", 0), of("authorization", "bearer zero", 1)), (200, 403));
        assert_eq!((of("x-api-key", "one", 1), of("x-api-key", "one", 0)), (200, 403));
        for wrong in ["Bearer x", "Bearer ", "Bearer", "Basic zero", "zero"] {
            assert_eq!(of("authorization", wrong, 0), 401, "{wrong}");
        }
    }
}
