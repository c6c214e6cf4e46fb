//! Panics on purpose, for the tests of panic isolation (SPEC LOAD-4). Compiled to nothing unless the feature
//! `failpoints` is on; then `FAILPOINTS=name,name` in the environment arms the points named.

/// Panics here when the point called `$name` is armed.
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        $crate::failpoint::hit($name);
    };
}

/// Panics when `name` is armed.
///
/// # Panics
/// That is what it is for.
#[cfg(feature = "failpoints")]
pub fn hit(name: &str) {
    let armed = std::env::var("FAILPOINTS").unwrap_or_default();
    assert!(!armed.split(',').any(|point| point == name), "failpoint {name}");
}
