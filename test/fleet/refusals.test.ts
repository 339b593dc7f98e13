import assert from "node:assert/strict";
import { memberMacs, type FleetPlan, type Observation, type ObservedMember, type ReachableHost } from "../../provider/fleet";
import { CONTENT, disk, empty, FLEET, host, made, member, observation, plan, reachable, slots, spec, unreachable, withHost } from "./build";

const messages = (one: FleetPlan) => one.problems.map(({ path, message }) => `${path}: ${message}`);
const paths = (one: FleetPlan) => one.problems.map(({ path }) => path);
const hosts = (...names: string[]) => names.map((name) => host(name));
/** Targets of its own for each host. */
const each = (counts: Record<string, number>) => Object.entries(counts).map(([name, count]) => host(name, { count }));
const PREVIEW = { mode: "preview" as const };

describe("hosts that must answer", () => {
  it("are told apart: declared, taken out with members, taken out with open work, and of no concern", () => {
    const { found, state } = made({ hosts: each({ a1: 1, a2: 2, b1: 0, b2: 1, c1: 1 }) });
    const open = { ...state, hosts: state.hosts.map((one) => (one.name === "b1" ? { ...one, unsettled: true } : one)) };
    const dark: Observation = { ...found, hosts: [found.hosts[0]!, ...["a2", "b1", "b2", "c1", "stray"].map(unreachable)] };
    const declared = spec({ hosts: each({ a1: 1, b2: 1 }), abandonHosts: ["c1"] });
    const next = plan(declared, dark, open);
    assert.deepEqual(messages(next), [
      'abandonHosts: expected hosts that were taken out of the program to answer, got none from a2 (connection refused), which holds 2 members (workers-001, workers-004); bring it back, or give it up with abandonHosts: ["a2"], which forgets its members',
      'abandonHosts: expected hosts that were taken out of the program to answer, got none from b1 (connection refused), which was worked on when it went silent or was left with leftovers or members that are not on record; bring it back, or give it up with abandonHosts: ["b1"]',
      'hosts[1]: expected a host that answers, got none: b2 does not answer (connection refused) and holds 1 member (workers-002); bring it back, or give it up with abandonHosts: ["b2"], which forgets its members',
    ]);
    assert.deepEqual(plan(declared, dark, open, PREVIEW).problems, [], "a preview may go without them");
    const givenUp = spec({ hosts: each({ a1: 1, b2: 1 }), abandonHosts: ["a2", "b1", "b2", "c1"] });
    assert.deepEqual(plan(givenUp, dark, open).problems, []);
  });

  it("are asked for where a record names members of hosts that nothing else tells of", () => {
    const { found, state } = made({ hosts: each({ a1: 1, a2: 2, b1: 1, b2: 1 }) });
    const forgetful = { ...state, hosts: state.hosts.filter(({ name }) => name === "a1" || name === "b2") };
    const known: Observation = { ...found, hosts: [found.hosts[0]!, unreachable("b2")] };
    assert.deepEqual(messages(plan(spec({ hosts: each({ a1: 1 }) }), known, forgetful)), [
      "abandonHosts: expected hosts that were taken out of the program to answer, got none from b2 (connection refused), which holds 1 member (workers-003); " +
        'bring it back, or give it up with abandonHosts: ["b2"], which forgets its members',
      "abandonHosts: expected the hosts of all recorded members to be known, got none for workers-001, workers-002, workers-004; declare a2, b1 again, or run `pulumi refresh`",
    ]);
  });
});

describe("moves", () => {
  it("are refused with the first five by name", () => {
    const moving = (count: number) => {
      const { found, state } = made({ hosts: each({ a1: count, a2: 0 }) });
      return messages(plan(spec({ hosts: each({ a1: 0, a2: count }) }), found, state));
    };
    const five = [0, 1, 2, 3, 4].map((slot) => `workers-00${slot} from a1 to a2`).join(", ");
    const rest = "got false; move: data is lost, set it to true to accept that, or leave the targets as they were";
    assert.deepEqual(moving(5), [`allowRecreate: expected true for a change that moves 5 members (${five}), ${rest}`]);
    assert.deepEqual(moving(7), [`allowRecreate: expected true for a change that moves 7 members (${five} and 2 more), ${rest}`]);
  });

  it("of another run's members are refused once, as moves", () => {
    const { found } = made({ hosts: each({ a1: 2, a2: 0 }) });
    const moved = plan(spec({ hosts: each({ a1: 1, a2: 1 }) }), found, undefined, { incarnation: "two" });
    assert.deepEqual([slots(moved.move), moved.problems.map(({ message }) => message.slice(0, 43))], [[1], ["expected true for a change that moves 1 mem"]]);
  });
});

