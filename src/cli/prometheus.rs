//! Where a dry run gets its metrics from: a URL that was typed, or the MetricsProvider that the template
//! names, with the user's own rights. A provider's Secrets are read only if the user may.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service};
use kube::Api;

use super::args::Metrics;
use super::client::Session;
use super::error::CliError;
use super::service_proxy::{Behind, ServiceProxy};
use crate::api::metrics_provider::{
    AllowedNamespaces, Auth, Ca, MetricsProvider, MetricsProviderSpec,
};
use crate::metrics_source::{CaBundle, Endpoint, Login, Source};

/// The MetricsProvider of whoever names none.
const DEFAULT: &str = "default";
/// The environment's token for `--prometheus-url`.
const TOKEN: &str = "TIDEGATE_PROMETHEUS_TOKEN";
/// How long an answer of a Prometheus that was typed may take: people look at long stretches.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Largest file with a token.
const TOKEN_MAX: usize = 16 * 1024;
/// The way out that is always there.
const WAY_OUT: &str = "or give --prometheus-url";

/// A source, and what to say of it.
#[derive(Debug)]
pub struct Reached {
    /// The source.
    pub source: Source,
    /// Which it is.
    pub said: String,
    /// What a run in the cluster would meet that this one does not.
    pub notes: Vec<String>,
}

/// Finds the way.
///
/// # Errors
/// What lacks, by name.
pub async fn reach(
    session: Result<&Session, &CliError>,
    args: &Metrics,
    provider: Option<&str>,
) -> Result<Reached, CliError> {
    if let Some(url) = &args.prometheus_url {
        let endpoint = Endpoint {
            url: url.clone(),
            login: token(args)?.map(Login::Bearer),
            timeout: TIMEOUT,
            ..Endpoint::default()
        };
        let source =
            Source::new(endpoint).map_err(|e| CliError::Usage(format!("--prometheus-url: {e}")))?;
        return Ok(Reached {
            source,
            said: url.clone(),
            notes: Vec::new(),
        });
    }
    let session = session.map_err(|e| {
        CliError::Refused(format!(
            "where metrics come from is said by a MetricsProvider, but {e}; {WAY_OUT}"
        ))
    })?;
    let name = provider.unwrap_or(DEFAULT);
    let spec = read(session, name).await?;
    let notes = match &spec.allowed_namespaces {
        Some(allowed) => allows(session, name, allowed).await,
        None => Vec::new(),
    };
    let (source, said) = of_provider(session, name, &spec).await?;
    Ok(Reached {
        source,
        said,
        notes,
    })
}

/// The token that goes with `--prometheus-url`: from the file, or else from the environment. Never from
/// an argument, which everybody on the machine could read.
fn token(args: &Metrics) -> Result<Option<String>, CliError> {
    let Some(file) = &args.token_file else {
        return Ok(std::env::var(TOKEN).ok().filter(|t| !t.trim().is_empty()));
    };
    let shown = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|e| CliError::Refused(format!("--token-file {shown} cannot be read: {e}")))?;
    if text.trim().is_empty() || text.len() > TOKEN_MAX {
        return Err(CliError::Refused(format!(
            "--token-file {shown} holds no token: it is empty, or longer than {TOKEN_MAX} bytes"
        )));
    }
    Ok(Some(text))
}

async fn read(session: &Session, name: &str) -> Result<MetricsProviderSpec, CliError> {
    let api = Api::<MetricsProvider>::all(session.client.clone());
    let mut asked = session.asked("get", "metricsproviders.tidegate.io");
    asked.namespace = String::new();
    match session.ask(&asked, api.get(name)).await {
        Ok(provider) => Ok(provider.spec),
        Err(CliError::NotFound { context, .. }) => Err(CliError::Missing(format!(
            "there is no MetricsProvider {name:?} ({context}); `kubectl get metricsproviders` lists them, {WAY_OUT}"
        ))),
        Err(e @ CliError::Forbidden { .. }) => Err(CliError::Missing(format!("{e}; {WAY_OUT}"))),
        Err(e) => Err(e),
    }
}

