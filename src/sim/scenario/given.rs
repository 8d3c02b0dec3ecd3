//! The world as a scenario begins: Rollouts from a default and what a file says besides, versions,
//! GitOps, instances, autoscalers.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::format::{
    AutoscalerGiven, GitopsGiven, Given, Like, RolloutGiven, TargetGiven, VersionGiven,
};
use super::sight::image;
use crate::api::analysis::AnalysisTemplateSpec;
use crate::api::rollout::{Rollout, RolloutSpec};
use crate::core::observed::Settings;
use crate::core::spec::Problem;
use crate::sim::play;
use crate::sim::structural;
use crate::sim::world::manifests::objects_of;
use crate::sim::world::objects::parse_with;
use crate::sim::world::{Autoscaler, Behaviour, Charts, Journal, LAG, Loop, Target, World};

/// The version that every Rollout begins with.
pub(super) const FIRST: &str = "v1";
/// The Rollout that there is when a file names none.
const ONLY: &str = "web";
/// Most Rollouts of one scenario: each costs a whole reconcile loop.
const ROLLOUTS_MAX: usize = 400;
/// Most instances of the controller.
const CONTROLLERS_MAX: usize = 5;

/// How a world begins.
#[derive(Clone, Debug)]
pub(super) struct Beginning {
    /// Rollouts with their specs.
    pub rollouts: Vec<(String, Value)>,
    /// How versions behave.
    pub behaviours: BTreeMap<String, Behaviour>,
    /// What of a spec the GitOps loop applies.
    pub gitops: Option<Loop>,
    /// Instances of the controller.
    pub controllers: usize,
    templates: BTreeMap<(String, String), Value>,
    settle: SignedDuration,
    lag: SignedDuration,
    autoscalers: Vec<(String, Autoscaler)>,
    strangers: Vec<(String, String, i32)>,
    deployments: BTreeMap<String, i32>,
    analyses: Vec<(String, AnalysisTemplateSpec)>,
    objects: Option<BTreeMap<String, Value>>,
    charts: Charts,
}

impl Beginning {
    /// Reads it; every problem has the line that it is of, 0 where that is not known.
    pub fn read(given: &Given) -> Result<Self, (u64, Problem)> {
        let rollouts = rollouts(given)?;
        let mut versions: BTreeMap<&str, &VersionGiven> = given
            .versions
            .iter()
            .map(|(name, version)| (name.as_str(), version))
            .collect();
        let first = VersionGiven::default();
        versions.entry(FIRST).or_insert(&first);
        let mut templates = BTreeMap::new();
        for (rollout, spec) in &rollouts {
            for (name, version) in &versions {
                let template = template(spec, name, &version.template);
                templates.insert((rollout.clone(), (*name).to_owned()), template);
            }
        }
        let controllers = given.controllers.unwrap_or(1);
        if !(1..=CONTROLLERS_MAX).contains(&controllers) {
            let allowed = format!("1 to {CONTROLLERS_MAX}");
            return Err((0, Problem::new("given.controllers", controllers, allowed)));
        }
        let mut beginning = Self {
            behaviours: versions
                .iter()
                .map(|(name, version)| ((*name).to_owned(), behaviour(version)))
                .collect(),
            gitops: match given.gitops {
                GitopsGiven::None => None,
                GitopsGiven::Template => Some(Loop::Template),
                GitopsGiven::Spec => Some(Loop::Spec),
            },
            controllers,
            templates,
            settle: given
                .settle
                .map_or(Settings::default().settle, |span| span.0),
            lag: given.data_plane_lag.map_or(LAG, |span| span.0),
            autoscalers: Vec::new(),
            strangers: Vec::new(),
            deployments: given.deployments.clone(),
            analyses: analyses(given)?,
            objects: given.objects.clone(),
            charts: Charts::new(),
            rollouts,
        };
        beginning.charts = beginning.charts_of(&versions)?;
        if beginning.lag >= beginning.settle {
            let value = format!("{:#}, settle is {:#}", beginning.lag, beginning.settle);
            let allowed =
                "less than given.settle, which is what an administrator found enough for it";
            return Err((0, Problem::new("given.dataPlaneLag", value, allowed)));
        }
        // The versions' own template is the first one.
        for (name, spec) in &mut beginning.rollouts {
            if let Some(template) = beginning.templates.get(&(name.clone(), FIRST.to_owned()))
                && spec.get("template").is_some()
            {
                json_patch::merge(spec, &json!({ "template": template }));
            }
        }
        for (name, given) in &given.autoscalers {
            let field = format!("given.autoscalers.{name}");
            beginning.knows(name, &field)?;
            beginning
                .autoscalers
                .push((name.clone(), autoscaler(given, &field)?));
        }
        for object in beginning.objects.iter().flat_map(BTreeMap::keys) {
            let all = beginning.rollouts.iter();
            let mut kept =
                all.map(|(name, _)| beginning.keeps_whole(name, object, "given.objects"));
            if kept.all(|kept| kept.is_err()) {
                let allowed = "the HTTPRoute, Ingress or Service of a Rollout, as in HTTPRoute web";
                return Err((0, Problem::new("given.objects", object, allowed)));
            }
        }
        for (i, stranger) in given.strangers.iter().enumerate() {
            let field = format!("given.strangers[{i}]");
            let rollout = stranger.rollout.clone().unwrap_or_else(|| ONLY.to_owned());
            beginning.knows(&rollout, &format!("{field}.rollout"))?;
            if beginning.template(&rollout, &stranger.version).is_none() {
                let allowed = beginning.version_names();
                return Err((0, Problem::new(field, &stranger.version, allowed)));
            }
            let version = stranger.version.clone();
            beginning.strangers.push((rollout, version, stranger.pods));
        }
        Ok(beginning)
    }

