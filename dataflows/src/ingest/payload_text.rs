//! Decodes a payload as UTF-8 or base64, and names the encoding it seems to be otherwise.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::rejection::{Rejection, RejectionReason};

/// Padding is optional, because producers differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The text of a payload without its byte order mark.
///
/// # Errors
/// `not_json` if it is empty or has the framing of a schema registry, `not_utf8` if it is not text.
pub(super) fn decode_utf8(payload: &[u8]) -> Result<&str, Rejection> {
    if let Some(rejection) = detect_foreign_encoding(payload) {
        return Err(rejection);
    }
    let text = simdutf8::basic::from_utf8(payload).map_err(|_| not_utf8(payload))?;
    let text = strip_byte_order_mark(text);
    let nothing = match text {
        "" => "empty payload",
        _ if text.bytes().all(|byte| byte.is_ascii_whitespace()) => "only white space",
        _ => return Ok(text),
    };
    Err(Rejection { reason: RejectionReason::NotJson, detail: nothing.to_owned() })
}

pub(super) fn strip_byte_order_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Recognises payloads that are valid UTF-8 by chance but not text, by a zero byte among the first two.
fn detect_foreign_encoding(payload: &[u8]) -> Option<Rejection> {
    let (reason, detail) = match *payload {
        [0, b'{' | b'[' | b'"', 0, ..] => (RejectionReason::NotUtf8, "UTF-16 (big endian)".to_owned()),
        [b'{' | b'[' | b'"', 0, ..] => (RejectionReason::NotUtf8, "UTF-16 (little endian)".to_owned()),
        [0, a, b, c, d, ..] => {
            let schema = u32::from_be_bytes([a, b, c, d]);
            (
                RejectionReason::NotJson,
                format!("Confluent schema registry framing (magic byte 0, schema {schema}); plain JSON is read"),
            )
        }
        _ => return None,
    };
    Some(Rejection { reason, detail })
}

#[cold]
fn not_utf8(payload: &[u8]) -> Rejection {
    let seems = match payload {
        [0x1F, 0x8B, ..] => "; it seems to be gzip",
        [0x28, 0xB5, 0x2F, 0xFD, ..] => "; it seems to be zstd",
        [0xF3, 0x89, 0x9A, 0xC2, ..] => "; it seems to be an aggregated record of the Kinesis Producer Library",
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => "; it seems to be UTF-16",
        _ => "",
    };
    let at = std::str::from_utf8(payload).err().map_or(0, |error| error.valid_up_to());
    Rejection { reason: RejectionReason::NotUtf8, detail: format!("no UTF-8 at byte {at}{seems}") }
}

/// Decodes base64 into `text` if `encoded` is the base64 of something that can begin a message. Returns whether it did.
///
/// # Errors
/// `not_utf8` if the decoded bytes are not text.
pub(super) fn decode_base64(encoded: &str, text: &mut String) -> Result<bool, Rejection> {
    let encoded = encoded.trim_ascii();
    // The base64 of `{`, `[`, a quote or a space, other white space, or a byte order mark.
    let likely = encoded.starts_with(['e', 'W', 'I', 'C', 'D']) || encoded.starts_with("77u/");
    if !likely {
        return Ok(false);
    }
    let mut bytes = std::mem::take(text).into_bytes();
    bytes.clear();
    if BASE64.decode_vec(encoded, &mut bytes).is_err() {
        return Ok(false);
    }
    *text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Rejection { reason: RejectionReason::NotUtf8, detail: format!("the base64 holds no UTF-8 at its byte {at}") }
    })?;
    Ok(true)
}
