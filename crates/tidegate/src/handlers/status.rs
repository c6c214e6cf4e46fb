//! `/status`, and a refusal by its id (SPEC OBS-4, SEC-4).

use super::overview::{Overview, snapshot};
use crate::http::explain::Explanation;
use crate::http::page::Text;
use crate::http::request::Name;
use crate::http::response::{Body, Fields};
use crate::http::{Code, Reject, Request, Response, negotiate, page};

/// What each thread does now.
pub fn show(overview: &Overview) -> Response {
    super::json(&snapshot::status(overview))
}

/// Why the exchange called `id` was refused: rule, key, limit and evidence.
///
/// # Errors
/// `not_found` where nobody remembers it: the newest few thousand refusals of each worker are kept.
pub fn refusal(overview: &Overview, request: &Request<'_>, id: &str) -> Result<Response, Reject> {
    let number = (id.len() == 16).then(|| u64::from_str_radix(id, 16).ok()).flatten();
    let seen = number.and_then(|number| overview.parts.board.find(number)).ok_or_else(Reject::not_found)?;
    let value = snapshot::refusal(&seen);
    if !super::wants_json(request) && negotiate::names_html(request.values(Name::Accept)) {
        return Ok(html(&value, seen.code));
    }
    Ok(super::json(&value))
}

const STYLE: &str = "body{color-scheme:light dark;font:16px/1.6 system-ui,sans-serif;max-width:44rem;margin:8vh auto;\
                     padding:0 1.5rem}dt{font-weight:600;margin-top:.8rem}dd{margin:0;overflow-wrap:anywhere}";
/// Of [`STYLE`], for the policy; a test says the new one after a change.
const STYLE_HASH: &str = "sha256-jg/UFr6lsG7LKYlq5amE3fVSnIQWcm/D7F+VZ9AX9OA=";

/// The same for a person.
fn html(value: &serde_json::Value, code: Code) -> Response {
    let (row, explanation) = (code.row(), Explanation::of(code));
    let mut body = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width\">\n<title>{status} {title}</title>\n<style>{STYLE}</style>\n<h1>{title}</h1>\n\
         <p>{cause}</p>\n<dl>\n",
        status = row.status,
        title = Text(row.title),
        cause = Text(explanation.cause),
    );
    for key in ["id", "time", "client", "code", "status", "kind", "request", "limit", "evidence"] {
        let text = match value.get(key) {
            Some(serde_json::Value::String(text)) => text.clone(),
            None | Some(serde_json::Value::Null) => continue,
            Some(other) => other.to_string(),
        };
        page::push(&mut body, format_args!("<dt>{key}</dt><dd>{}</dd>\n", Text(&text)));
    }
    let flags = snapshot::limits(code);
    if !flags.is_empty() {
        page::push(&mut body, format_args!("<dt>governed by</dt><dd>{}</dd>\n", Text(&flags.join(", "))));
    }
    page::push(
        &mut body,
        format_args!(
            "<dt>what the client can do</dt><dd>{}</dd>\n</dl>\n<p><a href=\"/security-dashboard\">Security \
             dashboard</a></p>\n</html>\n",
            Text(explanation.client)
        ),
    );
    let fields = format!(
        "Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n{}",
        page::policy(STYLE_HASH)
    );
    Response::new(200, Fields::Owned(fields.into_bytes()), Body::Owned(body.into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_3_the_policy_of_the_page_admits_its_style_and_nothing_else() {
        assert_eq!(STYLE_HASH, page::tests::hash_of(STYLE));
    }
}
