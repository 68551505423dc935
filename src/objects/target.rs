//! What a configuration says of where files are to lie, before anything was reached.

use std::fmt;
use std::path::{Path, PathBuf};

/// A place, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A prefix of a bucket; empty for all of it.
    Bucket {
        /// The bucket's name.
        bucket: String,
        /// Where in it, without slashes at the ends.
        prefix: String,
    },
}

impl Target {
    /// Reads a path, `file:///…` or `s3://BUCKET/PREFIX`. `base` is what relative paths are relative to, `key` where the
    /// text stands, for people.
    ///
    /// # Errors
    /// What it cannot be, and the mend.
    pub fn parse(text: &str, base: &Path, key: &str) -> Result<Target, String> {
        let path = match text.split_once("://") {
            None => text,
            Some(("file", path)) => path,
            Some(("s3", rest)) => return bucket(rest).map_err(|what| format!("{key} `{text}`: {what}")),
            Some((scheme, _)) => {
                return Err(format!(
                    "`{scheme}://` is not supported for {key}; use a folder, file:///… or s3://BUCKET/PREFIX"
                ));
            }
        };
        if path.is_empty() {
            return Err(format!("{key} is empty; name a folder, or s3://BUCKET/PREFIX"));
        }
        Ok(Target::Folder(base.join(path)))
    }
}

fn bucket(rest: &str) -> Result<Target, String> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(plain) {
        return Err("a bucket's name is 3 to 63 of a-z, 0-9, - and .; write s3://BUCKET/PREFIX".to_owned());
    }
    let prefix = prefix.trim_end_matches('/');
    // What every tool can name, without quoting: other letters are written in several ways in URLs.
    let named = |c: char| c.is_ascii_alphanumeric() || "-_.=+@,".contains(c);
    let part = |part: &str| !part.is_empty() && part != "." && part != ".." && part.chars().all(named);
    if !prefix.is_empty() && !prefix.split('/').all(part) {
        return Err("its prefix must be made of letters, digits and -_.=+@, between single slashes".to_owned());
    }
    Ok(Target::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Folder(path) => path.display().fmt(f),
            Target::Bucket { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Target::Bucket { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Target, String> {
        Target::parse(text, Path::new("/base"), "[tables] url")
    }

    #[test]
    fn folders_and_buckets_are_told_apart() {
        for (text, shown) in [
            ("data", "/base/data"),
            ("/data", "/data"),
            ("file:///data", "/data"),
            ("s3://posts", "s3://posts"),
            ("s3://posts/", "s3://posts"),
            ("s3://my.posts-1/a/b_c=d/", "s3://my.posts-1/a/b_c=d"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_a_place_is_refused_with_its_key() {
        for text in
            ["", "gs://posts", "s3://", "s3://ab", "s3://Posts", "s3://posts//x", "s3://posts/a/../b", "s3://posts/a b"]
        {
            assert!(parse(text).unwrap_err().contains("[tables] url"), "{text}");
        }
    }
}
