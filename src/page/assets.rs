//! What a page loads besides itself: its style and script, and the plots'. They stand in the program, so that
//! nothing is fetched from elsewhere. `assets/uplot.*` is uPlot 1.6.32 as published on npm, with its licence.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::guard;

/// Digits of a digest in an address: what has changed has another address.
const DIGITS: usize = 12;

/// A file: its name, its kind, and what is in it.
struct Asset {
    name: &'static str,
    kind: &'static str,
    body: &'static [u8],
}

static ASSETS: [Asset; 4] = [
    Asset {
        name: "page.css",
        kind: "text/css; charset=utf-8",
        body: include_bytes!("assets/page.css"),
    },
    Asset {
        name: "page.js",
        kind: "text/javascript; charset=utf-8",
        body: include_bytes!("assets/page.js"),
    },
    Asset {
        name: "uplot.css",
        kind: "text/css; charset=utf-8",
        body: include_bytes!("assets/uplot.css"),
    },
    Asset {
        name: "uplot.js",
        kind: "text/javascript; charset=utf-8",
        body: include_bytes!("assets/uplot.js"),
    },
];

/// The licence of the plots, as it asks to be given on.
pub const PLOT_LICENCE: &str = include_str!("assets/uplot.LICENSE");

fn digest(body: &[u8]) -> String {
    let hex: String = Sha256::digest(body)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    hex.chars().take(DIGITS).collect()
}

/// Where a file is found.
#[must_use]
pub fn address(name: &str) -> String {
    let of = ASSETS.iter().find(|asset| asset.name == name);
    let version = of.map(|asset| digest(asset.body)).unwrap_or_default();
    format!("/assets/{name}?v={version}")
}

/// A file by its name.
#[must_use]
pub fn file(name: &str, headers: &HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return (StatusCode::NOT_FOUND, "there is no such file\n").into_response();
    };
    let etag = digest(asset.body);
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|v| v.to_str().ok());
    if known.is_some_and(|known| known.trim_matches('"') == etag) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    guard::unchanging(asset.kind, &etag, asset.body)
}
