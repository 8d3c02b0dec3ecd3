//! Which metrics source an analysis may ask: the `MetricsProvider` that it names, or the default.
//!
//! The administrator says where metrics come from and who may ask; a template can only name it. A
//! provider that is not there, may not be used or has no readable Secret or CA is a fault of the source,
//! which holds the rollout and never judges it.

mod references;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize as _;
use tokio::time::Instant;

use super::caches::{Caches, Key};
use super::calls::Calls;
use super::object::{Kind, Object};
use super::reader::Labels;
use crate::analysis::run::Fault;
use crate::api::metrics_provider::{AllowedNamespaces, MetricsProviderSpec};
use crate::metrics_source::{Endpoint, Hosts, Source};
use references::References;

/// The MetricsProvider that is asked when none is named.
pub const DEFAULT: &str = "default";
/// A Secret, a ConfigMap, the labels of a namespace and what went wrong are read again after this time:
/// passwords and authorities are rotated, labels are set.
const READ_AGAIN: Duration = Duration::from_secs(60);
/// Namespaces whose labels are remembered.
const NAMESPACES_MAX: usize = 10_000;

/// The metrics sources of the administrator's.
pub struct Providers {
    caches: Arc<Caches>,
    references: References,
    /// From the command line: for who names none where there is no provider `default`.
    fallback: Option<Source>,
    /// Whether MetricsProviders can be read.
    cluster_wide: bool,
    /// Several providers may name the same host.
    hosts: Hosts,
    known: Mutex<BTreeMap<String, Known>>,
    labels: Mutex<BTreeMap<String, (Instant, Labels)>>,
}

#[derive(Clone)]
struct Known {
    uid: String,
    generation: Option<i64>,
    read_at: Instant,
    endpoint: Option<Endpoint>,
    source: Result<Source, Fault>,
}

impl Providers {
    /// What the caches and the command line say.
    #[must_use]
    pub fn new(
        caches: Arc<Caches>,
        calls: Calls,
        fallback: Option<Source>,
        cluster_wide: bool,
    ) -> Self {
        Self {
            caches,
            references: References::new(calls),
            hosts: fallback.as_ref().map(Source::hosts).unwrap_or_default(),
            fallback,
            cluster_wide,
            known: Mutex::default(),
            labels: Mutex::default(),
        }
    }

    /// The source that an analysis in `namespace` asks, by the provider's name or the default.
    ///
    /// # Errors
    /// A [`Fault`] that says what is missing and who can mend it.
    pub async fn source(&self, name: Option<&str>, namespace: &str) -> Result<Source, Fault> {
        if !self.cluster_wide {
            if let Some(name) = name {
                let message = format!(
                    "provider {name:?}: this Tidegate watches one namespace and reads no MetricsProviders; leave `provider` out to ask what --prometheus-url names"
                );
                return Err(fault("ProviderNotFound", message));
            }
            return self.fallback(None);
        }
        let provider = self
            .caches
            .get(Kind::MetricsProvider, "", name.unwrap_or(DEFAULT));
        let Some(provider) = provider else {
            return self.fallback(name);
        };
        let spec = spec(&provider)?;
        if let Some(allowed) = &spec.allowed_namespaces {
            self.allows(provider.name(), allowed, namespace).await?;
        }
        self.of(&provider, &spec).await
    }

    fn fallback(&self, name: Option<&str>) -> Result<Source, Fault> {
        match (name, &self.fallback) {
            (None | Some(DEFAULT), Some(source)) => Ok(source.clone()),
            (None, None) => Err(fault(
                "NoProvider",
                "no metrics source: make a MetricsProvider named `default`, or start the controller with --prometheus-url",
            )),
            (Some(name), _) => Err(fault(
                "ProviderNotFound",
                format!(
                    "there is no MetricsProvider {name:?}; `kubectl get metricsproviders` lists them"
                ),
            )),
        }
    }

