import assert from "node:assert/strict";
import { VirtualClock } from "../../../provider/hypervisors/simulated/clock";
import { Copy } from "../../../provider/hypervisors/libvirt/copy/copies";

const clock = new VirtualClock();

describe("hops of a relay that connect", () => {
  const line = (): [Copy, Copy, Copy, Copy] => [new Copy("a", clock), new Copy("b", clock), new Copy("c", clock), new Copy("d", clock)];

  it("do so in turn where they are neighbours, at once where they are not", async () => {
    const [a, b, c, d] = line();
    const now = new Set<string>();
    const together: string[] = [];
    const connect = (copy: Copy, upstream?: Copy) => copy.connecting(upstream, async () => {
      now.add(copy.host);
      together.push([...now].join(""));
      await clock.sleep(5);
      now.delete(copy.host);
    });
    await Promise.all([connect(a), connect(b, a), connect(c, b), connect(d, c)]);
    assert.equal(together.length, 4);
    assert.ok(together.every((some) => !/ab|bc|cd|ba|cb|dc/.test(some)), together.join());
    assert.ok(together.some((some) => some.length === 2), together.join());
  });

  it("go on after one that failed, and do not wait for a dead one for long", async () => {
    const [a, b, c] = line();
    await assert.rejects(b.connecting(a, () => Promise.reject(new Error("refused"))), /refused/);
    let end = (): void => undefined;
    const dead = b.connecting(a, () => new Promise<void>((resolve) => { end = resolve; }));
    const began = clock.nowMs();
    await c.connecting(b, () => Promise.resolve());
    assert.ok(clock.nowMs() - began > 900);
    end();
    await dead;
  });

  it("wait no longer than they may", async () => {
    const [a, b] = line();
    let end = (): void => undefined;
    const slow = a.connecting(undefined, () => new Promise<void>((resolve) => { end = resolve; }));
    const abort = new AbortController();
    const waiting = b.connecting(a, () => assert.fail("it was to stop"), abort.signal);
    abort.abort(new Error("stop"));
    await assert.rejects(waiting, /stop/);
    end();
    await slow;
  });
});

describe("what waits for a relay to be fed", () => {
  it("is told when it is, whatever the relay lost meanwhile", async () => {
    const copy = new Copy("relay", clock);
    copy.isFed();
    copy.lostSource();
    const fed = copy.whenFed();
    copy.lostHelper();
    copy.lostSource();
    copy.isFed();
    await fed;
  });
});
