/** Room in pools: what is believed of libvirt's figures and refusals, and how a copy that finds none goes on. */
import assert from "node:assert/strict";
import { VirtualClock } from "../../../provider/hypervisors/simulated/clock";
import fc from "fast-check";
import { NoSpaceError, SourceLostError, type CallContext } from "../../../provider/hypervisors/hypervisor";
import { Copy } from "../../../provider/hypervisors/libvirt/copy/copies";
import type { MirrorJob } from "../../../provider/hypervisors/libvirt/helper/mirror";
import { Moved } from "../../../provider/hypervisors/libvirt/copy/moved";
import { isPoolFull, saysNoSpace } from "../../../provider/hypervisors/libvirt/volumes/noSpace";
import { poolRoom, refreshPool } from "../../../provider/hypervisors/libvirt/volumes/poolRoom";
import type { LibvirtClient } from "../../../provider/hypervisors/libvirt/rpc/client";
import type { Pool } from "../../../provider/hypervisors/libvirt/rpc/handles";
import { decodeError, LibvirtError } from "../../../provider/hypervisors/libvirt/rpc/errors";
import { XdrReader, XdrWriter } from "../../../provider/hypervisors/libvirt/rpc/xdr";
import { WantedRoom } from "../../../provider/hypervisors/libvirt/copy/wantedRoom";

const POOL: Pool = { name: "default", uuid: Buffer.alloc(16) };
/** What libvirt says of a busy pool, in the language of a daemon elsewhere; its code is that of any internal error. */
const BUSY = new LibvirtError(1, 18, "池 'default' 正在运行异步任务");
const MIB = 1 << 20;

interface Figures { capacity: number; allocation: number; available: number }
function client(options: { busyTimes?: number; isActive?: boolean; figures?: Figures; allocates?: LibvirtError } = {}): LibvirtClient & { refreshed: number } {
  const { busyTimes = 0, isActive = true, figures = { capacity: 1000 * MIB, allocation: 400 * MIB, available: 600 * MIB }, allocates } = options;
  const fake = {
    clock: new VirtualClock(),
    refreshed: 0,
    refreshPool: () => (++fake.refreshed <= busyTimes ? Promise.reject(BUSY) : Promise.resolve()),
    poolIsActive: () => Promise.resolve(isActive),
    poolInfo: () => Promise.resolve(figures),
    createVolume: () => (allocates ? Promise.reject(allocates) : Promise.resolve({})),
    deleteVolume: () => Promise.resolve(),
  };
  return fake as unknown as LibvirtClient & { refreshed: number };
}
const clock = new VirtualClock();

/** A clock that sleeping moves. */
function waiting(): { nowMs(): number; sleep(ms: number): Promise<void> } {
  let ms = 0;
  return { nowMs: () => ms, sleep: (by) => { ms += by; return Promise.resolve(); } };
}

describe("a pool that libvirt refuses to look at", () => {
  it("is waited for while it works", async () => {
    const busy = client({ busyTimes: 5 });
    assert.equal(await refreshPool({ client: busy, pool: POOL }, 10_000, waiting()), true);
    assert.equal(busy.refreshed, 6);
  });

  it("is done without when that takes long, told by no word of the daemon's", async () => {
    const time = waiting();
    assert.equal(await refreshPool({ client: client({ busyTimes: Infinity }), pool: POOL }, 10_000, time), false);
    assert.ok(time.nowMs() > 8_000 && time.nowMs() <= 10_000, `${time.nowMs()} ms`);
    assert.deepEqual(await poolRoom({ client: client({ busyTimes: Infinity }), pool: POOL }, 0, time), { freeBytes: 600 * MIB, capacityBytes: 1000 * MIB });
  });

  it("is an error where it does not work any more", async () => {
    await assert.rejects(refreshPool({ client: client({ busyTimes: Infinity, isActive: false }), pool: POOL }, 10_000, waiting()), LibvirtError);
  });
});

describe("a pool's figures", () => {
  it("are believed only where they can be", async () => {
    const below = 2 ** 64 - 5 * MIB;
    await fc.assert(fc.asyncProperty(fc.record({
      capacity: fc.constantFrom(0, 1000 * MIB), allocation: fc.constantFrom(0, 400 * MIB, 1000 * MIB, 1001 * MIB, below), available: fc.constantFrom(0, 600 * MIB, 1001 * MIB, below),
    }), async (figures) => {
      const room = await poolRoom({ client: client({ figures }), pool: POOL }, 0);
      if ("unknown" in room) assert.ok(figures.capacity === 0 || figures.allocation > figures.capacity || figures.available > figures.capacity);
      else assert.ok(room.freeBytes <= room.capacityBytes);
    }));
  });

  it("of nonsense never make it a full one", async () => {
    assert.equal(await isPoolFull({ client: client({ figures: { capacity: 1000 * MIB, allocation: 2 ** 64 - MIB, available: 0 } }), pool: POOL }, { fleetId: "f", hostUuid: "u" }), false);
  });
});

