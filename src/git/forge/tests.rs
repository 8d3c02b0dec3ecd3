use serde_json::json;

use super::address::Kind;
use super::ask::{Method, Place};
use super::*;

fn place() -> Place {
    Place {
        api: "https://api.example".to_owned(),
        owner: "sub".to_owned(),
        name: "config".to_owned(),
        path: "shop/sub/config".to_owned(),
    }
}

fn draft(labels: &[String]) -> Draft<'_> {
    Draft {
        head: "rollout-revert/shop-a-1",
        base: "main",
        title: "revert(shop): a",
        body: "why",
        labels,
    }
}

/// Method, address without the base, and body.
fn shown(ask: &Ask) -> (Method, String, Value) {
    let path = ask.url.strip_prefix("https://api.example").unwrap();
    let body = ask.body.clone().unwrap_or_default();
    (ask.method, path.to_owned(), body)
}

#[test]
fn each_forge_is_asked_in_its_own_words() {
    use Method::{Get, Patch, Post, Put};
    let labels = ["tidegate".to_owned(), "revert".to_owned()];
    let (place, draft) = (place(), draft(&labels));
    let request = Request {
        number: 7,
        url: "u".to_owned(),
        state: State::Open,
        node: Some("PR_7".to_owned()),
        commit: Some("c0ffee".to_owned()),
    };
    let (head, sha) = (draft.head, "abc");
    let common = json!({"title": draft.title, "body": "why", "head": head, "base": "main"});
    let failed = json!({"state": "failure", "context": "tidegate", "description": "bad",
        "target_url": "l"});
    for (kind, expected) in [
        (
            Kind::GitHub,
            [
                (
                    Get,
                    "/repos/sub/config/pulls?state=all&head=sub%3Arollout-revert%2Fshop-a-1&base=main&per_page=20",
                    Value::Null,
                ),
                (Get, "/repos/sub/config/pulls/7", Value::Null),
                (Post, "/repos/sub/config/pulls", common.clone()),
                (
                    Patch,
                    "/repos/sub/config/pulls/7",
                    json!({"state": "closed"}),
                ),
                (
                    Post,
                    "/repos/sub/config/issues/7/comments",
                    json!({"body": "words"}),
                ),
                (Post, "/repos/sub/config/statuses/abc", failed.clone()),
                (Get, "/repos/sub/config/commits/abc/pulls", Value::Null),
            ],
        ),
        (
            Kind::GitLab,
            [
                (
                    Get,
                    "/projects/shop%2Fsub%2Fconfig/merge_requests?state=all&source_branch=rollout-revert%2Fshop-a-1&target_branch=main&per_page=20",
                    Value::Null,
                ),
                (
                    Get,
                    "/projects/shop%2Fsub%2Fconfig/merge_requests/7",
                    Value::Null,
                ),
                (
                    Post,
                    "/projects/shop%2Fsub%2Fconfig/merge_requests",
                    json!({
                    "title": draft.title, "description": "why", "source_branch": head,
                    "target_branch": "main", "labels": "tidegate,revert",
                    "remove_source_branch": true}),
                ),
                (
                    Put,
                    "/projects/shop%2Fsub%2Fconfig/merge_requests/7",
                    json!({"state_event": "close"}),
                ),
                (
                    Post,
                    "/projects/shop%2Fsub%2Fconfig/merge_requests/7/notes",
                    json!({"body": "words"}),
                ),
                (
                    Post,
                    "/projects/shop%2Fsub%2Fconfig/statuses/abc",
                    json!({"state": "failed",
                    "name": "tidegate", "description": "bad", "target_url": "l"}),
                ),
                (
                    Get,
                    "/projects/shop%2Fsub%2Fconfig/repository/commits/abc/merge_requests",
                    Value::Null,
                ),
            ],
        ),
        (
            Kind::Gitea,
            [
                (
                    Get,
                    "/repos/sub/config/pulls/main/rollout-revert/shop-a-1",
                    Value::Null,
                ),
                (Get, "/repos/sub/config/pulls/7", Value::Null),
                (Post, "/repos/sub/config/pulls", common),
                (
                    Patch,
                    "/repos/sub/config/pulls/7",
                    json!({"state": "closed"}),
                ),
                (
                    Post,
                    "/repos/sub/config/issues/7/comments",
                    json!({"body": "words"}),
                ),
                (Post, "/repos/sub/config/statuses/abc", failed),
                (Get, "/repos/sub/config/commits/abc/pull", Value::Null),
            ],
        ),
    ] {
        let dialect = kind.dialect();
        let asked = [
            dialect.find(&place, head, "main"),
            dialect.get(&place, 7),
            dialect.create(&place, &draft),
            dialect.close(&place, 7),
            dialect.comment(&place, 7, "words"),
            dialect.mark(&place, sha, "bad", Some("l")),
            dialect.origin(&place, sha),
        ];
        for (ask, (method, path, body)) in asked.iter().zip(expected) {
            assert_eq!(shown(ask), (method, path.to_owned(), body), "{kind:?}");
        }
        // Labels are given in the second call, but for GitLab.
        let label = dialect.label(&place, 7, &labels);
        let expected = json!({"labels": labels});
        assert_eq!(label.is_none(), kind == Kind::GitLab);
        assert!(
            label.is_none_or(|ask| ask.body == Some(expected)),
            "{kind:?}"
        );
        let (method, path, body) = shown(&dialect.merge_later(&place, &request).unwrap());
        // What somebody pushed in between is not merged along.
        let (call, field, value) = match kind {
            Kind::GitHub => (Post, "/variables/id", "PR_7"),
            Kind::GitLab => (Put, "/sha", "c0ffee"),
            Kind::Gitea => (Post, "/head_commit_id", "c0ffee"),
        };
        let end = if kind == Kind::GitHub {
            "/graphql"
        } else {
            "/7/merge"
        };
        assert!(path.ends_with(end), "{path}");
        assert_eq!(
            (method, body.pointer(field)),
            (call, Some(&json!(value))),
            "{kind:?}"
        );
    }
}