describe("members of another run that would be destroyed", () => {
  const theirs = (slot: number, generation: number, name: string): ObservedMember => member(slot, { generation, name, incarnation: "two" });
  const refused = (names: string, count: string) => `allowRecreate: expected true for a change that destroys ${count} (${names}) which another run or resource of this fleet made, got false; ` +
    "after a create that crashed, adopt them first with the targets and hosts it had; if they are another resource's, give this one a fleetId of its own; to destroy them, set it to true";

  it("are named by slot and generation, whatever hosts they are on", () => {
    const found = observation([
      reachable("a1", [theirs(0, 0, "zero"), theirs(1, 1, "one-newer"), theirs(3, 0, "three")]),
      reachable("a2", [theirs(1, 0, "one-older"), theirs(2, 0, "two")]),
      reachable("b1", [member(1, { generation: 2 })]),
    ]);
    assert.deepEqual(messages(plan(spec({ hosts: each({ a1: 0, a2: 0, b1: 1 }) }), found)), [refused("zero, one-older, one-newer, two, three", "5 members")]);
  });

  it("are told from this run's own of the same slot on the same host by their generation", () => {
    const found = observation([reachable("a1", [member(0, { generation: 1 }), theirs(0, 0, "older")])]);
    const next = plan(spec({ hosts: each({ a1: 1 }) }), found);
    assert.deepEqual(next.destroy.map(({ slot, generation }) => [slot, generation]), [[0, 0]]);
    assert.deepEqual(messages(next), [refused("older", "1 member")]);
    const own = observation([reachable("a1", [theirs(0, 1, "newer"), member(0)])]);
    assert.deepEqual(plan(spec({ hosts: each({ a1: 1 }) }), own).problems, []);
  });
});

describe("disks to be kept that would go with their members", () => {
  const made = (label: string, onDelete: "delete" | "keep") => ({ ...disk(label), label, onDelete });
  const vm = { networks: [{ network: "default" }], disks: [
    { label: "data", sizeBytes: 10e9, onDelete: "keep" as const }, { label: "logs", sizeBytes: 10e9, onDelete: "delete" as const }, { label: "mail", sizeBytes: 10e9, onDelete: "keep" as const },
  ] };
  const found = observation([reachable("a1", [
    member(0, { disks: [made("data", "delete")] }),
    member(1, { disks: [made("logs", "delete"), made("data", "keep")] }),
    member(2, { disks: [made("logs", "delete"), made("data", "delete"), made("mail", "keep")] }),
    member(3, { disks: [made("mail", "delete")] }),
    member(4),
  ])]);
  const at = (count: number) => messages(plan(spec({ hosts: each({ a1: count }), vm }), found));

  it("are named disk by disk, each with those members only that lose it", () => {
    const losing = (path: string, label: string, names: string, whose: string) => `${path}: expected disks made to be kept, got "${label}" of ${names}, made with "delete", ` +
      `which would go with ${whose}; keep the members, or save the data and set allowRecreate to true`;
    assert.deepEqual(at(0), [
      losing("vm.disks[0].onDelete", "data", "workers-000, workers-002", "their members"),
      losing("vm.disks[2].onDelete", "mail", "workers-003", "its member"),
    ]);
    assert.deepEqual(at(1), [
      losing("vm.disks[0].onDelete", "data", "workers-002", "its member"),
      losing("vm.disks[2].onDelete", "mail", "workers-003", "its member"),
    ]);
    assert.deepEqual(at(3), [losing("vm.disks[2].onDelete", "mail", "workers-003", "its member")]);
    assert.deepEqual(at(4), []);
  });
});

