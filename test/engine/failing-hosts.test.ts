import assert from "node:assert/strict";
import { FleetRunError } from "../../provider/engine";
import { operate } from "../../provider/engine/run/context";
import { contextOf } from "../../provider/engine/run/session";
import { HypervisorError, InUseError } from "../../provider/hypervisors/hypervisor";
import { policyNames } from "../../provider/scheduler";
import type { Fault } from "../../provider/hypervisors/simulated";
import { inputs, request, specOf, up, world } from "./world";

/** Numerical Recipes' generator: seeded, the same on every machine. */
function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
}

/** 20 to 40 hosts with mixed NICs and disks, 5 % of which (never the template's) die while copies run. */
function case_(seed: number): { inputs: Record<string, unknown>; faults: Fault[] } {
  const next = random(seed * 7919);
  const hosts = 20 + Math.floor(next() * 21);
  const from = inputs(hosts, 4, { countPerHost: 1 + Math.floor(next() * 3), imageBytes: 10e9 });
  const shaped = (from.hosts as { name: string }[]).map((host) => ({
    ...host, nicBitsPerSecond: next() < 0.2 ? 1e9 : 1e10, diskBytesPerSecond: next() < 0.2 ? 5e8 : 1e9,
  }));
  const faults = shaped.slice(1).flatMap((host): Fault[] => (
    next() < 0.05 ? [{ kind: "hostDown", host: host.name, atSeconds: 1 + next() * 15 }] : []
  ));
  return { inputs: { ...from, hosts: shaped }, faults };
}

async function spanOf(policy: string, one: ReturnType<typeof case_>): Promise<number> {
  const spec = specOf({ ...one.inputs, policy });
  try {
    return (await up(spec, world(spec, { faults: one.faults }))).summary.makespanSeconds;
  } catch (error) {
    assert.ok(error instanceof FleetRunError, String(error));
    return error.state.lastRun.makespanSeconds;
  }
}

describe("with hosts that fail on the way", function () {
  this.timeout(180_000);
  for (let seed = 1; seed <= 12; seed++) {
    it(`relay and auto are within 5 % of the best policy (seed ${seed})`, async () => {
      const one = case_(seed);
      const spans = new Map<string, number>();
      for (const policy of [...policyNames, "auto"]) spans.set(policy, await spanOf(policy, one));
      const best = Math.min(...spans.values());
      for (const policy of ["relay", "auto"]) {
        assert.ok(spans.get(policy)! <= 1.05 * best, [...spans].map(([name, span]) => `${name} ${span.toFixed(1)} s`).join(", "));
      }
    });
  }
});

describe("an operation", () => {
  const tried = async (error: Error): Promise<number> => {
    const spec = specOf(inputs(1, 1, { count: 1, retries: 3 }));
    const context = contextOf(request(spec, world(spec)), new AbortController().signal);
    let calls = 0;
    await assert.rejects(operate(context, "a1", () => {
      calls++;
      return Promise.reject(error);
    }), error);
    return calls;
  };

  it("is not tried again on what somebody uses: nothing can have changed", async () => {
    assert.equal(await tried(new InUseError("a1", "consolidate", "base is in use")), 1);
    assert.equal(await tried(new HypervisorError("a1", "consolidate", "libvirt says: no")), 4);
  });
});
