//! A CA bundle: whose signature an endpoint's certificate must have, read from PEM.
//!
//! It is read once, where it comes in, so that what is wrong with it is said with its place and not
//! as a connection that fails.

use std::fmt;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Largest bundle: twice the public authorities of a Linux distribution, and half of what a Secret
/// or ConfigMap may hold.
const BYTES_MAX: usize = 512 * 1024;

/// Authorities, at least one.
#[derive(Clone, PartialEq, Eq)]
pub struct CaBundle(Vec<CertificateDer<'static>>);

impl fmt::Debug for CaBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaBundle({} certificates)", self.0.len())
    }
}

/// Why a text is no bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaError {
    /// Nobody's.
    #[error(
        "has no certificate in it; allowed is a PEM bundle, which begins with -----BEGIN CERTIFICATE-----"
    )]
    Empty,
    /// One of them cannot be read.
    #[error(
        "cannot be read at certificate {0}; `openssl x509 -noout -subject` shows whether it is whole, and allowed are X.509 certificates in PEM"
    )]
    Broken(usize),
    /// More than is taken in.
    #[error(
        "has {0} bytes, more than the {BYTES_MAX} that are read; leave out the authorities that this endpoint does not need"
    )]
    TooLarge(usize),
}

impl CaBundle {
    /// Reads a bundle. What stands between the certificates, and keys, are passed over.
    ///
    /// # Errors
    /// [`CaError`]: it is not read in part, because what is missing could be the one that is needed.
    pub fn read(pem: &[u8]) -> Result<Self, CaError> {
        if pem.len() > BYTES_MAX {
            return Err(CaError::TooLarge(pem.len()));
        }
        let mut found = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let broken = CaError::Broken(found.len() + 1);
            let certificate = certificate.map_err(|_| broken.clone())?;
            // PEM says nothing about what is in it.
            let mut store = RootCertStore::empty();
            store.add(certificate.clone()).map_err(|_| broken)?;
            found.push(certificate);
        }
        if found.is_empty() {
            return Err(CaError::Empty);
        }
        Ok(Self(found))
    }

    /// As the HTTP client takes them.
    pub(crate) fn certificates(&self) -> Result<Vec<reqwest::Certificate>, reqwest::Error> {
        self.0
            .iter()
            .map(|certificate| reqwest::Certificate::from_der(certificate))
            .collect()
    }
}