describe("abandonHosts for hosts that answer", () => {
  const then = (index: number, name: string, what: string) => `abandonHosts[${index}]: expected a host that does not answer, got "${name}"; remove it from abandonHosts: it answers; then ${what}`;

  it("says of each what becomes of the members that it holds, and of no other's", () => {
    const found = observation([
      reachable("a1", [member(0, { generation: 1 }), member(1, { generation: 1 }), member(2, { generation: 1 })]),
      reachable("a2", [member(0), member(1)]), reachable("b1", [member(2)]), reachable("b2"),
    ]);
    const declared = spec({ hosts: each({ a1: 3, a2: 0, b1: 0, b2: 0 }), abandonHosts: ["b2", "b1", "a2"] });
    assert.deepEqual(messages(plan(declared, found)), [
      then(0, "b2", "it is used again"),
      then(1, "b1", "its older copy (workers-002), made anew elsewhere meanwhile, will be destroyed"),
      then(2, "a2", "its older copies (workers-000, workers-001), made anew elsewhere meanwhile, will be destroyed"),
    ]);
  });

  it("takes a name for the host that bears it now, before one that bore it on record", () => {
    const { found, state } = made({ hosts: each({ a1: 1, a2: 0 }) });
    const replaced: Observation = { ...found, hosts: [found.hosts[0]!, reachable("a2", [], { uuid: "uuid-new" }), reachable("a2 (former)", [], { uuid: "uuid-a2" })] };
    const again = { hosts: [host("a1", { count: 1 }), host("a2", { count: 0, uri: "qemu+ssh://root@new/system" })] };
    assert.deepEqual(messages(plan(spec({ ...again, abandonHosts: ["a2"] }), replaced, state)), [then(0, "a2", "it is used again")]);
    assert.deepEqual(messages(plan(spec({ ...again, abandonHosts: ["uuid-a2"] }), replaced, state)), [then(0, "uuid-a2", "it is emptied, as any host that is no longer declared")]);
  });
});

describe("hardware addresses", () => {
  it("that a new member would share with one that is seen are refused", () => {
    const [mac] = memberMacs(FLEET, 1, 1);
    const found = withHost(empty(spec({ count: 3 })), "b1", (one) => ({ ...one, members: [member(7, { cardAddresses: [mac!.toUpperCase()] })] }));
    assert.deepEqual(messages(plan(spec({ count: 3 }), found)), [
      `fleetId: expected MAC addresses that are free, got ${mac} for slot 1, which workers-007 on b1 has; remove that member, or choose another fleetId for a new fleet`,
    ]);
    assert.deepEqual(plan(spec({ count: 2 }), found).problems, [], "slot 1 is not made");
  });
});

describe("a template that cannot be seen", () => {
  const gone: Pick<Observation, "template" | "templateProblem"> = { template: undefined, templateProblem: { property: "volume", message: "expected a volume, got none" } };
  const ABSENT = ["template.volume: expected a volume, got none"];
  /** Members that are to be four: two on a1, one on a2, one more anywhere. */
  const { found, state } = made({ hosts: hosts("a1", "a2", "b1"), count: 3 });
  const four = (more: Parameters<typeof spec>[0] = {}) => spec({ hosts: hosts("a1", "a2", "b1"), count: 4, ...more });
  const on = (name: string, more: Partial<ReachableHost>) => withHost({ ...found, ...gone }, name, (one) => ({ ...one, ...more }));
  const only = (changes: Partial<ObservedMember>) => on("a2", { members: [member(1, changes)] });

  it("is no fault of a preview that does not reach its host, and stops the up", () => {
    const dark = withHost({ ...found, ...gone }, "b1", () => unreachable("b1"));
    const elsewhere = four({ template: { host: "b1", pool: "default", volume: "golden.qcow2" } });
    assert.deepEqual(plan(elsewhere, dark, state, PREVIEW).problems, []);
    assert.deepEqual(paths(plan(elsewhere, dark, state)), ["hosts[2]", "template.volume"]);
    assert.deepEqual(messages(plan(four(), dark, state, PREVIEW)), ABSENT, "its own host answers");
    const local = four({ template: { file: "./golden.qcow2" } });
    assert.deepEqual(messages(plan(local, dark, state, PREVIEW)), ABSENT, "no host has a local file");
  });

  it("is needed unless a copy of its recorded content stays", () => {
    const replica = (contentId: string) => ({ contentId, purpose: "replica" as const, disk: disk("r"), users: [1], strangers: ["a guest stands on it"] });
    const seeds: [Observation, boolean][] = [
      [only({ base: "frozen" }), true], [only({ base: "frozen", contentId: "c0" }), false], [only({ base: "consolidated" }), false], [only({ base: "replica" }), false],
      [on("b1", { replicas: [replica(CONTENT)] }), true], [on("b1", { replicas: [replica("c0")] }), false],
    ];
    for (const [seen, isSeed] of seeds) {
      const next = plan(four(), seen, state);
      assert.deepEqual([slots(next.create), messages(next)], [[3], isSeed ? [] : ABSENT], JSON.stringify(seen.hosts));
    }
  });

  it("is needed where the only copy of its content leaves by the same plan", () => {
    const frozen = only({ base: "frozen" });
    const moving = (counts: Record<string, number>) => messages(plan(spec({ hosts: each(counts), allowRecreate: true }), frozen, state));
    assert.deepEqual(moving({ a1: 1, a2: 0, b1: 2 }), ABSENT);
    assert.deepEqual(moving({ a1: 0, a2: 1, b1: 2 }), []);
  });

  it("is needed where nobody knows of which content it was, whatever else has none on record", () => {
    const nameless = { contentId: "", base: "frozen" as const };
    const seen = only(nameless);
    assert.deepEqual(messages(plan(four(), seen)), ABSENT);
  });

  it("is not needed by what has arrived, nor by what nothing can be fetched for any more", () => {
    const three = four({ count: 3 });
    for (const [changes, completed] of [[{ base: "arrived" }, [1]], [{ base: "arriving", contentId: "c0" }, []]] as const) {
      const next = plan(three, only(changes), state);
      assert.deepEqual([slots(next.complete), next.problems], [completed, []], JSON.stringify(changes));
    }
    assert.deepEqual(messages(plan(three, only({ base: "arriving" }), state)), ABSENT);
  });

  it("is missed before a first run ended only by guests that wait for their disks and stay", () => {
    const at = (count: number, base: ObservedMember["base"]) => messages(plan(four({ count }), withHost(only({ base }), "b1", (one) => ({ ...one, members: [] }))));
    assert.deepEqual([at(2, "consolidated"), at(2, "arriving"), at(1, "arriving")], [[], ABSENT, []]);
    const dark = withHost(only({ base: "consolidated" }), "b1", () => unreachable("b1"));
    assert.deepEqual(plan(four({ count: 3 }), dark, { ...state, contentId: "" }, PREVIEW).problems, []);
  });
});

