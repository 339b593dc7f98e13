/** What is copied from before a run has made anything. */
import assert from "node:assert/strict";
import { addStandingSources, declaredHosts, isFrozenSource } from "../../provider/engine/distribution/sources";
import { SourceBook } from "../../provider/engine/distribution/sourceBook";
import type { FleetSpec, Observation } from "../../provider/fleet";
import { topologyOf } from "../../provider/scheduler";
import { disk, member, reachable, unreachable } from "../fleet/build";
import { IMAGE, inputs, specOf } from "./world";

const { contentId } = IMAGE;
const OTHER = "f".repeat(64);
const spec = specOf(inputs(3, 1, { count: 1 }));
const template = (host: string | undefined, of = contentId): Pick<Observation, "template"> => (
  { template: { contentId: of, ...(host !== undefined && { host }), disks: [{ bytes: 1, capacityBytes: 1, format: "raw" }] } }
);
const replica = (purpose: "replica" | "template", of = contentId) => ({ contentId: of, purpose, disk: disk("replica"), users: [] });

function sources(observation: Partial<Observation>, { declared = spec, goes = () => false }: { declared?: FleetSpec; goes?: () => boolean } = {}): string[] {
  const book = new SourceBook(topologyOf(declared), IMAGE, 8);
  addStandingSources(book, declared, { hosts: [], ...observation }, goes);
  return book.sources.map(({ host, hostName, kind, label, ref }) => `${host} ${hostName} ${kind} ${label} ${ref.kind}`);
}

describe("a template", () => {
  it("is a source where it was seen, of just this content, on a host of the program", () => {
    assert.deepEqual(sources(template("a2")), ["1 a2 template template template"]);
    for (const elsewhere of [template("a2", OTHER), template("z9"), template(undefined), {}]) assert.deepEqual(sources(elsewhere), []);
  });

  it("that is a file of the provider's is none, wherever it was uploaded: its upload is", () => {
    const declared = specOf(inputs(3, 1, { count: 1, template: { file: "./golden.qcow2" } }));
    const uploaded = { ...template("a2"), hosts: [reachable("a2", [], { replicas: [replica("template")] })] };
    assert.deepEqual(sources(uploaded, { declared }), ["1 a2 template template replica"]);
  });
});

describe("replicas and uploads", () => {
  const hosts = [reachable("z9", [], { replicas: [replica("replica")] }), reachable("a3", [], { replicas: [replica("replica"), replica("replica", OTHER)] }), unreachable("a2")];

  it("are sources on the program's hosts that answer, of just this content", () => {
    assert.deepEqual(sources({ hosts }), ["2 a3 replica replica@a3 replica"]);
  });

  it("that go are none", () => assert.deepEqual(sources({ hosts }, { goes: () => true }), []));

  it("are looked for on declared hosts, in declared order", () => {
    const seen = { hosts: [...hosts, reachable("a1")] };
    assert.deepEqual(declaredHosts(spec, seen).map(({ index, host }) => [index, host.name]), [[0, "a1"], [2, "a3"]]);
  });
});

describe("a member's base", () => {
  it("is a source while it is frozen, of just this content, and its own", () => {
    const frozen = { kind: "full", base: "frozen", contentId } as const;
    assert.equal(isFrozenSource(member(0, frozen), contentId), true);
    for (const other of [{ kind: "linked" }, { base: "consolidating" }, { base: "consolidated" }, { base: "arriving" }, { contentId: OTHER }] as const) {
      assert.equal(isFrozenSource(member(0, { ...frozen, ...other }), contentId), false);
    }
  });
});
