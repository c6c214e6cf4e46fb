//! Faults and traces by `strace`: attached to single threads of a running server, so that a fault hits exactly
//! the call meant, or wrapped around the whole server.
//!
//! `when=N` of an injection counts per thread from the moment of attaching.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should say where"
)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::support::{Response, Server, eventually};

/// Whether this test may run: it needs root. In CI a missing right is a failure.
pub fn is_root(test: &str) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    if uids.split_whitespace().nth(1) == Some("0") {
        return true;
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} needs root in CI");
    println!("skipped: {test} needs root");
    false
}

/// A `strace` attached to threads of a server; it lets go of them on drop.
pub struct Strace {
    child: Child,
    output: PathBuf,
}

impl Strace {
    /// Attaches to the threads whose name begins with `threads`, with further arguments for `strace`.
    pub fn attach(server: &Server, threads: &str, args: &[&str]) -> Self {
        let tasks = format!("/proc/{}/task", server.pid());
        let named: Vec<String> = named_threads(server)
            .into_iter()
            .filter_map(|(task, name)| name.starts_with(threads).then_some(task))
            .collect();
        assert!(!named.is_empty(), "no thread is called {threads}…");
        let output = server.folder.0.join(format!("strace-{threads}.log"));
        let mut command = Command::new("strace");
        command.args(["-q", "-y", "-s", "200", "-o"]).arg(&output).args(args);
        // Several threads into one file: every line is begun by its thread.
        for task in &named {
            command.args(["-p", task]);
        }
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("strace");
        let strace = Self { child, output };
        eventually("strace is attached", || {
            named.iter().all(|task| {
                let status = std::fs::read_to_string(format!("{tasks}/{task}/status")).unwrap_or_default();
                !status.contains("TracerPid:\t0\n")
            })
        });
        strace
    }

    /// Lets go, and returns what was traced.
    pub fn detach(mut self) -> Vec<String> {
        self.end();
        lines(&self.output)
    }

    fn end(&mut self) {
        if self.child.try_wait().unwrap().is_some() {
            return;
        }
        // INT lets it write what it has and detach; KILL would take its word away.
        let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        self.end();
    }
}

/// The threads of a server by id, with their names; a thread takes its name a moment after it began.
pub fn named_threads(server: &Server) -> Vec<(String, String)> {
    let tasks = format!("/proc/{}/task", server.pid());
    let read = || -> Vec<(String, String)> {
        let ids =
            std::fs::read_dir(&tasks).unwrap().map(|task| task.unwrap().file_name().into_string().unwrap());
        ids.map(|id| {
            let name = std::fs::read_to_string(format!("{tasks}/{id}/comm")).unwrap_or_default();
            (id, name.trim().to_owned())
        })
        .collect()
    };
    // Until then it is called as the main thread is.
    eventually("every thread has its name", || {
        read().iter().filter(|(_, name)| name == "tidegate").count() == 1
    });
    read()
}

/// The lines of a trace so far.
pub fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
}

/// A call, from its begin to its end in the trace; other threads' calls may stand between.
#[derive(Debug)]
pub struct Call {
    pub begin: usize,
    pub end: usize,
    pub text: String,
}

/// The calls of a trace whose lines begin with their thread.
pub fn calls(trace: &[String]) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut unfinished: HashMap<&str, usize> = HashMap::new();
    for (at, line) in trace.iter().enumerate() {
        let Some((thread, text)) = line.split_once(' ') else { continue };
        let text = text.trim_start();
        if let Some(tail) = text.strip_prefix("<... ") {
            let Some(call) = unfinished.remove(thread).and_then(|call| calls.get_mut(call)) else { continue };
            call.end = at;
            call.text.push_str(tail.split_once("resumed>").map_or("", |(_, tail)| tail));
            continue;
        }
        let begun = text.strip_suffix("<unfinished ...>");
        if begun.is_some() {
            unfinished.insert(thread, calls.len());
        }
        let end = if begun.is_some() { usize::MAX } else { at };
        calls.push(Call { begin: at, end, text: begun.unwrap_or(text).to_owned() });
    }
    calls
}

/// The names in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The name of the file that a 201 tells.
pub fn stored_name(response: &Response) -> String {
    assert_eq!(response.status, 201, "{}", response.text());
    response.field("location").unwrap().strip_prefix("/uploads/").unwrap().to_owned()
}

/// Asserts a refusal by its status and code.
pub fn assert_refused(response: &Response, status: u16, code: &str) {
    assert_eq!((response.status, response.code().as_str()), (status, code), "{}", response.text());
}
