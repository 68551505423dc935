//! Validates a token as MSK does: it must be a request for `kafka-cluster:Connect`, signed with a known secret
//! (AWS Signature Version 4), that has not expired.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::civil::DateTime;
use sha2::{Digest, Sha256};

/// The accepted credentials and region.
#[derive(Debug, Clone)]
pub struct TopicRights {
    /// The region of the cluster.
    pub region: &'static str,
    /// The id of the key that may connect.
    pub access_key: &'static str,
    /// The secret that requests are signed with.
    pub secret_key: &'static str,
    /// The session token of the keys, if they are temporary.
    pub session_token: Option<&'static str>,
    /// How far the validator's clock is ahead.
    pub clock_ahead: Duration,
}

/// The expiry of a valid token, or the reason why it is invalid.
pub(super) fn check(token: &str, rights: &TopicRights) -> Result<SystemTime, String> {
    let url = URL_SAFE_NO_PAD.decode(token).map_err(|_| "no URL-safe base64")?;
    let url = url::Url::parse(std::str::from_utf8(&url).map_err(|_| "no text")?).map_err(|_| "no URL")?;
    let host = url.host_str().unwrap_or_default();
    let parameter = |name: &str| {
        let found = url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        found.ok_or_else(|| format!("no {name}"))
    };
    let want = |name: &str, value: &str| match parameter(name)? {
        found if found == value => Ok(()),
        found => Err(format!("{name} is {found}, not {value}")),
    };
    if host != format!("kafka.{}.amazonaws.com", rights.region) {
        return Err(format!("a request to {host}"));
    }
    want("Action", "kafka-cluster:Connect")?;
    want("X-Amz-Algorithm", "AWS4-HMAC-SHA256")?;
    want("X-Amz-SignedHeaders", "host")?;
    match rights.session_token {
        Some(token) => want("X-Amz-Security-Token", token)?,
        None if parameter("X-Amz-Security-Token").is_ok() => return Err("a session token".to_owned()),
        None => {}
    }
    let date = parameter("X-Amz-Date")?;
    let day = &date[..8];
    let scope = format!("{day}/{}/kafka-cluster/aws4_request", rights.region);
    want("X-Amz-Credential", &format!("{}/{scope}", rights.access_key))?;
    let signed = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(canonical(&url, host))));
    let key = [day, rights.region, "kafka-cluster", "aws4_request"]
        .into_iter()
        .fold(format!("AWS4{}", rights.secret_key).into_bytes(), |key, part| hmac(&key, part.as_bytes()));
    want("X-Amz-Signature", &hex(&hmac(&key, signed.as_bytes())))?;
    let expires: u64 = parameter("X-Amz-Expires")?.parse().map_err(|_| "no number in X-Amz-Expires")?;
    let since = DateTime::strptime("%Y%m%dT%H%M%SZ", &date).map_err(|_| "no time in X-Amz-Date")?;
    let since = since.to_zoned_datetime(jiff::tz::TimeZone::UTC).map_err(|_| "no time")?.timestamp();
    let since = SystemTime::try_from(since).map_err(|_| "no time")?;
    let until = since + Duration::from_secs(expires);
    if until <= SystemTime::now() + rights.clock_ahead { Err("it is over".to_owned()) } else { Ok(until) }
}

/// The signed text. The user agent is excluded, because Amazon's signers add it after signing.
fn canonical(url: &url::Url, host: &str) -> String {
    let mut pairs: Vec<_> = url
        .query_pairs()
        .filter(|(key, _)| key != "X-Amz-Signature" && key != "User-Agent")
        .map(|(key, value)| format!("{}={}", encoded(&key), encoded(&value)))
        .collect();
    pairs.sort();
    let nothing = hex(&Sha256::digest(b""));
    format!("GET\n{}\n{}\nhost:{host}\n\nhost\n{nothing}", url.path(), pairs.join("&"))
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    assert!(key.len() <= 64, "longer keys would have to be hashed");
    let padded = |with: u8| -> Vec<u8> { (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ with).collect() };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn hmac_matches_rfc_4231() {
    let found = hex(&hmac(b"Jefe", b"what do ya want for nothing?"));
    assert_eq!(found, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}
