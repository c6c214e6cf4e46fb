//! Clients of other addresses than the test's own: a socket bound elsewhere on loopback, or anybody at all, named
//! by a trusted proxy; and what the operator, who stands at 127.0.0.9, sees of them.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::ops::{Deref, DerefMut};

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::support::{Client, Response, SOON, Server};

/// Lets the test's own address name the client. It is no local operator then.
pub const BEHIND_PROXY: [&str; 4] = ["--trusted-proxy", "127.0.0.1", "--max-requests", "0"];

/// A path that leads up.
pub const TRAVERSAL: &str = "/../x";

/// A connection of an address of its own.
pub struct Visitor {
    client: Client,
    host: String,
}

/// Whoever sends one request and waits for its answer, with the right Host; `head` as for [`Server::request`].
pub trait Asks {
    fn ask(&mut self, head: &str) -> Response;
}

/// A connection whose other end is `ip`, an address of loopback.
pub fn from(server: &Server, ip: &str) -> Visitor {
    let ip: IpAddr = ip.parse().unwrap();
    let socket = Socket::new(Domain::for_address(server.addr), Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((ip, 0)).into()).unwrap();
    socket.connect(&server.addr.into()).unwrap();
    // The harness's client makes its connection itself; to this it must not cost the server a seat.
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = Client::connect(nowhere.local_addr().unwrap());
    client.stream = socket.into();
    client.stream.set_nodelay(true).unwrap();
    client.stream.set_read_timeout(Some(SOON)).unwrap();
    client.stream.set_write_timeout(Some(SOON)).unwrap();
    Visitor { client, host: server.host() }
}

impl Visitor {
    /// As [`Client::send_request`].
    pub fn send_request(&mut self, head: &str, body: &[u8]) {
        let (line, fields) = head.split_once("\r\n").unwrap();
        let head = format!("{line}\r\nHost: {}\r\n{fields}\r\n", self.host);
        self.client.send([head.as_bytes(), body].concat());
    }
}

impl Deref for Visitor {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Visitor {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Asks for Visitor {
    fn ask(&mut self, head: &str) -> Response {
        self.send_request(head, b"");
        self.response_to(head)
    }
}

impl Asks for Client {
    fn ask(&mut self, head: &str) -> Response {
        self.send_request(head, b"");
        self.response_to(head)
    }
}

/// One request on `client`.
pub fn ask(client: &mut impl Asks, head: &str) -> Response {
    client.ask(head)
}

/// What the operator gets for `target`, whatever is limited and whoever is trusted.
pub fn operator_get(server: &Server, target: &str) -> Response {
    ask(&mut from(server, "127.0.0.9"), &format!("GET {target} HTTP/1.1\r\n"))
}

/// The live state as the dashboard has it.
pub fn snapshot(server: &Server) -> Value {
    let response = operator_get(server, "/security-dashboard?format=json");
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()["snapshot"].clone()
}

/// The metric of that name and labels, or 0 where there is none.
pub fn metric(server: &Server, name: &str) -> f64 {
    let response = operator_get(server, "/metrics?format=json");
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()[name].as_f64().unwrap_or_default()
}

/// A connection of a trusted proxy, which names a client with each request.
pub struct Proxy(pub Client);

impl Proxy {
    pub fn of(server: &Server) -> Self {
        Self(server.connect())
    }

    /// GETs `target` for `client`.
    pub fn get(&mut self, client: &str, target: &str) -> Response {
        self.ask(&format!("GET {target} HTTP/1.1\r\nX-Forwarded-For: {client}\r\n"))
    }

    /// One request; a connection that was closed with the last answer is made anew.
    pub fn ask(&mut self, head: &str) -> Response {
        let response = ask(&mut self.0, head);
        if response.closes() {
            let addr = self.0.stream.peer_addr().unwrap();
            self.0 = Client::connect(addr);
        }
        response
    }

    /// The status of `count` GETs for `client`, all sent at once.
    pub fn burst(&mut self, client: &str, count: usize) -> Vec<u16> {
        let addr = self.0.stream.peer_addr().unwrap();
        let one = format!("GET /healthz HTTP/1.1\r\nHost: {addr}\r\nX-Forwarded-For: {client}\r\n\r\n");
        self.0.send(one.repeat(count));
        (0..count).map(|_| self.0.response().status).collect()
    }
}

/// Asserts a refusal by its status and code.
pub fn assert_refused(response: &Response, status: u16, code: &str) {
    assert_eq!((response.status, response.code().as_str()), (status, code), "{}", response.text());
}

/// Whether this client is banned now: it asks for something harmless.
pub fn is_banned(proxy: &mut Proxy, client: &str) -> bool {
    let response = proxy.get(client, "/healthz");
    let banned = response.status == 403;
    assert!(banned || response.status == 200, "{}", response.text());
    assert!(!banned || response.code() == "banned", "{}", response.text());
    banned
}

/// Tries to lead up until `client` is banned; returns how many times that took.
pub fn provoke_ban(proxy: &mut Proxy, client: &str) -> usize {
    for times in 1..=200 {
        assert_eq!(proxy.get(client, TRAVERSAL).code(), "traversal");
        if is_banned(proxy, client) {
            return times;
        }
    }
    panic!("{client} was never banned");
}
