//! The upper half of `get`: what a Rollout is about, where it stands, why, and what to do next.
//! Pure.

use jiff::Timestamp;
use kube::ResourceExt;

use super::advice;
use super::objects::Objects;
use super::style::{Line, Tone};
use super::tree::View;
use super::words;
use crate::api::conditions::ConditionStatus;
use crate::api::rollout::{Rollout, Step};
use crate::api::rollout_status::{
    AbortStatus, CanaryStatus, HistoryEntry, Phase, RolloutStatus, SourceStatus,
};

/// Where the values of the header begin.
const COLUMN: usize = 12;
/// How many outcomes `-o wide` lists.
const HISTORY_SHOWN: usize = 5;

/// Symbol, word and tone of a phase.
#[must_use]
pub fn phase(phase: Option<Phase>) -> (String, Tone) {
    let (symbol, tone) = match phase {
        None => return ("◌ Unknown".to_owned(), Tone::Warn),
        Some(Phase::Healthy) => ('✔', Tone::Good),
        Some(Phase::Initializing | Phase::Progressing) => ('◌', Tone::Busy),
        Some(Phase::Paused) => ('‖', Tone::Warn),
        Some(Phase::Aborting) => ('↶', Tone::Bad),
        Some(Phase::Aborted | Phase::Rejected | Phase::Degraded) => ('✖', Tone::Bad),
        Some(Phase::Invalid) => ('⚠', Tone::Bad),
    };
    (
        format!(
            "{symbol} {}",
            phase.map(|p| p.to_string()).unwrap_or_default()
        ),
        tone,
    )
}

/// Which Rollout it is, and its phase.
pub(super) fn identity(rollout: &Rollout, status: &RolloutStatus, out: &mut Fields<'_>) {
    out.field("Name", Tone::Strong, rollout.name_any());
    out.field(
        "Namespace",
        Tone::Plain,
        rollout.namespace().unwrap_or_default(),
    );
    let (word, tone) = phase(status.phase);
    out.field("Phase", tone, word);
}

/// The header's lines.
#[must_use]
pub fn lines(all: &Objects, view: &View) -> Vec<Line> {
    let rollout = &all.rollout;
    let empty = RolloutStatus::default();
    let status = rollout.status.as_ref().unwrap_or(&empty);
    let mut out = Fields::new(view);
    identity(rollout, status, &mut out);
    out.text("Message", Tone::Plain, &status.message);
    out.field("Strategy", Tone::Plain, strategy(rollout));
    if let Some(text) = step(rollout, status) {
        out.field("Step", Tone::Plain, text);
    }
    if let Some((text, tone)) = traffic(rollout, status) {
        out.field("Traffic", tone, text);
    }
    for (i, (image, role)) in images(rollout, status).into_iter().enumerate() {
        let line = Line::new()
            .with(Tone::Plain, image)
            .with(Tone::Faint, format!(" ({role})"));
        out.line(if i == 0 { "Images" } else { "" }, line);
    }
    out.field("Replicas", Tone::Plain, replicas(rollout, status));
    if let Some(text) = advice::pause(rollout, view.now) {
        out.text("Pause", Tone::Warn, &text);
    }
    if let Some(abort) = &status.abort {
        out.text("Abort", Tone::Bad, &abort_in_full(abort, view.now));
    }
    if let Some(text) = last_command(status, view.now) {
        let refused = text.contains(": Refused");
        out.text(
            "Command",
            if refused { Tone::Warn } else { Tone::Plain },
            &text,
        );
    }
    if let Some(at) = status.restart_at {
        out.field("Restart", Tone::Busy, restart(at));
    }
    if let Some(text) = loses_requests(status, view.wide) {
        out.text("Advice", Tone::Warn, text);
    }
    if view.wide {
        wide(status, &mut out);
    }
    for (i, text) in advice::next(all).into_iter().enumerate() {
        out.text(if i == 0 { "Next" } else { "" }, Tone::Strong, &text);
    }
    for (i, note) in all.notes.iter().enumerate() {
        out.text(if i == 0 { "Note" } else { "" }, Tone::Warn, note);
    }
    out.lines
}

