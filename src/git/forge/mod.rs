//! Forges: where people decide about a pull or merge request.
//!
//! One file for each kind says what is asked and how an answer is read, from the forges' own
//! documentation; [`client`] alone sends something. Knows a repository and its credential, neither
//! Reverts nor the cluster. Must not decide what is to be opened or closed.

mod address;
mod ask;
mod client;
mod dialect;
mod gitea;
mod github;
mod gitlab;

use serde_json::Value;

pub(super) use ask::{Draft, ForgeError, Request, State};

use super::credentials::{self, CredentialSource};
use super::redact::Redactor;
use super::source::Remote;
use ask::{Ask, Place};
use client::Client;
use dialect::Dialect;

/// The name under which commits are marked.
const CONTEXT: &str = "tidegate";

/// A repository on its forge.
pub(super) struct Forge {
    place: Place,
    dialect: &'static dyn Dialect,
    client: Client,
}

impl Forge {
    /// The forge of a repository, as its credential says. `None` where there is no token, or nothing
    /// says what kind of forge it is.
    ///
    /// # Errors
    /// [`ForgeError`] when what the credential says cannot be meant.
    pub fn of(
        remote: &Remote,
        source: Option<&CredentialSource>,
    ) -> Result<Option<Forge>, ForgeError> {
        let Some(source) = source else {
            return Ok(None);
        };
        let Some(credential) = credentials::find(source, remote)? else {
            return Ok(None);
        };
        let Some(token) = &credential.password else {
            return Ok(None);
        };
        let kind = credential.forge.as_deref().map(credentials::line);
        let api = credential.api_url.as_deref().map(credentials::line);
        let (kind, api) = (kind.transpose()?, api.transpose()?);
        let found = address::place(remote, kind.as_deref(), api.as_deref())?;
        let Some((kind, place)) = found else {
            return Ok(None);
        };
        let token = credentials::line(token)?;
        let mut redactor = Redactor::default();
        credential.teach(&mut redactor)?;
        let ca = credential.ca.as_deref().map(credentials::read);
        let ca = ca.transpose()?;
        let dialect = kind.dialect();
        let client = Client::new(
            &place.api,
            ca.as_deref().map(str::as_bytes),
            dialect.headers(),
            dialect.login(&token),
            redactor,
        )?;
        Ok(Some(Forge {
            place,
            dialect,
            client,
        }))
    }

    /// The request from one branch to another: one that is open, else the newest.
    ///
    /// # Errors
    /// [`ForgeError`]
    pub async fn find(&self, head: &str, base: &str) -> Result<Option<Request>, ForgeError> {
        let ask = self.dialect.find(&self.place, head, base);
        let answer = match self.client.ask(&ask).await {
            Err(ForgeError::NotFound(_)) if self.dialect.absent_is_not_found() => return Ok(None),
            answer => answer?,
        };
        let all = self.dialect.read_all(&answer);
        let open = all.iter().find(|request| request.state == State::Open);
        let newest = all.iter().max_by_key(|request| request.number);
        Ok(open.or(newest).cloned())
    }

    /// Reads a request.
    ///
    /// # Errors
    /// [`ForgeError`]
    pub async fn get(&self, number: i64) -> Result<Request, ForgeError> {
        let ask = self.dialect.get(&self.place, number);
        self.read(&self.client.ask(&ask).await?)
    }

    /// Opens a request, or finds the one that is there; and whether it is a new one.
    ///
    /// # Errors
    /// [`ForgeError`]
    pub async fn open(&self, draft: &Draft<'_>) -> Result<(Request, bool), ForgeError> {
        let ask = self.dialect.create(&self.place, draft);
        match self.client.ask(&ask).await {
            Ok(answer) => Ok((self.read(&answer)?, true)),
            Err(ForgeError::Exists(words)) => match self.find(draft.head, draft.base).await? {
                Some(request) => Ok((request, false)),
                None => Err(ForgeError::Exists(words)),
            },
            Err(error) => Err(error),
        }
    }

    /// Labels a new request.
    ///
    /// # Errors
    /// [`ForgeError`]
    pub async fn label(&self, request: &Request, labels: &[String]) -> Result<(), ForgeError> {
        if labels.is_empty() {
            return Ok(());
        }
        let ask = self.dialect.label(&self.place, request.number, labels);
        self.send(ask).await
    }

    /// Lets the forge merge a request once its own rules allow it.
    ///
    /// # Errors
    /// [`ForgeError`]
    pub async fn merge_later(&self, request: &Request) -> Result<(), ForgeError> {
        self.send(self.dialect.merge_later(&self.place, request))
            .await
    }

    /// Closes a request.
    ///
    /// # Errors
    /// [`ForgeError`]
    pub async fn close(&self, number: i64) -> Result<(), ForgeError> {
        self.send(Some(self.dialect.close(&self.place, number)))
            .await
    }

    /// Says something below a request.
    ///
    /// # Errors
    /// [`ForgeError`]
    pub async fn comment(&self, number: i64, words: &str) -> Result<(), ForgeError> {
        self.send(Some(self.dialect.comment(&self.place, number, words)))
            .await
    }

    /// Marks a commit as one that failed.
    ///
    /// # Errors
    /// [`ForgeError`]
    pub async fn mark(
        &self,
        commit: &str,
        words: &str,
        link: Option<&str>,
    ) -> Result<(), ForgeError> {
        self.send(Some(self.dialect.mark(&self.place, commit, words, link)))
            .await
    }

    /// The merged request that brought a commit, if there is one.
    ///
    /// # Errors
    /// [`ForgeError`]
    pub async fn origin(&self, commit: &str) -> Result<Option<Request>, ForgeError> {
        let answer = match self
            .client
            .ask(&self.dialect.origin(&self.place, commit))
            .await
        {
            Err(ForgeError::NotFound(_)) => return Ok(None),
            answer => answer?,
        };
        let all = self.dialect.read_all(&answer);
        Ok(all
            .into_iter()
            .find(|request| matches!(request.state, State::Merged(_))))
    }

    fn read(&self, answer: &Value) -> Result<Request, ForgeError> {
        let read = self.dialect.read(answer);
        read.ok_or_else(|| {
            ForgeError::Other("an answer that is no request; is apiURL that of its API?".to_owned())
        })
    }

    async fn send(&self, ask: Option<Ask>) -> Result<(), ForgeError> {
        let Some(ask) = ask else {
            return Ok(());
        };
        let answer = self.client.ask(&ask).await?;
        // GraphQL answers 200 in any case.
        match ask::words(&answer).as_str() {
            words if answer.get("errors").is_some() => Err(ForgeError::Other(words.to_owned())),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
