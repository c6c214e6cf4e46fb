//! The name that a client asks for. rustls tells it to whoever chooses the certificate and, in the interface that we use,
//! to nobody else; both happen in one call on one thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

thread_local! {
    static ASKED: RefCell<Option<Rc<str>>> = const { RefCell::new(None) };
}

/// The name in the hello that this thread has looked at since it was last asked; lower case.
pub(super) fn take() -> Option<Rc<str>> {
    ASKED.take()
}

/// Chooses certificates as another one does, and notes the name.
#[derive(Debug)]
pub(super) struct Noting<R>(pub(super) R);

impl<R: ResolvesServerCert> ResolvesServerCert for Noting<R> {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        ASKED.set(hello.server_name().map(Into::into));
        crate::failpoint!("certificate");
        self.0.resolve(hello)
    }
}
