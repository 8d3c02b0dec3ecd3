//! A Go program without a part that it asks for: the part's module is copied, one file of the copy takes
//! another's place, and the build gets a `go.mod` that points at the copy. (Go's `-overlay` would do, but
//! refuses files of the module cache.) The copy is gone when the build is done.

use crate::tools::go;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// One file of a module that another takes the place of.
pub struct Without {
    /// The module.
    pub module: &'static str,
    /// The file in it.
    pub file: &'static str,
    /// What takes its place, in the folder of the `go.mod`.
    pub instead: &'static str,
}

/// A `go.mod` that is ready, and goes with this.
pub struct Prepared(PathBuf);

impl Without {
    /// Writes the copy and the `go.mod`, in a folder beside `output`.
    pub fn prepare(&self, module: &Path, output: &Path) -> Result<Prepared> {
        let prepared = Prepared(output.with_extension("without"));
        prepared.forget();
        let copy = prepared.0.join("module");
        go(module, &["mod", "download", self.module])?;
        let original = go(module, &["list", "-m", "-f", "{{.Dir}}", self.module])?;
        copy_folder(Path::new(original.trim()), &copy)?;
        let file = copy.join(self.file);
        if !file.is_file() {
            bail!("{} is not in {}", self.file, self.module);
        }
        fs::copy(module.join(self.instead), &file)?;
        let text = fs::read_to_string(module.join("go.mod"))?;
        let replaced = format!("{text}\nreplace {} => {}\n", self.module, copy.display());
        fs::write(prepared.modfile(), replaced)?;
        fs::copy(module.join("go.sum"), prepared.0.join("go.sum"))?;
        Ok(prepared)
    }
}

impl Prepared {
    /// What `-modfile` gets.
    pub fn modfile(&self) -> PathBuf {
        self.0.join("go.mod")
    }

    fn forget(&self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        self.forget();
    }
}

/// Copies a folder with all that is in it. Files of the module cache are read-only; copies are not.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let entries =
        fs::read_dir(from).with_context(|| format!("{} cannot be read", from.display()))?;
    for entry in entries {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::write(&target, fs::read(entry.path())?)?;
        }
    }
    Ok(())
}
