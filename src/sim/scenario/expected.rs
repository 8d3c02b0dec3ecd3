//! What a scenario expects, and when: each expectation as a small machine that looks at the cluster
//! after every event and says when it is not met.

use jiff::SignedDuration;

use super::act::EVERY;
use super::facts::Facts;
use super::format::{Expectation, Moment, TextOr};
use super::given::Beginning;
use super::sight::Sight;
use super::words::span;
use crate::api::rollout_status::Phase;
use crate::core::spec::Problem;

/// An expectation.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// Its line in the file.
    pub line: u64,
    /// Why, in the file's words.
    pub because: Option<String>,
    /// When what must be so.
    pub form: Form,
    /// It counts from here; `None`: from the form's own beginning.
    pub from: Option<When>,
    /// And to here; `None`: until everything is mended.
    pub until: Option<When>,
}

/// When what must be so.
#[expect(clippy::large_enum_variant, reason = "a scenario has a few of them")]
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// At a time.
    At(SignedDuration, Facts),
    /// At the latest so long after a moment.
    Within(SignedDuration, When, Facts),
    /// So long after a moment.
    After(SignedDuration, When, Facts),
    /// All the time.
    Always(Facts),
    /// At no time.
    Never(Facts),
    /// At every time when the first are so, the second are, too.
    Whenever(Facts, Facts),
    /// Whenever something was written.
    EveryWrite(Facts),
    /// When everything is mended and had time to end.
    AtTheEnd(Facts),
}

/// A moment.
#[derive(Clone, Debug)]
pub(super) enum When {
    /// So long after the beginning.
    At(SignedDuration),
    /// When an entry of the timeline happens for the first time.
    Entry(String),
    /// When something is so for the first time.
    First(Box<Facts>),
}

impl When {
    /// In words.
    pub fn words(&self) -> String {
        match self {
            Self::At(at) => format!("{at:#}"),
            Self::Entry(name) => format!("{name:?}"),
            Self::First(facts) => facts.words(),
        }
    }
}

impl Form {
    /// In words.
    pub fn words(&self) -> String {
        match self {
            Self::At(at, that) => format!("at {at:#}: {}", that.words()),
            Self::Within(span, of, that) => {
                format!("within {span:#} of {}: {}", of.words(), that.words())
            }
            Self::After(span, of, that) => {
                format!("{span:#} after {}: {}", of.words(), that.words())
            }
            Self::Always(facts) => format!("always {}", facts.words()),
            Self::Never(facts) => format!("never {}", facts.words()),
            Self::Whenever(when, that) => {
                format!("whenever {}: {}", when.words(), that.words())
            }
            Self::EveryWrite(facts) => format!("at every write {}", facts.words()),
            Self::AtTheEnd(facts) => format!("at the end {}", facts.words()),
        }
    }

    fn facts(&self) -> Vec<&Facts> {
        match self {
            Self::Whenever(when, that) => vec![when, that],
            Self::At(_, facts)
            | Self::Within(_, _, facts)
            | Self::After(_, _, facts)
            | Self::Always(facts)
            | Self::Never(facts)
            | Self::EveryWrite(facts)
            | Self::AtTheEnd(facts) => vec![facts],
        }
    }
}

/// Whether facts hold of the Rollouts that they are of.
pub(super) fn hold(facts: &Facts, sight: &Sight<'_>, beginning: &Beginning) -> Result<(), String> {
    let only = beginning.only().unwrap_or_default();
    match facts.rollout.as_deref() {
        Some(EVERY) => {
            for (name, _) in &beginning.rollouts {
                facts
                    .hold(sight, name)
                    .map_err(|seen| format!("{name}: {seen}"))?;
            }
            Ok(())
        }
        named => facts.hold(sight, named.unwrap_or(only)),
    }
}

/// When a form begins to count of which nothing else is said: a Rollout that was never up has nothing
/// that could always be so.
pub(super) fn own_beginning(form: &Form) -> Option<When> {
    let of = match form {
        Form::Always(facts) => facts,
        Form::Whenever(when, _) => when,
        Form::At(..)
        | Form::Within(..)
        | Form::After(..)
        | Form::Never(_)
        | Form::EveryWrite(_)
        | Form::AtTheEnd(_) => return None,
    };
    let healthy = Facts {
        rollout: of.rollout.clone(),
        phase: Some(super::facts::OneOf(vec![Phase::Healthy])),
        ..Facts::default()
    };
    Some(When::First(Box::new(healthy)))
}