/// `AnalysisFailed 2m ago at 5 % of the traffic`
pub(super) fn abort(abort: &AbortStatus, now: Timestamp) -> String {
    format!(
        "{:?} {} ago at {} % of the traffic",
        abort.reason,
        words::since(abort.at, now),
        abort.weight
    )
}

/// The same with its sentence.
pub(super) fn abort_in_full(status: &AbortStatus, now: Timestamp) -> String {
    format!("{}: {}", abort(status, now), status.message)
}

/// What a restart does.
pub(super) fn restart(at: Timestamp) -> String {
    format!("pods from before {at} are being replaced")
}

/// What the template lacks to lose no request; what may be missing only where there is room.
fn loses_requests(status: &RolloutStatus, wide: bool) -> Option<&str> {
    let mut conditions = status.conditions.iter();
    let lossless = conditions.find(|condition| condition.type_ == "Lossless")?;
    let said = match lossless.status {
        ConditionStatus::False => true,
        ConditionStatus::Unknown => wide,
        ConditionStatus::True => false,
    };
    said.then_some(lossless.message.as_str())
}

/// Lines with a name in the first column.
pub(super) struct Fields<'v> {
    view: &'v View,
    /// Those that there are so far.
    pub(super) lines: Vec<Line>,
}

impl<'v> Fields<'v> {
    /// None yet.
    pub(super) fn new(view: &'v View) -> Self {
        Self {
            view,
            lines: Vec::new(),
        }
    }

    fn line(&mut self, name: &str, value: Line) {
        let name = if name.is_empty() {
            String::new()
        } else {
            format!("{name}:")
        };
        let mut line = Line::new().with(Tone::Faint, name);
        line.pad_to(COLUMN);
        line.append(value);
        self.lines.push(line.fit(self.view.width));
    }

    /// A word or two: what does not fit is cut.
    pub(super) fn field(&mut self, name: &str, tone: Tone, value: impl AsRef<str>) {
        if !value.as_ref().is_empty() {
            self.line(name, Line::new().with(tone, value));
        }
    }

    /// A sentence: what does not fit goes on in the next line, because cut sentences explain
    /// nothing.
    pub(super) fn text(&mut self, name: &str, tone: Tone, value: &str) {
        let value = super::style::clean(value);
        let room = self.view.width.map(|w| w.saturating_sub(COLUMN).max(20));
        let mut name = name;
        for part in wrap(&value, room) {
            self.line(name, Line::new().with(tone, part));
            name = "";
        }
    }
}

/// Breaks a sentence at blanks so that no part is wider than `room`, unless one word is.
pub(super) fn wrap(text: &str, room: Option<usize>) -> Vec<String> {
    let Some(room) = room else {
        return if text.is_empty() {
            Vec::new()
        } else {
            vec![text.to_owned()]
        };
    };
    let mut parts: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let wide = unicode_width::UnicodeWidthStr::width;
        match parts.last_mut() {
            Some(part) if wide(part.as_str()) + 1 + wide(word) <= room => {
                part.push(' ');
                part.push_str(word);
            }
            _ => parts.push(word.to_owned()),
        }
    }
    parts
}

fn strategy(rollout: &Rollout) -> String {
    let strategy = &rollout.spec.strategy;
    if let Some(blue_green) = &strategy.blue_green {
        let preview = blue_green.preview_service.as_ref();
        let preview = preview
            .map(|p| format!(", preview Service {p}"))
            .unwrap_or_default();
        return format!(
            "BlueGreen by Service {}{preview}",
            blue_green.active_service
        );
    }
    let Some(canary) = &strategy.canary else {
        return String::new();
    };
    let Some(routing) = &canary.traffic_routing else {
        return "Canary by pod counts".to_owned();
    };
    let by = if let Some(nginx) = &routing.nginx {
        names("Ingress", nginx.ingresses.iter().map(|i| i.name.as_str()))
    } else {
        match &routing.gateway_api {
            Some(gateway) => match &gateway.http_routes {
                Some(routes) => names("HTTPRoute", routes.iter().map(|r| r.name.as_str())),
                None => format!("HTTPRoute {} (managed)", rollout.name_any()),
            },
            None => return "Canary".to_owned(),
        }
    };
    format!("Canary by {by}")
}

