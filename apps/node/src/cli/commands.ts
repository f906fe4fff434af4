import { renderCompletion, shells, type Shell } from "./completion.ts";
import type { CommandSpec } from "./command.ts";
import { applyCommand } from "./commands/apply.ts";
import { chainArchiveCommand } from "./commands/chain-archive.ts";
import { chainConvertCommand, chainExportCommand } from "./commands/chain-export.ts";
import { chainShowCommand } from "./commands/chain.ts";
import { chainCheckpointCommand, chainProveCommand } from "./commands/chain-prove.ts";
import { chainVerifyCommand } from "./commands/chain-verify.ts";
import { chainCosignCommand, chainPendingCommand } from "./commands/cosign.ts";
import { configSchemaCommand, configShowCommand, configValidateCommand } from "./commands/config.ts";
import { dutyListCommand } from "./commands/duties.ts";
import { formationExplainCommand, formationProposeCommand, formationSwitchCommand } from "./commands/formation.ts";
import { keyCreateCommand, keyRotateCommand } from "./commands/key.ts";
import { identityCommand, versionCommand } from "./commands/local.ts";
import {
  leaseGrantCommand,
  leaseKeepAliveCommand,
  leaseListCommand,
  leaseRevokeCommand,
  leaseTimeToLiveCommand,
} from "./commands/leases.ts";
import { leaveCommand, nodeRemoveCommand } from "./commands/node.ts";
import {
  operatorCreateCommand,
  operatorEnrolCommand,
  operatorListCommand,
  operatorRevokeCommand,
  operatorRotateCommand,
} from "./commands/operator.ts";
import { recoverCommand } from "./commands/recover.ts";
import { deleteCommand, getCommand, listCommand, watchCommand } from "./commands/resources.ts";
import { snapshotRestoreCommand, snapshotSaveCommand } from "./commands/snapshot.ts";
import { reloadCommand } from "./commands/reload.ts";
import { formationCommand, healthCommand, statusCommand } from "./commands/status.ts";
import { strategyApplyCommand, strategyShowCommand } from "./commands/strategy.ts";
import { tokenCreateCommand, tokenListCommand, tokenRevokeCommand } from "./commands/tokens.ts";
import { upCommand } from "./commands/up.ts";
import { walInspectCommand, walRepairCommand, walVerifyCommand } from "./commands/wal.ts";
import { exitCodes } from "./exit-codes.ts";

const completionCommand: CommandSpec = {
  path: ["completion"],
  summary: "print a completion script for a shell",
  arguments: [{ name: "SHELL", required: true, choices: shells }],
  flags: [],
  examples: [
    { command: "source <(revoada completion bash)", meaning: "for this session" },
    { command: "revoada completion fish > ~/.config/fish/completions/revoada.fish", meaning: "for good" },
  ],
  run: async ({ io, arguments: [shell] }) => {
    io.stdout.write(renderCompletion(shell as Shell, commands));
    return exitCodes.ok;
  },
};

/** Every command, in the order of the help. */
export const commands: readonly CommandSpec[] = [
  upCommand,
  statusCommand,
  healthCommand,
  formationCommand,
  formationExplainCommand,
  formationProposeCommand,
  formationSwitchCommand,
  strategyShowCommand,
  strategyApplyCommand,
  dutyListCommand,
  applyCommand,
  getCommand,
  listCommand,
  deleteCommand,
  watchCommand,
  leaseGrantCommand,
  leaseRevokeCommand,
  leaseKeepAliveCommand,
  leaseTimeToLiveCommand,
  leaseListCommand,
  snapshotSaveCommand,
  snapshotRestoreCommand,
  chainShowCommand,
  chainExportCommand,
  chainConvertCommand,
  chainArchiveCommand,
  chainVerifyCommand,
  chainProveCommand,
  chainCheckpointCommand,
  chainPendingCommand,
  chainCosignCommand,
  operatorCreateCommand,
  operatorListCommand,
  operatorEnrolCommand,
  operatorRotateCommand,
  operatorRevokeCommand,
  tokenCreateCommand,
  tokenListCommand,
  tokenRevokeCommand,
  nodeRemoveCommand,
  leaveCommand,
  reloadCommand,
  configShowCommand,
  configValidateCommand,
  configSchemaCommand,
  keyCreateCommand,
  keyRotateCommand,
  identityCommand,
  walInspectCommand,
  walVerifyCommand,
  walRepairCommand,
  recoverCommand,
  completionCommand,
  versionCommand,
];
