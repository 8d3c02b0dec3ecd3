//! What can be typed, and how it is read.

use clap::CommandFactory;

use super::*;

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn a_rollout_is_named_in_every_way_that_people_know() {
    let name = |words: &[&str]| {
        let all = ["kubectl-tidegate", "get"].iter().chain(words).copied();
        match Cli::try_parse_from(all).unwrap().command {
            Command::Get(get) => get.target.name().map(str::to_owned),
            other => panic!("{other:?}"),
        }
    };
    for words in [
        &["checkout"][..],
        &["rollout/checkout"],
        &["rollout", "checkout"],
        &["tgr/checkout"],
        &["rollout.tidegate.io/checkout"],
    ] {
        assert_eq!(name(words).as_deref(), Ok("checkout"), "{words:?}");
    }
    for (words, says) in [
        (&["a", "b"][..], "one Rollout at a time"),
        (&["deployment/a"], "not a kind"),
        (&["../secrets"], "not a kind"),
        (&["Checkout"], "cannot be right"),
        (&["-n", "x", "a?watch=1"], "cannot be right"),
    ] {
        let error = name(words).unwrap_err();
        assert!(error.contains(says), "{words:?}: {error}");
    }
}

#[test]
fn times_are_read_as_in_the_resources() {
    let timeout = |text: &str| {
        let all = [
            "kubectl-tidegate",
            "status",
            "a",
            "--wait",
            "--timeout",
            text,
        ];
        Cli::try_parse_from(all).map(|cli| match cli.command {
            Command::Status(status) => status.timeout.as_secs(),
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(timeout("1h30m").unwrap(), 5_400);
    assert_eq!(timeout("0").unwrap(), 0);
    let error = timeout("ten minutes").unwrap_err().to_string();
    assert!(error.contains("write a number and a unit"), "{error}");
}
