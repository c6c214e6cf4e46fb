//! A reload (SPEC RUN-5): what can fail is done first; from then on nothing does, and all workers get the new site. What
//! came of it is said to everybody who may want to know: log, metrics, service manager, and who asked.

use std::sync::Arc;
use std::time::SystemTime;

use super::{Server, capacity};
use crate::config::Environment;
use crate::greeting;
use crate::isolate::{self, Panicked};
use crate::net::Tls;
use crate::telemetry::log as logging;
use crate::worker::Order;

impl Server {
    /// Reads the configuration anew and takes it over whole, or not at all. Returns what came of it.
    pub(super) fn reload(&mut self) -> Result<String, String> {
        self.notifier.reloading();
        let tried = isolate::run(|| self.try_reload());
        let said = match tried.unwrap_or_else(|Panicked| Err("the server made a mistake".to_owned())) {
            Ok(changed) if changed.is_empty() => {
                Ok("configuration reloaded, nothing changed; logs reopened".to_owned())
            }
            Ok(changed) => {
                Ok(format!("configuration reloaded, logs reopened; changed: {}", changed.join(", ")))
            }
            Err(why) => Err(format!("configuration not reloaded, the old one goes on: {why}")),
        };
        match &said {
            Ok(text) => log::info!("{text}"),
            Err(text) => {
                self.services.overview.reload_failed();
                log::error!("{text}");
            }
        }
        let (Ok(text) | Err(text)) = &said;
        self.notifier.ready(text);
        said
    }

    fn try_reload(&mut self) -> Result<Vec<&'static str>, String> {
        let new = self.invocation.resolve_again(&Environment::current(), &self.settings);
        let new = new.map_err(|error| error.to_string())?;
        if let Some(key) = self.settings.changed_fixed_key(&new) {
            return Err(format!("{key} cannot change while the server runs; restart it for that"));
        }
        // What can fail comes first; from the reopened log on, nothing does.
        let tls = Tls::load(&new.tls, &new.own_names(), self.tls.as_deref(), SystemTime::now())
            .map_err(|error| error.to_string())?;
        self.services.pool.resize(new.server.threads, new.server.queue).map_err(|error| error.to_string())?;
        if let Err(error) = self.writer.reopen(&new.log) {
            let old = &self.settings.server;
            let _ = self.services.pool.resize(old.threads, old.queue);
            return Err(format!("cannot open the log: {error}"));
        }
        logging::reshape(&new.log);
        let cap = capacity::connections(&new, self.descriptors);
        greeting::remark(&new, tls.as_deref(), &self.at.public, cap, self.descriptors);
        self.admission().set_cap(cap);
        if let Some(store) =
            self.services.store.as_ref().filter(|_| new.uploads.quota != self.settings.uploads.quota)
        {
            store.set_quota(new.uploads.quota);
        }
        let overview = &self.services.overview;
        self.services.ledger.rescale(&self.settings.clients, &new.clients, overview.now());
        let mut changed = self.settings.changed_keys(&new);
        if !Tls::shows_the_same(self.tls.as_deref(), tls.as_deref()) {
            changed.push("certificates");
        }
        (self.settings, self.tls) = (Arc::new(new), tls);
        overview.reloaded(Arc::clone(&self.settings), self.tls.clone());
        for worker in &self.workers {
            worker.order(Order::Reload(Arc::clone(&self.settings), self.tls.clone()));
        }
        Ok(changed)
    }
}
