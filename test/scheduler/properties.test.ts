import assert from "node:assert/strict";
import fc from "fast-check";
import { policies, policyNames, type Policy, type BookView } from "../../provider/scheduler";
import { cases, choosePolicy, simulatePolicy, type Case } from "./fixtures";

/** Passes a policy's decisions on after looking whether they keep every rule. */
function watched(policy: Policy, look: (view: BookView, decided: { sourceHost: number; targetHost: number }[]) => void): Policy {
  return {
    name: policy.name,
    next(view) {
      const decisions = policy.next(view);
      const relays = policy.name === "relay" ? view.arriving! : [];
      const hostOf = new Map([...view.sources, ...relays].map((source) => [source.id, source.host]));
      look(view, decisions.map(({ source, targetHost }, i) => {
        if (typeof source !== "number") {
          assert.ok(policy.name === "relay" && source.decision < i, "an earlier decision of this batch");
          return { sourceHost: decisions[source.decision]!.targetHost, targetHost };
        }
        assert.ok(hostOf.has(source), "the source is in the pool");
        return { sourceHost: hostOf.get(source)!, targetHost };
      }));
      return decisions;
    },
  };
}

const simulate = (c: Case, policy: Policy) =>
  simulatePolicy(c.topology, c.targets, c.made, c.sources, policy, { maxConcurrentClones: c.maxConcurrentClones, excluded: c.excluded, relay: true });

function keepsCapsAndTargets(view: BookView, decided: { sourceHost: number; targetHost: number }[]): void {
  const { topology } = view;
  assert.ok(decided.length <= view.freeSlots, "the fleet's cap");
  const load = topology.hosts.map(() => 0);
  const coming = [...view.making];
  for (const { sourceHost, targetHost } of [...view.transfers, ...decided]) {
    load[sourceHost]!++;
    if (sourceHost !== targetHost) load[targetHost]!++;
  }
  for (const { sourceHost, targetHost } of decided) {
    coming[targetHost]!++;
    assert.ok(!view.excluded[sourceHost] && !view.excluded[targetHost], "excluded hosts");
  }
  for (const { index, maxConcurrent } of topology.hosts) {
    assert.ok(load[index]! <= maxConcurrent, "the host's cap");
    assert.ok(coming[index]! === 0 || view.made[index]! + coming[index]! <= view.targets[index]!, "the target");
  }
}

for (const name of policyNames) {
  describe(`${name}: for any datacenter and targets`, function () {
    this.timeout(60_000);
    it("ends with every base made exactly once", () => {
      fc.assert(fc.property(cases(), (c) => {
        const run = simulate(c, policies[name]);
        assert.equal(run.unmade, 0);
        const made = [...c.made];
        for (const copy of run.transfers) made[copy.targetHost]!++;
        c.targets.forEach((target, host) => assert.equal(made[host], c.excluded[host] ? c.made[host] : target));
        assert.equal(new Set(run.transfers.map((copy) => copy.made)).size, run.transfers.length);
        assert.ok(run.transfers.every((copy) => copy.endSeconds >= copy.startSeconds && copy.endSeconds <= run.makespanSeconds));
      }), { numRuns: 400 });
    });

    it("keeps every cap and target at every decision", () => {
      fc.assert(fc.property(cases(), (c) => { simulate(c, watched(policies[name], keepsCapsAndTargets)); }), { numRuns: 400 });
    });

    it("plans the same twice", () => {
      fc.assert(fc.property(cases(), (c) => assert.deepEqual(simulate(c, policies[name]), simulate(c, policies[name]))), { numRuns: 50 });
    });

    it("does not depend on the order of the view's transfers", () => {
      fc.assert(fc.property(cases(), (c) => {
        const turned: Policy = { name, next: (view) => policies[name].next({ ...view, transfers: [...view.transfers].reverse() }) };
        assert.deepEqual(simulate(c, turned), simulate(c, policies[name]));
      }), { numRuns: 50 });
    });

    it("goes on, and keeps every rule, when any copies lag", () => {
      fc.assert(fc.property(cases(), fc.array(fc.boolean(), { minLength: 1 }), (c, pattern) => {
        const lagging: Policy = {
          name,
          next: (view) => policies[name].next({
            ...view,
            transfers: view.transfers.map((t) => ({
              source: t.source, sourceHost: t.sourceHost, targetHost: t.targetHost, startedAtSeconds: t.startedAtSeconds,
              done: t.done, straggling: pattern[(t.source + t.targetHost) % pattern.length]!,
            })),
          }),
        };
        assert.equal(simulate(c, watched(lagging, keepsCapsAndTargets)).unmade, 0);
      }), { numRuns: 200 });
    });
  });
}

describe("rounds: for any datacenter and targets", function () {
  this.timeout(60_000);
  it("gives a source one copy at a time, and leaves its rack only for one that has none", () => {
    const respectsRacks = (view: BookView, decided: { sourceHost: number; targetHost: number }[]): void => {
      const rackOf = (host: number): number => view.topology.hosts[host]!.rack;
      const seeded = new Set([
        ...view.sources.filter((source) => !view.excluded[source.host]).map((source) => rackOf(source.host)),
        ...view.transfers.map((transfer) => rackOf(transfer.targetHost)),
      ]);
      for (const { sourceHost, targetHost } of decided) {
        assert.ok(rackOf(sourceHost) === rackOf(targetHost) || !seeded.has(rackOf(targetHost)));
        seeded.add(rackOf(targetHost));
      }
      for (const source of view.sources) assert.ok(source.serving <= 1);
    };
    fc.assert(fc.property(cases(), (c) => { simulate(c, watched(policies.rounds, respectsRacks)); }), { numRuns: 300 });
  });
});

describe("auto: for any datacenter and targets", function () {
  this.timeout(60_000);
  it("is never slower than any policy", () => {
    fc.assert(fc.property(cases(), (c) => {
      const choice = choosePolicy(c.topology, c.targets, c.made, c.sources, { maxConcurrentClones: c.maxConcurrentClones, excluded: c.excluded, relay: true });
      for (const name of policyNames) assert.ok(choice.run.makespanSeconds <= choice.runs[name]!.makespanSeconds * (1 + 1e-9));
    }), { numRuns: 150 });
  });
});
