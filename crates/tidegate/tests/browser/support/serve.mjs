// A server of the test's own, beside the one that `cargo xtask browser` has started, and with the flags of that one
// (TIDEGATE_FLAGS).

import { spawn } from "node:child_process";
import { after } from "node:test";

const flags = process.env.TIDEGATE_FLAGS?.split(" ").filter(Boolean) ?? [];

/** Starts TIDEGATE_PROGRAM with `args` on a free port, and ends it after the tests. Gives its URL with its closing
 *  slash, as the start-up block says it. */
export async function serve(args) {
  return (await start("0", args)).url;
}

/** The same on this port, with its process; `common` are the flags that all servers of this run have. */
export function start(port, args, common = flags) {
  const child = spawn(
    process.env.TIDEGATE_PROGRAM,
    ["--port", port, ...common, ...args],
    // A TIDEGATE_ variable of this environment must not change what is tested.
    { env: {}, stdio: ["ignore", "pipe", "pipe"] },
  );
  after(() => child.kill("SIGKILL"));
  return new Promise((resolve, reject) => {
    let said = "";
    const hear = (chunk) => {
      said += chunk;
      const url = said.match(/https?:\/\/127\.0\.0\.1:\d+\//)?.[0];
      if (url) resolve({ url, child });
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    child.on("error", reject);
    child.on("exit", () => reject(new Error(`the server ended; it said:\n${said}`)));
  });
}
