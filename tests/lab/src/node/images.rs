//! Images without a registry: an archive of one layer from files of this machine, imported into a
//! cluster's containerd.

use super::components::{self, snapshotter};
use super::state::State;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Who runs in it when nobody else is named: neither root nor anybody of the machine.
const USER: u32 = 65532;

/// Whom programs trust, here and in an image.
pub const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What an image is made of.
pub struct Image {
    name: String,
    entrypoint: Vec<String>,
    /// Where in the image, and from which file.
    files: BTreeMap<PathBuf, PathBuf>,
    links: BTreeMap<PathBuf, PathBuf>,
    folders: BTreeSet<PathBuf>,
}

impl Image {
    /// An image of this name (`repository:tag`) that runs a program of its own, which stands at
    /// `/usr/local/bin`.
    pub fn new(name: &str, program: &Path) -> Result<Self, String> {
        let file = program.file_name().ok_or("an image needs a program")?;
        let inside = Path::new("/usr/local/bin").join(file);
        let mut image = Self {
            name: name.to_owned(),
            entrypoint: vec![inside.display().to_string()],
            files: BTreeMap::new(),
            links: BTreeMap::new(),
            folders: BTreeSet::new(),
        };
        image.add_program(program, &inside)?;
        Ok(image)
    }

    /// Adds words to what is run.
    #[must_use]
    pub fn with_arguments(mut self, arguments: &[&str]) -> Self {
        self.entrypoint
            .extend(arguments.iter().map(|&word| word.to_owned()));
        self
    }

    /// Adds the machine's list of authorities, without which no HTTPS client can be made.
    #[must_use]
    pub fn with_authorities(mut self) -> Self {
        self.files.insert(AUTHORITIES.into(), AUTHORITIES.into());
        self
    }

    /// Adds `git` as the Git writer needs it: fetch and push over HTTP, with a password.
    pub fn with_git(mut self) -> Result<Self, String> {
        let core = PathBuf::from(said("git", &["--exec-path"])?.trim());
        for (program, inside) in [
            ("git", "/usr/bin/git"),
            ("sh", "/bin/sh"),
            ("cat", "/bin/cat"),
        ] {
            let found = found_in_path(program).ok_or(format!("{program} is not in PATH"))?;
            self.add_program(&found, Path::new(inside))?;
        }
        self.add_program(&core.join("git-remote-http"), &core.join("git-remote-http"))?;
        self.links
            .insert(core.join("git-remote-https"), "git-remote-http".into());
        self.links.insert(core.join("git"), "/usr/bin/git".into());
        Ok(self)
    }

    /// Adds a program and the libraries that it is linked with, loader included, at their places.
    fn add_program(&mut self, program: &Path, inside: &Path) -> Result<(), String> {
        self.files
            .insert(inside.to_path_buf(), program.to_path_buf());
        let output = Command::new("ldd")
            .arg(program)
            .output()
            .map_err(|error| format!("ldd does not start: {error}"))?;
        // One that is linked statically is refused, and needs nothing.
        for library in libraries(&String::from_utf8_lossy(&output.stdout))? {
            self.files.insert(library.clone(), library);
        }
        Ok(())
    }

    /// Writes it as an archive that `docker load` and `ctr images import` take.
    pub fn write(&self, archive: &Path) -> io::Result<()> {
        let layer = archive.with_extension("layer");
        self.write_layer(&layer)?;
        let digest = sha256(&layer)?;
        let config = json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": {
                "Entrypoint": self.entrypoint,
                "User": format!("{USER}:{USER}"),
                "Labels": {"org.opencontainers.image.ref.name": self.name},
                "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp"],
            },
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
        });
        let manifest = json!([{
            "Config": "config.json",
            "RepoTags": [qualified(&self.name)],
            "Layers": ["layer.tar"],
        }]);
        let mut tar = tar::Builder::new(File::create(archive)?);
        for (name, content) in [("config.json", &config), ("manifest.json", &manifest)] {
            append(
                &mut tar,
                Path::new(name),
                &serde_json::to_vec(content)?,
                0o644,
            )?;
        }
        let mut content = File::open(&layer)?;
        let mut header = header(0o644);
        header.set_size(content.metadata()?.len());
        tar.append_data(&mut header, "layer.tar", &mut content)?;
        tar.into_inner()?.flush()?;
        fs::remove_file(layer)
    }

    fn write_layer(&self, layer: &Path) -> io::Result<()> {
        let mut tar = tar::Builder::new(File::create(layer)?);
        let mut folders = self.folders.clone();
        for inside in self.files.keys().chain(self.links.keys()) {
            folders.extend(inside.ancestors().skip(1).map(Path::to_path_buf));
        }
        folders.insert("/etc".into());
        for folder in folders.iter().filter(|folder| folder.parent().is_some()) {
            append_folder(&mut tar, folder, 0o755)?;
        }
        append_folder(&mut tar, Path::new("/tmp"), 0o1777)?;
        let users = format!(
            "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:{USER}:{USER}::/tmp:/sbin/nologin\n"
        );
        append(&mut tar, Path::new("etc/passwd"), users.as_bytes(), 0o644)?;
        let groups = format!("root:x:0:\nnonroot:x:{USER}:\n");
        append(&mut tar, Path::new("etc/group"), groups.as_bytes(), 0o644)?;
        for (inside, file) in &self.files {
            // A library's name is often a link: what it stands for goes in under its name.
            let mut content = File::open(fs::canonicalize(file)?)?;
            let mut header = header(0o755);
            header.set_size(content.metadata()?.len());
            tar.append_data(&mut header, relative(inside), &mut content)?;
        }
        for (inside, target) in &self.links {
            let mut header = header(0o777);
            header.set_entry_type(tar::EntryType::Symlink);
            tar.append_link(&mut header, relative(inside), target)?;
        }
        tar.into_inner()?.flush()
    }
}

