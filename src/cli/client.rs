//! The way to the cluster: kubeconfig, connection, and what an API error means to the person who
//! typed the command.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Api, Client, Config, ResourceExt};

use super::args::{Global, check_name};
use super::error::CliError;
use crate::api::analysis::AnalysisRun;
use crate::api::revert::Revert;
use crate::api::rollout::Rollout;

/// How long the connection itself may take: a server that is up accepts within a second or two.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest name that is written into a command's annotation; the value has at most 512 bytes.
const WHO_MAX: usize = 128;
/// How many similar names are shown.
const SIMILAR_MAX: usize = 5;
/// How many names are looked through for similar ones: enough for any namespace, one request.
const NAMES_MAX: u32 = 500;

/// `rollouts.tidegate.io`
pub const ROLLOUTS: &str = "rollouts.tidegate.io";

/// A client, and who uses it where.
#[derive(Clone)]
pub struct Session {
    /// The connection.
    pub client: Client,
    /// Where the Rollout is.
    pub namespace: String,
    /// Who asks, as it is written into commands.
    pub who: String,
    /// `context prod`, for messages.
    pub context: String,
    /// Address of the API server, for messages; may be empty.
    pub server: String,
    /// How long one request may take; zero: as long as it likes.
    pub request_timeout: Duration,
}

/// What is asked of the API, for the message when it says no.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `get`, `list`, `watch`, `patch`.
    pub verb: &'static str,
    /// `plural.group`.
    pub resource: &'static str,
    /// The namespace; empty: the whole cluster.
    pub namespace: String,
}

impl Asked {
    /// `in namespace shop`, or `in the whole cluster`.
    #[must_use]
    pub fn place(&self) -> String {
        if self.namespace.is_empty() {
            "in the whole cluster".to_owned()
        } else {
            format!("in namespace {}", self.namespace)
        }
    }

    /// `-n shop`, or `-A`.
    #[must_use]
    pub fn flag(&self) -> String {
        if self.namespace.is_empty() {
            "-A".to_owned()
        } else {
            format!("-n {}", self.namespace)
        }
    }
}

