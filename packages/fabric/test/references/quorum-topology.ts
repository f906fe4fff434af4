import type { Assignment, Candidate, NodeId, Role, TopologyStrategy, TopologyViolation } from "@revoada/fabric";

/** Ways in which the reference can be broken on purpose. */
export type TopologyDefect =
  | "promotes the lost"
  | "promotes strangers"
  | "deals roles in the order of the list"
  | "starts anew at every loss"
  | "starts anew for every newcomer"
  | "forgets to replace"
  | "finds every shape right"
  | "names no code"
  | "changes what it is given"
  | "wants more masters than there are"
  | "makes one master more than it says"
  | "gives out the bootstrap role"
  | "is never the same twice";

const masters = 3;
const byId = (left: Candidate, right: Candidate): number => (left.id < right.id ? -1 : 1);

/** The smallest topology that keeps the contract: three masters, everybody else a worker. */
export function threeMasters(defect?: TopologyDefect): TopologyStrategy {
  let asked = 0;

  const shape = (eligible: readonly Candidate[], keep: boolean): Assignment => {
    const ordered = defect === "deals roles in the order of the list" ? [...eligible] : eligible.toSorted(byId);
    const holding = keep ? ordered.filter(({ role }) => role === "master") : [];
    const others = ordered.filter((candidate) => !holding.includes(candidate));
    asked += 1;
    if (defect === "is never the same twice" && asked % 2 === 0) others.reverse();
    const wanted = masters + (defect === "makes one master more than it says" ? 1 : 0);
    const assignment = new Map<NodeId, Role>();
    for (const [place, { id }] of [...holding, ...others].entries()) {
      const worker: Role = defect === "gives out the bootstrap role" ? "bootstrap" : "worker";
      assignment.set(id, place < wanted ? "master" : worker);
    }
    if (defect === "promotes strangers") assignment.set("f".repeat(64) as NodeId, "worker");
    return assignment;
  };

  return {
    name: "three-masters",
    minNodes: masters,
    targetMasters: (eligible) =>
      defect === "wants more masters than there are" ? eligible + 1 : Math.min(masters, eligible),
    assign: (eligible) => shape(eligible, defect !== "starts anew for every newcomer"),
    reactToLoss(current, lost, survivors) {
      const held = (id: NodeId): Role | undefined => current.get(id);
      if (defect === "promotes the lost") return current;
      if (defect === "forgets to replace") return new Map([...current].filter(([id]) => !lost.has(id)));
      if (defect === "changes what it is given") (lost as Set<NodeId>).clear();
      const placed = survivors.map(({ role: _role, ...candidate }) => {
        const role = held(candidate.id);
        return role === undefined ? candidate : { ...candidate, role };
      });
      if (defect !== "starts anew at every loss") return shape(placed, true);
      const anew = survivors.toSorted(byId).toReversed();
      return new Map(anew.map(({ id }, place) => [id, place < masters ? "master" : "worker"] as const));
    },
    validate(assignment) {
      if (defect === "finds every shape right") return [];
      const violations: TopologyViolation[] = [];
      const count = [...assignment.values()].filter((role) => role === "master").length;
      const code = defect === "names no code" ? "wrong" : "TOPOLOGY_WRONG_SHAPE";
      const wanted = masters + (defect === "makes one master more than it says" ? 1 : 0);
      if (count !== Math.min(wanted, assignment.size) || assignment.size < masters)
        violations.push({ code, message: `${count} masters` });
      if ([...assignment.values()].includes("bootstrap") && defect !== "gives out the bootstrap role") {
        violations.push({ code, message: "bootstrap is no part of it" });
      }
      return violations;
    },
  };
}
