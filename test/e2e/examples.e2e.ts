import assert from "node:assert/strict";
import { join } from "node:path";
import { byHost, cannotRun, ensureLab, type Lab, openStack, ROOT, type TestStack } from "./harness";

describe("the examples", function () {
  this.timeout(180_000);
  let lab: Lab;
  let test: TestStack | undefined;

  before(async function () {
    if (await cannotRun()) return this.skip();
    lab = await ensureLab();
  });
  afterEach(async () => { await test?.close(); test = undefined; });

  const run = async (example: string, config: Record<string, string>) => {
    const programs = require(join(ROOT, "examples", example, "program.ts")) as Record<string, () => Record<string, unknown>>;
    test = await openStack(example, {
      program: async () => programs[example]!(),
      config: { network: lab.subnet.split(".").slice(0, 2).join("."), boot: lab.bootDir, ...config },
    });
    await test.up();
    return test.stack.outputs();
  };

  it("quickstart spreads its machines over the racks and hosts", async () => {
    const { placement, lastRun } = await run("quickstart", { count: "4" });
    assert.deepEqual(placement!.value, { a1: 1, a2: 1, b1: 1, b2: 1 });
    assert.equal(lastRun!.value.created, 4);
  });

  it("hadoop puts each role where it is wanted, full and linked clones side by side", async () => {
    const outputs = await run("hadoop", { computePerHost: "1" });
    const placed = (role: string) => byHost((outputs[role]!.value as string[]).map((text) => ({ host: text.split(" on ")[1] }) as never));
    assert.deepEqual([placed("name"), placed("data"), placed("compute")], [
      { a1: 1, b1: 1 }, { a2: 2, b1: 1, b2: 2 }, { a1: 1, a2: 1, b1: 1, b2: 1 },
    ]);
  });
});
