import assert from "node:assert/strict";
import { describePlanAtLength, planRemoval, preflight, type FleetInputs, type FleetPlan, type FleetSpec, type FleetState, type Observation } from "../../provider/fleet";
import { carryOut, empty, FLEET, host, INCARNATION, made, member, plan, reachable, record, spec, unreachable } from "./build";

const SEARCHES = ["find", "findIndex", "some", "every", "filter", "map", "flatMap", "reduce", "forEach"] as const;

/** Elements that all searches through lists looked at: grows with the square where a list is searched for each of another. */
function looksOf(act: () => unknown): number {
  const list = Array.prototype as unknown as Record<string, (...args: unknown[]) => unknown>;
  const own = Object.fromEntries([...SEARCHES, "includes", "indexOf"].map((name) => [name, list[name]!]));
  let looks = 0;
  for (const name of SEARCHES) {
    list[name] = function (this: unknown[], visit: unknown, ...rest: unknown[]) {
      return own[name]!.call(this, (...args: unknown[]) => {
        looks += 1;
        return (visit as (...args: unknown[]) => unknown).apply(rest[0], args);
      }, ...rest);
    };
  }
  for (const name of ["includes", "indexOf"]) {
    list[name] = function (this: unknown[], ...args: unknown[]) {
      looks += this.length;
      return own[name]!.apply(this, args);
    };
  }
  try {
    act();
  } finally {
    Object.assign(list, own);
  }
  return looks;
}

interface Fleet {
  inputs: (count: number, more?: Partial<FleetInputs>) => FleetSpec;
  hosts: FleetInputs["hosts"];
  found: Observation;
  state: FleetState;
  members: number;
}

function fleetOf(hostCount: number, perHost: number, changes: Partial<FleetInputs> = {}): Fleet {
  const hosts = Array.from({ length: hostCount }, (_, index) => host(`h${index}`, { rack: `r${index % 7}` }));
  const inputs = (count: number, more: Partial<FleetInputs> = {}) => spec({ hosts, template: { file: "/golden.qcow2" }, count, ...changes, ...more });
  const members = hostCount * perHost;
  const declared = inputs(members);
  const start = empty(declared);
  const found = carryOut(declared, start, plan(declared, start));
  return { inputs, hosts, found, state: record(declared, found), members };
}

const halfOf = (found: Observation, change: (one: Extract<Observation["hosts"][number], { status: "reachable" }>) => Observation["hosts"][number]): Observation => ({
  ...found, hosts: found.hosts.map((one, index) => (index % 2 === 0 && one.status === "reachable" ? change(one) : one)),
});
const disk = { name: "r", path: "/r", format: "qcow2", capacityBytes: 1, allocationBytes: 1 };

const CASES: Record<string, (fleet: Fleet) => unknown> = {
  "shrinks by half": ({ inputs, found, state, members }) => finish(inputs(members / 2), found, plan(inputs(members / 2), found, state)),
  "grows by half": ({ inputs, found, state, members }) => finish(inputs(members * 1.5), found, plan(inputs(members * 1.5), found, state)),
  "is moved off half of its hosts": ({ inputs, hosts, found, state, members }) => {
    const declared = inputs(members, { hosts: hosts.slice(hosts.length / 2), allowRecreate: true });
    finish(declared, found, plan(declared, found, state));
  },
  "finds half of its members gone": ({ inputs, found, state, members }) =>
    plan(inputs(members), halfOf(found, (one) => ({ ...one, members: [] })), state),
  "finds half of its hosts silent, and gives them up": ({ inputs, hosts, found, state, members }) => {
    const dark = halfOf(found, (one) => unreachable(one.name));
    plan(inputs(members), dark, state);
    plan(inputs(members), dark, state, { mode: "preview" });
    plan(inputs(members, { abandonHosts: hosts.filter((_, index) => index % 2 === 0).map(({ name }) => name) }), dark, state);
    record(inputs(members), dark, state);
  },
  "finds leftovers and replicas everywhere": ({ inputs, found, state, members }) => {
    const littered = halfOf(found, (one) => ({
      ...one, replicas: [{ contentId: "c1", purpose: "replica", disk, users: [] }],
      leftovers: one.members.map(({ slot }) => ({ kind: "volume" as const, name: `v${slot}`, slot: slot + 1, generation: 5, bytes: 1, resumable: { contentId: "c1" } })),
    }));
    plan(inputs(members * 1.5, { clone: "linked" }), littered, state);
  },
  "is taken away": ({ inputs, found, state, members }) => {
    const request = { spec: inputs(members), fleetId: FLEET, incarnation: INCARNATION, previous: state };
    planRemoval({ ...request, observation: found });
    planRemoval({ ...request, observation: halfOf(found, (one) => unreachable(one.name)) });
  },
  "is planned from its record alone": ({ inputs, state, members }) => plan(inputs(members / 2), undefined, state, { mode: "preview" }),
};

function finish(declared: FleetSpec, found: Observation, planned: FleetPlan): void {
  preflight(declared, found, planned);
  describePlanAtLength(planned);
  record(declared, found);
}

describe("the cost of planning", () => {
  const [small, large] = [fleetOf(56, 8), fleetOf(224, 8)];
  for (const [name, act] of Object.entries(CASES)) {
    it(`grows with the fleet, not with its square, when it ${name}`, () => {
      const [few, many] = [looksOf(() => act(small)), looksOf(() => act(large))];
      assert.ok(few > 1000 && many < 5 * few, `${few} looks for ${small.members} members, ${many} for ${large.members}`);
    });
  }

  it("is no matter of minutes: 20,000 members on 1,000 hosts in one rack go to none", () => {
    const hosts = Array.from({ length: 1000 }, (_, index) => host(`h${index}`, { rack: "r" }));
    const found = { ...made({ count: 0 }).found, hosts: hosts.map(({ name }, index) => reachable(name, Array.from({ length: 20 }, (_, k) => member(k * 1000 + index)))) };
    const begun = performance.now();
    assert.equal(plan(spec({ hosts, template: { file: "/golden.qcow2" }, count: 0 }), found).destroy.length, 20_000);
    assert.ok(performance.now() - begun < 5000);
  }).timeout(20_000);
});