fn names<'n>(kind: &str, names: impl Iterator<Item = &'n str>) -> String {
    format!("{kind} {}", names.collect::<Vec<_>>().join(", "))
}

/// `1/6`; none where there are no steps.
#[must_use]
pub fn place(canary: &CanaryStatus) -> Option<String> {
    (canary.steps > 0).then(|| format!("{}/{}", canary.step.min(canary.steps), canary.steps))
}

/// `1/6 analysis golden-signals`
pub(super) fn step(rollout: &Rollout, status: &RolloutStatus) -> Option<String> {
    let canary = status.canary.as_ref()?;
    let mut text = place(canary)?;
    let steps = rollout
        .spec
        .strategy
        .canary
        .as_ref()
        .map(|c| c.steps.as_slice());
    let at = usize::try_from(canary.step).ok();
    if let Some(step) = steps.zip(at).and_then(|(steps, at)| steps.get(at)) {
        text.push_str(&format!(" {}", describe(step)));
    } else if canary.step >= canary.steps {
        text.push_str(" all done");
    }
    if canary.full {
        text.push_str(", promoted in full");
    }
    if canary.attempt > 1 {
        text.push_str(&format!(", attempt {}", canary.attempt));
    }
    Some(text)
}

/// A step in the words of the spec.
#[must_use]
pub fn describe(step: &Step) -> String {
    if let Some(weight) = step.set_weight {
        return format!("setWeight {weight}");
    }
    if let Some(pause) = &step.pause {
        return match (&pause.duration, &pause.timeout) {
            (Some(duration), _) => format!("pause {duration}"),
            (None, Some(timeout)) => format!("pause until promoted, at most {timeout}"),
            (None, None) => "pause until promoted".to_owned(),
        };
    }
    if let Some(analysis) = &step.analysis {
        let names: Vec<&str> = analysis.templates.iter().map(|t| t.name.as_str()).collect();
        return format!("analysis {}", names.join(", "));
    }
    if let Some(route) = &step.set_header_route {
        let removed = if route.matches.is_empty() {
            " removed"
        } else {
            ""
        };
        return format!("setHeaderRoute {}{removed}", route.name);
    }
    if let Some(route) = &step.set_mirror_route {
        return match route.percent {
            Some(percent) => format!("setMirrorRoute {} {percent} %", route.name),
            None => format!("setMirrorRoute {} removed", route.name),
        };
    }
    match &step.set_canary_scale {
        Some(scale) => match (scale.replicas, scale.percent) {
            (Some(replicas), _) => format!("setCanaryScale {replicas}"),
            (None, Some(percent)) => format!("setCanaryScale {percent} %"),
            (None, None) => "setCanaryScale matchTraffic".to_owned(),
        },
        None => String::new(),
    }
}

/// What is desired, what is accepted, and what is waited for.
#[must_use]
pub fn traffic(rollout: &Rollout, status: &RolloutStatus) -> Option<(String, Tone)> {
    // Without a stable version there is nothing to share with.
    let traffic = status
        .traffic
        .as_ref()
        .filter(|_| status.stable.is_some())?;
    let (desired, accepted) = (traffic.desired, traffic.accepted);
    if desired != accepted {
        let by = if rollout.spec.strategy.blue_green.is_some() {
            "the Service to switch"
        } else if rollout
            .spec
            .strategy
            .canary
            .as_ref()
            .is_some_and(|c| c.traffic_routing.is_none())
        {
            "the pods"
        } else {
            "the route"
        };
        let text = format!("{desired} % desired, {accepted} % accepted: waits for {by}");
        return Some((text, Tone::Busy));
    }
    if status.canary.is_none() && accepted == 0 {
        return Some(("100 % to the stable version".to_owned(), Tone::Plain));
    }
    Some((
        format!("{accepted} % to the canary, desired and accepted"),
        Tone::Plain,
    ))
}

