/**
 * `pnpm api:check` compares the public API of each published entry point with its committed report; `pnpm api` rewrites
 * the reports. Both read the built declarations: run `pnpm build` before.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Extractor, ExtractorConfig, ExtractorLogLevel, type ExtractorMessage } from "@microsoft/api-extractor";
import { publishedPackages, root, type WorkspacePackage } from "./workspace.ts";

/** `.` becomes `fabric.api.md`, `./contract/face` becomes `fabric.contract-face.api.md`. */
function reportName(workspacePackage: WorkspacePackage, subpath: string): string {
  const base = workspacePackage.folder.split("/").at(-1) ?? "";
  const suffix = subpath.replace(/^\.\/?/, "").replaceAll("/", "-");
  return suffix === "" ? `${base}.api.md` : `${base}.${suffix}.api.md`;
}

interface EntryPoint {
  readonly declarations: string;
  readonly report: string;
}

function entryPoints(workspacePackage: WorkspacePackage): readonly EntryPoint[] {
  const entries: EntryPoint[] = [];
  for (const [subpath, target] of Object.entries(workspacePackage.manifest.exports ?? {})) {
    const types = typeof target === "object" ? target["types"] : undefined;
    if (typeof types !== "string") continue;
    entries.push({ declarations: types, report: reportName(workspacePackage, subpath) });
  }
  return entries;
}

/** Keeps errors (declarations that do not compile) and silences the rest: the report itself is the result. */
function judge(message: ExtractorMessage, errors: string[]): void {
  if (message.logLevel === ExtractorLogLevel.Error) errors.push(message.formatMessageWithLocation(root));
  message.handled = true;
}

/** Writes the report of one entry point to `folder` and returns what is wrong with its declarations. */
function extract(workspacePackage: WorkspacePackage, entry: EntryPoint, folder: string): readonly string[] {
  const packageFolder = join(root, workspacePackage.folder);
  const declarations = join(packageFolder, entry.declarations);
  if (!existsSync(declarations))
    return [`${workspacePackage.folder}: ${entry.declarations} is not built, run pnpm build`];
  const config = ExtractorConfig.prepare({
    configObjectFullPath: join(packageFolder, "api-extractor.json"),
    packageJsonFullPath: join(packageFolder, "package.json"),
    configObject: {
      projectFolder: packageFolder,
      mainEntryPointFilePath: declarations,
      newlineKind: "lf",
      compiler: {
        overrideTsconfig: {
          compilerOptions: {
            target: "es2022",
            lib: ["es2024", "esnext.disposable", "esnext.iterator", "esnext.collection"],
            module: "nodenext",
            moduleResolution: "nodenext",
            types: ["node"],
            strict: true,
            skipLibCheck: true,
          },
          files: [declarations],
        },
      },
      apiReport: {
        enabled: true,
        reportFileName: entry.report,
        reportFolder: folder,
        reportTempFolder: folder,
      },
      docModel: { enabled: false },
      dtsRollup: { enabled: false },
      tsdocMetadata: { enabled: false },
      messages: {
        compilerMessageReporting: { default: { logLevel: ExtractorLogLevel.Error } },
        extractorMessageReporting: {
          default: { logLevel: ExtractorLogLevel.None },
          // Stands in the report as a warning: a type that users meet, yet cannot name.
          "ae-forgotten-export": { logLevel: ExtractorLogLevel.None, addToApiReportFile: true },
        },
        tsdocMessageReporting: { default: { logLevel: ExtractorLogLevel.None } },
      },
    },
  });
  const errors: string[] = [];
  Extractor.invoke(config, {
    localBuild: true,
    messageCallback: (message) => judge(message, errors),
  });
  return errors;
}

function readIfThere(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, "utf8").replaceAll("\r\n", "\n") : undefined;
}

/** Compares, or rewrites, the reports of one package; returns its problems. */
function checkPackage(workspacePackage: WorkspacePackage, rewrites: boolean): readonly string[] {
  const committedFolder = join(root, workspacePackage.folder, "etc");
  const temporaryFolder = mkdtempSync(join(tmpdir(), "revoada-api-"));
  const problems: string[] = [];
  try {
    const entries = entryPoints(workspacePackage);
    for (const entry of entries) {
      problems.push(...extract(workspacePackage, entry, temporaryFolder));
      const fresh = readIfThere(join(temporaryFolder, entry.report));
      if (fresh === undefined || readIfThere(join(committedFolder, entry.report)) === fresh) continue;
      if (rewrites) {
        mkdirSync(committedFolder, { recursive: true });
        writeFileSync(join(committedFolder, entry.report), fresh);
      } else {
        problems.push(
          `${workspacePackage.folder}/etc/${entry.report} does not tell the API as it is now: run pnpm api`,
        );
      }
    }
    const expected = new Set(entries.map((entry) => entry.report));
    for (const report of existsSync(committedFolder) ? readdirSync(committedFolder) : []) {
      if (expected.has(report)) continue;
      if (rewrites) rmSync(join(committedFolder, report));
      else problems.push(`${workspacePackage.folder}/etc/${report} belongs to no entry point: run pnpm api`);
    }
  } finally {
    rmSync(temporaryFolder, { recursive: true, force: true });
  }
  return problems;
}

const rewrites = process.argv.includes("--write");
// An application's API is its command line; the packages' is what others compile against.
const libraries = publishedPackages().filter((candidate) => candidate.folder.startsWith("packages/"));
const problems = libraries.flatMap((candidate) => checkPackage(candidate, rewrites));
for (const problem of problems) process.stderr.write(`api: ${problem}\n`);
if (problems.length === 0)
  process.stdout.write(`api: ${libraries.length} packages ${rewrites ? "written" : "as reported"}\n`);
process.exitCode = problems.length === 0 ? 0 : 1;
