//! Certificates for brokers and clients: valid ones, and others with one defect each.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

/// A certificate authority and the certificates that it signed, as PEM files in a folder.
pub struct TestCertificates {
    folder: PathBuf,
}

impl TestCertificates {
    /// Creates all certificates.
    pub fn make(folder: &Path) -> TestCertificates {
        std::fs::create_dir_all(folder).unwrap();
        let made = TestCertificates { folder: folder.to_owned() };
        let mut authority = certificate_params("pinflow tests", vec![]);
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        std::fs::write(made.authority(), authority.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = Issuer::new(authority, key);

        let ours = || vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        made.sign("good", certificate_params("broker", ours()), &issuer);
        made.sign("wrong_host", certificate_params("broker", vec!["elsewhere.example".to_owned()]), &issuer);
        let mut expired = certificate_params("broker", ours());
        (expired.not_before, expired.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        made.sign("expired", expired, &issuer);
        made.sign("client", certificate_params("posts", vec![]), &issuer);

        let key = KeyPair::generate().unwrap();
        let certificate = certificate_params("broker", ours()).self_signed(&key).unwrap().pem();
        made.write("self_signed", &certificate, &key);
        made
    }

    fn sign(&self, name: &str, mut params: CertificateParams, issuer: &Issuer<'_, KeyPair>) {
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, issuer).unwrap().pem();
        self.write(name, &certificate, &key);
    }

    /// Writes a certificate, its key, and both in one file, as brokers read them (KIP-651).
    fn write(&self, name: &str, certificate: &str, key: &KeyPair) {
        let key = key.serialize_pem();
        std::fs::write(self.certificate(name), certificate).unwrap();
        std::fs::write(self.key(name), &key).unwrap();
        std::fs::set_permissions(self.key(name), std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(self.store(name), key + certificate).unwrap();
    }

    /// The authority that clients trust.
    pub fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The certificate of this name: `good`, `wrong_host`, `expired`, `client` or `self_signed`.
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.pem"))
    }

    /// The private key of that certificate.
    pub fn key(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.key"))
    }

    /// Key and certificate in one file, as brokers read them.
    pub fn store(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.store.pem"))
    }
}

fn certificate_params(name: &str, hosts: Vec<String>) -> CertificateParams {
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
