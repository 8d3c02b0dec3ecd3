//! What a `MetricsProvider` refers to, read live: keys of Secrets and ConfigMaps, labels of
//! namespaces. Nothing in here is remembered, and no value gets into a message.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Client;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::fault;
use crate::analysis::run::Fault;
use crate::api::metrics_provider::{Auth, Ca};
use crate::controller::calls::Calls;
use crate::controller::error::code;
use crate::controller::object::Kind;
use crate::controller::reader::Labels;
use crate::metrics_source::{CaBundle, Login};

/// The way to what is referred to.
pub(super) struct References {
    calls: Calls,
}

impl References {
    pub(super) fn new(calls: Calls) -> Self {
        Self { calls }
    }

    /// The credentials.
    pub(super) async fn login(&self, auth: Auth) -> Result<Option<Login>, Fault> {
        let unreadable = |message| fault("SecretUnreadable", message);
        let login = match (auth.bearer, auth.basic) {
            (Some(bearer), _) => {
                let r = bearer.secret_ref;
                let secret = Held::read(self, Kind::Secret, &r.namespace, &r.name).await;
                let token = secret.and_then(|secret| secret.line(&r.key));
                Some(Login::Bearer(token.map_err(unreadable)?))
            }
            (None, Some(basic)) => {
                let r = basic.secret_ref;
                let secret = Held::read(self, Kind::Secret, &r.namespace, &r.name).await;
                let secret = secret.map_err(unreadable)?;
                Some(Login::Basic {
                    username: secret.line("username").map_err(unreadable)?,
                    password: secret.line("password").map_err(unreadable)?,
                })
            }
            (None, None) => None,
        };
        Ok(login)
    }

    /// The authorities.
    pub(super) async fn ca(&self, ca: Ca) -> Result<CaBundle, Fault> {
        let (kind, namespace, name, key) = match (ca.secret_ref, ca.config_map_ref) {
            (Some(r), _) => (Kind::Secret, r.namespace, r.name, r.key),
            (None, Some(r)) => (Kind::ConfigMap, r.namespace, r.name, r.key),
            // Without a place nothing may be trusted, not even what is trusted without a `ca`.
            (None, None) => {
                let message = "prometheus.ca: exactly one of secretRef and configMapRef";
                return Err(fault("InvalidProvider", message));
            }
        };
        let unreadable = |message| fault("CaUnreadable", format!("prometheus.ca: {message}"));
        let held = Held::read(self, kind, &namespace, &name).await;
        let held = held.map_err(unreadable)?;
        let bytes = held.bytes(&key).map_err(unreadable)?;
        CaBundle::read(&bytes).map_err(|why| unreadable(held.says(&key, why)))
    }

    /// The labels of a namespace.
    pub(super) async fn labels(&self, namespace: &str) -> Result<Labels, Fault> {
        let read = self.read(Kind::Namespace, "", namespace).await;
        let value = read.map_err(|why| {
            let message = format!(
                "the labels of namespace {namespace} cannot be read for allowedNamespaces: {why}"
            );
            fault("NamespaceUnreadable", message)
        })?;
        let labels = value.pointer("/metadata/labels").cloned();
        Ok(labels
            .and_then(|labels| serde_json::from_value(labels).ok())
            .unwrap_or_default())
    }

    /// Reads an object; `Err` says why not, and what to do.
    async fn read(&self, kind: Kind, namespace: &str, name: &str) -> Result<Value, String> {
        let client: Client = self.calls.client();
        let api = kind.api(client, Some(namespace).filter(|n| !n.is_empty()));
        match self.calls.call("get", kind, name, api.get_opt(name)).await {
            Ok(Some(object)) => Ok(object.value().into_owned()),
            Ok(None) => Err("it does not exist".to_owned()),
            Err(error) if code(&error) == Some(403) => {
                let hint = match kind {
                    Kind::Secret => "; the chart's value metricsSecrets grants it",
                    Kind::ConfigMap => "; the chart's value metricsConfigMaps grants it",
                    _ => "",
                };
                Err(format!("the controller may not read it{hint}"))
            }
            Err(error) => Err(error.chain()),
        }
    }
}

/// A Secret or ConfigMap. What is wrong with a key of it is said with its name.
struct Held {
    kind: Kind,
    namespace: String,
    name: String,
    object: Value,
}

impl Held {
    async fn read(
        references: &References,
        kind: Kind,
        namespace: &str,
        name: &str,
    ) -> Result<Self, String> {
        let read = references.read(kind, namespace, name).await;
        let object =
            read.map_err(|why| format!("{kind} {namespace}/{name} cannot be read: {why}"))?;
        Ok(Self {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            object,
        })
    }

    fn says(&self, key: &str, why: impl std::fmt::Display) -> String {
        let (kind, namespace, name) = (self.kind, &self.namespace, &self.name);
        format!("{kind} {namespace}/{name}: key {key:?} {why}")
    }

    fn typed<T: DeserializeOwned>(&self, key: &str) -> Result<T, String> {
        serde_json::from_value(self.object.clone()).map_err(|_| self.says(key, "cannot be read"))
    }

    fn bytes(&self, key: &str) -> Result<Vec<u8>, String> {
        let bytes = if self.kind == Kind::ConfigMap {
            let held: ConfigMap = self.typed(key)?;
            held.data
                .unwrap_or_default()
                .remove(key)
                .map(String::into_bytes)
        } else {
            let held: Secret = self.typed(key)?;
            held.data.unwrap_or_default().remove(key).map(|b| b.0)
        };
        bytes.ok_or_else(|| self.says(key, "is not there"))
    }

    /// A text of one line, without the line break that editors leave at its end.
    fn line(&self, key: &str) -> Result<String, String> {
        let text =
            String::from_utf8(self.bytes(key)?).map_err(|_| self.says(key, "is not text"))?;
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err(self.says(key, "is empty"));
        }
        Ok(text.to_owned())
    }
}
