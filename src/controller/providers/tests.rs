use k8s_openapi::api::core::v1::Secret;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};

use super::*;
use crate::api::crds;
use crate::controller::budget::Bucket;
use crate::sim::apiserver::{ApiServer, ApiServerConfig, Fault as ServerFault};

/// An authority of nobody's.
fn authority() -> String {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().pem()
}

fn secret(data: &[(&str, &[u8])]) -> Value {
    let data = data.iter().map(|(key, value)| {
        let value = k8s_openapi::ByteString(value.to_vec());
        ((*key).to_owned(), value)
    });
    let mut secret = Secret {
        data: Some(data.collect()),
        ..Secret::default()
    };
    secret.metadata.name = Some("authorities".to_owned());
    secret.metadata.namespace = Some("monitoring".to_owned());
    serde_json::to_value(secret).unwrap()
}

fn config_map(key: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "authorities", "namespace": "monitoring"}, "data": {key: value}})
}

/// A cluster with a provider of this `ca`.
struct Bench {
    server: ApiServer,
    providers: Providers,
}

impl Bench {
    fn new(ca: &Value) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = ApiServer::new(ApiServerConfig::default().with_crds(&crds())).unwrap();
        let spec = json!({"prometheus": {"url": "https://prometheus.test", "ca": ca}});
        let provider = json!({"apiVersion": "tidegate.io/v1alpha1", "kind": "MetricsProvider",
            "metadata": {"name": "main"}, "spec": spec});
        server.add(provider).unwrap();
        let caches = Arc::new(Caches::new(&[Kind::MetricsProvider], &[]));
        let stored = server
            .store()
            .get("metricsproviders.tidegate.io", "", "main");
        let stored = Object::new(stored.unwrap()).unwrap();
        caches.apply(Kind::MetricsProvider, Event::Apply(stored));
        let bucket = Arc::new(Bucket::new(1000.0, 1000));
        let calls = Calls::new(server.client("default"), bucket, Arc::default());
        let fallback = Endpoint {
            url: "http://prometheus.test:9090".to_owned(),
            ..Endpoint::default()
        };
        let fallback = Source::new(fallback).unwrap();
        let providers = Providers::new(caches, calls, Some(fallback), true);
        Self { server, providers }
    }

    fn a_minute_passes(&self) {
        for known in lock(&self.providers.known).values_mut() {
            known.read_at = known.read_at.checked_sub(READ_AGAIN).unwrap();
        }
    }

    async fn source(&self) -> Result<Source, Fault> {
        self.providers.source(Some("main"), "shop").await
    }
}

fn in_secret() -> Value {
    json!({"secretRef": {"namespace": "monitoring", "name": "authorities", "key": "ca.crt"}})
}

fn in_config_map() -> Value {
    json!({"configMapRef": {"namespace": "monitoring", "name": "authorities", "key": "ca.crt"}})
}

#[tokio::test]
async fn authorities_come_from_a_secret_or_a_config_map() {
    let authority = authority();
    let rows = [
        (in_secret(), secret(&[("ca.crt", authority.as_bytes())])),
        (in_config_map(), config_map("ca.crt", &authority)),
    ];
    for (ca, holder) in rows {
        let bench = Bench::new(&ca);
        bench.server.add(holder).unwrap();
        assert!(bench.source().await.is_ok(), "{ca}");
    }
}

