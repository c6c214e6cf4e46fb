//! The end (SPEC RUN-5): not ready, then no longer accepting, then everything begun is finished or cut.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle as Task;

use super::signals::Signals;
use super::{DRAIN_DEADLINE_PASSED, Server};
use crate::greeting;
use crate::net::handover::Sockets;
use crate::worker::{Order, Worker};

/// How often a draining server looks whether its workers have ended.
const POLL: Duration = Duration::from_millis(5);
/// What a worker with nothing but idle connections needs to end; a shorter drain would call that a cut.
const FLOOR: Duration = Duration::from_millis(300);
/// How long the pool and the log may take to finish at the very end.
const LAST_WORK: Duration = Duration::from_secs(2);

/// Why a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The signal of this name asked for it.
    Asked(&'static str),
    /// A new server has taken over, in this process.
    Replaced(Option<i32>),
}

impl Server {
    /// Ends politely.
    pub(super) async fn drain(&mut self, ending: Ending, signals: &mut Signals) -> ExitCode {
        self.services.draining.begin();
        // Else the port would go on taking connections that nobody accepts.
        self.duplicates = Sockets::default();
        let delay = self.settings.server.drain_delay;
        let why = match ending {
            Ending::Asked(name) => {
                self.notifier.stopping();
                format!("{name} received")
            }
            Ending::Replaced(pid) => {
                // The next command is for the successor, and no balancer has to be told when it serves on.
                self.commands.iter().for_each(Task::abort);
                pid.into_iter().for_each(|pid| self.notifier.succeeded_by(pid));
                // It keeps the book of bans from here on.
                self.state = None;
                return self.finish_connections("a new server took over", "a signal", signals).await;
            }
        };
        if !delay.is_zero() {
            log::info!("{why}, shutting down: /readyz says 503; accepting on for {delay:?}");
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = signals.end() => return cut_short("a second signal"),
            }
        }
        self.finish_connections(&why, "a second signal", signals).await
    }

    async fn finish_connections(&self, why: &str, next: &str, signals: &mut Signals) -> ExitCode {
        let patience = self.settings.server.drain;
        let connections = self.admission().connections().0;
        log::info!(
            "{why}, shutting down: connections open: {connections}, with {patience:?} to finish (once more to end at \
             once)"
        );
        for worker in &self.workers {
            worker.order(Order::Drain);
        }
        let all_ended = async {
            while !self.workers.iter().all(Worker::is_finished) {
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::select! {
            () = all_ended => ExitCode::SUCCESS,
            () = tokio::time::sleep(patience.max(FLOOR)) => {
                let left = self.admission().connections().0;
                log::warn!("the drain deadline passed; {left} connections are cut");
                ExitCode::from(DRAIN_DEADLINE_PASSED)
            }
            () = signals.end() => cut_short(next),
        }
    }

    /// The last words. Workers that were not done end with the process.
    pub(super) fn finish(mut self, code: ExitCode) {
        if code == ExitCode::SUCCESS {
            self.services.pool.shut_down(Instant::now() + LAST_WORK);
        }
        if self.handed_on.get() {
            self.socket_files.leave();
        }
        if let Some(state) = &self.state {
            state.save(self.services.overview.now());
        }
        let totals = self.services.overview.parts.board.totals();
        let peak = self.admission().connections().1;
        log::info!("{}", greeting::summary(&totals, peak, self.started.elapsed(), self.writer.dropped()));
        self.writer.stop();
        let deadline = Instant::now() + LAST_WORK;
        while !self.log_thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The operator asked while the server was ending already.
fn cut_short(by: &str) -> ExitCode {
    log::warn!("{by}: ending at once");
    ExitCode::from(DRAIN_DEADLINE_PASSED)
}
