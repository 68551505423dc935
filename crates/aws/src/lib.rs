//! What all AWS clients share: the credential chain, and the validation of region and endpoint.

use aws_config::{BehaviorVersion, ConfigLoader, Region};
use url::{Host, Url};

use pinflow_core::key_problem::KeyProblem;

/// The SDK's default chain, with the configured region and profile. Credentials are looked up at the first call.
pub fn config_loader(region: Option<&str>, profile: Option<&str>) -> ConfigLoader {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    match profile {
        Some(profile) => loader.profile_name(profile),
        None => loader,
    }
}

/// The problems of region and endpoint, each with its remedy.
pub fn validate_settings(region: Option<&str>, endpoint: Option<&str>) -> Vec<KeyProblem> {
    let mut problems = Vec::new();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if let Some(region) = region.filter(|region| region.is_empty() || !region.chars().all(plain)) {
        problems.push(KeyProblem::new("region", format!("{region:?} is not a region; write one like \"eu-west-1\"")));
    }
    problems.extend(
        endpoint.and_then(|endpoint| parse_endpoint(endpoint).err()).map(|what| KeyProblem::new("endpoint", what)),
    );
    problems
}

/// Parses an endpoint. The error has the problem and its remedy.
pub fn parse_endpoint(endpoint: &str) -> Result<Url, String> {
    let url = Url::parse(endpoint)
        .map_err(|error| format!("{endpoint:?} is not a URL ({error}); write https://HOST or http://HOST:PORT"))?;
    if !["http", "https"].contains(&url.scheme()) || !url.has_host() {
        return Err(format!("{endpoint:?} is not a URL; write https://HOST or http://HOST:PORT"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        // The text may hold a secret, so it is not repeated.
        return Err("the URL holds credentials; leave them out, they come from the AWS credential chain".to_owned());
    }
    Ok(url)
}

/// Whether data sent to an address leaves this machine unencrypted.
pub fn is_exposed(url: &Url) -> bool {
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "http" && !is_here
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_named() {
        assert!(validate_settings(None, None).is_empty());
        for endpoint in ["https://s3.eu-west-1.amazonaws.com", "http://localhost:4566", "http://[::1]:1/"] {
            assert!(validate_settings(Some("eu-west-1"), Some(endpoint)).is_empty(), "{endpoint}");
        }
        for endpoint in ["localhost:4566", "ftp://x", "minio", ""] {
            assert_eq!(validate_settings(None, Some(endpoint)).len(), 1, "{endpoint}");
        }
        assert_eq!(validate_settings(Some("Ireland!"), Some("")).len(), 2);
    }

    #[test]
    fn a_secret_in_an_address_is_refused_and_not_repeated() {
        let problems = validate_settings(None, Some("https://me:canary@example.com"));
        assert!(problems.len() == 1 && !problems[0].what.contains("canary"), "{problems:?}");
    }

    #[test]
    fn what_leaves_this_machine_unencrypted_is_open() {
        for (endpoint, open) in
            [("http://127.0.0.1:1", false), ("http://localhost:1", false), ("https://x", false), ("http://x", true)]
        {
            assert_eq!(parse_endpoint(endpoint).map(|url| is_exposed(&url)), Ok(open), "{endpoint}");
        }
    }
}
