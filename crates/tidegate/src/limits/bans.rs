//! stub
use super::ClientKey;
use crate::clock::Millis;
#[derive(Debug, Clone)]
pub struct Ban {
    pub client: ClientKey,
    pub since: u64,
    pub until: u64,
    pub shadow: bool,
    pub times: u32,
    pub reason: Kind,
    pub evidence: Vec<Offence>,
}
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    A,
}
impl Kind {
    pub fn name(self) -> &'static str {
        "a"
    }
}
#[derive(Debug, Clone)]
pub struct Offence {
    pub at: u64,
    pub kind: Kind,
    pub text: String,
    pub id: u64,
}
impl std::fmt::Display for Ban {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("x")
    }
}
#[derive(Debug)]
pub struct BanBook;
impl BanBook {
    pub fn new() -> Self {
        Self
    }
    pub fn is_banned(&self, _: ClientKey, _: Millis) -> bool {
        false
    }
    pub fn lift(&self, _: ClientKey) -> bool {
        false
    }
    pub fn export(&self, _: Format) -> String {
        String::new()
    }
    pub fn counts(&self) -> (usize, usize) {
        (0, 0)
    }
    pub fn standing(&self, _: ClientKey) -> &'static str {
        "no"
    }
    pub fn list(&self) -> Vec<Ban> {
        vec![]
    }
}
pub enum Format {
    Json,
}
impl Format {
    pub fn named(_: &str) -> Option<Self> {
        None
    }
}
