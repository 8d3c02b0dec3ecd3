//! Whose certificate is believed: a real TLS server, and authorities of the test's own.

use std::net::SocketAddr;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::*;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        Self::with_key(name, KeyPair::generate().unwrap())
    }

    fn with_key(name: &str, key: KeyPair) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    fn bundle(&self) -> CaBundle {
        CaBundle::read(self.pem.as_bytes()).unwrap()
    }

    /// A server with a certificate for `host` that is good until the end of that year.
    async fn serves(&self, host: &str, year: i32) -> Server {
        install_tls();
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 12, 31);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let one = json!({"resultType": "vector", "result": [{"metric": {}, "value": [AT, "1"]}]});
        Server::start_on(Handshakes { listener, acceptor }, address, move |_| {
            Some(good(&one))
        })
    }
}

struct Handshakes {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for Handshakes {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, from)) = self.listener.accept().await else {
                continue;
            };
            // Who does not believe the certificate hangs up.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Whether a server is believed by who trusts this bundle.
async fn check(server: &Server, ca: Option<CaBundle>) -> Result<(), Fault> {
    let url = server.url().replace("http:", "https:");
    let source = Source::new(Endpoint {
        ca,
        ..endpoint(&url)
    });
    source.unwrap().check().await
}

#[tokio::test]
async fn a_certificate_of_the_named_authority_is_believed_and_no_other() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let server = ours.serves("127.0.0.1", 2999).await;
    assert_eq!(check(&server, Some(ours.bundle())).await, Ok(()));
    assert_eq!(server.seen().len(), 1);
    // The next authority is made known before the certificate is signed by it.
    let both = format!("# old\n{}\n# new\n{}", theirs.pem, ours.pem);
    let both = CaBundle::read(both.as_bytes()).unwrap();
    assert_eq!(format!("{both:?}"), "CaBundle(2 certificates)");
    assert_eq!(check(&server, Some(both)).await, Ok(()));

    let elsewhere = ours.serves("elsewhere.test", 2999).await;
    let expired = ours.serves("127.0.0.1", 1999).await;
    for (server, ca) in [
        (&server, None),
        (&server, Some(theirs.bundle())),
        (&elsewhere, Some(ours.bundle())),
        (&expired, Some(ours.bundle())),
    ] {
        let before = server.seen().len();
        let fault = check(server, ca).await.unwrap_err();
        let words = ["certificate is not valid for this host", "prometheus.ca"];
        check_fault(&fault, "Unreachable", &words);
        assert_eq!(server.seen().len(), before, "nothing is said to a stranger");
    }
}

/// Set in a process whose system knows no authorities, or only that of this file.
const WITH_SYSTEM: &str = "TIDEGATE_TEST_WITH_SYSTEM";

#[tokio::test]
async fn only_what_needs_the_systems_authorities_misses_them() {
    match std::env::var(WITH_SYSTEM).as_deref() {
        Ok("none") => return without_authorities().await,
        Ok(pem) => return beside_authorities(pem).await,
        Err(_) => {}
    }
    let test = "tls::only_what_needs_the_systems_authorities_misses_them";
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let mut none = again(test);
    none.env(WITH_SYSTEM, "none")
        .env("SSL_CERT_DIR", &empty)
        .env("SSL_CERT_FILE", empty.join("nothing.pem"));
    passes(none).await;

    // Its key goes along, so that it can sign there.
    let system = Authority::new("system");
    let file = folder.path().join("system.pem");
    std::fs::write(&file, &system.pem).unwrap();
    let mut one = again(test);
    one.env(WITH_SYSTEM, system.issuer.key().serialize_pem())
        .env("SSL_CERT_DIR", &empty)
        .env("SSL_CERT_FILE", &file);
    passes(one).await;
}

async fn without_authorities() {
    let one = json!({"resultType": "vector", "result": [{"metric": {}, "value": [AT, "1"]}]});
    let plain = Server::start(move |_| Some(good(&one))).await;
    assert_eq!(source(&plain.url()).check().await, Ok(()));
    let ours = Authority::new("ours");
    let server = ours.serves("127.0.0.1", 2999).await;
    assert_eq!(check(&server, Some(ours.bundle())).await, Ok(()));
    let error = Source::new(endpoint("https://prometheus.test:9090")).unwrap_err();
    let said = error.to_string();
    for word in [
        "\"https://prometheus.test:9090\"",
        "has no CA certificates",
        "prometheus.ca",
        "SSL_CERT_FILE",
    ] {
        assert!(said.contains(word), "{word:?} not in {said}");
    }
}

async fn beside_authorities(key: &str) {
    let system = Authority::with_key("system", KeyPair::from_pem(key).unwrap());
    let server = system.serves("127.0.0.1", 2999).await;
    assert_eq!(check(&server, None).await, Ok(()));
    // Who names an authority trusts no other, and be it the system's.
    let fault = check(&server, Some(Authority::new("ours").bundle())).await;
    check_fault(&fault.unwrap_err(), "Unreachable", &["certificate"]);
}