#[test]
fn auto_merge_of_an_enterprise_server_is_asked_beside_its_rest_api() {
    let place = Place {
        api: "https://git.example/api/v3".to_owned(),
        ..place()
    };
    let request = Request {
        number: 7,
        url: String::new(),
        state: State::Open,
        node: Some("PR_7".to_owned()),
        commit: None,
    };
    let dialect = Kind::GitHub.dialect();
    let ask = dialect.merge_later(&place, &request).unwrap();
    assert_eq!(ask.url, "https://git.example/api/graphql");
    let unnamed = Request {
        node: None,
        ..request
    };
    assert_eq!(dialect.merge_later(&place, &unnamed), None);
}

#[test]
fn what_a_request_is_is_read_as_each_forge_writes_it() {
    let hub = |state: &str, merged_at: Value| {
        json!({"number": 7, "html_url": "u", "state": state, "merged_at": merged_at,
            "merge_commit_sha": "m", "node_id": "PR_7", "head": {"ref": "b", "sha": "c"}})
    };
    let lab = |state: &str, merge: Value, squash: Value| {
        json!({"id": 1001, "iid": 7, "web_url": "u", "state": state, "sha": "c",
            "merge_commit_sha": merge, "squash_commit_sha": squash})
    };
    let tea = |state: &str, merged: bool| {
        json!({"id": 1001, "number": 7, "html_url": "u", "state": state, "merged": merged,
            "merge_commit_sha": "m", "head": {"ref": "b", "sha": "c"}})
    };
    let merged = |commit: &str| State::Merged(Some(commit.to_owned()));
    for (kind, answer, state) in [
        (Kind::GitHub, hub("open", Value::Null), State::Open),
        (Kind::GitHub, hub("closed", Value::Null), State::Closed),
        (
            Kind::GitHub,
            hub("closed", json!("2026-01-01T00:00:00Z")),
            merged("m"),
        ),
        (
            Kind::GitLab,
            lab("opened", Value::Null, Value::Null),
            State::Open,
        ),
        (
            Kind::GitLab,
            lab("locked", Value::Null, Value::Null),
            State::Open,
        ),
        (
            Kind::GitLab,
            lab("closed", Value::Null, Value::Null),
            State::Closed,
        ),
        (
            Kind::GitLab,
            lab("merged", json!("m"), json!("s")),
            merged("m"),
        ),
        (
            Kind::GitLab,
            lab("merged", Value::Null, json!("s")),
            merged("s"),
        ),
        (
            Kind::GitLab,
            lab("merged", Value::Null, Value::Null),
            State::Merged(None),
        ),
        (Kind::Gitea, tea("open", false), State::Open),
        (Kind::Gitea, tea("closed", false), State::Closed),
        (Kind::Gitea, tea("closed", true), merged("m")),
    ] {
        let read = kind.dialect().read(&answer).unwrap();
        assert_eq!((read.number, read.url.as_str()), (7, "u"), "{answer}");
        assert_eq!(read.commit.as_deref(), Some("c"), "{answer}");
        assert_eq!(read.state, state, "{answer}");
    }
    for kind in [Kind::GitHub, Kind::GitLab, Kind::Gitea] {
        for none in [Value::Null, json!({}), json!([]), json!({"state": "open"})] {
            assert_eq!(kind.dialect().read(&none), None);
        }
    }
}
