//! `tidegate healthcheck`: asks the server that these settings would run whether it lives. For containers.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use crate::config::{ListenAddr, Settings};
use crate::net::tls::client;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// The status lines that we write are far shorter.
const STATUS_LINE: u64 = 256;

/// Exit code 0 when `/healthz` answers 200 on the first address, 1 otherwise.
pub fn run(settings: &Settings) -> ExitCode {
    let Some(addr) = settings.server.listen.first() else { return ExitCode::FAILURE };
    match ask(addr, settings.tls.is_on()) {
        Ok(status) if status.starts_with("HTTP/1.1 200") => ExitCode::SUCCESS,
        Ok(status) => complain(addr, &status),
        Err(error) => complain(addr, &error.to_string()),
    }
}

fn complain(addr: &ListenAddr, why: &str) -> ExitCode {
    crate::complain(&format!("tidegate: {addr} is not well: {why}"));
    ExitCode::FAILURE
}

/// The status line of `/healthz`. TCP listeners speak TLS where that is on.
fn ask(addr: &ListenAddr, tls: bool) -> io::Result<String> {
    match addr {
        ListenAddr::Tcp(addr) => {
            let to = reachable(*addr);
            let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            match tls {
                true => exchange(client::unverified(stream, to.ip())?, addr.port()),
                false => exchange(stream, addr.port()),
            }
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
    let mut line = String::new();
    BufReader::new(stream.take(STATUS_LINE)).read_line(&mut line)?;
    Ok(if line.is_empty() { "no answer".to_owned() } else { line.trim_end().to_owned() })
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
