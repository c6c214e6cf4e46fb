//! curl: what people ask servers of files with, in every version of the protocol that it speaks.

use std::path::Path;

use crate::process::{Outcome, outcome};
use crate::support::{Folder, Server, Setup};

/// Served as `page.html`; long enough to be worth a coding.
pub const PAGE: &str =
    "<!doctype html>\n<title>Tides</title>\n<p>In they come, out they go. In they come, out they go.\n";
/// Bytes of `big.bin`, of which each tells its place.
const BIG: usize = 5_000_000;

/// What came of one transfer.
#[derive(Debug)]
pub struct Answer {
    /// `1.1` or `2`.
    pub version: String,
    pub status: u16,
    /// The field lines, in lower case.
    pub head: String,
    pub body: Vec<u8>,
}

/// curl with the options of one way to the server.
pub struct Curl<'s> {
    server: &'s Server,
    /// `https://localhost:8443`.
    base: String,
    options: Vec<String>,
    folder: Folder,
}

/// A server that has something for each question.
pub fn setup() -> Setup {
    Setup::new().file("page.html", PAGE.repeat(40)).file("big.bin", big())
}

fn big() -> Vec<u8> {
    (0..BIG / 8).flat_map(|number| format!("{number:07}\n").into_bytes()).collect()
}

impl Answer {
    /// The value of a field, by its name in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(found, _)| *found == name)
            .map(|(_, value)| value)
    }
}

impl<'s> Curl<'s> {
    pub fn new(server: &'s Server, base: impl Into<String>, options: &[&str]) -> Self {
        let options = options.iter().map(ToString::to_string).collect();
        Self { server, base: base.into(), options, folder: Folder::new() }
    }

    /// Asks for `path`; curl must come to an end that it calls good.
    pub fn ask(&self, words: &[&str], path: &str) -> Answer {
        let [head, body] = ["head", "body"].map(|name| self.folder.0.join(name));
        let _ = std::fs::remove_file(&body);
        self.ask_into(words, path, &head, &body)
    }

    fn ask_into(&self, words: &[&str], path: &str, head: &Path, body: &Path) -> Answer {
        let mut command = self.command(words, path);
        command.arg("-D").arg(head).arg("-o").arg(body);
        let ended = outcome(&mut command);
        assert_eq!(ended.code, Some(0), "{words:?} {path}: {ended:?}");
        let (version, status) = ended.out.split_once(' ').expect("a version and a status");
        Answer {
            version: version.to_owned(),
            status: status.parse().unwrap(),
            head: std::fs::read_to_string(head).unwrap().to_lowercase(),
            body: std::fs::read(body).unwrap_or_default(),
        }
    }

    /// What curl says of itself, however it ends.
    pub fn try_ask(&self, words: &[&str], path: &str) -> Outcome {
        outcome(self.command(words, path).args(["-o", "/dev/null"]))
    }

    fn command(&self, words: &[&str], path: &str) -> std::process::Command {
        let mut command = std::process::Command::new("curl");
        // -q: a curlrc of the developer must not change what is tested.
        command.args(["-q", "-sS", "--max-time", "60", "-w", "%{http_version} %{response_code}"]);
        command
            .args(&self.options)
            .args(words)
            .arg(format!("{}{path}", self.base))
            .current_dir(&self.folder.0);
        command
    }

    /// Walks through everything; each answer must come by `version`.
    pub fn everything(&self, version: &str) {
        let answers = [
            self.pages(),
            self.refusals(),
            self.uploads(),
            self.too_large(version),
            self.parts(),
            self.what_is_known(),
            self.large(),
        ];
        for answer in answers.iter().flatten() {
            assert_eq!(answer.version, version, "{answer:?}");
        }
    }

    fn pages(&self) -> Vec<Answer> {
        let page = self.ask(&["--compressed"], "/page.html");
        assert_eq!((page.status, page.body.as_slice()), (200, PAGE.repeat(40).as_bytes()));
        let head = self.ask(&["--head"], "/page.html");
        assert_eq!(head.field("content-length"), Some((PAGE.len() * 40).to_string().as_str()), "{head:?}");
        assert_eq!((head.status, head.field("server")), (200, Some("tidegate")));
        vec![page, head]
    }

