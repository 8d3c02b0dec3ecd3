//! A size that somebody else gave to a ReplicaSet: it is put back, and they are named.

use serde_json::json;

use super::deployed;
use crate::api::rollout_status::Phase;

#[test]
fn a_foreign_size_is_put_back_and_its_writer_is_named_once() {
    for to in [1, 9] {
        let mut world = deployed(json!([{"setWeight": 50}, {"pause": {}}]));
        let hash = world.status.stable.as_ref().unwrap().hash.clone();
        let rs = world.rs.get_mut(&hash).unwrap();
        rs.desired = to;
        rs.scaled_by = Some("kube-controller-manager".into());
        let plan = world.reconcile();
        let event = plan.events.iter().find(|e| e.reason == "SizeReset");
        let note = event.unwrap().note.as_str();
        assert!(
            note.starts_with("kube-controller-manager scaled ReplicaSet ")
                && note.contains(&format!(" to {to}, and it is scaled to 4: ")),
            "{note}"
        );
        world.run(60);
        assert_eq!(
            (world.phase(), world.available("r/a:v1")),
            (Phase::Healthy, 4)
        );
        let told = world.events.iter().filter(|e| **e == "SizeReset");
        assert_eq!(told.count(), 1, "{:?}", world.events);
    }
}
