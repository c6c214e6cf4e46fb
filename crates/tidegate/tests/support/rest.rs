//! When a server has nothing left to do: what was sent to it is read, and each of its threads sleeps. What a test would
//! else leave to a pause, of which no length is enough on a busy machine.

use std::path::Path;

use super::eventually;

/// States of a socket in `/proc/net/tcp` from which somebody still takes something: established, closed by the other end,
/// listening.
const READ: [&str; 3] = ["01", "08", "0A"];

/// How often each thread is seen asleep: one may have woken another, which wakes the first one in the end.
const TURNS: usize = 3;

/// Waits until the process `pid`, which listens at `port`, rests. Its threads are looked at one by one: on a busy machine
/// they hardly ever sleep all at once, for each wakes now and then.
pub fn until(pid: u32, port: u16) {
    for _ in 0..TURNS {
        read(port);
        for thread in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten() {
            eventually("a thread of the server sleeps", || sleeps(&thread.path()));
        }
    }
}

/// Waits until all is read that was sent to `port` so far; what comes of it may be under way.
pub fn read(port: u16) {
    eventually("the server reads", || has_read(port));
}

/// Whether nothing is on its way to `port` or waits there: no byte, and no connection to be accepted.
fn has_read(port: u16) -> bool {
    let port = format!(":{port:04X}");
    let is_empty = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        // The number of the line, the address of each end, the state, the bytes to be sent and to be read.
        let [_, own, other, state, queues, ..] = words[..] else { return true };
        let Some((to_send, to_read)) = queues.split_once(':') else { return true };
        let is_none = |queue: &str| queue.bytes().all(|digit| digit == b'0');
        !READ.contains(&state)
            || (!own.ends_with(&port) || is_none(to_read)) && (!other.ends_with(&port) || is_none(to_send))
    };
    let tables =
        ["tcp", "tcp6"].map(|name| std::fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default());
    tables.iter().all(|table| table.lines().all(is_empty))
}

/// Whether a thread waits for something, or has ended (proc_pid_stat(5): the state stands behind the name).
fn sleeps(thread: &Path) -> bool {
    let Ok(stat) = std::fs::read_to_string(thread.join("stat")) else { return true };
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
}
