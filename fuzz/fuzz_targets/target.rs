//! Request-targets and authorities: what is accepted is made of its parts and of clean bytes only.

#![no_main]

use http1::{Authority, Host, Target};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let tail = |query: Option<&[u8]>| query.map(|query| [b"?", query].concat()).unwrap_or_default();
    match Target::parse(input) {
        Ok(Target::Origin { path, query }) => {
            assert!(path.starts_with(b"/"));
            assert_eq!([path, &tail(query)].concat(), input);
        }
        Ok(Target::Absolute { scheme, authority, path, query }) => {
            assert!(path.starts_with(b"/") && !authority.is_empty());
            let whole = [scheme, b"://", authority, path, &tail(query)].concat();
            let bare = [scheme, b"://", authority, &tail(query)].concat();
            assert!(whole == input || (path == b"/" && bare == input));
        }
        Ok(Target::Asterisk) => assert_eq!(input, b"*"),
        Err(_) => {}
    }
    if Target::parse(input).is_ok() {
        assert!(input.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#'));
    }

    if let Ok(Authority { host, port }) = Authority::parse(input) {
        let host = match host {
            Host::Name(name) | Host::Other(name) => name.to_owned(),
            Host::V4(address) => address.to_string(),
            Host::V6(address) => format!("[{address}]"),
        };
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let again = format!("{host}{port}");
        let read = Authority::parse(again.as_bytes());
        assert_eq!(read, Authority::parse(input), "what is written back reads the same");
        assert!(!input.iter().any(|byte| b"@/?#,\\ ".contains(byte)));
    }
});
