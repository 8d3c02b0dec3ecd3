use super::*;

const LIMITS: Limits = Limits {
    time: Duration::from_secs(30),
    stdout_bytes: 1 << 20,
    disk_bytes: 1 << 20,
};

/// A shell in place of `git`: what matters is how a program is run.
fn shell(dir: &Path) -> Git {
    Git {
        program: PathBuf::from("/bin/sh"),
        dir: dir.to_owned(),
        environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
        redactor: Redactor::default(),
    }
}

#[tokio::test]
async fn input_output_and_environment_are_what_was_given() {
    let dir = tempfile::tempdir().unwrap();
    let mut git = shell(dir.path());
    git.redactor.add("me", "s3cret");
    let script = "cat; echo s3cret >&2; env | sort >&2; exit 3";
    let extra = [("EXTRA", OsStr::new("x"))];
    let output = git
        .run(&["-c", script], &extra, b"in", LIMITS)
        .await
        .unwrap();
    assert_eq!(
        (output.status.code(), output.text().as_str(), output.cut),
        (Some(3), "in", false)
    );
    assert!(
        output
            .stderr
            .starts_with("[redacted] EXTRA=x PATH=/usr/bin:/bin PWD="),
        "{}",
        output.stderr
    );
    assert!(!output.stderr.contains("HOME"), "{}", output.stderr);
}

#[tokio::test]
async fn too_much_output_ends_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits {
        stdout_bytes: 10,
        ..LIMITS
    };
    let output = shell(dir.path())
        .run(&["-c", "yes"], &[], b"", limits)
        .await
        .unwrap();
    assert!(output.cut && output.stdout == b"y\ny\ny\ny\ny\n");
    // Errors are kept up to a limit, the rest is read so that the command can end.
    let script = "yes | head -c 1000000 >&2";
    let output = shell(dir.path())
        .run(&["-c", script], &[], b"", LIMITS)
        .await
        .unwrap();
    assert!(output.status.success() && output.stderr.len() <= 1024);
}

#[tokio::test]
async fn a_command_that_hangs_is_ended_with_its_children() {
    let dir = tempfile::tempdir().unwrap();
    // The child holds the pipes open; its own end is seen by the file that it would write.
    let script = "(sleep 600; touch survived) & echo $! > child; wait";
    let limits = Limits {
        time: Duration::from_millis(300),
        ..LIMITS
    };
    let error = shell(dir.path())
        .run(&["-c", script], &[], b"", limits)
        .await
        .unwrap_err();
    assert!(matches!(error, CommandError::Timeout { .. }), "{error}");
    let child = std::fs::read_to_string(dir.path().join("child")).unwrap();
    let stat = format!("/proc/{}/stat", child.trim());
    let deadline = Instant::now() + Duration::from_secs(20);
    let gone = || std::fs::read_to_string(&stat).map_or(true, |s| s.contains(") Z "));
    while !gone() {
        assert!(Instant::now() < deadline, "the child is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_command_that_fills_the_disk_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let script = "head -c 3000000 /dev/zero > big; sleep 600";
    let error = shell(dir.path())
        .run(&["-c", script], &[], b"", LIMITS)
        .await
        .unwrap_err();
    assert!(
        matches!(error, CommandError::Disk { mebibytes: 1, .. }),
        "{error}"
    );
}
