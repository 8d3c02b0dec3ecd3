//! What the forges have in common: each says the same things in its own words. Pure.

use serde_json::Value;

use super::ask::{Ask, Draft, Place, Request};

/// The words of one kind of forge.
pub trait Dialect: Send + Sync {
    /// Headers of every request.
    fn headers(&self) -> &'static [(&'static str, &'static str)];

    /// The header that logs in: its name and its value.
    fn login(&self, token: &str) -> (&'static str, String);

    /// Looks for the requests from one branch to another, whatever became of them.
    fn find(&self, place: &Place, head: &str, base: &str) -> Ask;

    /// Whether 404 to [`Dialect::find`] says that there is none.
    fn absent_is_not_found(&self) -> bool {
        false
    }

    /// Reads a request.
    fn get(&self, place: &Place, number: i64) -> Ask;

    /// Opens a request.
    fn create(&self, place: &Place, draft: &Draft<'_>) -> Ask;

    /// Labels a request, where that takes a call of its own.
    fn label(&self, place: &Place, number: i64, labels: &[String]) -> Option<Ask>;

    /// Lets the forge merge a request once its own rules allow it.
    fn merge_later(&self, place: &Place, request: &Request) -> Option<Ask>;

    /// Closes a request.
    fn close(&self, place: &Place, number: i64) -> Ask;

    /// Says something below a request.
    fn comment(&self, place: &Place, number: i64, words: &str) -> Ask;

    /// Marks a commit as one that failed.
    fn mark(&self, place: &Place, commit: &str, words: &str, link: Option<&str>) -> Ask;

    /// Looks for the requests that brought a commit.
    fn origin(&self, place: &Place, commit: &str) -> Ask;

    /// Reads one request out of an answer; nothing if it is none.
    fn read(&self, value: &Value) -> Option<Request>;

    /// Reads all requests out of an answer, which is one or a list.
    fn read_all(&self, value: &Value) -> Vec<Request> {
        match value {
            Value::Array(items) => items.iter().filter_map(|item| self.read(item)).collect(),
            one => self.read(one).into_iter().collect(),
        }
    }
}
