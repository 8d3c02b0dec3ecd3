//! Parts: pieces of a page with an id, made by templates and sent anew when they change; and the frame around
//! them. Templates escape what they are given, so nothing from a cluster is ever taken for HTML.

use askama::Template;

use super::assets;

/// A piece of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its id in the page.
    pub id: String,
    /// What is in it.
    pub html: String,
}

impl Part {
    /// Fills a template in. One that fails is said to have failed: the rest of the page stands.
    pub fn of(id: impl Into<String>, template: &impl Template) -> Self {
        let html = template
            .render()
            .unwrap_or_else(|_| "this part cannot be shown".to_owned());
        Self {
            id: id.into(),
            html,
        }
    }
}

/// What a page shows: its parts, and the rows of its table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// In their order.
    pub parts: Vec<Part>,
    /// Rows, which come and go.
    pub rows: Vec<Part>,
}

/// The frame of a page.
#[derive(Template)]
#[template(path = "frame.html")]
pub struct Frame<'a> {
    title: &'a str,
    /// What the script is to listen to; empty: nothing changes.
    events: &'a str,
    mark: &'a str,
    css: String,
    js: String,
    /// Empty: no plots.
    plot_css: String,
    plot_js: String,
    body: &'a str,
    version: &'a str,
    rights: &'a str,
}

impl<'a> Frame<'a> {
    /// A frame around a body.
    #[must_use]
    pub fn new(title: &'a str, events: &'a str, body: &'a str) -> Self {
        Self {
            title,
            events,
            mark: "",
            css: assets::address("page.css"),
            js: assets::address("page.js"),
            plot_css: String::new(),
            plot_js: String::new(),
            body,
            version: env!("CARGO_PKG_VERSION"),
            rights: "",
        }
    }

    /// With what a command needs, and whose rights there are.
    #[must_use]
    pub fn with_rights(mut self, mark: &'a str, rights: &'a str) -> Self {
        self.mark = mark;
        self.rights = rights;
        self
    }

    /// With plots.
    #[must_use]
    pub fn with_plots(mut self) -> Self {
        self.plot_css = assets::address("uplot.css");
        self.plot_js = assets::address("uplot.js");
        self
    }
}

/// A page that says why there is nothing to show.
#[derive(Template)]
#[template(path = "trouble.html")]
pub struct Trouble<'a> {
    /// What is wrong.
    pub heading: &'a str,
    /// Why, and what to do.
    pub text: &'a str,
}
