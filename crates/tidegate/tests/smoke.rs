//! The shortest way through: does it serve, and does the harness work?

mod support;

use support::Setup;

#[test]
fn run_1_a_folder_is_served() {
    let server = Setup::new().file("index.html", "<h1>hello</h1>").start();
    let response = server.get("/");
    assert_eq!((response.status, response.text().as_str()), (200, "<h1>hello</h1>"));
    assert_eq!(server.get("/missing").code(), "not_found");
}
