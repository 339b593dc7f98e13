/** What a batch of decisions counts: rooms, sources and what is on its way. */
import assert from "node:assert/strict";
import { policies, type BookView, type Source, type Transfer } from "../../provider/scheduler";
import { DecisionDraft } from "../../provider/scheduler/policies/decisionDraft";
import { base, template, topology, view } from "./fixtures";

const t = topology({ racks: [2, 2], maxConcurrent: 2 });
const copy = (source: number, sourceHost: number, targetHost: number, more: Partial<Transfer> = {}): Transfer => (
  { source, sourceHost, targetHost, startedAtSeconds: 0, done: 0, straggling: false, ...more }
);
const arriving = (id: number, host: number): Source => ({ ...base(id, host), arriving: true });
const draftOf = (given: Partial<BookView> = {}) => new DecisionDraft(view(t, { targets: [2, 2, 2, 2], ...given }));
const hosts = [0, 1, 2, 3];

describe("a draft of decisions", () => {
  it("knows what is still to be started, of no excluded host", () => {
    const draft = draftOf({ targets: [3, 2, 1, 1], made: [1, 0, 2, 0], making: [1, 1, 0, 0], excluded: [false, false, false, true] });
    assert.deepEqual([[...draft.remaining], draft.rackHosts], [[1, 1, 0, 0], [[0, 1], [2, 3]]]);
  });

  it("counts a copy at both its hosts, one within a host once, an upload at its target", () => {
    const draft = draftOf({ transfers: [copy(0, 0, 1), copy(0, 0, 0), copy(0, -1, 2)] });
    assert.deepEqual([[...draft.load], [...draft.arriving]], [[2, 1, 1, 0], [1, 1, 1, 0]]);
    assert.deepEqual(hosts.filter((host) => draft.hasRoom(host)), [1, 2, 3]);
  });

  it("counts none that lags as arriving, and passes over its source while another can serve", () => {
    const lags = copy(0, 0, 1, { straggling: true });
    const alone = draftOf({ sources: [{ ...template(), serving: 1 }], transfers: [lags] });
    assert.deepEqual([alone.sound, [...alone.arriving], alone.sourceCount[0], alone.hasIdleSource(0)], [false, [0, 0, 0, 0], 1, true]);
    const other = draftOf({ sources: [{ ...template(), serving: 1 }, base(1, 2)], transfers: [lags] });
    assert.deepEqual([other.sound, [...other.sourceCount]], [true, [0, 0, 1, 0]]);
    const onItsWay = draftOf({ sources: [{ ...template(), serving: 2 }], transfers: [lags, copy(0, 0, 3)] });
    assert.deepEqual([onItsWay.sound, [...onItsWay.sourceCount]], [true, [0, 0, 0, 0]]);
    const excluded = draftOf({ sources: [{ ...template(), serving: 1 }, base(1, 2)], transfers: [lags], excluded: [false, false, true, false] });
    assert.deepEqual([excluded.sound, [...excluded.sourceCount]], [false, [1, 0, 0, 0]]);
  });

  it("takes the source of a host that feeds fewest, the first of equals, and counts what it decides", () => {
    const draft = draftOf({ sources: [{ ...template(), serving: 1 }, base(7, 0), base(5, 0)], freeSlots: 3, targets: [0, 9, 9, 9] });
    assert.deepEqual([draft.slotsLeft, draft.full], [3, false]);
    for (const target of [1, 2]) draft.decide(0, target);
    assert.deepEqual([draft.decisions, draft.hasIdleSource(0), draft.hasRoom(0), draft.slotsLeft], [
      [{ source: 7, targetHost: 1 }, { source: 5, targetHost: 2 }], false, false, 1,
    ]);
    draft.decide(0, 1);
    assert.deepEqual([draft.decisions[2], draft.full, draft.remaining[1], draft.arriving[1], draft.isRemaining(1)], [{ source: 0, targetHost: 1 }, true, 7, 2, false]);
  });

  it("counts a decision within a host once there", () => {
    const draft = draftOf();
    draft.decide(0, 0);
    assert.deepEqual([draft.load[0], draft.hasRoom(0), draft.isSeeded(0), draft.isSeeded(1)], [1, true, true, false]);
  });

  it("takes a host that has a source, or a copy that does not lag on its way, for seeded", () => {
    const draft = draftOf({ sources: [template()], transfers: [copy(0, 0, 1), copy(0, 0, 2, { straggling: true })] });
    assert.deepEqual(hosts.filter((host) => draft.isSeeded(host)), [1]);
    assert.deepEqual(hosts.filter((host) => draftOf({ sources: [template()], transfers: [copy(0, 0, 1)] }).isSeeded(host)), [0, 1]);
  });
});