#[tokio::test]
async fn authorities_that_cannot_be_read_are_named_and_nothing_is_asked() {
    let authority = authority();
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let half = &authority[..authority.len() / 2];
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let large = authority.repeat(1 + 512 * 1024 / authority.len());
    let second = format!("{authority}{nonsense}");
    let rows: [(Value, Option<Value>, &str); 11] = [
        (
            in_secret(),
            None,
            "Secret monitoring/authorities cannot be read: it does not exist",
        ),
        (
            in_config_map(),
            None,
            "ConfigMap monitoring/authorities cannot be read: it does not exist",
        ),
        (
            in_secret(),
            Some(secret(&[("tls.crt", authority.as_bytes())])),
            "key \"ca.crt\" is not there",
        ),
        (
            in_config_map(),
            Some(config_map("tls.crt", &authority)),
            "key \"ca.crt\" is not there",
        ),
        (
            in_secret(),
            Some(secret(&[("ca.crt", b"")])),
            "key \"ca.crt\" has no certificate in it",
        ),
        (
            in_config_map(),
            Some(config_map("ca.crt", "s3cret")),
            "has no certificate in it; allowed is a PEM bundle",
        ),
        (
            in_secret(),
            Some(secret(&[("ca.crt", key.as_bytes())])),
            "has no certificate in it",
        ),
        (
            in_secret(),
            Some(secret(&[("ca.crt", half.as_bytes())])),
            "certificate 1",
        ),
        (
            in_secret(),
            Some(secret(&[("ca.crt", nonsense.as_bytes())])),
            "certificate 1",
        ),
        (
            in_config_map(),
            Some(config_map("ca.crt", &second)),
            "certificate 2",
        ),
        (
            in_secret(),
            Some(secret(&[("ca.crt", large.as_bytes())])),
            "more than the 524288 that are read",
        ),
    ];
    for (ca, holder, words) in rows {
        let bench = Bench::new(&ca);
        if let Some(holder) = holder {
            bench.server.add(holder).unwrap();
        }
        let fault = bench.source().await.unwrap_err();
        assert_eq!(fault.reason, "CaUnreadable", "{fault:?}");
        let named = fault.message.starts_with("prometheus.ca: ");
        assert!(named && fault.message.contains(words), "{words}: {fault:?}");
        assert!(
            fault.message.contains("monitoring/authorities"),
            "{fault:?}"
        );
        assert!(!fault.message.contains("s3cret"), "{fault:?}");
    }
}

#[tokio::test]
async fn who_may_not_read_the_authorities_is_told_which_value_grants_it() {
    for (ca, value) in [
        (in_secret(), "metricsSecrets"),
        (in_config_map(), "metricsConfigMaps"),
    ] {
        let bench = Bench::new(&ca);
        bench
            .server
            .set_faults(Some(Arc::new(|_: &_| ServerFault::Fail(403, "Forbidden"))));
        let fault = bench.source().await.unwrap_err();
        assert_eq!(fault.reason, "CaUnreadable");
        let words = format!("the chart's value {value} grants it");
        assert!(fault.message.contains(&words), "{fault:?}");
    }
}

#[tokio::test]
async fn other_authorities_are_seen_as_another_password_is() {
    let bench = Bench::new(&in_config_map());
    let missing = bench.source().await.unwrap_err();
    bench
        .server
        .add(config_map("ca.crt", &authority()))
        .unwrap();
    // What went wrong is not asked for again at once: a thousand runs would.
    assert_eq!(bench.source().await.unwrap_err(), missing);
    bench.a_minute_passes();
    let first = bench.source().await.unwrap();
    bench.a_minute_passes();
    let same = bench.source().await.unwrap();
    assert!(first.is(&same), "its connections stay open");
    // cert-manager writes another one.
    let path = "/api/v1/namespaces/monitoring/configmaps/authorities?fieldManager=user";
    let request = http::Request::patch(path)
        .header("content-type", "application/merge-patch+json")
        .body(
            json!({"data": {"ca.crt": authority()}})
                .to_string()
                .into_bytes(),
        )
        .unwrap();
    let user = bench.server.client("default");
    user.request::<Value>(request).await.unwrap();
    assert!(first.is(&bench.source().await.unwrap()));
    bench.a_minute_passes();
    let other = bench.source().await.unwrap();
    assert!(!first.is(&other), "the new authorities are not asked with");
}

#[tokio::test]
async fn who_asks_the_same_host_counts_with_the_others() {
    let bench = Bench::new(&in_config_map());
    let holder = config_map("ca.crt", &authority());
    bench.server.add(holder).unwrap();
    let named = bench.source().await.unwrap();
    let fallback = bench.providers.source(None, "shop").await.unwrap();
    assert!(!named.is(&fallback) && named.counts_with(&fallback));
}
