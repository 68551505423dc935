//! Parses listen addresses from flags and configuration.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::Deserializer;
use serde::de::{Error, Visitor};

/// Parses `ADDRESS:PORT`, `localhost:PORT`, `:PORT` or `PORT`. Without an address it is 127.0.0.1. Host names other than
/// `localhost` are not resolved.
///
/// # Errors
/// A message with the problem and what to write instead.
pub fn parse_listen_address(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        return Err(format!("this is a URL; leave out {scheme}:// and write {}", rest.trim_end_matches('/')));
    }
    let bare: Result<IpAddr, _> = text.trim_matches(['[', ']']).parse();
    if let Ok(address) = bare {
        return Err(format!("the port is missing; write {}", SocketAddr::new(address, 7461)));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some(parts) => parts,
        None if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => ("", text),
        None if text == "localhost" => return Err("the port is missing; write localhost:7461".to_owned()),
        None => return Err(format!("{text:?} is not an address; write ADDRESS:PORT, as in 127.0.0.1:7461")),
    };
    let number = port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse::<u16>().ok()).flatten();
    let Some(number) = number else {
        return Err(format!("{port:?} is not a port; use a number from 0 (any free port) to 65535"));
    };
    if host.is_empty() || host.eq_ignore_ascii_case("localhost") {
        return Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), number));
    }
    Err(format!(
        "{host:?} is not an IP address; write 127.0.0.1:{number} for this machine only, or 0.0.0.0:{number} for all of its \
         addresses"
    ))
}

/// Deserialises a listen address. A port alone may be a number.
///
/// # Errors
/// As [`parse_listen_address`].
pub fn deserialize_listen_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    struct AddressVisitor;

    impl Visitor<'_> for AddressVisitor {
        type Value = SocketAddr;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an address and port, as in \"127.0.0.1:7461\"")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<SocketAddr, E> {
            parse_listen_address(text).map_err(E::custom)
        }

        fn visit_i64<E: Error>(self, port: i64) -> Result<SocketAddr, E> {
            parse_listen_address(&port.to_string()).map_err(E::custom)
        }

        fn visit_u64<E: Error>(self, port: u64) -> Result<SocketAddr, E> {
            parse_listen_address(&port.to_string()).map_err(E::custom)
        }
    }

    deserializer.deserialize_any(AddressVisitor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_address_with_or_without_host_is_parsed() {
        for (text, address) in [
            ("127.0.0.1:7461", "127.0.0.1:7461"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:7461", "[::1]:7461"),
            ("localhost:7461", "127.0.0.1:7461"),
            ("LOCALHOST:0", "127.0.0.1:0"),
            (":7461", "127.0.0.1:7461"),
            ("7461", "127.0.0.1:7461"),
            (" 7461 ", "127.0.0.1:7461"),
        ] {
            assert_eq!(parse_listen_address(text).map(|address| address.to_string()), Ok(address.to_owned()), "{text}");
        }
    }

    #[test]
    fn invalid_listen_address_error_says_what_to_write() {
        for (text, remedy) in [
            ("", "write ADDRESS:PORT"),
            ("localhost", "write localhost:7461"),
            ("127.0.0.1", "write 127.0.0.1:7461"),
            ("::1", "write [::1]:7461"),
            ("http://localhost:7461/", "write localhost:7461"),
            ("localhost:99999", "0 (any free port) to 65535"),
            ("99999", "0 (any free port) to 65535"),
            ("localhost:http", "\"http\" is not a port"),
            (":", "\"\" is not a port"),
            (":+1", "\"+1\" is not a port"),
            ("example.com:7461", "0.0.0.0:7461"),
            ("*:7461", "127.0.0.1:7461"),
            ("-1", "write ADDRESS:PORT"),
        ] {
            let error = parse_listen_address(text).expect_err(text);
            assert!(error.contains(remedy), "{text}: {error}");
        }
    }
}
