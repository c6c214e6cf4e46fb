//! The files of the page, compiled in: it needs nothing from outside, and runs nothing but these scripts.

use crate::http::Response;
use crate::http::response::{Body, Fields};

/// A file of the page.
struct Asset {
    name: &'static str,
    fields: &'static str,
    content: &'static str,
}

/// Nothing but what is here may load or run, and nobody may frame it (SEC-3).
macro_rules! fields {
    ($kind:literal) => {
        concat!(
            "Content-Type: ",
            $kind,
            "\r\nCache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\n",
            "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; ",
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n",
        )
    };
}

macro_rules! assets {
    ($($name:literal $kind:tt;)*) => {
        /// All but the page itself.
        const ASSETS: &[Asset] = &[$(Asset {
            name: $name, fields: fields!($kind), content: include_str!(concat!("assets/", $name)),
        }),*];
    };
}

assets! {
    "dashboard.css" "text/css; charset=utf-8";
    "panels.css" "text/css; charset=utf-8";
    "uplot/uPlot.min.css" "text/css; charset=utf-8";
    "uplot/uPlot.iife.min.js" "text/javascript; charset=utf-8";
    "uplot/LICENSE" "text/plain; charset=utf-8";
    "bans.js" "text/javascript; charset=utf-8";
    "charts.js" "text/javascript; charset=utf-8";
    "dashboard.js" "text/javascript; charset=utf-8";
    "dom.js" "text/javascript; charset=utf-8";
    "figures.js" "text/javascript; charset=utf-8";
    "format.js" "text/javascript; charset=utf-8";
    "kinds.js" "text/javascript; charset=utf-8";
    "stream.js" "text/javascript; charset=utf-8";
    "tables.js" "text/javascript; charset=utf-8";
    "theme.js" "text/javascript; charset=utf-8";
    "tiles.js" "text/javascript; charset=utf-8";
    "tls.js" "text/javascript; charset=utf-8";
    "verdict.js" "text/javascript; charset=utf-8";
    "state-attack.svg" "image/svg+xml";
    "state-degraded.svg" "image/svg+xml";
    "state-lost.svg" "image/svg+xml";
    "state-overload.svg" "image/svg+xml";
    "state-watch.svg" "image/svg+xml";
    "state-well.svg" "image/svg+xml";
}

/// The page.
pub(super) fn page() -> Response {
    const FIELDS: &str = fields!("text/html; charset=utf-8");
    Response::new(200, Fields::Static(FIELDS), Body::Static(include_str!("assets/index.html")))
}

/// The file of this name.
pub(super) fn named(name: &str) -> Option<Response> {
    let asset = ASSETS.iter().find(|asset| asset.name == name)?;
    Some(Response::new(200, Fields::Static(asset.fields), Body::Static(asset.content)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn obs_3_every_file_of_the_page_is_served() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/handlers/dashboard/assets");
        let mut folders = vec![folder.clone()];
        while let Some(inner) = folders.pop() {
            for entry in std::fs::read_dir(inner).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                    continue;
                }
                let path = entry.path();
                let name = path.strip_prefix(&folder).unwrap().to_str().unwrap();
                assert!(name == "index.html" || named(name).is_some(), "{name} is not in the table");
            }
        }
    }
}
