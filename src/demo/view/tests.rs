use super::super::gitops::Branch;
use super::super::repository::Commit;
use super::super::snapshot::{AnalysisSeen, VersionSeen};
use super::super::traffic::Totals;
use super::*;
use crate::api::analysis_status::Verdict;
use crate::api::rollout_status::{CanaryStatus, Phase, RolloutStatus, StableStatus, TrafficStatus};

fn seen() -> Snapshot {
    let image = |tag: &str| vec![format!("registry.example.com/shop/checkout:{tag}")];
    Snapshot {
        seconds: 12.34,
        title: "Dana commits checkout v3".into(),
        rollout: Some(RolloutStatus {
            phase: Some(Phase::Progressing),
            message: "step 1/5, 20 %".into(),
            stable: Some(StableStatus {
                images: image("v2"),
                ..StableStatus::default()
            }),
            canary: Some(CanaryStatus {
                images: image("v3"),
                step_text: "1/5".into(),
                ..CanaryStatus::default()
            }),
            traffic: Some(TrafficStatus {
                accepted: 20,
                ..TrafficStatus::default()
            }),
            ..RolloutStatus::default()
        }),
        versions: vec![VersionSeen {
            hash: "77cd81f2".into(),
            tag: "v3".into(),
            pods: (2, 2),
            rates: (1200.0, 96.0),
        }],
        analysis: Some(AnalysisSeen {
            name: "checkout-77cd81f2-2-1".into(),
            verdict: Some(Verdict::Inconclusive),
            harm: Evidence {
                log: 3.0,
                limit: 6.0,
            },
            message: "looks".into(),
            ..AnalysisSeen::default()
        }),
        branch: Branch {
            applied: Some("0123456789abcdef".into()),
            log: vec![Commit {
                id: "0123456789abcdef".into(),
                author: "Dana Developer".into(),
                subject: "checkout v3".into(),
            }],
            trouble: None,
        },
        events: (0..9)
            .map(|i| (format!("Reason{i}"), "a\nb\x1b[2Jc".into()))
            .collect(),
        totals: Totals {
            requests: 1_234_567,
            bad: 89,
            ..Totals::default()
        },
        ..Snapshot::default()
    }
}

#[test]
fn everything_is_on_the_screen() {
    let text = frame(&seen(), &["try: kubectl get rollouts".into()], 100, false).join("\n");
    for part in [
        "Progressing  step 1/5",
        "canary v3  20 %",
        "v3   77cd81f2       2/2         1200       96.0  8.00 %",
        "3.0 of 6.0",
        "→ 01234567 checkout v3 Dana Developer",
        "1,234,567 requests so far, 89 of them",
        "Reason8",
        "try: kubectl get rollouts",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    assert!(!text.contains("Reason3"), "only the last events are shown");
    assert!(
        !text.contains('\x1b'),
        "nothing is styled, and objects cannot move the cursor"
    );
    let weight = text.lines().find(|l| l.contains("stable v2")).unwrap();
    assert_eq!(weight.matches('█').count(), BAR);
    let abort = text.lines().find(|l| l.contains("to abort")).unwrap();
    assert_eq!(abort.matches('█').count(), BAR / 2);
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for width in [20, 60, 100] {
        for line in frame(&seen(), &[], width, false) {
            assert!(line.width() <= width, "{width}: {line}");
        }
    }
    let styled = frame(&seen(), &[], 100, true).join("\n");
    assert!(styled.contains("\x1b["));
}

#[test]
fn a_frame_is_drawn_over_the_one_before_and_never_taller_than_the_terminal() {
    let lines: Vec<String> = (0..9).map(|i| i.to_string()).collect();
    let (mut screen, mut out) = (Screen::default(), Vec::new());
    screen.draw(&mut out, &lines, 40).unwrap();
    assert!(!String::from_utf8_lossy(&out).contains('A'));
    out.clear();
    screen.draw(&mut out, &lines, 5).unwrap();
    let text = String::from_utf8_lossy(&out).into_owned();
    assert!(text.starts_with("\x1b[9A"), "{text:?}");
    assert_eq!(text.matches('\n').count(), 4);
}
