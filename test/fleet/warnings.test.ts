import assert from "node:assert/strict";
import { adoptionWarning, type FleetInputs, type FleetSpec, type Observation, type ObservedMember, type ReachableHost } from "../../provider/fleet";
import { CONTENT, disk, empty, host, made, member, observation, plan, reachable, slots, spec, template, unreachable, withHost } from "./build";

/** Targets of its own for each host. */
const each = (counts: Record<string, number>, more: Partial<FleetInputs> = {}): FleetSpec => spec({ hosts: Object.entries(counts).map(([name, count]) => host(name, { count })), ...more });
const PREVIEW = { mode: "preview" as const };
/** The members of one host as this makes them. */
const change = (found: Observation, name: string, changes: Partial<ObservedMember>) => withHost(found, name, (one) => ({ ...one, members: one.members.map((m) => ({ ...m, ...changes })) }));

describe("warnings of members that are taken over", () => {
  it("name each with its host, twenty at most", () => {
    const adopting = (count: number) => {
      const { declared, found } = made({ hosts: [host("a1", { count })] });
      return adoptionWarning(plan(declared, found, undefined, { incarnation: "two" }));
    };
    const names = (count: number) => Array.from({ length: count }, (_, slot) => `workers-0${String(slot).padStart(2, "0")} on a1`).join(", ");
    const made20 = "members made by an earlier run or another resource of this fleet:";
    assert.deepEqual([0, 2, 20, 23].map(adopting), [
      [], [`takes over 2 ${made20} ${names(2)}`], [`takes over 20 ${made20} ${names(20)}`], [`takes over 23 ${made20} ${names(20)} and 3 more`],
    ]);
  });
});

describe("warnings of hosts", () => {
  const { found, state } = made({ hosts: ["a1", "a2", "b1", "b2", "c1", "c2", "d1", "d2"].map((name) => host(name, { count: name.startsWith("d") || name === "b2" ? 0 : 1 })) });
  const mark = { b1: { noted: true }, b2: { unsettled: true }, d1: { noted: true, unsettled: true } } as const;
  const recorded = { ...state, hosts: state.hosts.map((one) => ({ ...one, ...(one.name in mark && mark[one.name as keyof typeof mark]) })) };
  const dark: Observation = { ...found, hosts: [found.hosts[0]!, ...["a2", "b1", "b2", "c1", "c2", "d1", "d2", "stray"].map(unreachable)] };
  const declared = each({ a1: 1, c1: 1 }, { abandonHosts: ["c2", "d2"] });
  const GIVEN_UP = ["c2 is abandoned: workers-004 forgotten, nothing is placed there", "d2 is abandoned: nothing is placed there"];

  it("say in a preview of each silent one that up will want what is known of it, and nothing of those that hold nothing", () => {
    const lacking = each({ a1: 1, c1: 1 }, { abandonHosts: ["c2"] });
    const said = [
      "c1 does not answer (connection refused): planned as recorded; up fails unless it answers",
      "a2 does not answer (connection refused): its members count as lost; up fails unless it answers or stands in abandonHosts",
      "b1 does not answer (connection refused): a run that was killed on this machine noted it as one it worked on; up fails unless it answers or stands in abandonHosts",
      "b2 does not answer (connection refused): it was worked on when it went silent or was left with leftovers or members that are not on record; up fails unless it answers or stands in abandonHosts",
      "d1 does not answer (connection refused): a run that was killed on this machine noted it as one it worked on; up fails unless it answers or stands in abandonHosts",
    ];
    assert.deepEqual(plan(lacking, dark, recorded, PREVIEW).warnings, [...said, GIVEN_UP[0]!]);
    assert.deepEqual(plan(declared, dark, recorded, PREVIEW).warnings, [...said, ...GIVEN_UP]);
  });

  it("say in an up, which refuses those, of the given up alone", () => {
    const next = plan(declared, dark, recorded);
    assert.deepEqual([next.problems.length, next.warnings], [5, GIVEN_UP]);
  });

  it("say in a preview that asked none just that, with what is given up", () => {
    assert.deepEqual(plan(declared, undefined, recorded, PREVIEW).warnings, ["no host was asked: planned from the inputs and the recorded state alone", ...GIVEN_UP]);
  });

  it("say of a recorded copy on a silent host, whose slot a later one holds elsewhere, that the host must answer", () => {
    const two = made({ hosts: [host("a1", { count: 1 }), host("a2", { count: 1 })] });
    const doubled = { ...two.state, members: [...two.state.members, { ...two.state.members[1]!, host: "a1", hostUuid: "uuid-a1", generation: 1 }] };
    const seen = observation([reachable("a1", [member(0), member(1, { generation: 1 })]), unreachable("a2")]);
    assert.deepEqual(plan(each({ a1: 2 }), seen, doubled, PREVIEW).warnings, [
      "a2 does not answer (connection refused): its members count as lost; up fails unless it answers or stands in abandonHosts",
    ]);
  });

  it("say of which it is not known what is free", () => {
    const fleet = each({ a1: 1, a2: 1 });
    const unknown = withHost(empty(fleet), "a2", (one) => ({ ...one, room: { unknown: "the pool is of type rbd" } }));
    assert.deepEqual(plan(fleet, unknown).warnings, ["a2: what is free in its pool is not known, so nothing says whether the plan fits (the pool is of type rbd)"]);
    assert.deepEqual(plan(fleet, empty(fleet)).warnings, []);
  });
});

