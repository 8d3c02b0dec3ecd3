use super::*;

#[test]
fn text_from_outside_stays_text() {
    let hostile = "</dd><script>alert(1)</script>\" onload='x' &amp;\u{1b}[2J\u{202e}";
    let safe = text(hostile);
    for sign in ['<', '>', '"', '\''] {
        assert!(!safe.contains(sign), "{safe}");
    }
    assert!(
        safe.contains("&amp;amp;") && !safe.contains('\u{1b}'),
        "{safe}"
    );
    let mut body = Body::default();
    body.tag("h1", hostile);
    body.facts([(hostile, hostile.to_owned())]);
    body.table([vec![hostile.to_owned()], vec![hostile.to_owned()]]);
    let page = body.page(hostile);
    assert!(!page.contains("<script"), "{page}");
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("url("));
}

#[test]
fn the_policy_allows_the_pages_own_style_and_nothing_else() {
    let page = Body::default().page("x");
    let policy = policy();
    assert!(page.contains(&format!("content=\"{policy}\"")), "{page}");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"));
    assert!(!policy.contains("unsafe"));
    // Forty-three characters and one to fill up: 32 bytes in base64.
    let hash = policy
        .split("sha256-")
        .nth(1)
        .unwrap()
        .split('\'')
        .next()
        .unwrap();
    assert!(hash.len() == 44 && hash.ends_with('='), "{hash}");
    assert!(
        !page.contains("style=\""),
        "no style but the one that is hashed"
    );
}

#[test]
fn curves_stay_within_the_picture() {
    let curve = |points: Vec<(f64, f64)>| Curve {
        name: "harm",
        class: "harm",
        points,
    };
    for points in [
        vec![],
        vec![(0.0, 0.0)],
        vec![
            (0.0, -1e9),
            (1.0, f64::NAN),
            (2.0, f64::INFINITY),
            (30.0, 1e9),
        ],
    ] {
        let svg = Plot::from_zero("Counts", vec![curve(points)]).svg();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        let coordinates = svg
            .split("points=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        for pair in coordinates.split(' ').filter(|p| !p.is_empty()) {
            let (x, y) = pair.split_once(',').unwrap();
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            assert!(
                (0.0..=720.0).contains(&x) && (0.0..=220.0).contains(&y),
                "{pair}"
            );
        }
    }
}

const HOSTILE: &str = "<script>alert(1)</script>";

fn is_harmless(page: &str) {
    assert!(page.starts_with("<!doctype html>"));
    assert!(
        page.contains("&lt;script&gt;") && !page.contains("<script"),
        "{page}"
    );
    assert!(
        !page.contains("style=\"") && !page.contains(" onload"),
        "{page}"
    );
}

#[test]
fn every_page_shows_what_came_from_outside_as_text() {
    use crate::analysis::backtest::summary::summary;
    use crate::analysis::forecast::{Service, Shape};
    use crate::api::analysis_status::{AnalysisRunStatus, Counts, Evidence, MetricStatus};
    let moment = |at: i64| Moment {
        at,
        harm: Evidence {
            log: -700.0,
            limit: 4.7,
        },
        safe: Evidence::default(),
        gross: Evidence {
            log: f64::NAN,
            limit: 6.9,
        },
        effect: None,
        canary: Counts {
            requests: 10.0,
            bad: 1.0,
        },
        stable: Counts::default(),
    };
    let metric = MetricStatus {
        name: HOSTILE.into(),
        kind: "ratio".into(),
        verdict: Verdict::NoData,
        reason: "NoData".into(),
        message: HOSTILE.into(),
        dry_run: false,
        queries: Vec::new(),
        trouble: None,
        comparison: None,
        threshold: None,
    };
    let said = || HOSTILE.to_owned();
    is_harmless(&of_analysis(&analyze::Report {
        template: said(),
        versions: said(),
        source: said(),
        from: 0,
        to: 1800,
        weight: 100,
        status: AnalysisRunStatus {
            message: said(),
            metrics: vec![metric],
            ..AnalysisRunStatus::default()
        },
        decision: None,
        metrics: vec![analyze::Beside {
            queries: vec![(said(), said())],
            aborts_at: None,
            tempered: None,
            moments: vec![moment(15), moment(30)],
        }],
        notes: vec![said()],
    }));
    let found = backtest::Found {
        metric: said(),
        factor: 2.0,
        summary: None,
    };
    is_harmless(&of_placebos(&backtest::Report {
        template: said(),
        versions: said(),
        source: said(),
        stretch: crate::cli::reading::Stretch { from: 0, to: 1 },
        horizon: 3600,
        pods: 1,
        seed: 1,
        false_abort_rate: 0.01,
        placebo: summary(&[]),
        regressions: vec![found],
        notes: vec![said()],
    }));
    is_harmless(&of_forecast(&forecast::Report {
        template: said(),
        plan: said(),
        source: said(),
        stretches: Vec::new(),
        metrics: vec![forecast::OfMetric {
            name: said(),
            service: Service {
                rate: 1.0,
                ratio: 0.1,
                phi: 1.0,
                tau: 0.0,
                shape: Shape::Counts,
            },
            plain: 10.0,
            fewer: false,
            outlooks: Vec::new(),
        }],
        notes: vec![said()],
    }));
}