/// Reads an expectation.
pub(super) fn read(
    given: &Expectation,
    line: u64,
    i: usize,
    beginning: &Beginning,
    entries: &[&str],
) -> Result<Expected, Problem> {
    let field = format!("expect[{i}]");
    let form = form(given, &field, entries)?;
    for facts in form.facts() {
        check(facts, &field, beginning)?;
    }
    let moment = |moment: &Option<Moment>, name: &str| match moment {
        None => Ok(None),
        Some(moment) => when(moment, &format!("{field}.{name}"), entries).map(Some),
    };
    let (from, until) = (moment(&given.from, "from")?, moment(&given.until, "until")?);
    let lasts = matches!(
        form,
        Form::Always(_) | Form::Never(_) | Form::Whenever(..) | Form::EveryWrite(_)
    );
    if (from.is_some() || until.is_some()) && !lasts {
        return Err(Problem::new(
            field,
            "from or until",
            "only with always, never, whenever and atEveryWrite",
        ));
    }
    for when in [&from, &until].into_iter().flatten() {
        if let When::First(facts) = when {
            check(facts, &field, beginning)?;
        }
    }
    Ok(Expected {
        line,
        because: given.because.clone(),
        form,
        from,
        until,
    })
}

fn form(given: &Expectation, field: &str, entries: &[&str]) -> Result<Form, Problem> {
    let that = given.that.clone();
    let of = match &given.of {
        None => None,
        Some(moment) => Some(when(moment, &format!("{field}.of"), entries)?),
    };
    let all = [
        given.at.is_some(),
        given.within.is_some(),
        given.after.is_some(),
        given.always.is_some(),
        given.never.is_some(),
        given.whenever.is_some(),
        given.at_every_write.is_some(),
        given.at_the_end.is_some(),
    ];
    let forms = all.iter().filter(|set| **set).count();
    let form = match (forms, that, of) {
        (1, Some(that), None) if given.at.is_some() => given.at.map(|at| Form::At(at.0, that)),
        (1, Some(that), None) => given
            .whenever
            .clone()
            .map(|when| Form::Whenever(when, that)),
        (1, Some(that), Some(of)) => match (given.within, given.after) {
            (Some(span), _) => Some(Form::Within(span.0, of, that)),
            (None, Some(span)) => Some(Form::After(span.0, of, that)),
            (None, None) => None,
        },
        (1, None, None) => {
            let always = given.always.clone().map(Form::Always);
            let never = || given.never.clone().map(Form::Never);
            let write = || given.at_every_write.clone().map(Form::EveryWrite);
            let end = || given.at_the_end.clone().map(Form::AtTheEnd);
            always.or_else(never).or_else(write).or_else(end)
        }
        _ => None,
    };
    form.ok_or_else(|| {
        Problem::new(
            field,
            "its form",
            "one of: at and that; within, of and that; after, of and that; whenever and that; \
             always; never; atEveryWrite; atTheEnd",
        )
    })
}

/// Reads a moment.
fn when(moment: &Moment, field: &str, entries: &[&str]) -> Result<When, Problem> {
    match moment {
        TextOr::Fields(facts) => Ok(When::First(facts.clone())),
        TextOr::Text(text) if entries.contains(&text.as_str()) => Ok(When::Entry(text.clone())),
        TextOr::Text(text) => match span(text) {
            Some(at) => Ok(When::At(at)),
            None => Err(Problem::new(
                field,
                format!("{text:?}"),
                format!(
                    "a time (40s), the name of an entry of the timeline ({}), or facts",
                    entries.join(", ")
                ),
            )),
        },
    }
}

/// Whether facts speak of what there is.
pub(super) fn check(facts: &Facts, field: &str, beginning: &Beginning) -> Result<(), Problem> {
    if *facts == Facts::default() {
        let allowed = "at least one fact; tests/scenarios/README.md names them all";
        return Err(Problem::new(field, "no fact", allowed));
    }
    match facts.rollout.as_deref() {
        Some(EVERY) => {}
        Some(name) => {
            let known = beginning.knows(name, &format!("{field}.rollout"));
            known.map_err(|(_, problem)| problem)?;
        }
        None if beginning.only().is_none() => {
            return Err(Problem::new(
                format!("{field}.rollout"),
                "not there",
                "which Rollout, or every, because there are several",
            ));
        }
        None => {}
    }
    for version in facts.versions() {
        if !beginning.behaviours.contains_key(version) {
            let allowed = beginning.version_names();
            return Err(Problem::new(field, version, allowed));
        }
    }
    Ok(())
}