/// What is to be said where the provider is not for the session's namespace.
async fn allows(session: &Session, name: &str, allowed: &AllowedNamespaces) -> Vec<String> {
    let namespace = &session.namespace;
    if allowed.names.iter().flatten().any(|n| n == namespace) {
        return Vec::new();
    }
    if let Some(wanted) = &allowed.match_labels {
        let api = Api::<Namespace>::all(session.client.clone());
        let mut asked = session.asked("get", "namespaces");
        asked.namespace = String::new();
        match session.ask(&asked, api.get(namespace)).await {
            Ok(found) => {
                let labels = found.metadata.labels.unwrap_or_default();
                if wanted.iter().all(|(k, v)| labels.get(k) == Some(v)) {
                    return Vec::new();
                }
            }
            Err(_) => {
                return vec![format!(
                    "whether MetricsProvider {name} is for namespace {namespace} cannot be told: its labels cannot be read"
                )];
            }
        }
    }
    vec![format!(
        "MetricsProvider {name} is not for namespace {namespace}: spec.allowedNamespaces leaves it out, so a run there would be held as ProviderNotAllowed"
    )]
}

async fn of_provider(
    session: &Session,
    name: &str,
    spec: &MetricsProviderSpec,
) -> Result<(Source, String), CliError> {
    let prometheus = &spec.prometheus;
    let headers: Vec<(String, String)> = prometheus
        .headers
        .iter()
        .map(|h| (h.name.clone(), h.value.clone()))
        .collect();
    let timeout = Duration::from_secs(spec.timeout_seconds.max(1).unsigned_abs().into());
    let concurrency = spec.max_concurrent_queries.max(1).unsigned_abs() as usize;
    if let Some(behind) = Behind::of(&prometheus.url)
        && is_service(session, &behind).await
    {
        if prometheus.auth.is_some() {
            return Err(CliError::Refused(format!(
                "MetricsProvider {name} logs in to its Prometheus, and the API server hands no login on to a Service. Open a way to it (kubectl port-forward -n {} service/{} 9090:{}), then give --prometheus-url http://localhost:9090 and the token in {TOKEN}",
                behind.namespace, behind.name, behind.port
            )));
        }
        let said = format!(
            "MetricsProvider {name}: Service {}/{} through the API server",
            behind.namespace, behind.name
        );
        let proxy = ServiceProxy::new(session.client.clone(), behind, headers, &session.who);
        let source = Source::relayed(Box::new(proxy), timeout, concurrency);
        return Ok((source, said));
    }
    let endpoint = Endpoint {
        url: prometheus.url.clone(),
        headers,
        login: match &prometheus.auth {
            Some(auth) => login(session, name, auth).await?,
            None => None,
        },
        ca: match &prometheus.ca {
            Some(ca) => Some(bundle(session, name, ca).await?),
            None => None,
        },
        timeout,
        concurrency,
    };
    let source = Source::new(endpoint)
        .map_err(|e| CliError::Refused(format!("MetricsProvider {name}: {e}; {WAY_OUT}")))?;
    Ok((
        source,
        format!("MetricsProvider {name}: {}", prometheus.url),
    ))
}

/// Whether the URL's Service is asked through the API server. A host of two labels may be any: then
/// there must be such a Service, as far as the user may see.
async fn is_service(session: &Session, behind: &Behind) -> bool {
    if behind.certain {
        return true;
    }
    let api = Api::<Service>::namespaced(session.client.clone(), &behind.namespace);
    let mut asked = session.asked("get", "services");
    asked.namespace.clone_from(&behind.namespace);
    let found = session.ask(&asked, api.get(&behind.name)).await;
    !matches!(
        found,
        Err(CliError::NotFound { .. } | CliError::NotInstalled { .. })
    )
}

