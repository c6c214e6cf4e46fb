//! A real nginx: in front of a server under test, or in its place, where a test must show that it can fail.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should say where"
)]

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::process;
use crate::support::{Folder, eventually};

/// A running nginx, ended on drop.
pub struct Nginx {
    child: Child,
    pub addr: SocketAddr,
    pub folder: Folder,
}

impl Nginx {
    /// One that has these lines in its only `server`, and keeps what it writes in `folder`; `None` where there is no
    /// nginx.
    pub fn start(folder: Folder, lines: &str) -> Option<Self> {
        let (port, path) = (process::free_port(), folder.0.display());
        let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {path}/{name};\n"))
            .concat();
        let config = format!(
            "daemon off; master_process off; pid {path}/pid; error_log {path}/error.log;\n\
             events {{ worker_connections 128; }}\n\
             http {{ access_log off; {temp}\n\
             server {{ listen 127.0.0.1:{port}; {lines} }} }}\n"
        );
        let config = folder.write("nginx.conf", config);
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&folder.0).arg("-e").arg(folder.0.join("error.log")).arg("-c").arg(config);
        let child = match command.stdin(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(child) => child,
            Err(error) => {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "nginx: {error}");
                println!("skipped: no nginx: {error}");
                return None;
            }
        };
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let nginx = Self { child, addr, folder };
        eventually("nginx accepts", || TcpStream::connect(addr).is_ok());
        Some(nginx)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
