//! One look at a time: requests for a file that is not at hand share a single visit to the disk.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use tokio::sync::Notify;

/// Looks under way, by name. Bounded by the connections: somebody waits for each, or for a page of a refusal.
#[derive(Debug)]
pub struct Flights<T>(RefCell<HashMap<String, Rc<Flight<T>>>>);

/// One look, and those who wait for it.
#[derive(Debug)]
pub struct Flight<T> {
    outcome: RefCell<Option<T>>,
    landed: Notify,
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T: Clone> Flights<T> {
    /// The look at `name` that is under way.
    pub fn get(&self, name: &str) -> Option<Rc<Flight<T>>> {
        self.0.borrow().get(name).cloned()
    }

    /// Begins a look at `name`.
    pub fn begin(&self, name: &str) -> Rc<Flight<T>> {
        let flight = Rc::new(Flight { outcome: RefCell::new(None), landed: Notify::new() });
        self.0.borrow_mut().insert(name.to_owned(), Rc::clone(&flight));
        flight
    }

    /// Ends the look at `name` with `outcome`, for all who wait; nothing where it has ended.
    pub fn end(&self, name: &str, outcome: T) {
        if let Some(flight) = self.0.borrow_mut().remove(name) {
            *flight.outcome.borrow_mut() = Some(outcome);
            flight.landed.notify_waiters();
        }
    }
}

impl<T: Clone> Flight<T> {
    /// What came of it.
    pub async fn outcome(&self) -> T {
        loop {
            // Made before the look at the outcome: an end in between would be missed otherwise.
            let landed = self.landed.notified();
            if let Some(outcome) = self.outcome.borrow().clone() {
                return outcome;
            }
            landed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_1_all_who_wait_share_one_outcome() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let flights = Flights::default();
        let flight = flights.begin("name");
        let (one, two) = (flights.get("name").unwrap(), flights.get("name").unwrap());
        assert!(flights.get("other").is_none());
        let (one, two, ()) = runtime.block_on(async {
            tokio::join!(one.outcome(), two.outcome(), async {
                tokio::task::yield_now().await;
                flights.end("name", 7);
            })
        });
        assert_eq!((one, two), (7, 7));
        assert!(flights.get("name").is_none());
        assert_eq!(runtime.block_on(flight.outcome()), 7, "who comes late learns it too");
    }
}
