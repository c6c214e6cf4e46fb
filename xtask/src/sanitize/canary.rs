//! A fault made on purpose: a tool that does not find it would find nothing else either.

use std::fs;
use std::path::Path;

use super::plan::Tool;
use crate::command::{Ran, TempDir};
use crate::context::Context;

/// Reads what has been freed.
const USE_AFTER_FREE: &str = "
fn main() {
    let gone = { let bytes = Box::new([7_u8; 8]); bytes.as_ptr() };
    println!(\"{}\", unsafe { gone.read_volatile() });
}
";

/// Two threads write, and nothing says who is first; that is found in whatever order they do.
const RACE: &str = "
static mut SHARED: u32 = 0;
fn main() {
    let other = std::thread::spawn(|| unsafe { SHARED += 1 });
    unsafe { SHARED += 1 };
    let _ = other.join();
}
";

/// An `Err` where `tool` does not tell of the fault, or cannot be run at all.
pub(super) fn must_be_found(context: &Context, tool: Tool) -> Result<(), String> {
    let folder = TempDir::new("canary").map_err(|error| format!("no temporary folder: {error}"))?;
    let source = folder.path().join("canary.rs");
    let program = if tool == Tool::Thread { RACE } else { USE_AFTER_FREE };
    fs::write(&source, program).map_err(|error| format!("the canary: {error}"))?;
    let ran = match tool {
        Tool::Miri => interpret(context, &source),
        Tool::Address | Tool::Thread => build_and_run(context, tool, &source, &folder.path().join("canary")),
    };
    if tool.reports(&ran.output) > 0 {
        return Ok(());
    }
    Err(format!("{} does not find a fault made on purpose; it said:\n{}", tool.name(), ran.output))
}

/// With the std that is there: one that is built for the tool is not needed to find this.
fn build_and_run(context: &Context, tool: Tool, source: &Path, program: &Path) -> Ran {
    let flag = format!("-Zsanitizer={}", tool.name());
    let mut rustc = context.command("rustc", &["+nightly", "--edition", "2024", &flag]);
    rustc.arg("-Cunsafe-allow-abi-mismatch=sanitizer").arg(source).arg("-o").arg(program);
    let built = context.finish(&mut rustc);
    if built.success { context.run(&program.to_string_lossy(), &[]) } else { built }
}

fn interpret(context: &Context, source: &Path) -> Ran {
    let setup = context.run("cargo", &["+nightly", "miri", "setup", "--print-sysroot"]);
    let Some(sysroot) = setup.output.lines().last().filter(|_| setup.success) else { return setup };
    let mut miri = context.command("rustup", &["run", "nightly", "miri", "--edition", "2024", "--sysroot"]);
    context.finish(miri.arg(sysroot).arg(source))
}