    /// The template of a version of a Rollout.
    pub fn template(&self, rollout: &str, version: &str) -> Option<&Value> {
        self.templates
            .get(&(rollout.to_owned(), version.to_owned()))
    }

    /// Whether there is such a Rollout.
    pub fn knows(&self, rollout: &str, field: &str) -> Result<(), (u64, Problem)> {
        if self.rollouts.iter().any(|(name, _)| name == rollout) {
            return Ok(());
        }
        let names: Vec<&str> = self
            .rollouts
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        let allowed = format!("one of {}", names.join(", "));
        Err((0, Problem::new(field, rollout, allowed)))
    }

    /// Whether an object of a Rollout's is kept whole.
    pub fn keeps_whole(&self, rollout: &str, object: &str, field: &str) -> Result<(), Problem> {
        if self.objects.is_none() {
            let allowed = "given.objects, so that routes and Services are kept whole";
            return Err(Problem::new(field, object, allowed));
        }
        let mut own = self.rollouts.iter().filter(|(name, _)| name == rollout);
        let spec = own
            .next()
            .and_then(|(_, raw)| parse_with(raw, raw.get("template")).ok());
        let all = spec.map(|spec| objects_of(&spec, rollout));
        let names: Vec<String> = all
            .unwrap_or_default()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        match names.iter().any(|name| name == object) {
            true => Ok(()),
            false => {
                let allowed = format!("one of {}", names.join(", "));
                Err(Problem::new(field, object, allowed))
            }
        }
    }

    /// The values that Git has for each version's template, by Rollout, if a chart makes templates.
    fn charts_of(
        &self,
        versions: &BTreeMap<&str, &VersionGiven>,
    ) -> Result<Charts, (u64, Problem)> {
        let with = versions.iter().filter(|(_, of)| of.values.is_some());
        if with.count() == 0 {
            return Ok(Charts::new());
        }
        let mut charts = Charts::new();
        for (version, of) in versions {
            let Some(values) = &of.values else {
                let field = format!("given.versions.{version}.values");
                let allowed = "values for every version, as one has them";
                return Err((0, Problem::new(field, "not there", allowed)));
            };
            for (rollout, _) in &self.rollouts {
                if let Some(template) = self.template(rollout, version) {
                    let made = (values.clone(), template.clone());
                    charts.entry(rollout.clone()).or_default().push(made);
                }
            }
        }
        Ok(charts)
    }

    /// What versions there are, in words.
    pub fn version_names(&self) -> String {
        let names: Vec<&str> = self.behaviours.keys().map(String::as_str).collect();
        format!("a version of given.versions: one of {}", names.join(", "))
    }

    /// The Rollout that is meant where none is named.
    pub fn only(&self) -> Option<&str> {
        let names = || self.rollouts.iter().map(|(name, _)| name.as_str());
        match self.rollouts.as_slice() {
            [(name, _)] => Some(name),
            _ => names().find(|name| *name == ONLY),
        }
    }

