//! Errors as text: what failed, then each cause once.

use std::error::Error;

/// Messages of libraries that mean nothing without their cause. Omitted if a cause follows.
const EMPTY_WORDS: [&str; 12] = [
    "builder error",
    "client error (Connect)",
    "client error (SendRequest)",
    "connection error",
    "dispatch failure",
    "error decoding response body",
    "error reading a body from connection",
    "error sending request",
    "io error",
    "request or response body error",
    "service error",
    "tcp connect error",
];

/// An error and its causes in one line. A cause that is already contained in the text before it is omitted, and so are the
/// words of libraries that mean nothing if a cause follows.
#[must_use]
pub fn error_text(error: &(dyn Error + 'static)) -> String {
    let mut texts = vec![clean(&error.to_string())];
    let mut next = error.source();
    while let Some(cause) = next {
        texts.push(clean(&cause.to_string()));
        next = cause.source();
    }
    let mut line = String::new();
    for (at, text) in texts.iter().enumerate() {
        let is_last = at + 1 == texts.len();
        // The outermost text is ours unless a library's error comes alone.
        let is_empty = EMPTY_WORDS.iter().any(|words| text.starts_with(words)) && !text.contains(": ");
        if line.contains(text.as_str()) || (is_empty && !is_last) {
            continue;
        }
        if !line.is_empty() {
            line += ": ";
        }
        line += text;
    }
    line
}

/// A text without what terminals would show as several lines' ends.
fn clean(text: &str) -> String {
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct ErrorLayer(&'static str, Option<Box<ErrorLayer>>);

    impl fmt::Display for ErrorLayer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for ErrorLayer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as &(dyn Error + 'static))
        }
    }

    fn text(layers: &[&'static str]) -> String {
        let chain = layers.iter().rev().fold(None, |cause, text| Some(Box::new(ErrorLayer(text, cause))));
        chain.map(|layer| error_text(&*layer)).unwrap_or_default()
    }

    #[test]
    fn each_cause_is_said_once() {
        for (layers, line) in [
            (&["open data"][..], "open data"),
            (&["open data", "No such file (os error 2)"], "open data: No such file (os error 2)"),
            (&["open data: No such file", "No such file", "No such file"], "open data: No such file"),
            (
                &[
                    "reach http://a/",
                    "error sending request for url (http://a/)",
                    "client error (Connect)",
                    "tcp connect error",
                    "Connection refused (os error 111)",
                ],
                "reach http://a/: Connection refused (os error 111)",
            ),
            (&["builder error", "no process-level CryptoProvider"], "no process-level CryptoProvider"),
            (&["builder error"], "builder error"),
            (&["read the answer", "error decoding response body", "torn"], "read the answer: torn"),
        ] {
            assert_eq!(text(layers), line);
        }
    }
}