describe("a template on a host that is given up, planned from the record alone", () => {
  const { state } = made({ hosts: hosts("a1", "a2", "b1"), count: 3 });
  const declared = spec({ hosts: hosts("a1", "a2", "b1"), count: 6, abandonHosts: ["a1"] });
  const REFUSED = ['template.host: expected a host that is not given up, got "a1", which abandonHosts names; put the template on another host, or take this one out of abandonHosts'];
  const frozenOn = (host: string, contentId = CONTENT) => ({ ...state, members: state.members.map((one) => (one.host === host ? { ...one, base: "frozen" as const, contentId } : one)) });
  const replicaOn = (host: string, contentId = CONTENT) => ({ ...state, replicas: [{ host, contentId, purpose: "replica" as const, volume: "r" }] });
  const unknown = (one: typeof state) => ({ ...one, hosts: one.hosts.filter(({ name }) => name !== "b1") });

  it("is not needed where another host has a copy of its content on record", () => {
    for (const previous of [frozenOn("b1"), replicaOn("b1")]) assert.deepEqual(plan(declared, undefined, previous, PREVIEW).problems, []);
  });

  it("is needed where what is on record is another content, no whole copy, on the same host or on one that nobody knows", () => {
    const lost = spec({ hosts: hosts("a1", "a2"), count: 6, abandonHosts: ["a1"] });
    const none = [
      undefined, state, frozenOn("a1"), frozenOn("b1", "c0"), replicaOn("a1"), replicaOn("b1", "c0"), { ...frozenOn("b1", ""), contentId: "" }, { ...replicaOn("b1", ""), contentId: "" },
    ];
    for (const previous of none) assert.deepEqual(messages(plan(declared, undefined, previous, PREVIEW)), REFUSED, JSON.stringify(previous));
    for (const previous of [frozenOn("b1"), replicaOn("b1")]) assert.deepEqual(messages(plan(lost, undefined, unknown(previous), PREVIEW)), REFUSED, JSON.stringify(previous));
  });

  it("is not needed where nothing is copied, nor asked for where its host is not given up", () => {
    assert.deepEqual(plan(spec({ hosts: hosts("a1", "a2", "b1"), count: 2, abandonHosts: ["a1"] }), undefined, state, PREVIEW).problems, []);
    assert.deepEqual(plan(spec({ hosts: hosts("a1", "a2", "b1"), count: 6, abandonHosts: ["b1"] }), undefined, state, PREVIEW).problems, []);
  });
});
