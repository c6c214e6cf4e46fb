//! `tidegate healthcheck`: asks the server that these settings would run whether it lives. For containers.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use crate::config::{ListenAddr, Settings};

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Exit code 0 when `/healthz` answers 200 on the first address, 1 otherwise.
pub fn run(settings: &Settings) -> ExitCode {
    let Some(addr) = settings.server.listen.first() else { return ExitCode::FAILURE };
    match ask(addr) {
        Ok(status) if status.starts_with("HTTP/1.1 200") => ExitCode::SUCCESS,
        Ok(status) => complain(addr, &status),
        Err(error) => complain(addr, &error.to_string()),
    }
}

fn complain(addr: &ListenAddr, why: &str) -> ExitCode {
    crate::complain(&format!("tidegate: {addr} is not well: {why}"));
    ExitCode::FAILURE
}

/// The status line of `/healthz`.
fn ask(addr: &ListenAddr) -> io::Result<String> {
    match addr {
        ListenAddr::Tcp(addr) => {
            let stream = TcpStream::connect_timeout(&reachable(*addr), PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            exchange(stream, addr.port())
        }
        ListenAddr::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            exchange(stream, 80)
        }
    }
}

fn exchange(mut stream: impl Read + Write, port: u16) -> io::Result<String> {
    let request = format!("GET /healthz HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer)?;
    Ok(answer.lines().next().unwrap_or("no answer").to_owned())
}

/// A wildcard address is reached on loopback.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}
