//! A server's life in any order (SPEC RUN-5, RUN-6): what an operator does to it, drawn by lot, while clients ask on. No
//! request is lost over any of it. `TIDEGATE_SEED=N` draws the same lot again.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod life;
mod process;
mod support;

use std::net::{SocketAddr, TcpListener};

use life::crowd::{self, At, Crowd};
use life::manager::activated;
use life::{Process, bare, reload, rounds};
use support::Setup;

/// What an operator does.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Reload,
    BrokenReload,
    Signal,
    Takeover,
    FailingTakeover,
    Restart,
}

const DEEDS: [Deed; 6] =
    [Deed::Reload, Deed::BrokenReload, Deed::Signal, Deed::Takeover, Deed::FailingTakeover, Deed::Restart];

/// A lot after the other, the same for the same seed (splitmix64).
struct Lots(u64);

impl Lots {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % most as u64).unwrap()
    }
}

/// A server behind a socket that outlives it.
struct Service {
    setup: Setup,
    socket: TcpListener,
    addr: SocketAddr,
    server: Process,
    reloads: usize,
}

impl Service {
    fn start() -> Self {
        let setup = crowd::with_files(Setup::new());
        setup.folder.write("t.toml", "");
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = socket.local_addr().unwrap();
        let server = Self::activate(&setup, &socket);
        Self { setup, socket, addr, server, reloads: 0 }
    }

    fn activate(setup: &Setup, socket: &TcpListener) -> Process {
        let addr = socket.local_addr().unwrap().to_string();
        let args = Self::args(&addr);
        Process::spawn(&mut activated(&setup.folder.0, socket.try_clone().unwrap(), &args)).up()
    }

    fn args(addr: &str) -> [&str; 10] {
        ["-r", "root", "-c", "t.toml", "--control", "control.sock", "--access-log", "off", "--listen", addr]
    }

    fn configure(&mut self, text: &str) {
        let next = self.setup.folder.write("t.toml.next", text);
        std::fs::rename(next, self.setup.folder.0.join("t.toml")).unwrap();
    }

    /// A file that differs from the last one.
    fn configure_well(&mut self) {
        self.reloads += 1;
        let text = format!("[limits]\nkeep_alive = '{}s'\n", 20 + self.reloads % 9);
        self.configure(&text);
    }

    fn suffer(&mut self, deed: Deed, lots: &mut Lots) {
        match deed {
            Deed::Reload => {
                self.configure_well();
                assert_eq!(reload(&self.setup.folder.0).code, Some(0));
            }
            Deed::BrokenReload => {
                self.configure("[limits\n");
                assert_eq!(reload(&self.setup.folder.0).code, Some(1));
                // The next start reads it too.
                self.configure_well();
            }
            Deed::Signal => {
                self.configure_well();
                for _ in 0..=lots.below(20) {
                    self.server.signal("HUP");
                }
            }
            Deed::Takeover => {
                let workers = (1 + lots.below(4)).to_string();
                let new = self.successor(&["--workers", &workers]).up();
                assert_eq!(self.server.end(), Some(0), "{:#?}", self.server.said());
                self.server = new;
            }
            Deed::FailingTakeover => {
                let mut wrong = self.successor(&["--state", "t.toml"]);
                assert_eq!(wrong.end(), Some(1), "{:#?}", wrong.said());
            }
            Deed::Restart => {
                self.server.signal("TERM");
                assert_eq!(self.server.end(), Some(0), "{:#?}", self.server.said());
                self.server = Self::activate(&self.setup, &self.socket);
            }
        }
    }

    fn successor(&self, more: &[&str]) -> Process {
        let addr = self.addr.to_string();
        Process::spawn(&mut bare(&self.setup, &[], &[&Self::args(&addr)[..], &["--takeover"], more].concat()))
    }
}

#[test]
fn row_j8_run_5_a_life_in_any_order_loses_no_request() {
    let seed = std::env::var("TIDEGATE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("TIDEGATE_SEED={seed}");
    let mut lots = Lots(seed);
    let mut service = Service::start();
    let crowd = Crowd::at(&At::Tcp(service.addr), &crowd::ALL);
    let deeds = rounds(12);
    for _ in 0..deeds {
        let deed = DEEDS[lots.below(DEEDS.len())];
        println!("{deed:?}");
        service.suffer(deed, &mut lots);
        crowd.asks_on(lots.below(20) as u64);
    }
    let tally = crowd.stop();
    println!("{deeds} deeds: {}", tally.summary());
    tally.assert_flawless();
    tally.assert_kept(&service.setup.root().join("uploads"));
}
