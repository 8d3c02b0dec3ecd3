//! Credentials that are refused in the middle, keys that may only read, hosts that nobody knows; and where
//! a token must not be found.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tidegate::api::crds;
use tidegate::sim::apiserver::registry::Registry;
use tidegate_lab::git_http::{Faults, Moment, git};

use super::{files_below, make_due, message, reason, script, tip};
use crate::git_writer::lab::{
    FILE, GOOD, TOKEN, World, condition_of, forget_status, refuse_pushes,
};

/// The forms in which a server or a program may say the token: as it is, in a URL, in a header.
const FORMS: [&str; 4] = [
    TOKEN,
    "planted-t0ken%2F42",
    "Ym90OnBsYW50ZWQtdDBrZW4vNDI=",
    "cGxhbnRlZC10MGtlbi80Mg==",
];

fn holds(bytes: &[u8], word: &str) -> bool {
    bytes
        .windows(word.len())
        .any(|part| part == word.as_bytes())
}

/// What is in `bytes` of the token, or of a piece of it.
fn leaked(bytes: &[u8]) -> Vec<&'static str> {
    let all = FORMS.into_iter().chain(["planted", "t0ken"]);
    all.filter(|form| holds(bytes, form)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_between_fetch_and_push_writes_nothing_until_there_is_another() {
    let world = World::new().await;
    let before = tip(&world, "main");
    let server = world.server.clone();
    world.server.interrupt_push(Moment::Advertise, move || {
        server.set_password("bot", "another-t0ken");
    });
    world.create(world.spec()).await;
    let writer = world.start(&[]);
    let refused = |status: &Value| reason(status, "Landed") == "AuthenticationFailed";
    let status = world.until("a refusal", refused).await;
    assert_eq!(status["phase"], "Planned", "{status:#}");
    assert!(message(&status).contains("may have expired"), "{status:#}");
    assert_eq!(leaked(status.to_string().as_bytes()), [""; 0]);
    assert_eq!(tip(&world, "main"), before);
    std::fs::write(world.secrets.join("password"), "another-t0ken").unwrap();
    world.until_phase("Landed").await;
    writer.stop().await;
    assert_eq!((world.on_branch(FILE).as_str(), world.count()), (GOOD, 3));
}

/// The plan stands in the status, and the push waits for a token that may.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_may_only_read_is_told() {
    let world = World::new().await;
    world.create(world.spec()).await;
    for code in [403, 401] {
        world.server.set_faults(Faults {
            status_of_pushes: Some(code),
            ..Faults::default()
        });
        let writer = world.start(&[]);
        let refused = |status: &Value| reason(status, "Landed") == "AuthenticationFailed";
        let status = world.until("a refusal", refused).await;
        writer.stop().await;
        assert_eq!(status["phase"], "Planned", "{code}: {status:#}");
        assert!(
            message(&status).contains("read here and not push"),
            "{code}: {status:#}"
        );
        assert!(
            status["plan"].as_str().unwrap().contains("+checkout: v1"),
            "{code}"
        );
        assert!(status["nextRetryAt"].is_string(), "{code}: {status:#}");
        assert_eq!(world.count(), 2, "{code}");
        forget_status(&world).await;
    }
    world.server.set_faults(Faults::default());
    let writer = world.start(&[]);
    world.until_phase("Landed").await;
    writer.stop().await;
}

/// OpenSSH's and the forges' own words, said by a program in the place of `ssh`; where it says nothing, it
/// runs git's side of the server.
#[tokio::test(flavor = "multi_thread")]
async fn what_ssh_says_of_hosts_and_keys_is_told_by_name() {
    let changed = "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\n\
                   IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\r\n\
                   Host key verification failed.";
    let unknown = "No ED25519 host key is known for git.example and you have requested strict \
                   checking.\r\nHost key verification failed.";
    // For which of git's two questions, in which words, and what is told of it.
    let rows = [
        ("fetch", unknown, "Resolved", "HostKeyMismatch"),
        ("fetch", changed, "Resolved", "HostKeyMismatch"),
        (
            "fetch",
            "git@git.example: Permission denied (publickey).",
            "Resolved",
            "AuthenticationFailed",
        ),
        (
            "push",
            "ERROR: The key you are authenticating with has been marked as read only.",
            "Landed",
            "AuthenticationFailed",
        ),
        (
            "push",
            "remote: ERROR: This deploy key does not have write access to this project.",
            "Landed",
            "AuthenticationFailed",
        ),
    ];
    let world = World::new().await;
    let folder = world.dir.path().join("bin");
    script(
        &world,
        "bin/ssh",
        "for last; do :; done\n\
         case $last in git-upload-pack*) kind=fetch ;; *) kind=push ;; esac\n\
         words=$(dirname \"$0\")/$kind\n\
         if [ -e \"$words\" ]; then cat \"$words\" >&2; exit 255; fi\n\
         exec git shell -c \"$last\"\n",
    );
    let text = format!("PATH='{}':$PATH exec git \"$@\"\n", folder.display());
    let program = script(&world, "git-with-ssh", &text).display().to_string();
    std::fs::remove_file(world.secrets.join("password")).unwrap();
    for (name, text) in [
        ("identity", "planted-k3y\n"),
        ("known_hosts", "git.example ssh-ed25519 AAAA\n"),
        ("url", "ssh://git@git.example"),
    ] {
        std::fs::write(world.secrets.join(name), text).unwrap();
    }
    let mut spec = world.spec();
    spec["source"]["repo"] = json!(format!("ssh://git@git.example{}", world.bare().display()));
    world.create(spec).await;
    let more = [
        "--git",
        &program,
        "--allow-repository",
        "ssh://git@git.example/*",
    ];
    for (question, words, condition, why) in rows {
        std::fs::write(folder.join(question), format!("{words}\r\n")).unwrap();
        let writer = world.start(&more);
        let told = |status: &Value| condition_of(status, condition)["status"] == "Unknown";
        let status = world.until(words, told).await;
        writer.stop().await;
        assert_eq!(reason(&status, condition), why, "{words}: {status:#}");
        assert!(!status.to_string().contains("planted"), "{status:#}");
        assert_eq!(world.count(), 2, "{words}");
        std::fs::remove_file(folder.join(question)).unwrap();
        forget_status(&world).await;
    }
    let writer = world.start(&more);
    world.until_phase("Landed").await;
    writer.stop().await;
    assert_eq!(world.on_branch(FILE), GOOD);
}