impl Session {
    /// A session over an existing client.
    #[must_use]
    pub fn new(client: Client, namespace: &str, who: &str) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
            who: sanitise(who),
            context: "this client".to_owned(),
            server: String::new(),
            request_timeout: Duration::from_secs(30),
        }
    }

    /// Reads the kubeconfig (or the pod's ServiceAccount) and prepares a client. Asks nothing yet.
    ///
    /// # Errors
    /// No kubeconfig, a wrong context, or one that cannot be used.
    pub async fn connect(global: &Global) -> Result<Self, CliError> {
        let (mut config, who, context) = match kubeconfig(global)? {
            Some(kubeconfig) => from_kubeconfig(kubeconfig, global).await?,
            None => {
                let config = Config::incluster().map_err(|e| CliError::NoKubeconfig {
                    looked: looked_at(),
                    inside: e.to_string(),
                })?;
                (config, "in-cluster".to_owned(), "in the cluster".to_owned())
            }
        };
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        let namespace = global
            .namespace
            .clone()
            .unwrap_or_else(|| config.default_namespace.clone());
        check_name("the namespace", &namespace).map_err(CliError::Usage)?;
        let server = config.cluster_url.to_string();
        let client = Client::try_from(config).map_err(|e| CliError::Kubeconfig(e.to_string()))?;
        Ok(Self {
            client,
            namespace,
            who: sanitise(&who),
            context,
            server,
            request_timeout: global.request_timeout,
        })
    }

    /// The namespace's Rollouts.
    #[must_use]
    pub fn rollouts(&self) -> Api<Rollout> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The namespace's AnalysisRuns.
    #[must_use]
    pub fn runs(&self) -> Api<AnalysisRun> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The namespace's Reverts.
    #[must_use]
    pub fn reverts(&self) -> Api<Revert> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// What is asked, in the session's namespace.
    #[must_use]
    pub fn asked(&self, verb: &'static str, resource: &'static str) -> Asked {
        Asked {
            verb,
            resource,
            namespace: self.namespace.clone(),
        }
    }

    /// Carries a request out within the request timeout.
    ///
    /// # Errors
    /// What the API error means, see [`Session::explain`].
    pub async fn ask<T>(
        &self,
        asked: &Asked,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, CliError> {
        let answer = if self.request_timeout.is_zero() {
            request.await
        } else {
            let limit = self.request_timeout;
            tokio::time::timeout(limit, request)
                .await
                .map_err(|_| CliError::Unreachable {
                    server: self.server.clone(),
                    context: self.context.clone(),
                    problem: format!("no answer within {limit:?} (--request-timeout)"),
                })?
        };
        answer.map_err(|e| self.explain(asked, &e))
    }

    /// The Rollout of this name.
    ///
    /// # Errors
    /// Among others: not found, with similar names and other namespaces.
    pub async fn rollout(&self, name: &str) -> Result<Rollout, CliError> {
        let asked = self.asked("get", ROLLOUTS);
        match self.ask(&asked, self.rollouts().get(name)).await {
            Err(CliError::NotFound {
                namespace, context, ..
            }) => {
                let hint = self.similar(name).await;
                Err(CliError::NotFound {
                    name: name.to_owned(),
                    namespace,
                    context,
                    hint,
                })
            }
            other => other,
        }
    }

    /// What an API error means: to whom, where, and what to do.
    #[must_use]
    pub fn explain(&self, asked: &Asked, error: &kube::Error) -> CliError {
        let (who, context) = (self.who.clone(), self.context.clone());
        let kube::Error::Api(status) = error else {
            return match error {
                kube::Error::SerdeError(e) => CliError::Unreadable {
                    resource: asked.resource,
                    problem: e.to_string(),
                },
                kube::Error::Auth(e) => CliError::Unauthorized {
                    who,
                    context,
                    problem: chain(e),
                },
                other => CliError::Unreachable {
                    server: self.server.clone(),
                    context,
                    problem: match other {
                        kube::Error::Service(e) => chain(e.as_ref()),
                        kube::Error::HyperError(e) => chain(e),
                        other => chain(other),
                    },
                },
            };
        };
        let problem = said(status);
        let asked = Box::new(asked.clone());
        match status.code {
            401 => CliError::Unauthorized {
                who,
                context,
                problem,
            },
            403 => CliError::Forbidden {
                who,
                context,
                asked,
                problem,
            },
            // About an object the server names it; about a kind it does not know it cannot.
            404 => match status
                .details
                .as_ref()
                .map(|d| d.name.clone())
                .filter(|n| !n.is_empty())
            {
                Some(name) => CliError::NotFound {
                    name,
                    namespace: asked.namespace.clone(),
                    context,
                    hint: String::new(),
                },
                None => CliError::NotInstalled {
                    resource: asked.resource,
                    context,
                },
            },
            _ => CliError::Api {
                asked,
                context,
                problem,
            },
        }
    }

    /// What else could have been meant. Best effort: whoever may not list gets no hint.
    async fn similar(&self, name: &str) -> String {
        let here = self.names(&self.rollouts(), &ListParams::default()).await;
        if let Some(here) = &here {
            let near = nearest(name, here.iter().map(|(_, name)| name.as_str()));
            if !near.is_empty() {
                return format!("Did you mean {}?", near.join(", "));
            }
        }
        let everywhere = Api::<Rollout>::all(self.client.clone());
        let same_name = ListParams::default().fields(&format!("metadata.name={name}"));
        let elsewhere = self
            .names(&everywhere, &same_name)
            .await
            .unwrap_or_default();
        let namespaces: Vec<&str> = elsewhere
            .iter()
            .map(|(ns, _)| ns.as_str())
            .take(SIMILAR_MAX)
            .collect();
        if !namespaces.is_empty() {
            return format!(
                "There is one in namespace {}: add -n {}",
                namespaces.join(", "),
                namespaces.first().copied().unwrap_or_default()
            );
        }
        match here {
            Some(here) if here.is_empty() => {
                "That namespace has no Rollouts; another one is given by -n".to_owned()
            }
            _ => "`kubectl get rollouts.tidegate.io -A` lists them all".to_owned(),
        }
    }

    /// Namespaces and names, if they may be listed.
    async fn names(
        &self,
        api: &Api<Rollout>,
        params: &ListParams,
    ) -> Option<Vec<(String, String)>> {
        let params = params.clone().limit(NAMES_MAX);
        let asked = self.asked("list", ROLLOUTS);
        let list = self.ask(&asked, api.list_metadata(&params)).await.ok()?;
        Some(
            list.items
                .iter()
                .map(|m| (m.namespace().unwrap_or_default(), m.name_any()))
                .collect(),
        )
    }
}

/// The kubeconfig that was asked for, or the usual one; none when there is no file at the usual place.
fn kubeconfig(global: &Global) -> Result<Option<Kubeconfig>, CliError> {
    if let Some(path) = &global.kubeconfig {
        return Kubeconfig::read_from(path)
            .map(Some)
            .map_err(|e| CliError::Kubeconfig(chain(&e)));
    }
    match Kubeconfig::read() {
        Ok(kubeconfig) => Ok(Some(kubeconfig)),
        Err(KubeconfigError::FindPath) => Ok(None),
        Err(KubeconfigError::ReadConfig(e, _)) if e.kind() == std::io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(e) => Err(CliError::Kubeconfig(chain(&e))),
    }
}