describe("for want of room", () => {
  const scope = { fleetId: "f", hostUuid: "u" };
  const systemError = (errno: number): LibvirtError => new LibvirtError(38, 18, "设备上没有空间", errno);

  it("is told by the system's number, in whatever language", () => {
    assert.ok(saysNoSpace(systemError(28)) && saysNoSpace(systemError(122)));
    assert.ok(!saysNoSpace(systemError(5)) && !saysNoSpace(new Error("No space left on device")) && !saysNoSpace(BUSY));
  });

  it("is told of a quota by trying, as no figure shows it", async () => {
    assert.equal(await isPoolFull({ client: client(), pool: POOL }, scope), false);
    assert.equal(await isPoolFull({ client: client({ allocates: systemError(122) }), pool: POOL }, scope), true);
    assert.equal(await isPoolFull({ client: client({ allocates: systemError(13) }), pool: POOL }, scope), false);
    assert.equal(await isPoolFull({ client: client({ figures: { capacity: 1000 * MIB, allocation: 999 * MIB, available: MIB } }), pool: POOL }, scope), true);
  });

  it("is read from the wire where the number is there, and does without where it is not", () => {
    const error = (): XdrWriter => new XdrWriter().i32(38).i32(18).optionalString("没有空间").i32(2);
    const whole = error().u32(1).string("w-000").opaque(Buffer.alloc(16)).i32(-1).optionalString("a").optionalString(null).optionalString(null).i32(28).i32(-1).toBuffer();
    assert.equal(decodeError(new XdrReader(whole)).errno, 28);
    const plain = error().u32(0).optionalString("a").optionalString("b").optionalString(null).i32(122).toBuffer();
    assert.equal(decodeError(new XdrReader(plain)).errno, 122);
    fc.assert(fc.property(fc.integer({ min: 0, max: whole.length }), (length) => {
      const cut = whole.subarray(0, Math.max(length, error().toBuffer().length));
      const { code, errno } = decodeError(new XdrReader(cut));
      assert.ok(code === 38 && (errno === undefined || errno === 28));
    }));
    assert.equal(decodeError(new XdrReader(new XdrWriter().i32(1).i32(18).optionalString("x").i32(2).u32(0).u32(0).u32(0).u32(0).i32(28).toBuffer())).errno, undefined);
  });
});

describe("a copy that stands still", () => {
  const job = (status: MirrorJob["io-status"], offset = 5): MirrorJob => ({ device: "x", len: 9, offset, ready: false, "io-status": status });
  function ground(context: CallContext = {}, isFull = false): { room: WantedRoom; copy: Copy; resumed: () => number; resume: () => Promise<void> } {
    const copy = new Copy("target", clock);
    let times = 0;
    const room = new WantedRoom({ copy, clock, targetHost: "target", pool: "default", context, isPoolFull: () => Promise.resolve(isFull) });
    return { room, copy, resumed: () => times, resume: () => { times++; return Promise.resolve(); } };
  }

  it("for room asks, and goes on or ends as it is told", async () => {
    const answers = [true, false];
    const { room, resumed, resume } = ground({ onNoSpace: () => Promise.resolve(answers.shift()!) });
    assert.equal(await room.settled(job("nospace"), undefined, resume), true);
    assert.equal(resumed(), 1);
    await assert.rejects(room.settled(job("nospace"), undefined, resume), NoSpaceError);
  });

  it("because its relay wants room waits with it, and asks for none itself", async () => {
    const relay = new Copy("relay", clock);
    relay.lacksRoom = true;
    const { room, copy, resumed, resume } = ground({ onNoSpace: () => assert.fail("it has room") });
    assert.equal(await room.settled(job("nospace"), relay, resume), true);
    assert.deepEqual([copy.lacksRoom, resumed()], [true, 0], "and so do those that read from it");
    relay.lacksRoom = false;
    assert.equal(await room.settled(job("nospace"), relay, resume), true);
    assert.deepEqual([copy.lacksRoom, resumed()], [false, 1]);
  });

  it("for its source's sake is not asked about the pool, unless it fails twice in one place", async () => {
    const { room, resume } = ground({ onNoSpace: () => Promise.resolve(true) }, true);
    assert.equal(await room.settled(job("failed"), undefined, resume), false);
    assert.equal(await room.settled(job("failed", 6), undefined, resume), false);
    assert.equal(await room.settled(job("failed", 6), undefined, resume), true);
  });

  it("and ends is said to have found its pool full where that is so, whatever it said itself", async () => {
    const lost = new SourceLostError("a1", "target", "cannot connect");
    assert.equal(await ground().room.cause(lost), lost);
    const cause = await ground({}, true).room.cause(lost);
    assert.ok(cause instanceof NoSpaceError && cause.cause === lost);
  });
});

describe("what a copy moved", () => {
  it("is what came while it read from another host, and nothing it read from its own", () => {
    const turn = fc.record({ isRemote: fc.boolean(), bytes: fc.nat(1000), again: fc.nat(50) });
    fc.assert(fc.property(fc.nat(500), fc.array(turn, { minLength: 1, maxLength: 8 }), (found, turns) => {
      const moved = new Moved();
      moved.found(found);
      let there = found;
      for (const { isRemote, bytes, again } of turns) {
        moved.from(isRemote, again);
        moved.there(there += bytes);
        void moved.bytesMoved; // asking changes nothing
      }
      const remote = turns.filter(({ isRemote }) => isRemote);
      assert.equal(moved.bytesMoved, remote.reduce((sum, { bytes, again }) => sum + bytes + again, 0));
    }));
  });

  it("is all of it where it began from its own host and went on from another", () => {
    const moved = new Moved();
    moved.from(false);
    moved.from(true);
    moved.there(561e6);
    assert.equal(moved.bytesMoved, 561e6);
  });
});

describe("a copy that serves", () => {
  it("is waited for no longer than its run goes on, however early that ended", async () => {
    const copy = new Copy("relay", clock);
    const helper = { exportNode: () => Promise.resolve({}), unexport: () => Promise.resolve() };
    await copy.hasHelper(helper as never);
    const reader = await copy.serve("reader");
    await assert.rejects(copy.unread(AbortSignal.abort(new Error("cancelled"))), /cancelled/);
    const abort = new AbortController();
    const [first, second] = [copy.unread(), assert.rejects(copy.unread(abort.signal), /later/)];
    abort.abort(new Error("later"));
    await second;
    await reader.close();
    await first;
    await copy.unread();
  });
});
