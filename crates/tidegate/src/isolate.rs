//! Walls for panics (SPEC LOAD-4): one costs the request or the turn that met it, never the thread or what its
//! neighbours wait for. Who was told of each is `telemetry::panics`.
//!
//! Behind such a wall nothing of what panicked is used again but what it gave back by `Drop`.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// It panicked instead of returning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked;

/// What `work` returns.
///
/// # Errors
/// [`Panicked`].
#[inline]
pub fn run<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Panicked)
}

/// One poll of `future`, which is not to be polled again where it panicked.
#[inline]
pub fn poll<F: Future + ?Sized>(
    future: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<Result<F::Output, Panicked>> {
    match run(|| future.poll(cx)) {
        Ok(polled) => polled.map(Ok),
        Err(panicked) => Poll::Ready(Err(panicked)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    #[test]
    fn load_4_what_panics_is_a_value_and_gives_back_what_it_took() {
        let taken = std::cell::Cell::new(0);
        let held = Held(&taken);
        assert_eq!(run(|| 7), Ok(7));
        let mut future = Box::pin(async move {
            let held = held;
            held.0.set(1);
            std::future::ready(()).await;
            panic!("on purpose");
        });
        let polled: Poll<Result<(), Panicked>> =
            poll(future.as_mut(), &mut Context::from_waker(Waker::noop()));
        assert_eq!((polled, taken.get()), (Poll::Ready(Err(Panicked)), 0));
    }

    struct Held<'a>(&'a std::cell::Cell<u32>);

    impl Drop for Held<'_> {
        fn drop(&mut self) {
            self.0.set(0);
        }
    }
}
