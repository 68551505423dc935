//! Parses locations as written in configurations and on the command line. Nothing is contacted.
//!
//! A text that begins with a scheme (`s3://…`, `file:/…`) is a URL, any other one is a path. A path is taken literally:
//! `%41` is three characters of a name. A `file:` URL is percent-decoded. A mistyped URL, such as `s3:/bucket`, is
//! refused with the correct form. It is never taken for a folder of that name.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// The longest file name of common file systems.
const NAME_BYTES_MAX: usize = 255;
/// The longest path that leaves room for the names of tables, logs and files below it (`PATH_MAX` is 4,096).
const PATH_BYTES_MAX: usize = 3_800;
/// Schemes that are refused even without a slash after the colon: no folder has such a name on purpose.
const KNOWN_SCHEMES: [&str; 22] = [
    "s3", "s3a", "s3n", "file", "dbfs", "hdfs", "viewfs", "gs", "gcs", "abfs", "abfss", "adl", "az", "azure", "wasb",
    "wasbs", "oss", "r2", "http", "https", "ftp", "sftp",
];

/// A location by name, parsed and not yet reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocationSpec {
    /// A local folder.
    Folder(PathBuf),
    /// A prefix in a bucket.
    Bucket {
        /// The bucket's name.
        bucket: String,
        /// Without slashes at the ends; empty for the whole bucket.
        prefix: String,
    },
}

impl LocationSpec {
    /// Parses a path, `file:///…` or `s3://BUCKET/PREFIX`. Relative paths are resolved against `base`. `key` names the
    /// setting in error texts.
    ///
    /// # Errors
    /// If the text is none of these. The error shows the correct form.
    pub fn parse(text: &str, base: &Path, key: &str) -> Result<LocationSpec, String> {
        let refused = |what: String| format!("{key} `{}`: {what}", text.escape_debug());
        if text.is_empty() {
            return Err(format!("{key} is empty; name a folder, or s3://BUCKET/PREFIX"));
        }
        if text.trim() != text && (split_scheme(text.trim()).is_some() || text.trim().is_empty()) {
            return Err(refused("remove the spaces around it".to_owned()));
        }
        match split_scheme(text) {
            None => parse_path(text, base).map_err(refused),
            Some(("s3", rest)) => parse_bucket_url(rest).map_err(refused),
            Some(("file", rest)) => parse_file_url(rest).map_err(refused),
            Some((name, rest)) => Err(refused(unsupported_scheme(name, rest))),
        }
    }

    /// Whether a text is a path: neither a URL nor something that a shell would have expanded (`~`).
    #[must_use]
    pub fn is_path(text: &str) -> bool {
        split_scheme(text.trim()).is_none() && !is_home(text)
    }

    /// As [`LocationSpec::parse`], for settings that must be a local folder.
    ///
    /// # Errors
    /// As [`LocationSpec::parse`], and for a bucket.
    pub fn parse_folder(text: &str, base: &Path, key: &str) -> Result<PathBuf, String> {
        match LocationSpec::parse(text, base, key)? {
            LocationSpec::Folder(folder) => Ok(folder),
            LocationSpec::Bucket { .. } => {
                Err(format!("{key} `{text}`: it must be a folder of this machine, not a bucket"))
            }
        }
    }
}

/// The scheme of a URL, in lower case if it is a known one, and the text after the colon; `None` for a path.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = text.split_once(':')?;
    let letters = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) || !name.chars().all(letters) {
        return None;
    }
    let known = KNOWN_SCHEMES.into_iter().find(|known| known.eq_ignore_ascii_case(name));
    let is_windows_path = name.len() == 1 && rest.starts_with('\\');
    (known.is_some() || rest.starts_with('/') || is_windows_path).then_some((known.unwrap_or(name), rest))
}