    /// Makes the world.
    pub fn stage(&self, seed: u64, traced: bool) -> World {
        let mut world = World::new(seed, self.controllers, traced);
        world.journal = Some(Journal::default());
        world.settings = Settings {
            settle: self.settle,
        };
        world.lag = self.lag;
        world.git.applied = self.gitops.is_some();
        world.git.owns = self.gitops.unwrap_or_default();
        for (version, behaviour) in &self.behaviours {
            world.behaviours.insert(image(version), behaviour.clone());
        }
        play::templates(&mut world);
        for (rollout, version, pods) in &self.strangers {
            if let Some(template) = self.template(rollout, version) {
                world.add_stranger(rollout, template, *pods);
            }
        }
        for (name, spec) in &self.rollouts {
            world.add_rollout(name, spec.clone());
        }
        for (rollout, scaler) in &self.autoscalers {
            world.add_autoscaler(rollout, scaler.clone());
        }
        for (name, template) in &self.analyses {
            world.add_template(name, template.clone());
        }
        for (name, pods) in &self.deployments {
            world.deploy(name, *pods);
        }
        if let Some(objects) = &self.objects {
            world.keep_whole(objects);
        }
        world.git.charts.clone_from(&self.charts);
        world.changed();
        world
    }
}

fn behaviour(given: &VersionGiven) -> Behaviour {
    let mut behaviour = Behaviour::default();
    if let Some(pods) = given.pods {
        behaviour.start = pods.start.unwrap_or(behaviour.start);
        behaviour.readiness = pods.readiness;
    }
    if let Some(metrics) = given.metrics {
        behaviour.judgement = metrics.0;
    }
    behaviour.targets = given.targets.iter().map(Into::into).collect();
    behaviour
}

impl From<&TargetGiven> for Target {
    fn from(given: &TargetGiven) -> Self {
        Self {
            requests: given.requests,
            bad: given.bad,
            late: given.late.map_or(SignedDuration::ZERO, |span| span.0),
        }
    }
}

/// The analysis templates that there are besides `errors` and `level`.
fn analyses(given: &Given) -> Result<Vec<(String, AnalysisTemplateSpec)>, (u64, Problem)> {
    let read = |(name, template): (&String, &serde_saphyr::Spanned<Value>)| {
        let spec = serde_json::from_value(template.value.clone());
        match spec {
            Ok(spec) => Ok((name.clone(), spec)),
            Err(error) => {
                let field = format!("given.templates.{name}");
                let allowed = "the spec of an AnalysisTemplate";
                let line = template.referenced.line();
                Err((line, Problem::new(field, error, allowed)))
            }
        }
    };
    given.templates.iter().map(read).collect()
}

fn autoscaler(given: &AutoscalerGiven, field: &str) -> Result<Autoscaler, (u64, Problem)> {
    let problem = |value: &str, allowed: &str| (0, Problem::new(field, value, allowed));
    if given.min < 1 || given.max < given.min {
        let value = format!("min {}, max {}", given.min, given.max);
        return Err(problem(&value, "min from 1, max from min"));
    }
    if given.demand.is_some() == given.erratic {
        return Err(problem(
            "demand and erratic",
            "demand (so many pods are enough for the load), or erratic: true (chance)",
        ));
    }
    if given.every.0 < SignedDuration::from_secs(1) {
        return Err(problem("every", "from 1s"));
    }
    Ok(Autoscaler {
        demand: given.demand.unwrap_or(given.min),
        min: given.min,
        max: given.max,
        every: given.every.0,
        erratic: given.erratic,
    })
}

fn rollouts(given: &Given) -> Result<Vec<(String, Value)>, (u64, Problem)> {
    let mut all = Vec::new();
    for (name, of_file) in &given.rollouts {
        let line = of_file.referenced.line();
        let of_file = &of_file.value;
        let field = format!("given.rollouts.{name}");
        let copies = of_file.copies.unwrap_or(1);
        if copies == 0 || all.len() + copies > ROLLOUTS_MAX {
            let allowed = format!("at most {ROLLOUTS_MAX} Rollouts in all");
            return Err((
                line,
                Problem::new(format!("{field}.copies"), copies, allowed),
            ));
        }
        for copy in 1..=copies {
            let name = match of_file.copies {
                Some(_) => format!("{name}-{copy}"),
                None => name.clone(),
            };
            let spec = spec(&name, of_file, &field).map_err(|problem| (line, problem))?;
            all.push((name, spec));
        }
    }
    if all.is_empty() {
        let spec = spec(ONLY, &RolloutGiven::default(), "given").map_err(|problem| (0, problem))?;
        all.push((ONLY.to_owned(), spec));
    }
    Ok(all)
}

