import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InputError } from "../../provider/cli/input";
import { picture } from "../../provider/cli/picture";
import { timelineOf } from "../../provider/engine/record/timeline";
import type { CloneTrace } from "../../provider/fleet";
import { inputs, specOf, up, world } from "../engine/world";

describe("vmfleet picture", () => {
  let folder: string;
  before(() => { folder = mkdtempSync(join(tmpdir(), "vmfleet-picture-")); });
  after(() => rmSync(folder, { recursive: true }));
  const file = (content: unknown): string => {
    const path = join(folder, "in.json");
    writeFileSync(path, JSON.stringify(content));
    return path;
  };

  it("draws what a run did from its timeline, a stack's outputs or its export", async () => {
    const spec = specOf(inputs(4, 2, { policy: "relay", countPerHost: 2 }));
    const { state, clones } = await up(spec, world(spec));
    const svg = picture(file(state.timeline), {}).stdout;
    assert.match(svg, /^<svg[^]*<title>As it was, relay<\/title>/);
    for (const { slot } of clones) assert.ok(svg.includes(`<title>${slot} from `), slot);
    assert.equal(picture(file({ placement: state.placement, timeline: state.timeline }), {}).stdout, svg);
    assert.equal(picture(file({ version: 3, deployment: { resources: [{}, { type: "x", outputs: { ...state } }] } }), {}).stdout, svg);
    const out = join(folder, "out.svg");
    assert.equal(picture(file(state.timeline), { svg: out }).stdout, "");
    assert.equal(readFileSync(out, "utf8"), svg);
  });

  it("says what it expected where there is none, or more than one", () => {
    assert.throws(() => picture(file({ placement: { a1: 2 } }), {}), (error) => error instanceof InputError && /expected the timeline output of a fleet, found none/.test(error.message));
    const one = { policy: "relay", imageBytes: 1, racks: [], clones: [], leftOut: 0 };
    assert.throws(() => picture(file([one, one]), {}), (error) => error instanceof InputError && /of one fleet, got 2/.test(error.message));
  });

  it("keeps 256 copies of a thousand hosts, those between hosts first, and says how many it leaves out", () => {
    const spec = specOf(inputs(1000, 10, { countPerHost: 3 }));
    const clones = spec.hosts.flatMap(({ name }, i): CloneTrace[] => [0, 1, 2].map((n) => ({
      slot: `w-${i}-${n}`, source: "template", sourceHost: n === 0 ? spec.hosts[Math.floor(i / 2)]!.name : name, targetHost: name,
      startSeconds: 10 * n + 1 / 3, endSeconds: 10 * n + 10,
    })));
    const timeline = timelineOf(spec, "relay", clones, 1e9)!;
    assert.equal(timeline.clones.length, 256);
    assert.equal(timeline.leftOut, 3000 - 256);
    assert.ok(timeline.clones.every((clone) => clone.sourceHost !== clone.targetHost));
    assert.ok(JSON.stringify(timeline).length < 50_000, `${JSON.stringify(timeline).length} characters`);
    assert.match(picture(file(timeline), {}).stdout, /\(2744 more copies are not shown\)/);
  });
});
