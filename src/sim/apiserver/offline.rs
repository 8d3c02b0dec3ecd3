//! What an API server would answer to the creation of a custom resource, without a server: unknown
//! fields, metadata, schema and rules, in the words of [`super::admission`].
//!
//! It stores nothing and knows no other objects. Rules with functions that this CEL implementation
//! lacks are not evaluated, as in the server in memory.

use serde_json::Value;

use super::admission::{self, Checked, UnknownFields};
use super::registry::Resource;
use super::status_errors::FieldError;
use super::{crds, metadata, object};

/// The field of an error that is about the whole object.
pub const WHOLE: &str = "<nil>";

/// The kinds that can be asked about.
#[derive(Debug)]
pub struct Kinds {
    resources: Vec<Resource>,
}

impl Kinds {
    /// Those that these CustomResourceDefinitions describe.
    ///
    /// # Errors
    /// What one of the documents lacks.
    pub fn of(definitions: &[Value]) -> Result<Self, String> {
        let resources = definitions.iter().map(crds::resource_from_crd);
        Ok(Self {
            resources: resources.collect::<Result<_, _>>()?,
        })
    }

    /// The kinds by name, each with the versions that are served.
    pub fn names(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.resources
            .iter()
            .map(|r| (r.kind.as_str(), r.versions.as_slice()))
    }

    /// Everything that is wrong with an object, as the answers to a strict creation would say it one
    /// after the other; afterwards the object is what would be stored. None: the kind is not known.
    pub fn refuses(&self, object: &mut Value) -> Option<Vec<FieldError>> {
        let api_version = object.get("apiVersion")?.as_str()?;
        let (group, version) = api_version.split_once('/')?;
        let kind = object.get("kind")?.as_str()?;
        let known = |r: &&Resource| {
            r.group == group && r.kind == kind && r.versions.iter().any(|v| v == version)
        };
        let resource = self.resources.iter().find(known)?;
        let version = version.to_owned();
        if resource.status
            && let Some(map) = object.as_object_mut()
        {
            // A creation takes no status.
            map.remove("status");
        }
        if !object.get("metadata").is_some_and(Value::is_object) {
            let detail = "name or generateName is required";
            return Some(vec![FieldError::required("metadata.name", detail)]);
        }
        let mut errors = Vec::new();
        match admission::decode(resource, &version, object, UnknownFields::Warn) {
            Ok(unknown) => errors.extend(unknown.into_iter().map(|message| FieldError {
                field: quoted(&message),
                reason: "FieldValueForbidden",
                message,
            })),
            Err(refused) => errors.push(FieldError {
                field: WHOLE.to_owned(),
                reason: "FieldValueInvalid",
                message: refused.message,
            }),
        }
        // A name that the server would make from `generateName` is one that it takes.
        let generated = !object::meta(object, "generateName").is_empty();
        let in_metadata = metadata::problems(resource, object);
        errors.extend(
            in_metadata
                .into_iter()
                .filter(|e| !(generated && e.reason == "FieldValueRequired")),
        );
        if let Some(schema) = resource.schema(&version) {
            // Its own list: what a field is refused for elsewhere keeps no rule from being evaluated.
            let mut found = Vec::new();
            admission::custom_problems(resource, schema, object, None, Checked::Whole, &mut found);
            errors.extend(found);
        }
        Some(errors)
    }
}

/// The path in `unknown field "spec.x"`.
fn quoted(message: &str) -> String {
    let path = message.split_once('"').map_or("", |(_, rest)| rest);
    path.trim_end_matches('"').to_owned()
}
