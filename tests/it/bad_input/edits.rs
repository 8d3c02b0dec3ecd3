//! Two hundred edits of a Rollout that serves, made from a table of its fields, in the simulated
//! cluster: with a good value the next version goes out, a bad one moves nothing, neither between two
//! rollouts nor in the middle of one, and taking it back is all that it takes.

use std::collections::BTreeMap;
use std::fs;

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate::api::rollout_status::{Phase, RolloutStatus};
use tidegate::core::observed::RouteId;
use tidegate::sim::apiserver::{ApiServer, ApiServerConfig};
use tidegate::sim::world::World;
use tidegate::sim::world::objects::{Body, Kind};

use super::{create, folder};

/// Edits that the table must make at least.
const EDITS: usize = 200;
/// Longer than any good edit takes to come to its end.
const TIME_TO_END: SignedDuration = SignedDuration::from_mins(30);
/// Enough for whoever would act on a bad edit.
const TIME_TO_ACT: SignedDuration = SignedDuration::from_mins(2);

const NAME: &str = "web";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    of: String,
    field: String,
    good: Vec<Value>,
    #[serde(default = "healthy")]
    ends: Phase,
    bad: Vec<Value>,
}

fn healthy() -> Phase {
    Phase::Healthy
}

fn rows() -> Vec<Row> {
    let text = fs::read_to_string(folder().join("edits.yaml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// What is edited.
fn spec(of: &str) -> Value {
    let pause = json!({"pause": {"duration": "10s"}});
    let strategy = match of {
        "canary" => json!({"canary": {
            "stableService": "stable", "canaryService": "canary",
            "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "web"}]}},
            "steps": [{"setWeight": 20}, pause, {"setWeight": 50}]}}),
        "by-pods" => json!({"canary": {"steps": [{"setWeight": 50}, pause]}}),
        "blue-green" => {
            json!({"blueGreen": {"activeService": "active", "previewService": "preview",
            "autoPromotion": {"afterSeconds": 10}}})
        }
        other => panic!("{other}?"),
    };
    json!({
        "replicas": 4,
        "selector": {"matchLabels": {"app": "a"}},
        "template": {"metadata": {"labels": {"app": "a"}},
                     "spec": {"containers": [{"name": "app", "image": "r/a:v1"}]}},
        "strategy": strategy,
    })
}

/// The spec with a value at a pointer, whose way there is made.
fn with(mut spec: Value, field: &str, value: &Value) -> Value {
    let mut at = &mut spec;
    for part in field.split('/').skip(1) {
        at = match part.parse::<usize>() {
            Ok(index) if at.is_array() => &mut at[index],
            _ => &mut at[part],
        };
    }
    *at = value.clone();
    spec
}

/// A cluster in which such a Rollout has its first version.
struct Cluster {
    world: World,
    spec: Value,
    versions: u32,
}

impl Cluster {
    fn new(spec: &Value) -> Self {
        let mut world = World::new(1, 1, false);
        for name in ["stable", "canary", "active", "preview"] {
            for name in [name.to_owned(), format!("{name}2")] {
                world.add_service(&name);
            }
        }
        for name in ["web", "api"] {
            world.add_route(RouteId::HttpRoute(name.to_owned()));
        }
        let level =
            json!({"name": "level", "threshold": {"query": "max(lag)", "success": "result < 5.0"}});
        let errors = json!({"name": "errors", "ratio": {"bad": "b{$(arm)}", "total": "t{$(arm)}"}});
        for (name, metric) in [("level", level), ("errors", errors)] {
            let template =
                json!({"metrics": [metric], "promote": {"minBake": "0s", "maxDuration": "10m"}});
            let body = Body::Template(Some(serde_json::from_value(template).unwrap()));
            let _ = world
                .store
                .create(Kind::Template, name, None, body, world.now);
        }
        world.add_rollout(NAME, spec.clone());
        let mut cluster = Self {
            world,
            spec: spec.clone(),
            versions: 1,
        };
        assert!(cluster.until(|c| c.phase() == Some(Phase::Healthy)));
        cluster
    }

    fn edit(&mut self, to: &Value) {
        self.world.edit_rollout(NAME, |spec| *spec = to.clone());
        self.world.changed();
    }

    /// Brings out a version that never was.
    fn bring_out(&mut self, spec: &Value) {
        self.versions += 1;
        let mut spec = spec.clone();
        spec["template"]["spec"]["containers"][0]["image"] =
            json!(format!("r/a:v{}", self.versions));
        self.edit(&spec);
    }

    fn run(&mut self, time: SignedDuration) {
        let until = self.world.now.checked_add(time).unwrap();
        while self.world.step(until).is_some() {}
    }

    fn until(&mut self, condition: impl Fn(&Self) -> bool) -> bool {
        let until = self.world.now.checked_add(TIME_TO_END).unwrap();
        while !condition(self) {
            if self.world.step(until).is_none() {
                return false;
            }
        }
        true
    }

    fn status(&self) -> RolloutStatus {
        let stored = self.world.store.get(Kind::Rollout, NAME).unwrap();
        stored.rollout().unwrap().status.clone()
    }

    fn phase(&self) -> Option<Phase> {
        self.status().phase
    }

    /// Whether the status speaks of the spec as it is now.
    fn is_seen(&self) -> bool {
        let stored = self.world.store.get(Kind::Rollout, NAME).unwrap();
        self.status().observed_generation == Some(stored.meta.generation)
    }

    fn ends(&mut self, phase: Phase) -> Result<(), String> {
        let came = self.until(|c| c.is_seen() && c.phase() == Some(phase));
        let status = self.status();
        match (&self.world.broken, came) {
            (Some(broken), _) => Err(broken.to_string()),
            (None, false) => Err(format!(
                "never {phase}: {:?}: {}",
                status.phase, status.message
            )),
            (None, true) => Ok(()),
        }
    }

    /// What traffic goes by.
    fn traffic(&self) -> BTreeMap<String, String> {
        let store = &self.world.store;
        let services = store.list(Kind::Service).map(|o| {
            let hash = o.service().and_then(|service| service.hash.clone());
            (o.meta.name.clone(), format!("{hash:?}"))
        });
        let routes = store.list(Kind::Route).map(|o| {
            let says = o
                .route()
                .map(|route| (route.weight, route.side_routes.clone()));
            (o.meta.name.clone(), format!("{says:?}"))
        });
        let pods = store.list(Kind::ReplicaSet).map(|o| {
            let size = o.replica_set().map(|rs| rs.desired);
            (o.meta.name.clone(), format!("{size:?}"))
        });
        services.chain(routes).chain(pods).collect()
    }

    fn good(&mut self, edited: &Value, ends: Phase) -> Result<(), String> {
        self.edit(edited);
        self.until(|c| c.is_seen());
        let version = edited != &self.spec && edited["template"] != self.spec["template"];
        if !version {
            self.ends(Phase::Healthy)?;
            self.bring_out(edited);
        }
        self.ends(ends)?;
        let spec = self.spec.clone();
        self.edit(&spec);
        self.ends(Phase::Healthy)
            .map_err(|why| format!("edited back: {why}"))
    }

    fn bad(&mut self, edited: &Value, field: &str) -> Result<(), String> {
        // What the version before still has to lose, it loses first.
        self.run(TIME_TO_ACT);
        self.moves_nothing(edited, field)
            .map_err(|why| format!("between rollouts: {why}"))?;
        let spec = self.spec.clone();
        self.edit(&spec);
        self.ends(Phase::Healthy)?;
        // And when a version has a part of the traffic.
        self.bring_out(&spec);
        self.ends(Phase::Paused)?;
        let image = format!("r/a:v{}", self.versions);
        let on_its_way = |spec: &Value| {
            with(
                spec.clone(),
                "/template/spec/containers/0/image",
                &json!(image),
            )
        };
        self.moves_nothing(&on_its_way(edited), field)
            .map_err(|why| format!("in mid-rollout: {why}"))?;
        self.edit(&on_its_way(&spec));
        self.ends(Phase::Healthy)?;
        self.edit(&spec);
        self.ends(Phase::Healthy)
    }

    fn moves_nothing(&mut self, edited: &Value, field: &str) -> Result<(), String> {
        let before = self.traffic();
        self.edit(edited);
        self.run(TIME_TO_ACT);
        let status = self.status();
        if status.phase != Some(Phase::Invalid) || !names(&status.message, field) {
            return Err(format!("{:?}: {}", status.phase, status.message));
        }
        let after = self.traffic();
        match before == after {
            true => Ok(()),
            false => Err(format!("{before:?} became {after:?}")),
        }
    }
}

/// Whether a message names the field, or the one that it is a part of.
fn names(message: &str, field: &str) -> bool {
    let parts = field
        .split('/')
        .filter(|part| part.parse::<usize>().is_err());
    let parts: Vec<&str> = parts.collect();
    parts
        .iter()
        .rev()
        .take(2)
        .any(|part| message.contains(part))
}

#[tokio::test]
async fn edits_go_out_or_move_nothing() {
    let server =
        ApiServer::new(ApiServerConfig::default().with_crds(&tidegate::api::crds())).unwrap();
    let user = server.client_as("shop", "user");
    let admitted = async |spec: &Value| {
        let object = json!({"apiVersion": "tidegate.io/v1alpha1", "kind": "Rollout",
            "metadata": {"name": NAME}, "spec": spec});
        create(&user, "shop", &object, "&dryRun=All").await
    };
    let (mut edits, mut later, mut wrong) = (0, 0, Vec::new());
    for row in rows() {
        let base = spec(&row.of);
        let mut cluster = Cluster::new(&base);
        let mut say = |value: &Value, why: String| {
            wrong.push(format!("{} {} {value}: {why}", row.of, row.field));
        };
        for value in &row.good {
            let edited = with(base.clone(), &row.field, value);
            edits += 1;
            if let Err(why) = admitted(&edited).await {
                say(value, why);
            } else if let Err(why) = cluster.good(&edited, row.ends) {
                say(value, why);
                cluster = Cluster::new(&base);
            }
        }
        for value in &row.bad {
            let edited = with(base.clone(), &row.field, value);
            edits += 1;
            match admitted(&edited).await {
                Err(said) if names(&said, &row.field) => {}
                Err(said) => say(value, format!("it does not say where: {said}")),
                Ok(_) => {
                    later += 1;
                    if let Err(why) = cluster.bad(&edited, &row.field) {
                        say(value, why);
                        cluster = Cluster::new(&base);
                    }
                }
            }
        }
    }
    let count = wrong.len();
    assert!(
        wrong.is_empty(),
        "{count} of {edits}:\n{}",
        wrong.join("\n")
    );
    assert!(edits >= EDITS, "{edits} edits");
    assert!(later >= 10, "only {later} reach the controller");
}

/// Somebody whose pipeline runs in a circle.
#[test]
fn versions_that_chase_each_other_leave_few_behind() {
    let mut base = spec("canary");
    base["revisionHistoryLimit"] = json!(2);
    // A version every so many seconds; stable, the newest, those that are kept, and those that still have
    // pods to lose.
    for (seconds, at_most) in [(6, 12), (4, 4), (1, 4)] {
        let mut cluster = Cluster::new(&base);
        let mut most = 0;
        for _ in 0..60 {
            cluster.bring_out(&base);
            cluster.run(SignedDuration::from_secs(seconds));
            most = most.max(cluster.world.store.list(Kind::ReplicaSet).count());
        }
        assert!(most <= at_most, "every {seconds} s: {most} ReplicaSets");
        cluster.ends(Phase::Healthy).unwrap();
        let last = cluster.status().stable.unwrap();
        assert_eq!(last.images, ["r/a:v61"]);
        cluster.run(TIME_TO_ACT);
        let kept = cluster.world.store.list(Kind::ReplicaSet).count();
        assert!(kept <= 2 + 1, "every {seconds} s: {kept} are kept");
    }
}