/// Log lines, kept.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Places and what is found there.
type Seen = Vec<(String, Vec<u8>)>;

/// The files below the work folder, and what every process that works there shows to others.
fn look_around(work: &Path) -> Seen {
    let mut seen = Seen::new();
    for path in files_below(work) {
        seen.push((
            path.display().to_string(),
            std::fs::read(&path).unwrap_or_default(),
        ));
    }
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes {
        let read = |name| std::fs::read(process.path().join(name)).unwrap_or_default();
        let (environment, arguments) = (read("environ"), read("cmdline"));
        let work = work.display().to_string();
        if holds(&environment, &work) {
            let place = process.path().display().to_string();
            seen.push((format!("{place}: environment"), environment));
            seen.push((format!("{place}: arguments"), arguments));
        }
    }
    seen
}

/// On one thread, so that every log line comes by.
#[tokio::test]
async fn the_token_is_nowhere_but_in_its_own_file() {
    let lines = Lines::default();
    let writer_of_lines = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer_of_lines.clone())
        .finish();
    // With a single subscriber in the process, a line that another test's thread is the first to come by is
    // switched off for this one's as well. So there are two.
    let silent = tracing_subscriber::fmt().with_writer(io::sink).finish();
    let _second = tracing::Dispatch::new(silent);
    let _kept = tracing::subscriber::set_default(subscriber);

    let world = World::new().await;
    // A server that says it all, in every form.
    let words = FORMS
        .map(|form| format!("http://bot:{form}@h/a {form}"))
        .join(" ");
    let hook = refuse_pushes(&world, &format!("GH006: {words}"));
    let calls = world.dir.path().join("calls");
    let text = format!(
        "{{ echo \"$@\"; env; }} >>'{}'\nexec git \"$@\"\n",
        calls.display()
    );
    let program = script(&world, "git-that-tells", &text)
        .display()
        .to_string();
    let seen = Arc::new(Mutex::new(Seen::new()));
    let (work, found) = (world.work_dir(), Arc::clone(&seen));
    world.server.interrupt_push(Moment::Advertise, move || {
        *found.lock().unwrap() = look_around(&work);
    });
    world.create(world.spec()).await;
    let writer = world.start(&["--git", &program]);
    let status = world.until_phase("NeedsHuman").await;
    assert!(message(&status).contains("[redacted]"), "{status:#}");
    std::fs::remove_file(hook).unwrap();
    make_due(&world, "checkout-bad-1").await;
    world.until_phase("Landed").await;
    writer.stop().await;

    let mut kinds = Registry::builtin();
    for crd in crds() {
        kinds.add_crd(&serde_json::to_value(crd).unwrap()).unwrap();
    }
    let store = world.api.store();
    let objects: Vec<Value> = kinds
        .all()
        .flat_map(|kind| store.list(&kind.id(), ""))
        .collect();
    let log = lines.0.lock().unwrap().clone();
    let mut places = seen.lock().unwrap().clone();
    let files = places.len();
    places.extend([
        (
            "objects".to_owned(),
            json!(objects).to_string().into_bytes(),
        ),
        ("log".to_owned(), log),
        ("calls of git".to_owned(), std::fs::read(&calls).unwrap()),
        (
            "requests".to_owned(),
            world.server.requests().join("\n").into_bytes(),
        ),
        (
            "history".to_owned(),
            git(&world.bare(), &["log", "-p", "--format=fuller", "main"]).into_bytes(),
        ),
    ]);
    // Where nothing was looked at, nothing is found.
    for (place, word) in [
        ("repo/config", "remote \"origin\""),
        ("objects", "RevertNeedsHuman"),
        ("objects", "[redacted]"),
        ("log", "ProtectedBranch"),
        ("calls of git", "push --porcelain"),
        ("calls of git", "TIDEGATE_GIT_PASSWORD_FILE"),
        ("requests", "git-receive-pack"),
        ("history", "revert(test)"),
    ] {
        let mut seen = places.iter().filter(|(name, _)| name.ends_with(place));
        let is_there = seen.any(|(_, bytes)| holds(bytes, word));
        assert!(is_there, "{word:?} is not in {place}");
    }
    assert!(files > 3, "{files}");
    for (place, bytes) in &places {
        assert_eq!(leaked(bytes), [""; 0], "{place}");
    }
}
