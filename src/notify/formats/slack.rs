//! A message for an incoming webhook of Slack: `text` for the list of notifications, `blocks` for the
//! channel. What comes from the cluster is escaped, so that nobody is called by a commit message.

use serde_json::{Value, json};

use super::Request;
use crate::notify::notice::{Notice, cut};

/// Slack takes 150 characters in a header block, and 3000 in a section; a byte is at most one character.
const HEADER_MAX: usize = 150;
const SECTION_MAX: usize = 2_900;

/// The message.
#[must_use]
pub fn request(notice: &Notice) -> Request {
    let mark = if notice.kind.is_warning() { "⚠ " } else { "" };
    let title = format!("{mark}{}", notice.title);
    let mut blocks = vec![json!({
        "type": "header",
        "text": {"type": "plain_text", "text": cut(&title, HEADER_MAX), "emoji": false},
    })];
    let why = format!("*{}*: {}", notice.kind.as_str(), escaped(&notice.why));
    blocks.push(section(&cut(&why, SECTION_MAX)));
    let mut facts = Vec::new();
    for (name, value) in [
        ("Reason", notice.reason.as_str()),
        ("Cluster", notice.cluster.as_str()),
        ("Images", notice.images.join(", ").as_str()),
        ("Revert", notice.revert.as_str()),
        ("Commit", notice.commit.as_str()),
        ("Branch", notice.branch.as_str()),
    ] {
        if !value.is_empty() {
            facts.push(format!("*{name}*: `{}`", escaped(value).replace('`', "'")));
        }
    }
    blocks.push(section(&cut(&facts.join("\n"), SECTION_MAX)));
    if !notice.diff.is_empty() {
        // A fence within it would end it.
        let diff = cut(&escaped(&notice.diff).replace("```", "'''"), SECTION_MAX);
        blocks.push(section(&format!("```\n{diff}\n```")));
    }
    let text = escaped(&format!("{title}: {}", notice.why));
    Request {
        content_type: "application/json".to_owned(),
        headers: Vec::new(),
        body: json!({"text": cut(&text, SECTION_MAX), "blocks": blocks}).to_string(),
    }
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": text}})
}

/// Without what Slack takes for markup: `<!channel>` calls everybody.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::notify::notice::sample;

    fn body(notice: &Notice) -> Value {
        let request = request(notice);
        assert_eq!(request.content_type, "application/json");
        serde_json::from_str(&request.body).unwrap()
    }

    #[test]
    fn a_message_has_a_text_and_blocks_with_what_happened_why_and_the_diff() {
        let body = body(&sample(Timestamp::UNIX_EPOCH));
        assert!(body["text"].as_str().unwrap().contains("4.1 % of 1,203"));
        let types: Vec<&str> = body["blocks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|block| block["type"].as_str().unwrap())
            .collect();
        assert_eq!(types, ["header", "section", "section", "section"]);
        assert_eq!(body["blocks"][0]["text"]["type"], "plain_text");
        let facts = body["blocks"][2]["text"]["text"].as_str().unwrap();
        assert!(facts.contains("*Commit*: `0123456789abcdef"), "{facts}");
        assert!(!facts.contains("Cluster"), "it has none: {facts}");
        let diff = body["blocks"][3]["text"]["text"].as_str().unwrap();
        assert!(
            diff.starts_with("```\n-image: ") && diff.ends_with("\n```"),
            "{diff}"
        );
    }

    #[test]
    fn nothing_from_the_cluster_is_markup_and_nothing_is_too_long() {
        let mut notice = sample(Timestamp::UNIX_EPOCH);
        notice.why = "<!channel> & ".repeat(400);
        notice.title = "é".repeat(400);
        notice.diff = "```<@U1>\n".repeat(400);
        notice.images = vec!["x".repeat(1_000); 20];
        let body = body(&notice);
        let text = body.to_string();
        assert!(
            !text.contains("<!channel>") && !text.contains("<@U1>"),
            "{text}"
        );
        for block in body["blocks"].as_array().unwrap() {
            let text = block["text"]["text"].as_str().unwrap();
            let max = if block["type"] == "header" {
                150
            } else {
                3_000
            };
            assert!(text.chars().count() <= max, "{text}");
            // Only the fence itself is one.
            assert!(text.matches("```").count() <= 2, "{text}");
        }
    }
}
