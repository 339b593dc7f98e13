import assert from "node:assert/strict";
import { FleetRunError, type CloneTrace } from "../../provider/engine/types";
import { formatProblem } from "../../provider/fleet";
import { declared, frontWorld, origin, RESOURCE, state } from "./fakes";

const clones: CloneTrace[] = [{ slot: "workers-001", source: "template", sourceHost: "a1", targetHost: "b1", startSeconds: 0, endSeconds: 10 }];
const made = () => state({ timeline: { policy: "relay", imageBytes: 10e9, racks: [], clones, leftOut: 0 } });
const file = "run.svg";
const request = (timelineFile?: string) => ({ resource: RESOURCE, origin, declared: { ...declared, ...(timelineFile !== undefined && { timelineFile }) } });

describe("timelineFile", () => {
  it("gets a picture of what a create did", async () => {
    const { front, written } = frontWorld({ apply: async () => made(), clones });
    await front.create(request(file));
    assert.deepEqual(written.map((one) => one.file), [file]);
    assert.match(written[0]!.text, /<title>workers: as it was, relay<\/title>/);
    assert.match(written[0]!.text, /workers-001 from template on a1: 0\.0 to 10\.0 s, 1 GB\/s/);
    assert.match(written[0]!.text, />rack-b</);
  });

  it("gets one of what was copied when something failed", async () => {
    const { front, written } = frontWorld({ apply: async () => { throw new FleetRunError(["b1: clone: the pool is full"], made(), { clones }); } });
    await assert.rejects(front.create(request(file)), FleetRunError);
    assert.equal(written.length, 1);
  });

  it("stays as it is where nothing was copied, and nothing is written unless asked for", async () => {
    const idle = frontWorld({ apply: async () => made() });
    await idle.front.create(request(file));
    const silent = frontWorld({ apply: async () => made(), clones });
    await silent.front.create(request());
    assert.deepEqual([...idle.written, ...silent.written], []);
  });

  it("that cannot be written is told, and fails nothing", async () => {
    const { front, said } = frontWorld({ apply: async () => made(), clones });
    const { fleetId } = await front.create(request("/nowhere/run.svg"));
    assert.equal(fleetId, "abcdefghij");
    assert.deepEqual(said.filter((one) => one.manner === "warning").map((one) => one.text), [
      "timelineFile: /nowhere/run.svg cannot be written (ENOENT); the timeline output holds what it would show",
    ]);
  });

  it("is refused where it is no path", async () => {
    const { problems } = await frontWorld().front.check(request("").declared);
    assert.deepEqual(problems.map(formatProblem), ["timelineFile: expected the path of a local file for the picture, got an empty string"]);
  });
});
