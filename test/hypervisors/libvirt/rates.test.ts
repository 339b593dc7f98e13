import assert from "node:assert/strict";
import { fairShares, Pacer, type LimitedCopy } from "../../../provider/hypervisors/libvirt/copy/rates";
import { host, spec } from "../../fleet/build";

/** a1, a2 in rack-a, b1, b2 in rack-b, with limits in bits per second. */
const limits = (hosts: Record<string, number>, racks: Record<string, number> = {}) => spec({
  hosts: ["a1", "a2", "b1", "b2"].map((name) => host(name, { transferRateBitsPerSecond: hosts[name] })),
  racks: ["rack-a", "rack-b"].map((name) => ({ name, transferRateBitsPerSecond: racks[name] })),
});
/** What of a limit on the wire is the image's, per second. */
const bytes = (bitsPerSecond: number): number => Math.floor((bitsPerSecond / 8) * 0.95);
const copy = (sourceHost: string, targetHost: string, upstream?: LimitedCopy): LimitedCopy => ({ sourceHost, targetHost, upstream });

describe("limits to copies", () => {
  it("gives a lone copy all of the narrower of both hosts' limits", () => {
    assert.deepEqual(fairShares([copy("a1", "a2")], limits({ a1: 1e9, a2: 4e8 })), [bytes(4e8)]);
  });

  it("shares a host's limit among what it sends, and counts what it receives apart", () => {
    const shares = fairShares([copy("a1", "a2"), copy("a1", "b1"), copy("b1", "a1")], limits({ a1: 1e9 }));
    assert.deepEqual(shares, [bytes(5e8), bytes(5e8), bytes(1e9)]);
  });

  it("leaves to the others what one copy cannot use", () => {
    const shares = fairShares([copy("a1", "a2"), copy("a1", "b1")], limits({ a1: 1e9, a2: 1e8 }));
    assert.deepEqual(shares, [bytes(1e8), bytes(9e8)]);
  });

  it("shares an uplink's limit among the copies that cross it, and those only", () => {
    const shares = fairShares([copy("a1", "b1"), copy("a2", "b2"), copy("a1", "a2")], limits({}, { "rack-a": 1e9 }));
    assert.deepEqual(shares, [bytes(5e8), bytes(5e8), undefined]);
  });

  it("limits no copy within a host, and none where nothing was declared", () => {
    assert.deepEqual(fairShares([copy("a1", "a1")], limits({ a1: 1e6 })), [undefined]);
    assert.deepEqual(fairShares([copy("a1", "b1")], limits({})), [undefined]);
  });

  it("gives a reader of a copy still arriving no more than that copy gets", () => {
    const up = copy("a1", "a2");
    assert.deepEqual(fairShares([up, copy("a2", "b1", up), copy("a2", "b2")], limits({ a1: 1e8, a2: 1e9 })), [bytes(1e8), bytes(1e8), bytes(9e8)]);
  });

  it("shares anew when a copy starts, ends or changes its source", () => {
    const pacer = new Pacer(limits({ a1: 1e9 }));
    const [one, two] = [{}, {}];
    const heard: (string | number)[][] = [];
    const hear = (name: string) => (rate: number): void => void heard.push([name, rate]);
    assert.equal(pacer.feed(one, { sourceHost: "a1", targetHost: "a2" }, hear("one")), bytes(1e9));
    assert.equal(pacer.feed(two, { sourceHost: "a1", targetHost: "b1" }, hear("two")), bytes(5e8));
    assert.equal(pacer.feed(two, { sourceHost: "a2", targetHost: "b1" }, hear("two")), undefined);
    pacer.feed(two, { sourceHost: "a1", targetHost: "b1" }, hear("two"));
    pacer.end(one);
    assert.deepEqual(heard, [["one", bytes(5e8)], ["one", bytes(1e9)], ["one", bytes(5e8)], ["two", bytes(1e9)]]);
  });

  it("sets nothing without limits", () => {
    const pacer = new Pacer(limits({}));
    assert.equal(pacer.feed({}, { sourceHost: "a1", targetHost: "a2" }, () => assert.fail("no limit to apply")), undefined);
  });
});