describe("a draft of decisions where copies serve as they arrive", () => {
  const relaying = (more: Partial<BookView> = {}) => draftOf({ sources: [template()], transfers: [copy(0, 0, 1, { madeId: 4 })], arriving: [arriving(4, 1)], ...more });

  it("knows who can feed: whole or arriving, of no host that is excluded or whose copy lags", () => {
    assert.deepEqual(hosts.filter((host) => relaying().canFeed(host)), [0, 1]);
    assert.deepEqual(hosts.filter((host) => relaying().isRelaying(host)), [1]);
    assert.deepEqual(hosts.filter((host) => relaying({ excluded: [false, true, false, false] }).canFeed(host)), [0]);
    const lagging = relaying({ sources: [template(), base(9, 2)], transfers: [copy(0, 0, 1, { madeId: 4, straggling: true })] });
    assert.deepEqual(hosts.filter((host) => lagging.canFeed(host)), [2]);
    const feedsLaggard = relaying({ transfers: [copy(0, 0, 1, { madeId: 4 }), copy(4, 1, 3, { straggling: true })] });
    assert.deepEqual(hosts.filter((host) => feedsLaggard.canFeed(host)), [0]);
  });

  it("reads from a whole source first, else from what arrives, the eldest, or from what it has just decided", () => {
    const draft = relaying({ arriving: [arriving(6, 1), arriving(4, 1), arriving(5, 1)], freeSlots: 9 });
    draft.decideRelay(1, 2, 70);
    draft.decideRelay(2, 3);
    draft.decideRelay(2, 2);
    draft.decideRelay(0, 0);
    assert.deepEqual(draft.decisions, [
      { source: 4, targetHost: 2, bytesPerSecond: 70 }, { source: { decision: 0 }, targetHost: 3 }, { source: { decision: 0 }, targetHost: 2 }, { source: 0, targetHost: 0 },
    ]);
    assert.deepEqual(hosts.filter((host) => draft.canFeed(host)), [0, 1, 2, 3]);
    assert.deepEqual(hosts.filter((host) => draft.isRelaying(host)), [1, 2, 3]);
  });
});

describe("singleSource: decisions", () => {
  const decided = (given: Partial<BookView> & Pick<BookView, "targets">, shape = t) => policies.singleSource.next(view(shape, given)).map(({ source, targetHost }) => `${source as number}>${targetHost}`);

  it("goes to hosts in their order, within the source's and each host's room", () => {
    assert.deepEqual(decided({ targets: [1, 2, 1, 0] }), ["0>0", "0>1"]);
    assert.deepEqual(decided({ targets: [0, 3, 1, 0] }, topology({ racks: [4], maxConcurrent: 8 })), ["0>1", "0>1", "0>1", "0>2"]);
    const narrow = topology({ racks: [4], maxConcurrent: 8 });
    narrow.hosts[1]!.maxConcurrent = 2;
    assert.deepEqual(decided({ targets: [0, 3, 1, 0], transfers: [copy(0, 0, 1)], making: [0, 1, 0, 0] }, narrow), ["0>1", "0>2"]);
    assert.deepEqual(decided({ targets: [9, 9, 9, 9], transfers: [copy(0, 0, 0), copy(0, 0, 1)] }), []);
    assert.deepEqual(decided({ targets: [9, 9, 9, 9], transfers: [copy(0, 0, 0)] }), ["0>0"]);
  });

  it("makes no more than what is wanted, on no excluded host, and no more than may start", () => {
    assert.deepEqual(decided({ targets: [0, 2, 2, 1], made: [0, 1, 0, 0], making: [0, 1, 1, 0], excluded: [false, false, true, false] }), ["0>3"]);
    assert.deepEqual(decided({ targets: [1, 1, 1, 1], freeSlots: 1 }), ["0>0"]);
  });

  it("makes one at a time in unit time", () => {
    const unit = topology({ racks: [4], time: "unit" });
    assert.deepEqual(decided({ targets: [0, 2, 0, 0] }, unit), ["0>1"]);
    assert.deepEqual(decided({ targets: [0, 2, 0, 0], sources: [{ ...template(), serving: 1 }] }, unit), []);
  });

  it("takes the first template that is in reach, else the eldest source, else none", () => {
    const wants = { targets: [0, 0, 0, 1] };
    assert.deepEqual(decided({ ...wants, sources: [base(5, 1), { ...template(2), id: 9 }, template()] }), ["9>3"]);
    assert.deepEqual(decided({ ...wants, sources: [template(), base(5, 1), base(3, 2), base(4, 1)], excluded: [true, false, false, false] }), ["3>3"]);
    assert.deepEqual(decided({ ...wants, sources: [] }), []);
  });
});
