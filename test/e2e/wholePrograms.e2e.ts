import assert from "node:assert/strict";
import { dynamic, runtime } from "@pulumi/pulumi";
import { cannotRun, openStack, type TestStack } from "./harness";

class AnyFleet extends dynamic.Resource {}

describe("a program of these tests whose engine gets no connection", function () {
  this.timeout(60_000);
  const unavailable = () => Object.assign(new Error("14 UNAVAILABLE: No connection established. Last error: none"), { code: 14 });
  let test: TestStack;
  let runs = 0;
  /** What goes wrong in a run, by its number. */
  let fault: (run: number) => void = () => undefined;

  before(async function () {
    if (await cannotRun()) return this.skip();
    test = await openStack("whole", {
      program: async () => {
        runs++;
        fault(runs);
        new AnyFleet({ create: async () => ({ id: "1" }) }, "fleet", {}, undefined, "test", "ClonedVmFleet");
      },
    });
    await test.up();
  });
  after(async () => { await test?.close(); });
  beforeEach(() => { runs = 0; });
  afterEach(() => { fault = () => undefined; });

  const fleets = async (): Promise<number> => {
    const { deployment } = await test.stack.exportStack();
    return (deployment.resources as { type: string }[]).filter(({ type }) => /ClonedVmFleet/.test(type)).length;
  };

  it("deletes nothing where a resource was not registered, and is run again", async () => {
    fault = (run) => {
      const monitor = (runtime as unknown as { getMonitor(): { registerResource(request: unknown, answer: (error: unknown) => void): void } }).getMonitor();
      if (run === 1) monitor.registerResource = (_request, answer) => answer(unavailable());
    };
    const { changes } = await test.up();
    assert.deepEqual([runs, changes["delete"], await fleets()], [2, undefined, 1]);
  });

  it("deletes nothing where nothing could be asked at all, and gives up after some runs", async () => {
    fault = () => { throw unavailable(); };
    await assert.rejects(test.up(), /No connection established/);
    assert.deepEqual([runs, await fleets()], [3, 1]);
  });
});
