//! Faults on purpose, for the tests of panic isolation and of the sandbox (SPEC LOAD-4, SEC-7). Compiled to nothing
//! unless the feature `failpoints` is on; then `FAILPOINTS=name,name` in the environment arms the points named. An
//! armed point panics; as `name=escape` it does what an intruder would do instead.

#[cfg(feature = "failpoints")]
mod escape;

/// Panics here when the point called `$name` is armed.
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        $crate::failpoint::hit($name);
    };
}

/// Panics when `name` is armed, or tries to break out of the sandbox.
///
/// # Panics
/// That is what it is for.
#[cfg(feature = "failpoints")]
pub fn hit(name: &str) {
    let armed = std::env::var("FAILPOINTS").unwrap_or_default();
    for point in armed.split(',') {
        assert!(point != name, "failpoint {name}");
        if point.strip_suffix("=escape") == Some(name) {
            escape::attempt_all();
        }
    }
}