/// Why a scheme other than `s3` and `file` is refused, and what to write instead.
fn unsupported_scheme(name: &str, rest: &str) -> String {
    let path = rest.trim_start_matches('/');
    let slashes = if rest.starts_with("//") { "//" } else { "" };
    match name {
        "s3a" | "s3n" => format!("write s3://{path}"),
        "dbfs" => format!("dbfs: is not supported; on a Databricks cluster it is the folder /dbfs/{path}"),
        drive if drive.len() == 1 => {
            format!("a Windows path; name a folder of this machine, ./{drive}:{rest} if it is one")
        }
        name if KNOWN_SCHEMES.contains(&name) => {
            format!("`{name}:{slashes}` is not supported; name a folder of this machine, or s3://BUCKET/PREFIX")
        }
        name => format!(
            "`{name}:{slashes}` is not supported; name a folder of this machine (./{name}:{rest} if it is one), or s3://BUCKET/PREFIX"
        ),
    }
}

/// Whether a text is a path below the user's home in shell syntax.
fn is_home(text: &str) -> bool {
    text == "~" || text.starts_with("~/")
}

fn parse_path(text: &str, base: &Path) -> Result<LocationSpec, String> {
    if is_home(text) {
        return Err(format!("~ is not expanded here; write the whole path, or ./{text} for a folder of that name"));
    }
    checked_folder(base.join(text))
}

/// Refuses a folder whose name neither file systems nor object stores can express.
fn checked_folder(folder: PathBuf) -> Result<LocationSpec, String> {
    let Some(text) = folder.to_str() else {
        return Err("its name is not UTF-8; choose another folder".to_owned());
    };
    if text.chars().any(|c| c.is_ascii_control()) {
        return Err("its name has control characters; choose another folder".to_owned());
    }
    let names =
        folder.components().filter_map(|part| if let Component::Normal(name) = part { Some(name) } else { None });
    if let Some(name) = names.map(OsStr::len).find(|bytes| *bytes > NAME_BYTES_MAX) {
        return Err(format!("a name in it has {name} bytes, {NAME_BYTES_MAX} are possible; use a shorter one"));
    }
    if text.len() > PATH_BYTES_MAX {
        return Err(format!("it has {} bytes, {PATH_BYTES_MAX} are possible; use a shorter path", text.len()));
    }
    Ok(LocationSpec::Folder(folder))
}

/// The folder of a `file:` URL, given the text after the colon: `/x`, `///x` or `//localhost/x`.
fn parse_file_url(rest: &str) -> Result<LocationSpec, String> {
    const FORM: &str = "write file:///FOLDER, or the path alone";
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some(after) => {
            let (host, _) = after.split_once('/').unwrap_or((after, ""));
            if !host.is_empty() && !host.eq_ignore_ascii_case("localhost") {
                return Err(format!("it names another machine (`{host}`); {FORM}"));
            }
            &after[host.len()..]
        }
    };
    if !path.starts_with('/') {
        return Err(format!("a file: URL is an absolute path; {FORM}"));
    }
    if let Some(mark) = path.chars().find(|c| matches!(c, '?' | '#')) {
        let code = if mark == '?' { "%3F" } else { "%23" };
        return Err(format!("in a URL, `{mark}` ends the path; write {code} for it, or the path alone"));
    }
    let decoded = decode_percent(path)
        .ok_or_else(|| "a % in it is not followed by two hexadecimal digits; write %25".to_owned())?;
    checked_folder(OsString::from_vec(decoded).into())
}

/// Decodes percent codes; `None` if one is malformed.
fn decode_percent(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        });
    }
    Some(decoded)
}

