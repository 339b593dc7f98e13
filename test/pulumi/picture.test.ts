import assert from "node:assert/strict";
import { FleetRunError, type CloneTrace } from "../../provider/engine/types";
import { PartialFailureError } from "../../provider/pulumi/dynamic/lifecycle";
import { inputs, state, world } from "./fakes";

const clones: CloneTrace[] = [{ slot: "workers-001", source: "template", sourceHost: "a1", targetHost: "b1", startSeconds: 0, endSeconds: 10 }];
const made = () => state({ timeline: { policy: "relay", imageBytes: 10e9, racks: [], clones, leftOut: 0 } });
const file = "run.svg";

describe("timelineFile", () => {
  it("gets a picture of what a create did", async () => {
    const { provider, written } = world({ apply: async () => made(), clones });
    await provider.create(inputs({ timelineFile: file }));
    assert.deepEqual(written.map((one) => one.file), [file]);
    assert.match(written[0]!.text, /<title>workers: as it was, relay<\/title>/);
    assert.match(written[0]!.text, /workers-001 from template on a1: 0\.0 to 10\.0 s, 1 GB\/s/);
    assert.match(written[0]!.text, />rack-b</);
  });

  it("gets one of what was copied when something failed", async () => {
    const { provider, written } = world({ apply: async () => { throw new FleetRunError(["b1: clone: the pool is full"], made(), { clones }); } });
    await assert.rejects(provider.create(inputs({ timelineFile: file })), PartialFailureError);
    assert.equal(written.length, 1);
  });

  it("stays as it is where nothing was copied, and nothing is written unless asked for", async () => {
    const idle = world({ apply: async () => made() });
    await idle.provider.create(inputs({ timelineFile: file }));
    const silent = world({ apply: async () => made(), clones });
    await silent.provider.create(inputs());
    assert.deepEqual([...idle.written, ...silent.written], []);
  });

  it("that cannot be written is told, and fails nothing", async () => {
    const { provider, said } = world({ apply: async () => made(), clones });
    const { id } = await provider.create(inputs({ timelineFile: "/nowhere/run.svg" }));
    assert.equal(id, "abcdefghij");
    assert.deepEqual(said.filter((one) => one.severity === "warning").map((one) => one.message), [
      "timelineFile: /nowhere/run.svg cannot be written (ENOENT); the timeline output holds what it would show",
    ]);
  });

  it("is refused where it is no path", async () => {
    const { failures } = await world().provider.check({}, inputs({ timelineFile: "" }));
    assert.deepEqual(failures?.map((one) => one.reason), ["timelineFile: expected the path of a local file for the picture, got an empty string"]);
  });
});