fn looked_at() -> String {
    match std::env::var("KUBECONFIG") {
        Ok(paths) if !paths.is_empty() => format!("KUBECONFIG={paths}"),
        _ => "~/.kube/config (KUBECONFIG is not set)".to_owned(),
    }
}

async fn from_kubeconfig(
    kubeconfig: Kubeconfig,
    global: &Global,
) -> Result<(Config, String, String), CliError> {
    let wanted = global
        .context
        .clone()
        .or_else(|| kubeconfig.current_context.clone().filter(|c| !c.is_empty()));
    let found = kubeconfig
        .contexts
        .iter()
        .find(|c| Some(&c.name) == wanted.as_ref())
        .map(|c| {
            (
                c.name.clone(),
                c.context.as_ref().and_then(|c| c.user.clone()),
            )
        });
    let Some((context, user)) = found else {
        let known = kubeconfig.contexts.iter().map(|c| c.name.clone()).collect();
        return Err(CliError::NoContext { wanted, known });
    };
    let who = user
        .filter(|u| !u.is_empty())
        .unwrap_or_else(|| context.clone());
    let options = KubeConfigOptions {
        context: Some(context.clone()),
        ..Default::default()
    };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|e| CliError::Kubeconfig(format!("context {context}: {}", chain(&e))))?;
    Ok((config, who, format!("context {context}")))
}

/// A user's name as one word of plain ASCII: it becomes part of an annotation's value, of events
/// and of commit messages.
fn sanitise(who: &str) -> String {
    let word: String = who
        .chars()
        .map(|c| if c.is_ascii_graphic() { c } else { '-' })
        .take(WHO_MAX)
        .collect();
    if word.chars().any(|c| c.is_ascii_alphanumeric()) {
        word
    } else {
        "somebody".to_owned()
    }
}

/// What the server said, in one piece.
fn said(status: &kube::core::Status) -> String {
    if status.message.is_empty() {
        format!("{} {}", status.code, status.reason)
    } else {
        status.message.trim().to_owned()
    }
}

/// An error with its causes, each said once: some errors repeat their cause in their own text.
fn chain(error: &(impl std::error::Error + ?Sized)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

/// The names closest to `name`, best first; none that is too far off.
fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Vec<&'n str> {
    // A third of the letters may be wrong; a name that contains the other is close, too.
    let limit = name.chars().count().max(3) / 3;
    let mut near: Vec<(usize, &str)> = names
        .filter_map(|other| {
            let distance = distance(name, other);
            let contained = name.len() >= 3 && (other.contains(name) || name.contains(other));
            (distance <= limit || contained).then_some((distance, other))
        })
        .collect();
    near.sort_unstable();
    near.into_iter()
        .map(|(_, name)| name)
        .take(SIMILAR_MAX)
        .collect()
}

/// Letters to change, add or leave out to come from one to the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        next.push(i + 1);
        for (cb, pair) in b.iter().zip(row.windows(2)) {
            let (diagonal, above) = match pair {
                [diagonal, above] => (*diagonal, *above),
                _ => (0, 0),
            };
            let left = next.last().copied().unwrap_or(0);
            let change = diagonal + usize::from(ca != *cb);
            next.push(change.min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

/// A problem that will not pass by waiting: no permission, no such kind, not a request at all.
#[must_use]
pub fn is_final(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => matches!(status.code, 400 | 401 | 403 | 404 | 405 | 422),
        kube::Error::SerdeError(_) | kube::Error::Auth(_) | kube::Error::BuildRequest(_) => true,
        _ => false,
    }
}

/// `rollout.tidegate.io/<name>`
pub fn full_name(name: impl Display) -> String {
    format!("rollout.tidegate.io/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_one_plain_word() {
        assert_eq!(sanitise("alice@example.com"), "alice@example.com");
        assert_eq!(
            sanitise("arn:aws:eks:eu:1:cluster/prod"),
            "arn:aws:eks:eu:1:cluster/prod"
        );
        assert_eq!(sanitise("Zoë Müller\n"), "Zo--M-ller-");
        assert_eq!(sanitise("\u{202e}"), "somebody");
        assert_eq!(sanitise(&"x".repeat(500)).len(), WHO_MAX);
    }

    #[test]
    fn names_that_could_have_been_meant() {
        let all = ["checkout", "checkout-eu", "cart", "payment"];
        let near = |name| nearest(name, all.into_iter());
        assert_eq!(near("chekout"), ["checkout"]);
        assert_eq!(near("checkout-us"), ["checkout-eu", "checkout"]);
        assert_eq!(near("pay"), ["payment"]);
        assert_eq!(near("carts"), ["cart"]);
        assert!(near("inventory").is_empty());
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