/// Images with the roles that they play.
fn images(rollout: &Rollout, status: &RolloutStatus) -> Vec<(String, String)> {
    let switched = status.traffic.as_ref().is_some_and(|t| t.accepted == 100);
    let blue_green = rollout.spec.strategy.blue_green.is_some();
    let (stable_role, canary_role) = match (blue_green, switched) {
        (false, _) => ("stable", "canary"),
        (true, false) => ("stable, active", "canary, preview"),
        (true, true) => ("stable", "canary, active"),
    };
    let none = Vec::new();
    let canary = status.canary.as_ref().map_or(&none, |c| &c.images);
    let stable = status.stable.as_ref().map_or(&none, |s| &s.images);
    let mut out: Vec<(String, String)> = Vec::new();
    let both = canary
        .iter()
        .map(|i| (i, canary_role))
        .chain(stable.iter().map(|i| (i, stable_role)));
    for (image, role) in both {
        match out.iter_mut().find(|(known, _)| known == image) {
            Some((_, roles)) if roles.contains(role) => {}
            Some((_, roles)) => *roles = format!("{role}, {roles}"),
            None => out.push((image.clone(), role.to_owned())),
        }
    }
    out
}

fn replicas(rollout: &Rollout, status: &RolloutStatus) -> String {
    format!(
        "{} desired, {} current, {} updated, {} ready, {} available",
        rollout.spec.replicas,
        status.replicas,
        status.updated_replicas,
        status.ready_replicas,
        status.available_replicas
    )
}

/// `promote for 13/3 by alice, 2m ago: Accepted`
#[must_use]
pub fn last_command(status: &RolloutStatus, now: Timestamp) -> Option<String> {
    let last = status.last_handled_command.as_ref()?;
    let mut parts = last.value.splitn(3, ' ');
    let place = parts.next().unwrap_or_default();
    let who = parts
        .nth(1)
        .map(|who| format!(" by {who}"))
        .unwrap_or_default();
    let ago = words::since(last.at, now);
    Some(format!(
        "{} for {place}{who}, {ago} ago: {}",
        last.command, last.result
    ))
}

fn wide(status: &RolloutStatus, out: &mut Fields<'_>) {
    let now = out.view.now;
    let canary = status
        .canary
        .as_ref()
        .and_then(|c| c.source.as_ref())
        .map(|s| (s, "canary"));
    let stable = status
        .stable
        .as_ref()
        .and_then(|s| s.source.as_ref())
        .map(|s| (s, "stable"));
    for (i, (from, role)) in canary.into_iter().chain(stable).enumerate() {
        let line = Line::new()
            .with(Tone::Plain, source(from))
            .with(Tone::Faint, format!(" ({role})"));
        out.line(if i == 0 { "Source" } else { "" }, line);
    }
    for (i, entry) in status.history.iter().take(HISTORY_SHOWN).enumerate() {
        let name = if i == 0 { "History" } else { "" };
        out.field(name, Tone::Plain, outcome(entry, now));
    }
}

/// Where a version came from.
#[must_use]
pub fn source(s: &SourceStatus) -> String {
    format!("{} {} {} {}", s.repo, s.branch, s.path, s.revision)
}

/// `revision 13 Aborted 2m ago: anna asked for it`
pub(super) fn outcome(entry: &HistoryEntry, now: Timestamp) -> String {
    format!(
        "revision {} {:?} {} ago: {}",
        entry.revision,
        entry.outcome,
        words::since(entry.at, now),
        entry.message
    )
}
