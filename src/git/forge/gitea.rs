//! The API of Gitea and of Forgejo, version 1 (docs.gitea.com/api). Pure.

use serde_json::{Value, json};

use super::ask::{Ask, Draft, Method, Place, Request, State, text};
use super::dialect::Dialect;
use crate::git::redact::percent_encoded as escaped;

/// Gitea, and Forgejo.
pub struct Gitea;

fn repository(place: &Place, rest: &str) -> String {
    let (owner, name) = (escaped(&place.owner), escaped(&place.name));
    format!("{}/repos/{owner}/{name}{rest}", place.api)
}

impl Dialect for Gitea {
    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[("accept", "application/json")]
    }

    fn login(&self, token: &str) -> (&'static str, String) {
        ("authorization", format!("token {token}"))
    }

    fn find(&self, place: &Place, head: &str, base: &str) -> Ask {
        // One request or 404; the rest of the path is the branch, slashes and all.
        let head: Vec<String> = head.split('/').map(escaped).collect();
        let (base, head) = (escaped(base), head.join("/"));
        Ask::get(repository(place, &format!("/pulls/{base}/{head}")))
    }

    fn absent_is_not_found(&self) -> bool {
        true
    }

    fn get(&self, place: &Place, number: i64) -> Ask {
        Ask::get(repository(place, &format!("/pulls/{number}")))
    }

    fn create(&self, place: &Place, draft: &Draft<'_>) -> Ask {
        let body = json!({
            "title": draft.title, "body": draft.body, "head": draft.head, "base": draft.base,
        });
        Ask::send(Method::Post, repository(place, "/pulls"), body)
    }

    fn label(&self, place: &Place, number: i64, labels: &[String]) -> Option<Ask> {
        let url = repository(place, &format!("/issues/{number}/labels"));
        Some(Ask::send(Method::Post, url, json!({"labels": labels})))
    }

    fn merge_later(&self, place: &Place, request: &Request) -> Option<Ask> {
        let url = repository(place, &format!("/pulls/{}/merge", request.number));
        let body = json!({
            "Do": "merge", "merge_when_checks_succeed": true, "head_commit_id": request.commit,
        });
        Some(Ask::send(Method::Post, url, body))
    }

    fn close(&self, place: &Place, number: i64) -> Ask {
        let url = repository(place, &format!("/pulls/{number}"));
        Ask::send(Method::Patch, url, json!({"state": "closed"}))
    }

    fn comment(&self, place: &Place, number: i64, words: &str) -> Ask {
        let url = repository(place, &format!("/issues/{number}/comments"));
        Ask::send(Method::Post, url, json!({"body": words}))
    }

    fn mark(&self, place: &Place, commit: &str, words: &str, link: Option<&str>) -> Ask {
        let url = repository(place, &format!("/statuses/{}", escaped(commit)));
        let body = json!({
            "state": "failure", "context": super::CONTEXT, "description": words,
            "target_url": link.unwrap_or_default(),
        });
        Ask::send(Method::Post, url, body)
    }

    fn origin(&self, place: &Place, commit: &str) -> Ask {
        Ask::get(repository(
            place,
            &format!("/commits/{}/pull", escaped(commit)),
        ))
    }

    fn read(&self, value: &Value) -> Option<Request> {
        let merged = value.get("merged").and_then(Value::as_bool) == Some(true);
        let state = match text(value, &["state"])?.as_str() {
            _ if merged => State::Merged(text(value, &["merge_commit_sha"])),
            "open" => State::Open,
            "closed" => State::Closed,
            _ => return None,
        };
        Some(Request {
            commit: text(value, &["head", "sha"]),
            ..Request::read(value, "number", "html_url", state)?
        })
    }
}
