import { fork } from "node:child_process";

/** Runs one seed on sources into which a bug was planted, in a process of its own: `worker` with the flag that names the bug. */
export function runPlanted<O extends object, R>(worker: string, flag: string, bug: number, options: O): Promise<R> {
  return new Promise((resolve, reject) => {
    const child = fork(worker, [flag, String(bug)], { execArgv: ["--conditions=@revoada/source"] });
    child.on("message", (message: R | "ready") => {
      if (message === "ready") {
        child.send(options);
        return;
      }
      child.disconnect();
      resolve(message);
    });
    child.on("error", reject);
    child.on("exit", (code) => {
      if (code !== 0) reject(new Error(`the worker ended with ${code}`));
    });
  });
}
