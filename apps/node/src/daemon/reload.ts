import type { ClusterDeclaration } from "@revoada/cluster";
import { isFabricError, type Logger } from "@revoada/fabric";
import type { NodeConfig } from "../config/config.ts";
import { settings, type SettingName } from "../config/settings.ts";
import { checkDeclaration } from "./declare.ts";

/** Settings by which others are found. */
export const findingSettings: readonly SettingName[] = ["seeds", "discover", "libp2pListen", "libp2pPeers"];

/** Settings that a running node takes up. */
const liveSettings: readonly SettingName[] = ["logLevel", "topologyPackages", ...findingSettings];
const declarationSettings: readonly SettingName[] = ["topology", "minNodes", "strategy"];

/** What became of settings that were read again. */
export interface ReloadReport {
  /** In effect from now on. */
  readonly changed: readonly { readonly name: SettingName; readonly from?: unknown; readonly to?: unknown }[];
  /** Said otherwise than at the start, and left as they were. */
  readonly left: readonly { readonly name: SettingName; readonly why: string }[];
}

/** What a setting says, without where it says it. */
function valueOf(config: NodeConfig, name: SettingName): unknown {
  const value = config[name];
  return name === "strategy" && typeof value === "object" ? (value as { readonly value: unknown }).value : value;
}

async function agrees(config: NodeConfig, name: SettingName, declaration: ClusterDeclaration): Promise<boolean> {
  try {
    await checkDeclaration({ [name]: config[name] }, declaration);
    return true;
  } catch (error) {
    if (isFabricError(error)) return false;
    throw error;
  }
}

/** Tells what can be taken up of `next`, and what cannot and why. `taken` are the settings to go on with. */
export async function compareSettings(
  before: NodeConfig,
  next: NodeConfig,
  declaration: ClusterDeclaration,
): Promise<{ readonly taken: NodeConfig; readonly report: ReloadReport }> {
  const changed: ReloadReport["changed"][number][] = [];
  const left: ReloadReport["left"][number][] = [];
  const taken: Record<string, unknown> = { ...before };
  for (const name of Object.keys(settings) as SettingName[]) {
    const [from, to] = [valueOf(before, name), valueOf(next, name)];
    if (JSON.stringify(from) === JSON.stringify(to)) continue;
    const isDeclared = declarationSettings.includes(name);
    if (liveSettings.includes(name)) {
      changed.push({ name, ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) });
    } else if (!isDeclared || !(await agrees(next, name, declaration))) {
      const how = "revoada strategy apply or revoada formation switch-topology changes what the cluster is";
      left.push({ name, why: isDeclared ? how : "it counts from the next start on" });
      continue;
    }
    taken[name] = next[name];
    if (next[name] === undefined) delete taken[name];
  }
  return { taken: taken as unknown as NodeConfig, report: { changed, left } };
}

/** One line for each setting that was taken up or left, and one where there was none. */
export function logReload(logger: Logger, { changed, left }: ReloadReport): void {
  for (const { name, from, to } of changed) logger.info("a setting changed", { setting: name, from, to });
  for (const { name, why } of left) logger.warn("a setting is left as it was", { setting: name, why });
  if (changed.length + left.length === 0) logger.info("the settings are what they were");
}