    async fn allows(
        &self,
        provider: &str,
        allowed: &AllowedNamespaces,
        namespace: &str,
    ) -> Result<(), Fault> {
        let named = allowed.names.iter().flatten().any(|n| n == namespace);
        let labelled = match &allowed.match_labels {
            Some(wanted) if !named => {
                let labels = self.labels_of(namespace).await?;
                wanted.iter().all(|(k, v)| labels.get(k) == Some(v))
            }
            _ => false,
        };
        if named || labelled {
            return Ok(());
        }
        let message = format!(
            "MetricsProvider {provider} is not for namespace {namespace}: spec.allowedNamespaces leaves it out"
        );
        Err(fault("ProviderNotAllowed", message))
    }

    async fn labels_of(&self, namespace: &str) -> Result<Labels, Fault> {
        if let Some((at, labels)) = lock(&self.labels).get(namespace)
            && at.elapsed() < READ_AGAIN
        {
            return Ok(labels.clone());
        }
        let labels = self.references.labels(namespace).await?;
        let mut known = lock(&self.labels);
        if known.len() >= NAMESPACES_MAX {
            known.clear();
        }
        known.insert(namespace.to_owned(), (Instant::now(), labels.clone()));
        Ok(labels)
    }

    /// The source behind a provider, whoever may ask it.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn of_provider(&self, provider: &Object) -> Result<Source, Fault> {
        let spec = spec(provider)?;
        self.of(provider, &spec).await
    }

    async fn of(&self, provider: &Object, spec: &MetricsProviderSpec) -> Result<Source, Fault> {
        let known = lock(&self.known).get(provider.name()).cloned();
        let known =
            known.filter(|k| k.uid == provider.uid() && k.generation == provider.generation());
        let lasts = spec.prometheus.auth.is_none() && spec.prometheus.ca.is_none();
        if let Some(known) = &known
            && ((lasts && known.source.is_ok()) || known.read_at.elapsed() < READ_AGAIN)
        {
            return known.source.clone();
        }
        let endpoint = self.endpoint(spec).await;
        let source = match (&endpoint, known) {
            // The same as before: its connections stay open, and its limit counts on.
            (Ok(endpoint), Some(known)) if known.endpoint.as_ref() == Some(endpoint) => {
                known.source
            }
            (Ok(endpoint), _) => Source::among(endpoint.clone(), &self.hosts)
                .map_err(|error| fault("InvalidProvider", error.to_string())),
            (Err(fault), _) => Err(fault.clone()),
        };
        let known = Known {
            uid: provider.uid().to_owned(),
            generation: provider.generation(),
            read_at: Instant::now(),
            endpoint: endpoint.ok(),
            source: source.clone(),
        };
        lock(&self.known).insert(provider.name().to_owned(), known);
        source
    }

    async fn endpoint(&self, spec: &MetricsProviderSpec) -> Result<Endpoint, Fault> {
        let prometheus = &spec.prometheus;
        let auth = prometheus.auth.clone().unwrap_or_default();
        let ca = prometheus.ca.clone();
        let headers = prometheus.headers.iter();
        Ok(Endpoint {
            url: prometheus.url.clone(),
            headers: headers.map(|h| (h.name.clone(), h.value.clone())).collect(),
            login: self.references.login(auth).await?,
            ca: match ca {
                Some(ca) => Some(self.references.ca(ca).await?),
                None => None,
            },
            timeout: Duration::from_secs(spec.timeout_seconds.max(1).unsigned_abs().into()),
            concurrency: spec.max_concurrent_queries.max(1).unsigned_abs() as usize,
        })
    }

    /// Forgets the providers that are gone.
    pub fn keep(&self, present: &[Key]) {
        lock(&self.known).retain(|name, _| present.iter().any(|(_, n)| n == name));
    }
}

fn spec(provider: &Object) -> Result<MetricsProviderSpec, Fault> {
    let value = provider.value();
    let spec = value.get("spec").cloned().unwrap_or_default();
    MetricsProviderSpec::deserialize(spec).map_err(|error| {
        let message = format!("MetricsProvider {}: spec: {error}", provider.name());
        fault("InvalidProvider", message)
    })
}

fn fault(reason: &str, message: impl Into<String>) -> Fault {
    Fault {
        reason: reason.to_owned(),
        message: message.into(),
        retry_after: None,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