describe("warnings of the template", () => {
  const { found, state } = made({ hosts: [host("a1", { count: 2 }), host("a2", { count: 2 })] });
  const warned = (counts: Record<string, number>, seen: Observation, more: Partial<FleetInputs> = {}) => plan(each(counts, more), seen, state).warnings;

  it("say which members stay on the earlier content, of those that stay, and what new ones will have", () => {
    const changed: Observation = { ...found, template: { ...template, contentId: "c2" } };
    const stays = (names: string, stay: string) => `the template has changed: ${names} ${stay} on the earlier content (onTemplateChange is keep)`;
    assert.deepEqual(warned({ a1: 2, a2: 2 }, changed), [stays("workers-000, workers-001, workers-002, workers-003", "stay")]);
    assert.deepEqual(warned({ a1: 1, a2: 0 }, changed), [stays("workers-000", "stays")]);
    assert.deepEqual(warned({ a1: 1, a2: 2 }, change(changed, "a2", { contentId: "c2" })), [stays("workers-000", "stays")]);
    assert.deepEqual(warned({ a1: 4, a2: 2 }, change(changed, "a2", { contentId: "c2" })), [`${stays("workers-000, workers-002", "stay")}; the 2 new members will have the present one`]);
    assert.deepEqual(warned({ a1: 2, a2: 2 }, change(change(changed, "a2", { contentId: "c2" }), "a1", { contentId: "c2" })), []);
    assert.deepEqual(warned({ a1: 2, a2: 2 }, changed, { onTemplateChange: "replace" }), []);
  });

  it("say nothing of another content while the template cannot be seen", () => {
    const gone: Observation = { ...change(found, "a1", { contentId: "c0" }), template: undefined };
    assert.deepEqual(warned({ a1: 2, a2: 2 }, gone), []);
  });

  it("say that new members come from a copy only where there are new ones, and the template is not to be seen", () => {
    const seeded = change(found, "a2", { base: "frozen" });
    const kept = { keepSeeds: "host" } as const;
    const gone: Observation = { ...seeded, template: undefined };
    assert.deepEqual(warned({ a1: 3, a2: 2 }, gone, kept), ["the template cannot be seen: new members are cloned from copies of its recorded content"]);
    assert.deepEqual(warned({ a1: 2, a2: 2 }, gone, kept), []);
    assert.deepEqual(warned({ a1: 3, a2: 2 }, seeded, kept), []);
    assert.deepEqual(warned({ a1: 3, a2: 2 }, { ...found, template: undefined }, kept), [], "refused");
  });

  it("say that it is still being read only where something is copied", () => {
    const unread: Observation = { hosts: found.hosts, templateUnread: true };
    const local = { template: { file: "/golden.qcow2" } };
    assert.deepEqual(warned({ a1: 2, a2: 3 }, unread, local), ["the template is still being read: what its copies cost is guessed, and up waits for it"]);
    assert.deepEqual(warned({ a1: 2, a2: 2 }, unread, local), []);
  });
});

