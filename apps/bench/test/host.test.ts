import { expect, test } from "vitest";
import { cpuSecondsIn, fileSystemIn, peakResidentBytesIn, residentBytesIn } from "../src/host.ts";

test("CPU time is read behind the name of the program, whatever that holds", () => {
  const fields = "S 1 1 1 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 11 0 100 1000 200";
  expect(cpuSecondsIn(`42 (a) name (1) 2) ${fields}`)).toBe(3);
});

test("resident bytes are those of VmRSS", () => {
  expect(residentBytesIn("Name:\tnode\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n")).toBe(1024 * 1024);
});

test("the most that was ever resident is VmHWM", () => {
  expect(peakResidentBytesIn("Name:\tnode\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n")).toBe(2 * 1024 * 1024);
});

test("resident bytes are not a number where the host does not tell them", () => {
  expect(residentBytesIn("Name:\tnode\n")).toBeNaN();
});

test("the file system of a path is that of the lowest mount above it", () => {
  const mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmpfiles xfs rw 0 0\n";
  expect(fileSystemIn(mounts, "/var/log")).toBe("ext4");
  expect(fileSystemIn(mounts, "/tmp/logs")).toBe("tmpfs");
  expect(fileSystemIn(mounts, "/tmpfiles/logs")).toBe("xfs");
});
