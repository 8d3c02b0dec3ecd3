//! Image references and their parts, as they are spread over manifests and values files.

/// `registry/name:tag@digest`, taken apart. Not checked against a registry's rules: it is only
/// compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Image<'a> {
    /// Registry and repository.
    pub name: &'a str,
    pub tag: Option<&'a str>,
    pub digest: Option<&'a str>,
}

impl<'a> Image<'a> {
    /// Takes `text` apart; `None` when it cannot be an image reference.
    pub fn parse(text: &'a str) -> Option<Image<'a>> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/:@+".contains(c);
        if text.is_empty() || !text.chars().all(allowed) {
            return None;
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) if digest.contains(':') => (rest, Some(digest)),
            Some(_) => return None,
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            // A colon before the last slash belongs to the registry's port.
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        let complete = !name.is_empty() && tag.is_none_or(|t| !t.is_empty());
        complete.then_some(Image { name, tag, digest })
    }

    /// The last part of the name.
    pub fn base_name(&self) -> &'a str {
        self.name.rsplit('/').next().unwrap_or(self.name)
    }

    /// Whether `leaf` alone says which image it is: by its name, or by a digest, which no other has. A
    /// tag does not.
    pub fn is_said_by(&self, leaf: &str) -> bool {
        let hex = self.digest.and_then(|digest| digest.split_once(':'));
        let is_digest = |text: &str| self.digest == Some(text);
        is_digest(leaf)
            || hex.is_some_and(|(_, hex)| hex == leaf)
            || leaf
                .split_once('@')
                .is_some_and(|(_, text)| is_digest(text))
            || self.is_named(leaf)
            || Image::parse(leaf).is_some_and(|whole| self.is_named(whole.name))
    }

    /// Whether `name` names the same repository, perhaps without the registry in front.
    pub fn is_named(&self, name: &str) -> bool {
        let own = without_default_registry(self.name);
        let name = without_default_registry(name);
        !name.is_empty()
            && (own == name
                || own
                    .strip_suffix(name)
                    .is_some_and(|rest| rest.ends_with('/')))
    }
}

fn without_default_registry(name: &str) -> &str {
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    name.strip_prefix("library/").unwrap_or(name)
}

/// Whether a leaf that went from `leaf_old` to `leaf_new` is the whole or a part of an image that
/// went from `old` to `new`: tag, digest, name, or the whole with the registry left out. `None` on
/// either side of the leaf stands for absent.
pub(super) fn is_part_of_change(
    old: Image<'_>,
    new: Image<'_>,
    leaf_old: Option<&str>,
    leaf_new: Option<&str>,
) -> bool {
    let went = |from: Option<&str>, to: Option<&str>| {
        from != to
            && leaf_old.is_none_or(|leaf| from == Some(leaf))
            && leaf_new.is_none_or(|leaf| to == Some(leaf))
    };
    let hex = |digest: Option<&'_ str>| {
        digest
            .and_then(|d| d.split_once(':'))
            .map(|(_, h)| h.to_owned())
    };
    let pinned = |image: Image<'_>| match (image.tag, image.digest) {
        (Some(tag), Some(digest)) => Some(format!("{tag}@{digest}")),
        _ => None,
    };
    if leaf_old.is_none() && leaf_new.is_none() {
        return false;
    }
    went(old.tag, new.tag)
        || went(old.digest, new.digest)
        || went(hex(old.digest).as_deref(), hex(new.digest).as_deref())
        || went(pinned(old).as_deref(), pinned(new).as_deref())
        || (old.name != new.name
            && leaf_old.is_none_or(|leaf| old.is_named(leaf))
            && leaf_new.is_none_or(|leaf| new.is_named(leaf)))
        || (is_reference_to(old, leaf_old) && is_reference_to(new, leaf_new))
}

/// Whether the leaf is a reference with tag or digest to exactly `image`; an absent one is.
fn is_reference_to(image: Image<'_>, leaf: Option<&str>) -> bool {
    let Some(leaf) = leaf else { return true };
    Image::parse(leaf).is_some_and(|l| {
        (l.tag, l.digest) == (image.tag, image.digest)
            && (l.tag.is_some() || l.digest.is_some())
            && image.is_named(l.name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_taken_apart() {
        let parse = |text| Image::parse(text).map(|i| (i.name, i.tag, i.digest));
        assert_eq!(parse("nginx"), Some(("nginx", None, None)));
        assert_eq!(parse("r:5000/a/b"), Some(("r:5000/a/b", None, None)));
        assert_eq!(parse("r:5000/a:v1"), Some(("r:5000/a", Some("v1"), None)));
        assert_eq!(
            parse("r/a:v1@sha256:ab"),
            Some(("r/a", Some("v1"), Some("sha256:ab")))
        );
        for not in ["", "a b", "a@b", ":v1", "a:", "$(x)"] {
            assert_eq!(parse(not), None, "{not}");
        }
    }

    #[test]
    fn a_tag_alone_says_nothing_of_whose_it_is() {
        let image = Image::parse("r.io/shop/checkout:v1@sha256:aa").unwrap();
        for leaf in [
            "checkout",
            "shop/checkout",
            "shop/checkout:v1",
            "sha256:aa",
            "aa",
            "v1@sha256:aa",
        ] {
            assert!(image.is_said_by(leaf), "{leaf}");
        }
        for leaf in [
            "",
            "v1",
            "catalog",
            "shop/catalog:v1",
            "sha256:bb",
            "v1@sha256:bb",
        ] {
            assert!(!image.is_said_by(leaf), "{leaf}");
        }
        assert!(
            !Image::parse("r.io/shop/checkout:v1")
                .unwrap()
                .is_said_by("v1")
        );
    }

    #[test]
    fn parts_of_an_image_are_recognised() {
        let part = |old, new, leaf_old, leaf_new| {
            is_part_of_change(
                Image::parse(old).unwrap(),
                Image::parse(new).unwrap(),
                leaf_old,
                leaf_new,
            )
        };
        let (old, new) = ("r.io/shop/checkout:v1", "r.io/shop/checkout:v2");
        for (a, b) in [
            ("v1", "v2"),
            ("r.io/shop/checkout:v1", "r.io/shop/checkout:v2"),
            ("shop/checkout:v1", "shop/checkout:v2"),
        ] {
            assert!(part(old, new, Some(a), Some(b)), "{a}");
            assert!(part(old, new, None, Some(b)), "{b} added");
            assert!(part(old, new, Some(a), None), "{a} removed");
            assert!(!part(old, new, Some(b), Some(a)), "{a} the other way");
        }
        assert!(!part(old, new, Some("v1"), Some("v3")));
        assert!(!part(
            old,
            new,
            Some("other/checkout:v1"),
            Some("other/checkout:v2")
        ));
        assert!(!part(old, new, Some("eckout:v1"), Some("eckout:v2")));
        assert!(!part(
            old,
            new,
            Some("shop/checkout"),
            Some("shop/checkout")
        ));
        assert!(!part(old, new, None, None));
        let (old, new) = ("r/a:v1@sha256:aa", "r/b:v1@sha256:bb");
        for (a, b) in [
            ("sha256:aa", "sha256:bb"),
            ("aa", "bb"),
            ("v1@sha256:aa", "v1@sha256:bb"),
            ("r/a", "r/b"),
            ("a", "b"),
        ] {
            assert!(part(old, new, Some(a), Some(b)), "{a}");
        }
        assert!(!part(old, new, Some("v1"), Some("v1")));
        assert!(part(
            "docker.io/library/nginx:1",
            "nginx:2",
            Some("nginx:1"),
            Some("nginx:2")
        ));
    }
}
