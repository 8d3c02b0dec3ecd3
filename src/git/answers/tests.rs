use super::*;

#[test]
fn diffs_and_trees_are_read_with_any_file_name() {
    let a = "a".repeat(40);
    let zero = "0".repeat(40);
    let raw = format!(
        ":100644 100755 {a} {zero} D\0d/with space\tand tab\0:000000 120000 {zero} {a} A\0l\0"
    );
    let differences = parse_raw_diff(raw.as_bytes());
    assert_eq!(differences.len(), 2);
    assert_eq!(differences[0].path, "d/with space\tand tab");
    assert_eq!(differences[0].good, Oid::parse(&a));
    assert_eq!(differences[0].bad, None);
    assert_eq!(special(&differences[1].modes[1]), Some("symbolic link"));
    let tree = parse_tree(format!("100755 blob {a}\td/x y\0160000 commit {a}\tsub\0").as_bytes());
    assert_eq!(
        tree["d/x y"],
        ("100755".to_owned(), Oid::parse(&a).unwrap())
    );
    assert_eq!(special(&tree["sub"].0), Some("submodule"));
    assert!(parse_raw_diff(b"").is_empty() && parse_tree(b"").is_empty());
    // What could not be asked for again is not taken for gone.
    let mut raw = format!(":100644 100644 {a} {a} M\0v").into_bytes();
    raw.extend_from_slice(b"\xff.yaml\0");
    assert!(parse_raw_diff(&raw).is_empty());
}

#[test]
fn refusals_of_a_push_are_told_apart() {
    let kind = |summary: &str, stderr: &str| match refused(summary, stderr) {
        Ok(Push::Race(_)) => "race",
        Ok(Push::Protected(_)) => "protected",
        Err(GitError::Unreachable(_)) => "temporary",
        _ => "other",
    };
    for (summary, stderr, expected) in [
        ("[rejected] (fetch first)", "", "race"),
        ("[rejected] (non-fast-forward)", "", "race"),
        ("[rejected] (stale info)", "", "race"),
        (
            "[remote rejected] (pre-receive hook declined)",
            "remote: GitLab: Internal API unreachable",
            "temporary",
        ),
        (
            "[remote rejected] (pre-receive hook declined)",
            "remote: GitLab: Internal API error (502)",
            "temporary",
        ),
        ("[remote rejected] (Internal Server Error)", "", "temporary"),
        (
            "[remote rejected] (cannot lock ref 'refs/heads/main': is at a but expected b)",
            "",
            "race",
        ),
        ("[remote rejected] (failed to update ref)", "", "race"),
        (
            "[remote rejected] (pre-receive hook declined)",
            "",
            "protected",
        ),
        (
            "[remote rejected] (protected branch hook declined)",
            "remote: error: GH006",
            "protected",
        ),
        (
            "[remote rejected] (x)",
            "remote: You are not allowed to push code to protected branches",
            "protected",
        ),
        (
            "[remote rejected] (shallow update not allowed)",
            "",
            "other",
        ),
    ] {
        assert_eq!(kind(summary, stderr), expected, "{summary}");
    }
}

#[test]
fn what_a_server_says_in_place_of_an_answer_is_told_apart() {
    use std::os::unix::process::ExitStatusExt;
    let kind = |stderr: &str| {
        let output = Output {
            status: std::process::ExitStatus::from_raw(128 << 8),
            stdout: vec![],
            cut: false,
            stderr: stderr.to_owned(),
        };
        match failure("fetch", &output, None) {
            GitError::RateLimited(_) => "limited",
            GitError::Redirected(_) => "redirected",
            GitError::Authentication(_) => "refused",
            GitError::NotFound(_) => "not found",
            GitError::Unreachable(_) => "unreachable",
            _ => "other",
        }
    };
    let with = |code: &str| {
        format!("fatal: unable to access 'https://h/a/': The requested URL returned error: {code}")
    };
    let ssh = |words: &str| format!("{words} fatal: Could not read from remote repository.");
    let limited = "remote: You have exceeded a secondary rate limit. ";
    for (stderr, expected) in [
        (limited.to_owned() + &with("403"), "limited"),
        (with("429"), "limited"),
        (with("301"), "redirected"),
        (with("302"), "redirected"),
        (with("403"), "refused"),
        (with("404"), "not found"),
        (with("503"), "unreachable"),
        (
            ssh("ERROR: The key you are authenticating with has been marked as read only."),
            "refused",
        ),
        (
            ssh("remote: ERROR: This deploy key does not have write access to this project."),
            "refused",
        ),
        (
            ssh("remote: ERROR: You are not allowed to push code to this project."),
            "refused",
        ),
        (
            ssh("Gitea: Deploy Key: 1:ro is not authorized to write to shop/config."),
            "refused",
        ),
        (
            ssh("remote: ERROR: The project you were looking for could not be found."),
            "not found",
        ),
        (ssh("Connection closed by 192.0.2.1 port 22"), "unreachable"),
    ] {
        assert_eq!(kind(&stderr), expected, "{stderr}");
    }
}