async fn login(session: &Session, name: &str, auth: &Auth) -> Result<Option<Login>, CliError> {
    if let Some(bearer) = &auth.bearer {
        let r = &bearer.secret_ref;
        let secret = secret(session, name, &r.namespace, &r.name).await?;
        let token = line(&secret, name, &r.namespace, &r.name, &r.key)?;
        return Ok(Some(Login::Bearer(token)));
    }
    if let Some(basic) = &auth.basic {
        let r = &basic.secret_ref;
        let secret = secret(session, name, &r.namespace, &r.name).await?;
        let line = |key| line(&secret, name, &r.namespace, &r.name, key);
        return Ok(Some(Login::Basic {
            username: line("username")?,
            password: line("password")?,
        }));
    }
    Ok(None)
}

async fn bundle(session: &Session, name: &str, ca: &Ca) -> Result<CaBundle, CliError> {
    let (place, pem) = match (&ca.secret_ref, &ca.config_map_ref) {
        (Some(r), _) => {
            let secret = secret(session, name, &r.namespace, &r.name).await?;
            let place = format!("Secret {}/{}: key {:?}", r.namespace, r.name, r.key);
            let held = secret.data.unwrap_or_default().remove(&r.key);
            (place, held.map(|bytes| bytes.0))
        }
        (None, Some(r)) => {
            let place = format!("ConfigMap {}/{}: key {:?}", r.namespace, r.name, r.key);
            let api = Api::<ConfigMap>::namespaced(session.client.clone(), &r.namespace);
            let mut asked = session.asked("get", "configmaps");
            asked.namespace.clone_from(&r.namespace);
            let read = session.ask(&asked, api.get(&r.name)).await;
            let read = read.map_err(|e| unreadable(name, &place, &e))?;
            let held = read.data.unwrap_or_default().remove(&r.key);
            (place, held.map(String::into_bytes))
        }
        (None, None) => {
            return Err(CliError::Refused(format!(
                "MetricsProvider {name}: prometheus.ca: exactly one of secretRef and configMapRef"
            )));
        }
    };
    let pem = pem.ok_or_else(|| {
        CliError::Missing(format!(
            "MetricsProvider {name}: {place} is not there; {WAY_OUT}"
        ))
    })?;
    CaBundle::read(&pem)
        .map_err(|why| CliError::Refused(format!("MetricsProvider {name}: {place} {why}")))
}

async fn secret(
    session: &Session,
    provider: &str,
    namespace: &str,
    name: &str,
) -> Result<Secret, CliError> {
    let api = Api::<Secret>::namespaced(session.client.clone(), namespace);
    let mut asked = session.asked("get", "secrets");
    namespace.clone_into(&mut asked.namespace);
    let place = format!("Secret {namespace}/{name}");
    let read = session.ask(&asked, api.get(name)).await;
    read.map_err(|e| unreadable(provider, &place, &e))
}

fn unreadable(provider: &str, place: &str, error: &CliError) -> CliError {
    let why = match error {
        CliError::NotFound { .. } => "it does not exist".to_owned(),
        e => e.to_string(),
    };
    CliError::Missing(format!(
        "MetricsProvider {provider} needs {place}, which cannot be read: {why}; {WAY_OUT} and the token in {TOKEN}"
    ))
}

/// A text of one line. What is in it gets into no message.
fn line(
    secret: &Secret,
    provider: &str,
    namespace: &str,
    name: &str,
    key: &str,
) -> Result<String, CliError> {
    let held = secret.data.as_ref().and_then(|data| data.get(key));
    let text = held.and_then(|bytes| String::from_utf8(bytes.0.clone()).ok());
    let text = text.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
    text.ok_or_else(|| {
        CliError::Missing(format!(
            "MetricsProvider {provider} needs key {key:?} of Secret {namespace}/{name}, which is not there or no text; {WAY_OUT}"
        ))
    })
}
