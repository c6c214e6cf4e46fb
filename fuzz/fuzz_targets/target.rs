//! Request-targets, authorities and paths: what is accepted is made of its parts and of clean bytes only, and no path
//! leads up.

#![no_main]

use std::path::{Component, Path};

use http1::{Authority, Host, Target};
use libfuzzer_sys::fuzz_target;
use percent_encoding::percent_decode;
use tidegate::http::Code;
use tidegate::http::url_path::{UrlPath, encode};

fuzz_target!(|input: &[u8]| fuzz::timely(input, check));

fn check(input: &[u8]) {
    target(input);
    authority(input);
    if input.starts_with(b"/") && input.iter().all(u8::is_ascii_graphic) {
        path(input);
    }
}

fn target(input: &[u8]) {
    let tail = |query: Option<&[u8]>| query.map(|query| [b"?", query].concat()).unwrap_or_default();
    match Target::parse(input) {
        Ok(Target::Origin { path, query }) => {
            assert!(path.starts_with(b"/") && !path.contains(&b'?'));
            assert_eq!([path, &tail(query)].concat(), input);
        }
        Ok(Target::Absolute { scheme, authority, path, query }) => {
            assert!(path.starts_with(b"/") && !authority.is_empty());
            assert!(!authority.iter().any(|byte| b"/?#".contains(byte)));
            let whole = [scheme, b"://", authority, path, &tail(query)].concat();
            let bare = [scheme, b"://", authority, &tail(query)].concat();
            assert!(whole == input || (path == b"/" && bare == input));
        }
        Ok(Target::Asterisk) => assert_eq!(input, b"*"),
        Err(_) => assert!(!is_origin(input)),
    }
    if Target::parse(input).is_ok() {
        assert!(input.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#'));
    }
}

/// Whether `input` has the usual form, `absolute-path [ "?" query ]`, with any visible byte but `#` for a `pchar`.
fn is_origin(input: &[u8]) -> bool {
    input.starts_with(b"/") && input.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#')
}

fn authority(input: &[u8]) {
    let Ok(read) = Authority::parse(input) else { return };
    let host = match read.host {
        Host::Name(name) | Host::Other(name) => name.to_owned(),
        Host::V4(address) => address.to_string(),
        Host::V6(address) => format!("[{address}]"),
    };
    let port = read.port.map(|port| format!(":{port}")).unwrap_or_default();
    let again = format!("{host}{port}");
    assert_eq!(Authority::parse(again.as_bytes()), Ok(read), "what is written back reads the same");
    assert!(!input.iter().any(|byte| b"@/?#,\\ ".contains(byte)));
}

/// SPEC FILE-4, against a decoder that is not ours.
fn path(input: &[u8]) {
    let decoded = percent_decode(input).decode_utf8();
    let judged = UrlPath::parse(input);
    let expected = match &decoded {
        Ok(text) if has_sound_escapes(input) && !text.contains('\0') => {
            if leads_up(text) || text.contains('\\') || input.starts_with(b"//") {
                Err(Code::TraversalRefused)
            } else {
                Ok(text.as_ref())
            }
        }
        _ => Err(Code::BadTarget),
    };
    assert_eq!(judged.as_ref().map(UrlPath::as_str).map_err(|reject| reject.code), expected);
    let Ok(path) = judged else { return };
    if let Some(name) = path.name() {
        is_beneath(name);
        // A name has no encoded slash, so that what we write of it leads back to it.
        let written = encode(path.as_str());
        assert_eq!(
            UrlPath::parse(written.as_bytes()).map(|again| again.name().map(str::to_owned)).ok(),
            Some(Some(name.to_owned()))
        );
    }
}

fn has_sound_escapes(input: &[u8]) -> bool {
    let escapes = input.split(|byte| *byte == b'%').skip(1);
    escapes.into_iter().all(|text| text.get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit)))
}

fn leads_up(text: &str) -> bool {
    text.split(['/', '\\']).any(|segment| segment == "." || segment == "..")
}

/// A name that is opened beneath the root: segments that go down, and none that is hidden.
fn is_beneath(name: &str) {
    let path = Path::new(name);
    assert!(path.is_relative() && !name.contains(['\0', '\\']) && !name.contains("//"));
    for component in path.components() {
        let Component::Normal(segment) = component else { panic!("{name:?} does not go down") };
        assert!(
            segment == ".well-known" || !segment.to_string_lossy().starts_with('.'),
            "{name:?} is hidden"
        );
    }
}