/// Imports an archive into a cluster.
pub fn import(state: &State, archive: &Path) -> Result<(), String> {
    let output = Command::new("ctr")
        .arg("--address")
        .arg(components::socket(state))
        .args(["--namespace", "k8s.io", "images", "import", "--snapshotter"])
        .arg(snapshotter())
        .arg(archive)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("ctr does not start: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        let words = String::from_utf8_lossy(&output.stderr);
        Err(format!("{} is not imported: {words}", archive.display()))
    }
}

/// Writes an image below a cluster's folder, imports it, and forgets the archive.
pub fn load(state: &State, image: &Image) -> Result<(), String> {
    let name = image.name.replace(['/', ':'], "_");
    let archive = state.path(&format!("image-{name}.tar"));
    image
        .write(&archive)
        .map_err(|error| format!("the image {} cannot be written: {error}", image.name))?;
    import(state, &archive)?;
    fs::remove_file(&archive).map_err(|error| error.to_string())
}

/// A copy of a program without what only a debugger reads: a tenth of its size, and every image
/// with it is imported as much faster.
pub fn stripped(program: &Path, copy: &Path) -> Result<(), String> {
    let done = Command::new("strip")
        .arg("-o")
        .args([copy, program])
        .status()
        .map_err(|error| format!("strip does not start: {error}"))?;
    if done.success() {
        Ok(())
    } else {
        Err(format!("{} cannot be stripped", program.display()))
    }
}

/// The name by which containerd knows an image that was named without its registry.
fn qualified(name: &str) -> String {
    if name.contains('/') {
        name.to_owned()
    } else {
        format!("docker.io/library/{name}")
    }
}

/// The files that `ldd` names.
fn libraries(said: &str) -> Result<Vec<PathBuf>, String> {
    let mut libraries = Vec::new();
    for line in said.lines().map(str::trim) {
        if line.contains("=> not found") {
            return Err(format!("a library is not there: {line}"));
        }
        let path = line.split_once("=> ").map_or(line, |(_, path)| path);
        let path = path.split_once(" (").map_or(path, |(path, _)| path);
        if path.starts_with('/') {
            libraries.push(PathBuf::from(path));
        }
    }
    Ok(libraries)
}

fn found_in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

fn said(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("{program} does not start: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// By the program: hashing megabytes in a debug build takes longer than all the rest.
fn sha256(file: &Path) -> io::Result<String> {
    let output = Command::new("sha256sum").arg(file).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match text.split_whitespace().next() {
        Some(digest) if digest.len() == 64 => Ok(digest.to_owned()),
        _ => Err(io::Error::other(format!("sha256sum says {text:?}"))),
    }
}

fn relative(inside: &Path) -> &Path {
    inside.strip_prefix("/").unwrap_or(inside)
}

fn header(mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header
}

fn append(tar: &mut tar::Builder<File>, name: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut header = header(mode);
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, name, content)
}

fn append_folder(tar: &mut tar::Builder<File>, folder: &Path, mode: u32) -> io::Result<()> {
    let mut header = header(mode);
    header.set_entry_type(tar::EntryType::Directory);
    tar.append_data(&mut header, relative(folder), io::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_those_with_a_path() {
        let said = "\tlinux-vdso.so.1 (0x00007f977ff4b000)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f977c41e000)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f977ff4d000)\n";
        let expected = [
            "/lib/x86_64-linux-gnu/libc.so.6",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(libraries(said).unwrap(), expected.map(PathBuf::from));
        assert_eq!(
            libraries("\tnot a dynamic executable\n").unwrap(),
            [] as [PathBuf; 0]
        );
        let lost = libraries("\tlibx.so => not found\n").unwrap_err();
        assert!(lost.contains("libx.so"));
    }

    #[test]
    fn an_archive_says_what_is_run_and_holds_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("image.tar");
        let image = Image::new("any:1", &std::env::current_exe().unwrap()).unwrap();
        image.with_arguments(&["pause"]).write(&archive).unwrap();
        let mut names = BTreeMap::new();
        let mut tar = tar::Archive::new(File::open(&archive).unwrap());
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            io::copy(&mut entry, &mut content).unwrap();
            names.insert(name, content);
        }
        let manifest: serde_json::Value = serde_json::from_slice(&names["manifest.json"]).unwrap();
        assert_eq!(manifest[0]["RepoTags"][0], "docker.io/library/any:1");
        let config: serde_json::Value = serde_json::from_slice(&names["config.json"]).unwrap();
        assert_eq!(config["config"]["Entrypoint"][1], "pause");
        let mut inside = tar::Archive::new(names["layer.tar"].as_slice());
        let paths: Vec<String> = inside
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert!(paths.iter().any(|path| path.starts_with("usr/local/bin/")));
        assert!(
            paths.contains(&"etc/passwd".to_owned()) && paths.contains(&"tmp".to_owned()),
            "{paths:?}"
        );
    }
}
