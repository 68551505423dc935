//! The web page at `/` and its files under `/assets`.
//!
//! The files are built from `page/` (see its `README.md`), checked in, and embedded in the binary. Building pinflow needs no
//! Node, and running it needs no network. The files contain no data, so they need no token. The page asks for a token when
//! the routes that it reads require one.

use std::io::Write as _;
use std::sync::OnceLock;

use axum::extract::Path;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::reply::{self, ApiError};
use super::shared_replies::CountedReply;

/// One file of the page.
struct PageFile {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
    /// Whether gzip makes it smaller.
    is_compressible: bool,
    encoded: OnceLock<EncodedFile>,
}

/// A file's `ETag` and gzip bytes, computed at the first request.
struct EncodedFile {
    tag: String,
    gzip: Option<Vec<u8>>,
}

macro_rules! file {
    ($name:literal, $kind:literal, $is_compressible:literal) => {
        PageFile {
            name: $name,
            kind: $kind,
            bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../page/built/", $name)),
            is_compressible: $is_compressible,
            encoded: OnceLock::new(),
        }
    };
}

static INDEX: PageFile = file!("index.html", "text/html; charset=utf-8", true);

static ASSETS: [PageFile; 7] = [
    file!("page.js", "text/javascript; charset=utf-8", true),
    file!("theme.js", "text/javascript; charset=utf-8", true),
    file!("page.css", "text/css; charset=utf-8", true),
    file!("icon.svg", "image/svg+xml", true),
    file!("archivo-latin.woff2", "font/woff2", false),
    file!("archivo-latin-ext.woff2", "font/woff2", false),
    file!("licences.txt", "text/plain; charset=utf-8", true),
];

/// `GET /`
pub(super) async fn get_index(headers: HeaderMap) -> Response {
    serve_file(&INDEX, &headers)
}

/// `GET /assets/{name}`
pub(super) async fn get_asset(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    let file = ASSETS.iter().find(|file| file.name == name);
    let file = file.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "not_found", "no such asset"))?;
    Ok(serve_file(file, &headers))
}

/// Replies with the file (gzip if accepted), or with 304 if the client has it. Clients revalidate at each use, so a page
/// never mixes files of two versions. The `ETag` makes that cheap.
fn serve_file(file: &'static PageFile, headers: &HeaderMap) -> Response {
    let encoded = file.encoded.get_or_init(|| encode_file(file));
    let gzip = encoded.gzip.as_deref().filter(|_| accepts_gzip(headers));
    let tag = format!("\"{}{}\"", encoded.tag, if gzip.is_some() { "-gzip" } else { "" });
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut response = if known.flat_map(|value| value.split(',')).any(|one| one.trim().trim_start_matches("W/") == tag)
    {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let kind = HeaderValue::from_static(file.kind);
        let mut response = reply::typed_response(kind, reply::REVALIDATE, gzip.unwrap_or(file.bytes));
        // Static bytes: they take no memory per reader.
        response.extensions_mut().insert(CountedReply);
        if gzip.is_some() {
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    };
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(tag) = HeaderValue::try_from(tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

fn encode_file(file: &PageFile) -> EncodedFile {
    let digest = Sha256::digest(file.bytes);
    let tag = digest[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(file.bytes).and_then(|()| encoder.finish());
    // Writing to memory does not fail. If it did, the file would be served uncompressed.
    EncodedFile { tag, gzip: written.ok().filter(|_| file.is_compressible) }
}

/// Whether `Accept-Encoding` has gzip with a weight above 0.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let named = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    named.flat_map(|value| value.split(',')).any(|one| {
        let (coding, weight) = one.split_once(';').map_or((one, ""), |(coding, weight)| (coding, weight.trim()));
        coding.trim().eq_ignore_ascii_case("gzip")
            && weight.strip_prefix("q=").is_none_or(|q| q.parse().is_ok_and(|q: f32| q > 0.0))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn accept_encoding(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(value))])
    }

    #[test]
    fn gzip_is_used_if_the_client_accepts_it() {
        for value in ["gzip", "br, GZIP", "deflate, gzip;q=1.0", "gzip; q=0.5"] {
            assert!(accepts_gzip(&accept_encoding(value)), "{value}");
        }
        for value in ["", "br", "gzip;q=0", "xgzip", "gzip;q=x"] {
            assert!(!accepts_gzip(&accept_encoding(value)), "{value}");
        }
        let mut plain = Vec::new();
        let encoded = encode_file(&INDEX);
        flate2::read::GzDecoder::new(encoded.gzip.unwrap().as_slice()).read_to_end(&mut plain).unwrap();
        assert_eq!(plain, INDEX.bytes);
    }

    #[test]
    fn plain_and_gzip_have_different_etags() {
        let tag = |headers: &HeaderMap| serve_file(&INDEX, headers).headers()[ETAG].clone();
        let (plain, gzip) = (tag(&HeaderMap::new()), tag(&accept_encoding("gzip")));
        assert_ne!(plain, gzip);
        let mut again = accept_encoding("gzip");
        again.insert(IF_NONE_MATCH, plain);
        assert_eq!(serve_file(&INDEX, &again).status(), StatusCode::OK);
        again.insert(IF_NONE_MATCH, gzip);
        assert_eq!(serve_file(&INDEX, &again).status(), StatusCode::NOT_MODIFIED);
    }
}
