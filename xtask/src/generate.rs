//! Writes what is made from the sources: the Custom Resource Definitions into `crds/`, and the
//! chart's copies of them. Tests fail when they differ; this is how they become the same again.

use crate::process::{cargo, run, words};
use crate::summary::Outcome;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;

/// The definitions, and the chart's copies: a chart must be whole by itself.
const FOLDERS: [&str; 2] = ["crds", "charts/tidegate/files/crds"];

/// Where they are written first, so that a failed build leaves the old ones.
const FRESH: &str = "target/crds";

/// Writes all folders anew.
pub fn generate(root: &Path) -> Result<()> {
    let fresh = root.join(FRESH);
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    let command = format!("run --quiet --locked --bin tidegate -- crds --out {FRESH}");
    if let Outcome::Failed(why) = run(words(&mut cargo(root), &command))? {
        bail!("the definitions cannot be written: {why}");
    }
    for folder in FOLDERS {
        let count = replace(&fresh, &root.join(folder))?;
        println!("{count} definitions in {folder}");
    }
    Ok(())
}

/// Makes the YAML files of `folder` those of `fresh`; one that is not made any more goes.
fn replace(fresh: &Path, folder: &Path) -> Result<usize> {
    fs::create_dir_all(folder)?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "yaml") {
            fs::remove_file(&path).with_context(|| format!("{} stays", path.display()))?;
        }
    }
    let mut count = 0;
    for entry in fs::read_dir(fresh)? {
        let entry = entry?;
        fs::copy(entry.path(), folder.join(entry.file_name()))?;
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_made_any_more_goes_and_what_is_no_definition_stays() {
        let base = std::env::temp_dir().join(format!("tidegate-generate-{}", std::process::id()));
        let (fresh, folder) = (base.join("fresh"), base.join("old"));
        fs::create_dir_all(&fresh).unwrap();
        fs::create_dir_all(&folder).unwrap();
        fs::write(fresh.join("a.yaml"), "new").unwrap();
        for name in ["a.yaml", "gone.yaml", "README.md"] {
            fs::write(folder.join(name), "old").unwrap();
        }
        assert_eq!(replace(&fresh, &folder).unwrap(), 1);
        assert_eq!(fs::read_to_string(folder.join("a.yaml")).unwrap(), "new");
        assert!(!folder.join("gone.yaml").exists() && folder.join("README.md").exists());
        fs::remove_dir_all(&base).unwrap();
    }
}
