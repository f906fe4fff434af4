/**
 * `pnpm sim`: the replicated log alone, from seeds; `pnpm sim cluster`: whole nodes; `pnpm sim gossip`: membership
 * of thousands; `pnpm sim formation`: what the leader does about a formation, under all topologies.
 *
 * Prints what broke and how to see it again, the totals of what was seen to happen, and fails where anything broke or one of the
 * totals is 0.
 */
const [world] = process.argv.slice(2);

if (world === "cluster") {
  const { clusterCommand } = await import("./cluster/command-line.ts");
  process.exitCode = await clusterCommand();
} else if (world === "gossip") {
  const { gossipCommand } = await import("./gossip/command-line.ts");
  process.exitCode = gossipCommand(process.argv.slice(3));
} else if (world === "formation") {
  const { formationCommand } = await import("./formation/command-line.ts");
  process.exitCode = await formationCommand(process.argv.slice(3));
} else if (world === "--help") {
  const { consensusUsage } = await import("./consensus/command-line.ts");
  console.log(consensusUsage);
} else {
  const { consensusCommand } = await import("./consensus/command-line.ts");
  process.exitCode = await consensusCommand(process.argv.slice(2));
}
