//! `set image`: other images for the containers of a Rollout's template.

use kube::ResourceExt;
use serde_json::Value;

use super::args::{Output, Set, SetCommand};
use super::change::{self, Change};
use super::client::Session;
use super::error::{CliError, Exit};
use super::terminal::Terminal;
use crate::api::rollout::Rollout;

const COMMAND: &str = "set image";
/// Stands for every container.
const ALL: &str = "*";

/// Runs the command.
///
/// # Errors
/// See [`CliError`].
pub async fn run(
    session: &Session,
    terminal: &mut Terminal<'_>,
    args: &Set,
    output: Option<Output>,
) -> Result<Exit, CliError> {
    let SetCommand::Image(args) = &args.what;
    let name = args.name().map_err(CliError::Usage)?;
    let rollout = Box::pin(session.rollout(&name)).await?;
    let instead = "kubectl set image deployment/DEPLOYMENT CONTAINER=IMAGE";
    change::possible(&rollout, COMMAND, instead)?;
    let change = Change {
        template: with_images(&rollout, &args.images)?,
        rollout: &rollout,
        command: COMMAND,
        notes: Vec::new(),
    };
    change.make(session, terminal, &args.change, output).await
}

/// The template with these images; a later one of the same container counts.
fn with_images(rollout: &Rollout, images: &[(String, String)]) -> Result<Value, CliError> {
    let mut template = rollout.spec.template.clone();
    let mut known: Vec<String> = Vec::new();
    for list in ["/spec/initContainers", "/spec/containers"] {
        let containers = template.pointer_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let name = container.get("name").and_then(Value::as_str);
            let name = name.unwrap_or_default().to_owned();
            let meant = images.iter().rev().find(|(c, _)| *c == name || c == ALL);
            if let (Some((_, image)), Some(fields)) = (meant, container.as_object_mut()) {
                fields.insert("image".to_owned(), Value::String(image.clone()));
            }
            known.push(name);
        }
    }
    let unknown = images.iter().find(|(c, _)| c != ALL && !known.contains(c));
    match unknown {
        None => Ok(template),
        Some((container, _)) => Err(change::refused(
            rollout,
            COMMAND,
            &format!(
                "Rollout {} has no container {container:?}; it has: {}",
                rollout.name_any(),
                known.join(", ")
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::fixtures::rollout;

    #[test]
    fn images_by_container() {
        let rollout = rollout(json!({"spec": {"template": {"spec": {
            "initContainers": [{"name": "migrate", "image": "r/m:1"}],
            "containers": [{"name": "app", "image": "r/a:1", "tty": true}, {"name": "proxy"}],
        }}}}));
        let found = |pairs: &[(&str, &str)]| {
            let own = |(c, i): &(&str, &str)| ((*c).to_owned(), (*i).to_owned());
            let pairs: Vec<_> = pairs.iter().map(own).collect();
            with_images(&rollout, &pairs).map(|template| {
                let image = |pointer: &str| template.pointer(pointer).cloned().unwrap_or_default();
                assert_eq!(template["spec"]["containers"][0]["tty"], true);
                [
                    image("/spec/initContainers/0/image"),
                    image("/spec/containers/0/image"),
                    image("/spec/containers/1/image"),
                ]
            })
        };
        for (pairs, images) in [
            (&[("app", "r/a:2")][..], json!(["r/m:1", "r/a:2", null])),
            (
                &[("migrate", "r/m:2"), ("proxy", "r/p:1")],
                json!(["r/m:2", "r/a:1", "r/p:1"]),
            ),
            (&[("*", "r/x:1")], json!(["r/x:1", "r/x:1", "r/x:1"])),
            (
                &[("*", "r/x:1"), ("app", "r/a:2")],
                json!(["r/x:1", "r/a:2", "r/x:1"]),
            ),
        ] {
            assert_eq!(json!(found(pairs).unwrap()), images, "{pairs:?}");
        }
        let error = found(&[("apo", "r/a:2")]).unwrap_err().to_string();
        assert!(
            error.contains("no container \"apo\"; it has: migrate, app, proxy"),
            "{error}"
        );
    }
}
