//! A notice as a request, in the form that a receiver knows. Pure.

pub mod cloud_events;
pub mod slack;
pub mod template;
pub mod webhook;

use jiff::Timestamp;

use super::notice::Notice;

/// How a receiver wants to be told.
#[derive(Debug)]
pub(super) enum Format {
    /// A message for Slack's incoming webhooks, and for what speaks like them.
    Slack,
    /// A body of the user's, signed.
    Webhook(Box<webhook::Webhook>),
    /// CloudEvents 1.0.
    CloudEvents,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The media type of the body.
    pub content_type: String,
    /// More headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

impl Format {
    /// The request that tells `notice` at `now`.
    pub(super) fn request(&self, notice: &Notice, now: Timestamp) -> Request {
        match self {
            Self::Slack => slack::request(notice),
            Self::Webhook(webhook) => webhook.request(notice, now),
            Self::CloudEvents => cloud_events::request(notice),
        }
    }
}