fn parse_bucket_url(rest: &str) -> Result<LocationSpec, String> {
    let Some(rest) = rest.strip_prefix("//") else {
        return Err(format!("write s3://{}", rest.trim_start_matches('/')));
    };
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(plain) {
        return Err("a bucket's name is 3 to 63 of a-z, 0-9, - and .; write s3://BUCKET/PREFIX".to_owned());
    }
    let prefix = prefix.trim_end_matches('/');
    // Characters that need no quoting: tools write others in URLs in different ways.
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.=+@,".contains(c);
    let part = |part: &str| !part.is_empty() && part != "." && part != ".." && part.chars().all(allowed);
    if !prefix.is_empty() && !prefix.split('/').all(part) {
        return Err("its prefix must be made of letters, digits and -_.=+@, between single slashes".to_owned());
    }
    Ok(LocationSpec::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
}

impl fmt::Display for LocationSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LocationSpec::Folder(path) => path.display().fmt(f),
            LocationSpec::Bucket { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            LocationSpec::Bucket { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<LocationSpec, String> {
        LocationSpec::parse(text, Path::new("/base"), "[tables] url")
    }

    #[test]
    fn folders_and_buckets_are_distinguished() {
        for (text, shown) in [
            ("data", "/base/data"),
            ("/data", "/data"),
            ("s3://posts", "s3://posts"),
            ("s3://posts/", "s3://posts"),
            ("S3://posts", "s3://posts"),
            ("s3://my.posts-1/a/b_c=d/", "s3://my.posts-1/a/b_c=d"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn path_is_literal_and_file_url_is_decoded() {
        for (text, shown) in [
            ("a%41", "/base/a%41"),
            ("a%zz", "/base/a%zz"),
            ("a b", "/base/a b"),
            (r"a\b", r"/base/a\b"),
            ("a#1?x+y", "/base/a#1?x+y"),
            ("-x", "/base/-x"),
            ("a:b", "/base/a:b"),
            ("./s3:/bucket", "/base/./s3:/bucket"),
            ("été", "/base/été"),
            ("file:///data", "/data"),
            ("file:/data", "/data"),
            ("FILE:/data", "/data"),
            ("file://localhost/data", "/data"),
            ("file:///My%20Data/%C3%A9", "/My Data/é"),
            ("file:/a%2541", "/a%41"),
            ("file:/a+b", "/a+b"),
        ] {
            assert_eq!(parse(text).unwrap(), LocationSpec::Folder(shown.into()), "{text}");
        }
    }

    #[test]
    fn invalid_location_is_refused_with_its_key_and_the_correct_form() {
        let long = "x".repeat(256);
        for (text, form) in [
            ("", "s3://BUCKET/PREFIX"),
            (" ", "spaces"),
            (" s3://posts", "spaces"),
            ("gs://posts", "s3://BUCKET/PREFIX"),
            ("gs:posts", "s3://BUCKET/PREFIX"),
            ("hdfs:/x", "name a folder of this machine"),
            ("hdfs://name:8020/x", "name a folder of this machine"),
            ("dbfs:/x", "/dbfs/x"),
            ("s3:/posts/x", "s3://posts/x"),
            ("s3:posts/x", "s3://posts/x"),
            ("s3a://posts/x", "s3://posts/x"),
            ("lake:/x", "./lake:/x"),
            (r"C:\data", r"./C:\data"),
            ("C:/data", "./C:/data"),
            ("file://host/x", "file:///FOLDER"),
            ("file://x", "file:///FOLDER"),
            ("file:x", "file:///FOLDER"),
            ("file:", "file:///FOLDER"),
            ("file:///a?b", "%3F"),
            ("file:///a#b", "%23"),
            ("file:///a%4", "%25"),
            ("file:///a%00", "control characters"),
            ("file:///a%FF", "not UTF-8"),
            ("a\nb", "control characters"),
            ("~/data", "./~/data"),
            (&long, "shorter"),
            ("s3://", "s3://BUCKET/PREFIX"),
            ("s3://ab", "s3://BUCKET/PREFIX"),
            ("s3://Posts", "s3://BUCKET/PREFIX"),
            ("s3://posts//x", "between single slashes"),
            ("s3://posts/a/../b", "between single slashes"),
            ("s3://posts/a b", "letters, digits"),
            ("s3://posts/a%41", "letters, digits"),
            (r"s3://posts/a\b", "letters, digits"),
            ("s3://posts/é", "letters, digits"),
            ("s3://posts/a#b", "letters, digits"),
            ("s3://posts/a?b", "letters, digits"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains("[tables] url") && error.contains(form), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn parsing_any_text_does_not_panic(text in "\\PC{0,20}") {
            let _ = parse(&text);
        }

        #[test]
        fn percent_encoded_file_url_is_decoded(name in "[^\u{0}-\u{1f}\u{7f}]{1,20}") {
            prop_assume!(!name.starts_with('/'));
            let path = format!("/{name}");
            let encoded: String = path.bytes().map(|byte| if byte == b'/' { "/".to_owned() } else { format!("%{byte:02X}") }).collect();
            prop_assert_eq!(parse(&format!("file:{encoded}")).unwrap(), LocationSpec::Folder(path.into()));
        }
    }
}
