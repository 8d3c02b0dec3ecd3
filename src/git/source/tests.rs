use super::*;

#[test]
fn spellings_of_one_repository_have_one_key() {
    let key = |text: &str| Remote::parse(text).unwrap().key;
    for (text, expected) in [
        (
            "https://Git.Example/shop/config.git",
            "https://git.example/shop/config",
        ),
        (
            "https://git.example:8443/shop/config/",
            "https://git.example:8443/shop/config",
        ),
        (
            "ssh://git@git.example/shop/config",
            "ssh://git.example/shop/config",
        ),
        (
            "git@git.example:shop/config.git",
            "ssh://git.example/shop/config",
        ),
        ("http://[::1]:3000/a", "http://[::1]:3000/a"),
        ("file:///srv/git/a.git", "file:///srv/git/a"),
        ("/srv/git/a.git", "file:///srv/git/a"),
    ] {
        assert_eq!(key(text), expected, "{text}");
    }
}

#[test]
fn addresses_that_do_more_than_address_are_refused() {
    for text in [
        "",
        "--upload-pack=x",
        "ext::sh -c x",
        "git://git.example/a",
        "https://git.example",
        "https://git.example/",
        "https:///a",
        "https://user:pass@git.example/a",
        "https://token@git.example/a",
        "ssh://git:pass@git.example/a",
        "ssh://-oProxyCommand=x/a",
        "ssh://git@-x/a",
        "-x@git.example:a",
        "git@git.example:-x",
        "git.example:a",
        "https://git.example:0/a",
        "https://git.example:99999/a",
        "https://git.example/a/../b",
        "https://git.example/%2e%2e/b",
        "https://git.example/a?x=y",
        "https://git.example/a#b",
        "https://git.example/a\nb",
        "https://git.example/a b",
        "https://git.ex*mple/a",
        "file:///",
        "/../a",
        "a/b",
        "ext::https://git.example/a",
        "transport::git@x:y",
    ] {
        assert!(Remote::parse(text).is_err(), "{text:?} was accepted");
    }
    for text in [
        "https://me:s3cret@git.example/a",
        "https://me:x@s3cret@git.example/a",
        "https://git.example/a?token=s3cret",
        "git:s3cret@git.example:a",
    ] {
        let error = Remote::parse(text).unwrap_err().to_string();
        assert!(!error.contains("s3cret"), "{error}");
        assert!(error.contains("git.example"), "{error}");
    }
}

#[test]
fn branches_and_paths_are_names_and_nothing_else() {
    for text in ["main", "release/1.2", "feature-x", "a@b"] {
        assert_eq!(Branch::parse(text).unwrap().name(), text);
    }
    for text in [
        "",
        "HEAD",
        "refs/heads/main",
        "-x",
        "a/-x",
        "a..b",
        "refs/heads/../x",
        "a b",
        "a:b",
        "a^",
        "a/.b",
        "a.lock",
        "a/",
        "/a",
        "a//b",
        "@",
        "a@{1}",
        "main\n",
        "a*",
        "end.",
        "dda3e65dda3e65dda3e65dda3e65dda3e65dda3e",
    ] {
        assert!(Branch::parse(text).is_err(), "{text:?}");
    }
    let path = |text: &str| RepoPath::parse(text).map(|p| p.as_str().to_owned()).ok();
    assert_eq!(
        path("apps//checkout/./values.yaml").as_deref(),
        Some("apps/checkout/values.yaml")
    );
    assert_eq!(path("apps/").as_deref(), Some("apps"));
    assert_eq!(path(".").as_deref(), Some(""));
    for text in [
        "",
        "/etc",
        "../x",
        "a/../b",
        ".git/config",
        "a/.GIT/x",
        "a\nb",
        "a\\b",
    ] {
        assert_eq!(path(text), None, "{text:?}");
    }
}

#[test]
fn the_allow_list_says_who_may_change_what() {
    let permits = |entry: &str, namespace: &str, repository: &str, branch: &str| {
        entry.parse::<Allowed>().unwrap().permits(
            namespace,
            &Remote::parse(repository).unwrap(),
            &Branch::parse(branch).unwrap(),
        )
    };
    let config = "https://git.example/shop/config.git";
    assert!(permits(
        "https://git.example/shop/config",
        "shop",
        config,
        "main"
    ));
    assert!(permits(
        "https://git.example/shop/*",
        "shop",
        config,
        "main"
    ));
    assert!(permits("https://git.example/*", "shop", config, "main"));
    assert!(permits(
        "shop=https://git.example/shop/config#main",
        "shop",
        config,
        "main"
    ));
    assert!(permits(
        "shop-*=https://git.example/shop/*#env/*",
        "shop-a",
        config,
        "env/prod"
    ));
    assert!(!permits(
        "https://git.example/shop/*",
        "shop",
        "https://git.example/shopping/a",
        "main"
    ));
    assert!(!permits("https://git.example/shop", "shop", config, "main"));
    assert!(!permits(
        "https://git.example/*",
        "shop",
        "https://git.example.evil/a",
        "main"
    ));
    assert!(!permits(
        "https://git.example/*",
        "shop",
        "http://git.example/a",
        "main"
    ));
    assert!(!permits(
        "other=https://git.example/*",
        "shop",
        config,
        "main"
    ));
    assert!(!permits(
        "https://git.example/*#main",
        "shop",
        config,
        "maintenance"
    ));
    assert!(permits(
        "/srv/git/a.git",
        "x",
        "file:///srv/git/a.git",
        "main"
    ));
    assert!("/srv/git/*".parse::<Allowed>().is_err());
    assert!("https://git.example".parse::<Allowed>().is_err());
}
