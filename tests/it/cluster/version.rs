//! How a version of the tested application behaves, read from its image's tag: `app:2.0` is good,
//! `app:2.0-errors50` answers half of its requests with 500.
//!
//! The tag is what a release changes in Git, so a bad release is one changed line, as it is in
//! life; and whoever plays with a running cluster needs no second place to say what is wrong.

use k8s_openapi::api::core::v1::Pod;
use std::time::Duration;

/// What a started pod does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// It becomes ready after this time.
    Ready(Duration),
    /// It runs and never becomes ready (`-neverready`).
    NeverReady,
    /// It ends again and again (`-crash`).
    Crash,
}

/// The behaviour of one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behaviour {
    /// What its pods do when they start.
    pub start: Start,
    /// Requests out of 100 that it answers with 500 (`-errors50`).
    pub errors_percent: u8,
}

/// How long a healthy pod takes to become ready: long enough that a test sees it not ready.
const READY_AFTER: Duration = Duration::from_millis(300);

/// How long one does that starts slowly (`-slowstart`).
const SLOWLY_READY_AFTER: Duration = Duration::from_secs(5);

impl Behaviour {
    /// Of an image. A word that is none of the above says nothing.
    pub fn of(image: &str) -> Self {
        let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
        let mut behaviour = Self {
            start: Start::Ready(READY_AFTER),
            errors_percent: 0,
        };
        for word in tag.split('-') {
            match word {
                "slowstart" => behaviour.start = Start::Ready(SLOWLY_READY_AFTER),
                "neverready" => behaviour.start = Start::NeverReady,
                "crash" => behaviour.start = Start::Crash,
                word => {
                    let percent = word
                        .strip_prefix("errors")
                        .and_then(|text| text.parse().ok());
                    if let Some(percent) = percent.filter(|percent| *percent <= 100) {
                        behaviour.errors_percent = percent;
                    }
                }
            }
        }
        behaviour
    }
}

/// The image of a pod's first container.
pub fn image(pod: &Pod) -> String {
    let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
    container
        .and_then(|container| container.image.clone())
        .unwrap_or_default()
}

#[test]
fn a_tag_says_what_is_wrong_with_its_version() {
    let good = Behaviour::of("registry.test:5000/app:2.0");
    assert_eq!(
        good,
        Behaviour {
            start: Start::Ready(READY_AFTER),
            errors_percent: 0
        }
    );
    assert_eq!(Behaviour::of("app:2.0-rc1").errors_percent, 0);
    assert_eq!(Behaviour::of("app:2.0-errors7").errors_percent, 7);
    assert_eq!(Behaviour::of("app:3-crash-errors100").start, Start::Crash);
    assert_eq!(Behaviour::of("app:3-neverready").start, Start::NeverReady);
}
