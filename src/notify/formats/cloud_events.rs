//! CloudEvents 1.0 over HTTP in the structured mode: one JSON object with the attributes and the data.

use serde_json::json;

use super::Request;
use crate::notify::notice::Notice;

/// The event.
#[must_use]
pub fn request(notice: &Notice) -> Request {
    // A URI reference of this Rollout in this cluster. The names of objects need no escape in one; a
    // cluster without a name is left out.
    let source = match notice.cluster.as_str() {
        "" => format!("/tidegate/{}/{}", notice.namespace, notice.rollout),
        cluster => format!(
            "/tidegate/{cluster}/{}/{}",
            notice.namespace, notice.rollout
        ),
    };
    let event = json!({
        "specversion": "1.0",
        "id": notice.id,
        "source": source,
        "type": format!("io.tidegate.rollout.{}.v1", notice.kind.as_str().to_ascii_lowercase()),
        "subject": format!("{}/{}", notice.namespace, notice.rollout),
        "time": format!("{:.6}", notice.at),
        "datacontenttype": "application/json",
        "data": notice,
    });
    Request {
        content_type: "application/cloudevents+json; charset=utf-8".to_owned(),
        headers: Vec::new(),
        body: event.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::Value;

    use super::*;
    use crate::notify::notice::sample;

    #[test]
    fn an_event_has_what_the_specification_asks_for() {
        let at: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let mut notice = sample(at);
        notice.cluster = "east".into();
        let request = request(&notice);
        assert!(
            request
                .content_type
                .starts_with("application/cloudevents+json")
        );
        let event: Value = serde_json::from_str(&request.body).unwrap();
        for (attribute, value) in [
            ("specversion", "1.0"),
            ("id", notice.id.as_str()),
            ("source", "/tidegate/east/example/web"),
            ("type", "io.tidegate.rollout.revertverified.v1"),
            ("subject", "example/web"),
            ("time", "2026-01-02T03:04:05.000000Z"),
            ("datacontenttype", "application/json"),
        ] {
            assert_eq!(event[attribute], value, "{attribute}");
        }
        // Names of attributes are lower-case letters and digits.
        let names: Vec<&String> = event.as_object().unwrap().keys().collect();
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        assert!(names.iter().all(|name| name.chars().all(good)), "{names:?}");
        assert_eq!(event["data"]["kind"], "RevertVerified");
        assert_eq!(event["data"]["commit"], notice.commit);
        assert!(event["data"].get("key").is_none());
    }
}