describe("warnings of members that stay as they are", () => {
  it("say whose kind is another than new ones will have", () => {
    const { found, state } = made({ hosts: [host("a1", { count: 2 }), host("a2", { count: 1 })] });
    const mixed = withHost(found, "a2", (one) => ({ ...one, members: one.members.map((m) => ({ ...m, kind: "linked" as const, base: "replica" as const })) }));
    const warned = (counts: Record<string, number>, clone: "full" | "linked") => plan(each(counts, { clone }), mixed, state).warnings;
    const stays = (names: string, stay: string) => [`clone: ${names} ${stay} as made; the change concerns new members only`];
    assert.deepEqual(warned({ a1: 2, a2: 1 }, "linked"), stays("workers-000, workers-002", "stay"));
    assert.deepEqual(warned({ a1: 2, a2: 1 }, "full"), stays("workers-001", "stays"));
    assert.deepEqual(warned({ a1: 2, a2: 0 }, "full"), [], "it leaves");
  });

  it("say whose disk cannot be completed any more: of another content than the template's, and not there yet", () => {
    const { found, state } = made({ hosts: [host("a1", { count: 1 }), host("a2", { count: 1 }), host("b1", { count: 1 }), host("b2", { count: 2 })] });
    const waiting = change(change(change(change(found, "a1", { base: "arriving", contentId: "c0" }), "a2", { base: "arriving" }), "b1", { base: "arrived", contentId: "c0" }), "b2", { contentId: "c0" });
    const declared = each({ a1: 1, a2: 1, b1: 1, b2: 1 });
    const LOST = "workers-000: started before the disk was there, and the template has changed since: what is missing cannot be fetched any more. " +
      "Bring the template back, or make them anew (onTemplateChange: replace)";
    const next = plan(declared, waiting, state);
    assert.deepEqual(slots(next.complete), [1, 2]);
    assert.deepEqual(next.warnings, ["the template has changed: workers-000, workers-002, workers-003 stay on the earlier content (onTemplateChange is keep)", LOST]);
    assert.deepEqual(plan(declared, { ...waiting, template: undefined }, state).warnings, [LOST]);
    assert.deepEqual(plan(declared, { ...waiting, template: undefined }).warnings, [], "of which content the template was nobody knows");
  });

  it("say nothing of a fleet that is as declared", () => {
    const { declared, found, state } = made();
    assert.deepEqual(plan(declared, found, state).warnings, []);
  });
});

describe("warnings of names and replicas", () => {
  it("say which host may be meant from four characters on", () => {
    const names = ["a1", "rac5", "c17"];
    const { found, state } = made({ hosts: names.map((name) => host(name)), count: 3 });
    const dark = withHost(withHost(found, "rac5", () => unreachable("rac5")), "c17", () => unreachable("c17"));
    const declared = spec({ hosts: names.map((name) => host(name)), count: 3, abandonHosts: ["rac7", "c18"] });
    const unknown = (name: string, meant: string) => `abandonHosts: no host of this fleet is called "${name}", so nothing is given up by it; ${meant}remove it: a host that was given up before is forgotten by now`;
    assert.deepEqual(plan(declared, dark, state).warnings, [unknown("rac7", 'did you mean "rac5"? Else '), unknown("c18", "")]);
  });

  it("say of each replica that others use why it stays, and of no other", () => {
    const replica = (name: string, strangers?: string[]): ReachableHost["replicas"][number] =>
      ({ contentId: CONTENT, purpose: "replica", disk: disk(name), users: [0], ...(strangers && { strangers }) });
    const declared = each({ a1: 1, a2: 0 }, { clone: "linked" });
    const found = observation([
      reachable("a1", [member(0, { kind: "linked", base: "replica" })], { replicas: [replica("own"), replica("none", [])] }),
      reachable("a2", [], { replicas: [replica("used", ["guest x stands on it", "guest y reads it"])] }),
    ]);
    assert.deepEqual(plan(declared, found).warnings, ["used on a2 stays: guest x stands on it; guest y reads it"]);
  });
});
