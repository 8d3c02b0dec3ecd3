//! GitLab's REST API, version 4 (docs.gitlab.com/api). Pure.

use serde_json::{Value, json};

use super::ask::{Ask, Draft, Method, Place, Request, State, text};
use super::dialect::Dialect;
use crate::git::redact::percent_encoded as escaped;

/// GitLab.
pub struct GitLab;

/// A project is named by its whole path, as one part of the address.
fn project(place: &Place, rest: &str) -> String {
    format!("{}/projects/{}{rest}", place.api, escaped(&place.path))
}

impl Dialect for GitLab {
    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[("accept", "application/json")]
    }

    fn login(&self, token: &str) -> (&'static str, String) {
        ("private-token", token.to_owned())
    }

    fn find(&self, place: &Place, head: &str, base: &str) -> Ask {
        let (head, base) = (escaped(head), escaped(base));
        Ask::get(project(
            place,
            &format!(
                "/merge_requests?state=all&source_branch={head}&target_branch={base}&per_page=20"
            ),
        ))
    }

    fn get(&self, place: &Place, number: i64) -> Ask {
        Ask::get(project(place, &format!("/merge_requests/{number}")))
    }

    fn create(&self, place: &Place, draft: &Draft<'_>) -> Ask {
        let body = json!({
            "title": draft.title, "description": draft.body, "source_branch": draft.head,
            "target_branch": draft.base, "labels": draft.labels.join(","),
            "remove_source_branch": true,
        });
        Ask::send(Method::Post, project(place, "/merge_requests"), body)
    }

    fn label(&self, _: &Place, _: i64, _: &[String]) -> Option<Ask> {
        // They are given when it is made.
        None
    }

    fn merge_later(&self, place: &Place, request: &Request) -> Option<Ask> {
        let url = project(place, &format!("/merge_requests/{}/merge", request.number));
        // The second name is that of GitLab before 17.11.
        let body = json!({
            "auto_merge": true, "merge_when_pipeline_succeeds": true, "sha": request.commit,
        });
        Some(Ask::send(Method::Put, url, body))
    }

    fn close(&self, place: &Place, number: i64) -> Ask {
        let url = project(place, &format!("/merge_requests/{number}"));
        Ask::send(Method::Put, url, json!({"state_event": "close"}))
    }

    fn comment(&self, place: &Place, number: i64, words: &str) -> Ask {
        let url = project(place, &format!("/merge_requests/{number}/notes"));
        Ask::send(Method::Post, url, json!({"body": words}))
    }

    fn mark(&self, place: &Place, commit: &str, words: &str, link: Option<&str>) -> Ask {
        let url = project(place, &format!("/statuses/{}", escaped(commit)));
        let body = json!({
            "state": "failed", "name": super::CONTEXT, "description": words, "target_url": link,
        });
        Ask::send(Method::Post, url, body)
    }

    fn origin(&self, place: &Place, commit: &str) -> Ask {
        Ask::get(project(
            place,
            &format!("/repository/commits/{}/merge_requests", escaped(commit)),
        ))
    }

    fn read(&self, value: &Value) -> Option<Request> {
        let state = match text(value, &["state"])?.as_str() {
            // Locked is one that is being merged at this moment.
            "opened" | "locked" => State::Open,
            "merged" => {
                let merged = text(value, &["merge_commit_sha"]);
                State::Merged(merged.or_else(|| text(value, &["squash_commit_sha"])))
            }
            "closed" => State::Closed,
            _ => return None,
        };
        Some(Request {
            commit: text(value, &["sha"]),
            ..Request::read(value, "iid", "web_url", state)?
        })
    }
}
