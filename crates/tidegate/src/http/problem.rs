//! How a refusal reads: `application/problem+json` (RFC 9457), or a small page for a browser (SPEC SEC-4).
//!
//! Nothing here repeats what the client sent, so there is nothing to escape but our own sentences.

use std::fmt::Write;

use super::reject::{Extra, Reject};
use super::response::{Body, Fields, Refusal, Response};

const PAGE_STYLE: &str = "color-scheme:light dark;font:16px/1.6 system-ui,sans-serif;max-width:34rem;margin:18vh auto;padding:0 1.5rem";

/// The response of `reject` with request id `id`; `page` says that the client prefers HTML.
pub fn response(reject: &Reject, id: u64, page: bool) -> Response {
    let row = reject.code.row();
    let (kind, body) = if page {
        ("text/html; charset=utf-8", html(reject, id))
    } else {
        ("application/problem+json", json(reject))
    };
    let mut fields =
        format!("Content-Type: {kind}\r\nCache-Control: no-store\r\nX-Request-Id: {id:016x}\r\n");
    if page {
        fields.push_str(
            "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'\r\n",
        );
    }
    push_extra(&mut fields, &reject.extra);
    Response {
        status: row.status,
        fields: Fields::Owned(fields.into_bytes()),
        body: Body::Owned(body.into_bytes()),
        close: reject.close,
        refusal: Some(Refusal { code: reject.code, evidence: reject.evidence.clone(), event: reject.event }),
    }
}

/// Writing to a `String` cannot fail.
fn push(text: &mut String, part: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(part);
}

fn push_extra(fields: &mut String, extra: &Extra) {
    match extra {
        Extra::Allow(methods) => push(fields, format_args!("Allow: {methods}\r\n")),
        Extra::RetryAfter(seconds) => push(fields, format_args!("Retry-After: {seconds}\r\n")),
        Extra::Size(size) => push(fields, format_args!("Content-Range: bytes */{size}\r\n")),
        Extra::None | Extra::Position { .. } => {}
    }
}

fn json(reject: &Reject) -> String {
    let row = reject.code.row();
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut body = format!(
        "{{\"type\":\"urn:tidegate:{name}\",\"title\":{title},\"status\":{status},\"code\":\"{name}\",\"detail\":{detail}",
        name = row.name,
        title = quoted(row.title),
        status = row.status,
        detail = quoted(&reject.detail),
    );
    if let Extra::Position { line, column } = reject.extra {
        push(&mut body, format_args!(",\"line\":{line},\"column\":{column}"));
    }
    body.push_str("}\n");
    body
}

fn html(reject: &Reject, id: u64) -> String {
    let row = reject.code.row();
    let detail = reject.detail.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width\">\n<title>{status} {title}</title>\n<style>body{{{PAGE_STYLE}}}\
         small{{opacity:.7}}</style>\n<h1>{title}</h1>\n<p>{detail}</p>\n<p><small>{status} \
         <code>{name}</code> · request <code>{id:016x}</code></small></p>\n</html>\n",
        status = row.status,
        title = row.title,
        name = row.name,
    )
}

/// Whether an `Accept` value names `text/html` with a weight above zero.
pub fn wants_page<'a>(accept: impl Iterator<Item = &'a [u8]>) -> bool {
    accept.flat_map(|value| value.split(|byte| *byte == b',')).any(|range| {
        let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let html = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/html"));
        html && !parts.any(|part| matches!(part, b"q=0" | b"q=0.0" | b"q=0.00" | b"q=0.000" | b"Q=0"))
    })
}

#[cfg(test)]
mod tests {
    use super::super::reject::Code;
    use super::*;

    #[test]
    fn sec_4_a_problem_is_json_with_its_code_and_id() {
        let reject =
            Reject::new(Code::InvalidJson, "a \"quoted\" word").with(Extra::Position { line: 1, column: 9 });
        let response = response(&reject, 0xabc, false);
        let fields = String::from_utf8(response.fields.as_bytes().to_vec()).unwrap();
        assert!(fields.contains("X-Request-Id: 0000000000000abc\r\n"));
        assert!(fields.contains("Cache-Control: no-store\r\n"));
        let body: serde_json::Value = serde_json::from_slice(response.body.bytes().unwrap()).unwrap();
        assert_eq!(body["code"], "invalid_json");
        assert_eq!(body["status"], 400);
        assert_eq!((body["line"].as_u64(), body["column"].as_u64()), (Some(1), Some(9)));
        assert_eq!(body["detail"], "a \"quoted\" word");
    }

    #[test]
    fn sec_4_a_browser_gets_a_page_without_markup_from_outside() {
        let reject = Reject::new(Code::NotFound, "<b>&");
        let page = response(&reject, 1, true);
        let text = String::from_utf8(page.body.bytes().unwrap().to_vec()).unwrap();
        assert!(text.contains("&lt;b&gt;&amp;") && !text.contains("<b>"));
    }

    #[test]
    fn sec_4_accept_is_read_as_a_list() {
        let wants = |accept: &str| wants_page(std::iter::once(accept.as_bytes()));
        assert!(wants("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"));
        assert!(wants("application/json, Text/HTML;q=0.5"));
        assert!(!wants("*/*"));
        assert!(!wants("text/html;q=0"));
        assert!(!wants("text/htmlx"));
    }
}
