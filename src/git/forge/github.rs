//! GitHub's REST API (docs.github.com/rest), of github.com and of GitHub Enterprise Server. Pure.

use serde_json::{Value, json};

use super::ask::{Ask, Draft, Method, Place, Request, State, text};
use super::dialect::Dialect;
use crate::git::redact::percent_encoded as escaped;

/// Longest description of a commit status.
const DESCRIPTION_BYTES_MAX: usize = 140;

/// Turns auto-merge on; there is no REST call for it.
const AUTO_MERGE: &str = "mutation($id: ID!) { enablePullRequestAutoMerge(input: {pullRequestId: $id}) \
                          { clientMutationId } }";

/// GitHub.
pub struct GitHub;

fn repository(place: &Place, rest: &str) -> String {
    let (owner, name) = (escaped(&place.owner), escaped(&place.name));
    format!("{}/repos/{owner}/{name}{rest}", place.api)
}

/// GraphQL stands beside the REST API: `/graphql`, or `/api/graphql` for `/api/v3`.
fn graphql(place: &Place) -> String {
    let above = place.api.strip_suffix("/v3").unwrap_or(&place.api);
    format!("{above}/graphql")
}

impl Dialect for GitHub {
    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("accept", "application/vnd.github+json"),
            ("x-github-api-version", "2022-11-28"),
        ]
    }

    fn login(&self, token: &str) -> (&'static str, String) {
        ("authorization", format!("Bearer {token}"))
    }

    fn find(&self, place: &Place, head: &str, base: &str) -> Ask {
        // Without the owner's name the filter is ignored.
        let head = escaped(&format!("{}:{head}", place.owner));
        let base = escaped(base);
        Ask::get(repository(
            place,
            &format!("/pulls?state=all&head={head}&base={base}&per_page=20"),
        ))
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
        let id = request.node.as_ref()?;
        let body = json!({"query": AUTO_MERGE, "variables": {"id": id}});
        Some(Ask::send(Method::Post, graphql(place), body))
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
        let mut words = words.to_owned();
        crate::git::redact::cut(&mut words, DESCRIPTION_BYTES_MAX);
        let url = repository(place, &format!("/statuses/{}", escaped(commit)));
        let body = json!({
            "state": "failure", "context": super::CONTEXT, "description": words, "target_url": link,
        });
        Ask::send(Method::Post, url, body)
    }

    fn origin(&self, place: &Place, commit: &str) -> Ask {
        Ask::get(repository(
            place,
            &format!("/commits/{}/pulls", escaped(commit)),
        ))
    }

    fn read(&self, value: &Value) -> Option<Request> {
        // A list has no `merged`; `merged_at` is in both.
        let merged = text(value, &["merged_at"]).is_some();
        let state = match text(value, &["state"])?.as_str() {
            _ if merged => State::Merged(text(value, &["merge_commit_sha"])),
            "open" => State::Open,
            "closed" => State::Closed,
            _ => return None,
        };
        Some(Request {
            node: text(value, &["node_id"]),
            commit: text(value, &["head", "sha"]),
            ..Request::read(value, "number", "html_url", state)?
        })
    }
}
