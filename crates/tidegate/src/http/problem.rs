//! How a refusal reads: `application/problem+json` (RFC 9457), or a small page for a browser (SPEC SEC-4).
//!
//! Nothing here repeats what the client sent, so there is nothing to escape but our own sentences.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use super::page::{Text, policy, push};
use super::reject::{Code, Extra, Reject};
use super::response::{Body, Fields, Refusal, Response};

const STYLE: &str = "body{color-scheme:light dark;font:16px/1.6 system-ui,sans-serif;max-width:34rem;margin:18vh auto;\
                     padding:0 1.5rem}small{opacity:.7}";
/// Of [`STYLE`], for the policy; a test says the new one after a change.
const STYLE_HASH: &str = "sha256-QxMQt/6nFPXD5BSBd0ABkq8xeqrzPNuPe5IEq3LRlBA=";

/// The fields of every problem that is JSON, and has no field of its own.
const JSON_FIELDS: &str = "Content-Type: application/problem+json\r\nCache-Control: no-store\r\n";

/// The response of `reject` with request id `id`; `page` says that the client prefers HTML. The driver adds
/// `X-Request-Id`, as to every refusal.
pub fn response(reject: &Reject, id: u64, page: bool) -> Response {
    let (fields, body) = match page {
        true => (page_fields(&reject.extra), Body::Owned(html(reject, id).into_bytes())),
        false => (json_fields(&reject.extra), json_body(reject)),
    };
    refusal(reject, fields, body)
}

/// The same with a page of the operator's own: it brings its style, so it is not bound to ours.
pub fn with_page(reject: &Reject, page: Arc<[u8]>) -> Response {
    let mut fields = "Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n".to_owned();
    push_extra(&mut fields, &reject.extra);
    let whole = 0..page.len();
    refusal(reject, Fields::Owned(fields.into_bytes()), Body::Shared(page, whole))
}

fn refusal(reject: &Reject, fields: Fields, body: Body) -> Response {
    Response {
        status: reject.code.row().status,
        fields,
        body,
        close: reject.close,
        refusal: Some(Refusal {
            code: reject.code,
            evidence: reject.evidence.clone(),
            event: reject.event,
            guess: reject.guess,
        }),
    }
}

fn page_fields(extra: &Extra) -> Fields {
    let mut fields = "Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n".to_owned();
    fields.push_str(&policy(STYLE_HASH));
    push_extra(&mut fields, extra);
    Fields::Owned(fields.into_bytes())
}

fn json_fields(extra: &Extra) -> Fields {
    match extra {
        Extra::None | Extra::Position { .. } => Fields::Static(JSON_FIELDS),
        extra => {
            let mut fields = JSON_FIELDS.to_owned();
            push_extra(&mut fields, extra);
            Fields::Owned(fields.into_bytes())
        }
    }
}

/// A refusal whose sentence is always the same is always the same, but for its id, which is a field: it is written
/// once. So a flood of refusals is cheap.
fn json_body(reject: &Reject) -> Body {
    static WRITTEN: [OnceLock<(&str, String)>; Code::ALL.len()] =
        [const { OnceLock::new() }; Code::ALL.len()];
    if let (Cow::Borrowed(detail), false) = (&reject.detail, matches!(reject.extra, Extra::Position { .. }))
        && let Some(place) = WRITTEN.get(reject.code as usize)
    {
        let (of, body) = place.get_or_init(|| (*detail, json(reject)));
        // Some codes have several sentences; the first one that came is kept.
        if of == detail {
            return Body::Static(body);
        }
    }
    Body::Owned(json(reject).into_bytes())
}

/// The field that names the exchange of a refusal, encoded (SEC-4). Nothing is allocated: a flood of refusals is cheap.
pub fn id_field(id: u64) -> [u8; 32] {
    let mut field = *b"X-Request-Id: 0000000000000000\r\n";
    let digits = field.iter_mut().skip(b"X-Request-Id: ".len());
    for (digit, byte) in digits.zip(id.to_be_bytes().into_iter().flat_map(|byte| [byte >> 4, byte & 15])) {
        *digit = b"0123456789abcdef"[usize::from(byte)];
    }
    field
}

fn push_extra(fields: &mut String, extra: &Extra) {
    match extra {
        Extra::Allow(methods) => push(fields, format_args!("Allow: {methods}\r\n")),
        Extra::RetryAfter(seconds) => push(fields, format_args!("Retry-After: {seconds}\r\n")),
        Extra::Size(size) => push(fields, format_args!("Content-Range: bytes */{size}\r\n")),
        Extra::Fields(lines) => fields.push_str(&String::from_utf8_lossy(lines)),
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
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width\">\n<title>{status} {title}</title>\n<style>{STYLE}</style>\n\
         <h1>{title}</h1>\n<p>{detail}</p>\n<p><small>{status} <code>{name}</code> · request \
         <code>{id:016x}</code></small></p>\n</html>\n",
        detail = Text(&reject.detail),
        status = row.status,
        title = row.title,
        name = row.name,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_4_the_id_is_sixteen_digits() {
        for id in [0, 0xabc, u64::MAX, 0x0123_4567_89ab_cdef] {
            assert_eq!(id_field(id).to_vec(), format!("X-Request-Id: {id:016x}\r\n").into_bytes());
        }
    }

    #[test]
    fn sec_4_a_problem_is_json_with_its_code() {
        let reject =
            Reject::new(Code::InvalidJson, "a \"quoted\" word").with(Extra::Position { line: 1, column: 9 });
        let response = response(&reject, 0xabc, false);
        let fields = String::from_utf8(response.fields.as_bytes().to_vec()).unwrap();
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
    fn sec_3_the_policy_of_the_page_admits_its_style_and_nothing_else() {
        let page = response(&Reject::new(Code::NotFound, "x"), 1, true);
        let text = String::from_utf8(page.body.bytes().unwrap().to_vec()).unwrap();
        let style = text.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
        let fields = String::from_utf8(page.fields.as_bytes().to_vec()).unwrap();
        let admitted = format!("style-src '{}';", crate::http::page::tests::hash_of(style));
        assert!(fields.contains(&admitted), "{admitted}");
        assert!(fields.contains("default-src 'none';") && !fields.contains("unsafe"));
    }
}