fn spec(name: &str, given: &RolloutGiven, field: &str) -> Result<Value, Problem> {
    let mut raw = default_spec(name, given.like);
    if !given.spec.is_null() {
        json_patch::merge(&mut raw, &given.spec);
    }
    let field = format!("{field}.spec");
    if given.invalid {
        return Ok(raw);
    }
    check(&raw, &field)?;
    Ok(raw)
}

/// Whether a spec has only fields that there are, and can be carried out.
pub(super) fn check(raw: &Value, field: &str) -> Result<(), Problem> {
    if let Some(unknown) = unknown_fields(raw).first() {
        return Err(Problem::new(
            format!("{field}.{unknown}"),
            "is no field of a Rollout's spec",
            "what docs/rollout.md names; invalid: true for a spec that is wrong on purpose",
        ));
    }
    let allowed = "a spec that can be carried out; invalid: true for one that cannot";
    serde_json::from_value::<RolloutSpec>(raw.clone())
        .map_err(|e| Problem::new(field, e, allowed))?;
    // The template that stands here is the Deployment's, if the spec names one.
    parse_with(raw, raw.get("template"))
        .map(|_| ())
        .map_err(|problems| {
            let first = problems.into_iter().next();
            first.unwrap_or_else(|| Problem::new(field, "cannot be read", allowed))
        })
}

fn unknown_fields(raw: &Value) -> Vec<String> {
    use kube::CustomResourceExt;
    // Made once: it takes longer than to play a short scenario.
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    let schema = SCHEMA.get_or_init(|| {
        let crd = serde_json::to_value(Rollout::crd()).unwrap_or_default();
        let at = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
        crd.pointer(at).cloned().unwrap_or_default()
    });
    structural::prune(&mut raw.clone(), schema, schema)
}

/// The template of a version: the Rollout's own, with the version's image and what else it has.
fn template(spec: &Value, version: &str, patch: &Value) -> Value {
    let mut template = spec.get("template").cloned().unwrap_or_default();
    if !patch.is_null() {
        json_patch::merge(&mut template, patch);
    }
    if let Some(at) = template.pointer_mut("/spec/containers/0/image") {
        *at = json!(image(version));
    }
    template
}

/// The spec that a Rollout has where a file says nothing else. The README has it, too.
fn default_spec(name: &str, like: Like) -> Value {
    let (stable, canary) = (format!("{name}-stable"), format!("{name}-canary"));
    let steps = json!([
        {"setWeight": 20}, {"pause": {"duration": "30s"}},
        {"setWeight": 60}, {"pause": {"duration": "30s"}},
    ]);
    let routed = |routing: Value| {
        json!({"canary": {"stableService": stable, "canaryService": canary,
            "trafficRouting": routing, "steps": steps}})
    };
    let strategy = match like {
        Like::Canary => routed(json!({"gatewayAPI": {"httpRoutes": [{"name": name}]}})),
        Like::ManagedRoute => routed(json!({"gatewayAPI": {"managedRoute": {
            "parentRefs": [{"name": "gateway"}], "port": 80}}})),
        Like::Nginx => routed(json!({"nginx": {"ingresses": [{"name": name}]}})),
        Like::Pods => json!({"canary": {"steps": steps, "maxSurge": 1, "maxUnavailable": 0}}),
        Like::BlueGreen => json!({"blueGreen": {
            "activeService": format!("{name}-active"),
            "previewService": format!("{name}-preview")}}),
    };
    json!({
        "replicas": 4,
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}},
                     "spec": {"containers": [{"name": "app", "image": image(FIRST)}]}},
        "progressDeadlineSeconds": 120,
        "strategy": strategy,
        "gitRevert": {"mode": "Push", "on": ["Failed", "Manual", "Deadline"]},
    })
}
