//! The labels of a series. An answer of a metrics source is labels for the most part, and they come anew
//! with every scrape: here they are one text, and a clone is the same one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// Labels, sorted by name; each name stands once.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels {
    /// Names and values in turn, one after the other.
    text: Arc<str>,
    /// Where each of them ends.
    ends: Arc<[usize]>,
}

impl Labels {
    /// Names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut begin = 0;
        self.ends.chunks_exact(2).map(move |ends| {
            let [name_end, value_end] = ends else {
                return ("", "");
            };
            let part = |from: usize, to: usize| self.text.get(from..to).unwrap_or_default();
            let label = (part(begin, *name_end), part(*name_end, *value_end));
            begin = *value_end;
            label
        })
    }

    /// The value of this label, if there is one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(is, _)| *is == name).map(|l| l.1)
    }

    /// The same with this value for a label.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let others = self.iter().filter(|(is, _)| *is != name);
        others.chain([(name, value)]).collect()
    }

    /// The same without a label.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        self.iter().filter(|(is, _)| *is != name).collect()
    }

    /// About how much memory they take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        // Each of the two has its counters on the heap.
        self.text.len() + size_of_val(&*self.ends) + 4 * size_of::<usize>()
    }

    /// Of names that are sorted and stand once.
    fn of<S: AsRef<str>>(sorted: &[(S, S)]) -> Self {
        let parts = || sorted.iter().flat_map(|(n, v)| [n.as_ref(), v.as_ref()]);
        let mut end = 0;
        let ends = parts().map(|part| {
            end += part.len();
            end
        });
        let ends: Vec<usize> = ends.collect();
        let mut text = String::with_capacity(end);
        parts().for_each(|part| text.push_str(part));
        Self {
            text: text.into(),
            ends: ends.into(),
        }
    }
}

impl<S: AsRef<str> + Ord> FromIterator<(S, S)> for Labels {
    /// Of a name that stands twice the last value counts.
    fn from_iter<T: IntoIterator<Item = (S, S)>>(labels: T) -> Self {
        let sorted: BTreeMap<S, S> = labels.into_iter().collect();
        Self::of(&sorted.into_iter().collect::<Vec<_>>())
    }
}

impl<S: AsRef<str> + Ord, const N: usize> From<[(S, S); N]> for Labels {
    fn from(labels: [(S, S); N]) -> Self {
        labels.into_iter().collect()
    }
}

impl From<BTreeMap<String, String>> for Labels {
    fn from(labels: BTreeMap<String, String>) -> Self {
        labels.into_iter().collect()
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Labels;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("labels: texts by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
                let mut labels = Vec::with_capacity(8);
                while let Some((Text(name), Text(value))) = map.next_entry::<Text, Text>()? {
                    labels.push((name, value));
                }
                // A Prometheus sorts them.
                if !labels.is_sorted_by(|(a, _), (b, _)| a < b) {
                    labels.sort_by(|(a, _), (b, _)| a.cmp(b));
                    let same = |pair: &[(_, _)]| matches!(pair, [(a, _), (b, _)] if a == b);
                    if labels.windows(2).any(same) {
                        return Err(A::Error::custom("a label stands twice"));
                    }
                }
                Ok(Labels::of(&labels))
            }
        }
        deserializer.deserialize_map(Map)
    }
}

/// A text that stays where it was read, unless it had to be put together.
struct Text<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Any)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// As a map does, whatever the texts are and whoever wrote them in which order.
        #[test]
        fn they_are_what_a_map_of_them_is(
            map in proptest::collection::btree_map(".{0,6}", ".{0,6}", 0..6),
            name in ".{0,6}",
            value in ".{0,6}",
        ) {
            let all = |labels: &Labels| -> BTreeMap<String, String> {
                labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
            };
            let labels = Labels::from(map.clone());
            prop_assert_eq!(&all(&labels), &map);
            prop_assert_eq!(labels.get(&name), map.get(&name).map(String::as_str));
            let pairs: Vec<String> = map
                .iter()
                .rev()
                .map(|(n, v)| format!("{}:{}", serde_json::json!(n), serde_json::json!(v)))
                .collect();
            let text = format!("{{{}}}", pairs.join(","));
            prop_assert_eq!(&serde_json::from_str::<Labels>(&text).unwrap(), &labels);
            let mut more = map;
            more.insert(name.clone(), value.clone());
            prop_assert_eq!(all(&labels.with(&name, &value)), more.clone());
            more.remove(&name);
            prop_assert_eq!(all(&labels.without(&name)), more);
        }
    }

    #[test]
    fn a_label_that_stands_twice_is_none() {
        assert!(serde_json::from_str::<Labels>(r#"{"b":"1","a":"2","b":"3"}"#).is_err());
        assert!(serde_json::from_str::<Labels>(r#"{"a":1}"#).is_err());
    }
}