    fn refusals(&self) -> Vec<Answer> {
        let missing = self.ask(&[], "/missing");
        assert_eq!((missing.status, code(&missing).as_str()), (404, "not_found"));
        let outside = self.ask(&["--path-as-is"], "/../../etc/passwd");
        assert_eq!((outside.status, code(&outside).as_str()), (403, "traversal"));
        let deleted = self.ask(&["-X", "DELETE"], "/page.html");
        assert_eq!((deleted.status, deleted.field("allow")), (405, Some("get, head, options")));
        vec![missing, outside, deleted]
    }

    fn uploads(&self) -> Vec<Answer> {
        let json = ["-H", "Content-Type: application/json", "--data-binary"];
        let send = |body: &str, more: &[&str]| self.ask(&[&json[..], &[body], more].concat(), "/upload");
        let stored = send("{\"tide\": \"in\"}", &[]);
        assert_eq!(self.kept(&stored), b"{\"tide\": \"in\"}");
        let large = format!("[{}0]", "0,".repeat(400_000));
        self.folder.write("large.json", &large);
        let patient = send("@large.json", &["-H", "Expect: 100-continue"]);
        assert_eq!(self.kept(&patient), large.as_bytes());
        let broken = send("{\"tide\": }", &[]);
        assert_eq!((broken.status, code(&broken).as_str()), (400, "invalid_json"));
        vec![stored, patient, broken]
    }

    /// Over HTTP/2 a reset of the stream follows the answer (RFC 9113 section 8.1), for which curl 7.88 drops it; nghttp
    /// is asked instead (`h2_clients.rs`).
    fn too_large(&self, version: &str) -> Vec<Answer> {
        if version == "2" {
            return Vec::new();
        }
        self.folder.write("huge.json", "0".repeat(2 << 20));
        let json = ["-H", "Content-Type: application/json", "--data-binary", "@huge.json"];
        let huge = self.ask(&json, "/upload");
        assert_eq!((huge.status, code(&huge).as_str()), (413, "body_too_large"));
        vec![huge]
    }

    /// The stored bytes that a 201 tells of.
    fn kept(&self, answer: &Answer) -> Vec<u8> {
        assert_eq!(answer.status, 201, "{answer:?}");
        let location = answer.field("location").expect("a Location");
        std::fs::read(self.server.root().join(location.trim_start_matches('/'))).unwrap()
    }

    fn parts(&self) -> Vec<Answer> {
        let whole = big();
        let part = self.ask(&["--range", "4000000-4000007"], "/big.bin");
        assert_eq!((part.status, part.body.as_slice()), (206, &whole[4_000_000..4_000_008]));
        // A download that was cut, and is taken up again.
        let begun = self.folder.write("begun", &whole[..1_000_000]);
        let rest = self.ask_into(&["--continue-at", "-"], "/big.bin", &self.folder.0.join("head"), &begun);
        assert_eq!((rest.status, rest.body == whole), (206, true));
        vec![part, rest]
    }

    fn what_is_known(&self) -> Vec<Answer> {
        let first = self.ask(&["--etag-save", "tag"], "/page.html");
        let again = self.ask(&["--etag-compare", "tag"], "/page.html");
        assert_eq!((first.status, again.status, again.body.len()), (200, 304, 0), "{again:?}");
        vec![first, again]
    }

    fn large(&self) -> Vec<Answer> {
        let whole = self.ask(&[], "/big.bin");
        assert!(whole.body == big(), "{} bytes, or others than served", whole.body.len());
        vec![whole]
    }

    /// Twenty downloads at a time are streams of one connection. (curl 7.88 cannot do it by prior knowledge.)
    pub fn streams_of_one_connection(&self) {
        let told = "%{http_version} %{response_code} %{num_connects} %{size_download}\n";
        let ended = self.try_ask(&["--parallel", "--parallel-max", "20", "-w", told], "/big.bin?[1-20]");
        let lines: Vec<Vec<usize>> = ended
            .out
            .lines()
            .map(|line| line.split(' ').map(|word| word.parse().unwrap()).collect())
            .collect();
        assert_eq!(lines.len(), 20, "{ended:?}");
        assert!(lines.iter().all(|line| (line[0], line[1], line[3]) == (2, 200, BIG)), "{ended:?}");
        assert_eq!(lines.iter().map(|line| line[2]).sum::<usize>(), 1, "connections: {ended:?}");
    }
}

/// The `code` of a problem.
fn code(answer: &Answer) -> String {
    let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    problem["code"].as_str().unwrap_or_default().to_owned()
}
