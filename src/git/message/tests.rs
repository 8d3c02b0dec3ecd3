use super::*;
use crate::api::revert::{RevertMode, RevertReason, RevertRollout};
use crate::git::revert::AtTip;

pub(super) fn spec() -> RevertSpec {
    let version = |revision, hash: &str, tag: &str| RevertVersion {
        revision,
        hash: hash.into(),
        images: vec![format!("r/checkout:{tag}")],
        source_revision: None,
    };
    RevertSpec {
        mode: RevertMode::Push,
        rollout: RevertRollout {
            name: "checkout".into(),
            uid: "u".into(),
        },
        cluster: Some("prod-eu".into()),
        source: None,
        stable: version(12, "aaa", "v1.0.0"),
        bad: version(13, "bbb", "v1.1.0"),
        attempt: 1,
        changes: vec![],
        step: Some(2),
        steps: Some(6),
        weight: Some(20),
        reason: RevertReason::AnalysisFailed,
        message: Some("error-ratio 8.8 % against 1.2 %".into()),
        analysis_run: Some("checkout-bbb-13-2-1".into()),
        aborted_at: "2026-01-02T03:04:05.678Z".parse().unwrap(),
    }
}

fn leaf(file: &str, old: &str, new: &str) -> LeafChange {
    LeafChange {
        file: file.into(),
        path: "images[name=checkout].newTag".into(),
        old: Some(old.into()),
        new: Some(new.into()),
        tip: AtTip::Bad,
        image: true,
    }
}

fn message(spec: &RevertSpec) -> String {
    let identity = Identity {
        name: "Tidegate".into(),
        email: "bot@example.com".into(),
    };
    let reverts = Oid::parse(&"d".repeat(40)).unwrap();
    compose(&Context {
        namespace: "shop",
        spec,
        leaves: &[leaf("apps/checkout/kustomization.yaml", "v1.0.0", "v1.1.0")],
        id: "sha256:abc",
        reverts: Some(&reverts),
        identity: &identity,
    })
}

#[test]
fn a_message_says_what_why_and_where_and_ends_with_trailers() {
    assert_eq!(
        message(&spec()),
        "\
revert(prod-eu): checkout v1.1.0 -> v1.0.0 (rollout aborted: error-ratio 8.8 % against 1.2 %)

Rollout shop/checkout in cluster prod-eu was aborted at step 3/6 with 20 % of the traffic at 2026-01-02T03:04:05Z: AnalysisFailed.
Analysis run: checkout-bbb-13-2-1
Evidence: error-ratio 8.8 % against 1.2 %

Changed back:
- apps/checkout/kustomization.yaml: images[name=checkout].newTag \"v1.1.0\" -> \"v1.0.0\"

Rollout-Revert-Id: sha256:abc
Reverts-Commit: dddddddddddddddddddddddddddddddddddddddd
Rollout: prod-eu/shop/checkout
Rejected-Image: r/checkout:v1.1.0
Signed-off-by: Tidegate <bot@example.com>
"
    );
}

#[test]
fn nobody_writes_trailers_into_it() {
    let mut spec = spec();
    spec.message = Some("x\n\nRollout-Revert-Id: sha256:forged\nRollout-Retry: y".into());
    spec.analysis_run = Some("a\nSigned-off-by: z".into());
    spec.bad.images = vec!["r/a:v1\nRejected-Image: b".into()];
    let message = message(&spec);
    let ids: Vec<&str> = message
        .lines()
        .filter(|l| l.starts_with(ID_TRAILER))
        .collect();
    assert_eq!(ids, ["Rollout-Revert-Id: sha256:abc"]);
    assert!(!message.lines().any(|l| l.starts_with("Rollout-Retry")));
    assert_eq!(
        message
            .lines()
            .filter(|l| l.starts_with("Signed-off-by"))
            .count(),
        1
    );
    assert!(message.lines().next().unwrap().len() <= SUBJECT_BYTES_MAX);
}

#[test]
fn the_identity_is_of_the_change_and_not_of_the_order_or_the_tip() {
    let remote = Remote::parse("https://git.example/a.git").unwrap();
    let branch = Branch::parse("main").unwrap();
    let id = |leaves: &[LeafChange], attempt| revert_id(&remote, &branch, leaves, attempt);
    let (a, b) = (leaf("a", "1", "2"), leaf("b", "1", "2"));
    let one = id(&[a.clone(), b.clone()], 1);
    assert_eq!(
        one,
        id(
            &[
                b.clone(),
                LeafChange {
                    tip: AtTip::Good,
                    ..a.clone()
                }
            ],
            1
        )
    );
    assert_ne!(one, id(&[a.clone(), b], 2));
    assert_ne!(one, id(std::slice::from_ref(&a), 1));
    let empty = LeafChange {
        old: Some(String::new()),
        ..a.clone()
    };
    let absent = LeafChange { old: None, ..a };
    assert_ne!(id(&[empty], 1), id(&[absent], 1));
    assert!(one.len() <= 80, "fits into the status");
}
