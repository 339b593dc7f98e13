/** One host's connection, over a daemon that answers what it is told to. */
import assert from "node:assert/strict";
import { ManualClock } from "../../manualClock";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { HostSpec } from "../../../provider/fleet/model";
import { HostUnreachableError, InUseError, UnansweredError } from "../../../provider/hypervisors/hypervisor";
import { GuardError } from "../../../provider/hypervisors/libvirt/guard/guardError";
import { HostSession } from "../../../provider/hypervisors/libvirt/connection/session";
import { HEADER_BYTES, MessageStatus, MessageType, Proc, Program } from "../../../provider/hypervisors/libvirt/rpc/protocol";
import { XdrWriter } from "../../../provider/hypervisors/libvirt/rpc/xdr";

const ANSWERS: Record<number, () => XdrWriter> = {
  [Proc.authList]: () => new XdrWriter().u32(0),
  [Proc.connectOpen]: () => new XdrWriter(),
  [Proc.connectSupportsFeature]: () => new XdrWriter().i32(1),
  [Proc.connectGetLibVersion]: () => new XdrWriter().u64(9_000_000),
  [Proc.connectGetHostname]: () => new XdrWriter().string("a1"),
  [Proc.domainGetState]: () => new XdrWriter().i32(1).i32(0),
};
const TIMEOUTS = { callTimeoutMs: 60, connectTimeoutMs: 500 };
const guest = { name: "w-000", uuid: Buffer.alloc(16), id: 1 };

describe("a host's session", () => {
  let dir: string;
  let server: Server;
  let session: HostSession;
  let silent: Set<number>;
  let received: number[];
  let open: Set<Socket>;
  let clock: ManualClock;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "vmfleet-session-"));
    silent = new Set();
    received = [];
    open = new Set();
    clock = new ManualClock();
    server = createServer((socket) => {
      open.add(socket);
      socket.on("close", () => open.delete(socket)).on("error", () => undefined);
      let rest = Buffer.alloc(0);
      socket.on("data", (chunk: Buffer) => {
        rest = Buffer.concat([rest, chunk]);
        for (; rest.length >= HEADER_BYTES && rest.length >= rest.readUInt32BE(0); rest = rest.subarray(rest.readUInt32BE(0))) {
          const [program, proc, serial] = [rest.readUInt32BE(4), rest.readInt32BE(12), rest.readUInt32BE(20)];
          if (program !== Program.remote) continue;
          received.push(proc);
          if (silent.has(proc)) {
            const givenMs = proc === Proc.connectGetLibVersion ? TIMEOUTS.connectTimeoutMs : TIMEOUTS.callTimeoutMs;
            setImmediate(() => clock.advance(givenMs)); // the time it is waited for
            continue;
          }
          const body = ANSWERS[proc]!().toBuffer();
          socket.write(Buffer.concat([
            new XdrWriter().u32(HEADER_BYTES + body.length).u32(program).u32(1).i32(proc).u32(MessageType.reply).u32(serial).u32(MessageStatus.ok).toBuffer(), body,
          ]));
        }
      });
    });
    const socket = join(dir, "sock");
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    session = new HostSession(
      { name: "a1", own: { hypervisor: "libvirt", uri: `qemu+unix:///system?socket=${socket}`, pool: "default" } } as HostSpec,
      { ...TIMEOUTS, clock, allowUnauthenticatedTcp: false },
    );
  });
  afterEach(async () => {
    await session.close();
    for (const socket of open) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
    await rm(dir, { recursive: true });
  });

  const state = () => session.run("look", (client) => client.domainState(guest));
  const hostname = () => session.run("ask", (client) => client.hostname());

  it("lets a call that is not answered fail alone, while the daemon answers others", async () => {
    silent.add(Proc.domainGetState);
    await assert.rejects(state(), (error) => error instanceof UnansweredError && /a1: look: no answer to domainGetState .* though the host answers/.test(error.message));
    assert.equal(await hostname(), "a1");
    assert.equal(open.size, 1, "over the connection it had");
  });

  it("gives the host up where the daemon answers nothing any more", async () => {
    await hostname();
    for (const proc of [Proc.domainGetState, Proc.connectGetLibVersion]) silent.add(proc);
    await assert.rejects(state(), HostUnreachableError);
  });

  it("gives the host up where a call about all of it is not answered, its connection staying for what goes on", async () => {
    silent.add(Proc.connectGetHostname);
    await assert.rejects(hostname(), HostUnreachableError);
    assert.equal(await state(), 1);
    assert.equal(open.size, 1);
  });

  it("takes another connection when calls that were given up fill the first, which stays", async () => {
    silent.add(Proc.domainGetState);
    for (const result of await Promise.allSettled([state(), state(), state()])) assert.equal(result.status, "rejected");
    assert.equal(await hostname(), "a1");
    assert.equal(open.size, 2, "the lock and the helpers live with the first");
  });

  it("sends nothing more to a host whose lock is not surely held, by any of its connections, for good", async () => {
    const client = await session.client();
    let held = true;
    session.holdLock({ client, check: () => { if (!held) throw new Error("silent for too long"); } });
    assert.equal(await hostname(), "a1");
    const extra = await session.openExtra();
    held = false;
    const before = received.length;
    for (const call of [hostname(), client.hostname(), extra.hostname(), session.openExtra()]) {
      await assert.rejects(call, (error) => error instanceof HostUnreachableError && /silent for too long/.test(error.message));
    }
    assert.equal(received.length, before);
    session.poison(new Error("it is another's"));
    session.holdLock(undefined);
    await assert.rejects(hostname(), /it is another's/);
    assert.equal(await session.onceMore((last) => last.hostname()), "a1", "but for what outlived the connection");
  });

  it("opens no other connection once it was closed, for whoever still asks behind the run", async () => {
    await session.openExtra();
    await session.close();
    await assert.rejects(session.openExtra(), (error) => error instanceof HostUnreachableError && /the run has ended/.test(error.message));
  });

  it("gives its lock back by one call, and lets nothing else through from then on, until the run has left", async () => {
    const client = await session.client();
    session.holdLock({ client, check: () => undefined });
    const extra = await session.openExtra();
    silent.add(Proc.connectGetHostname); // the unlock is under way
    const before = received.length;
    const unlocked = session.giveBack((last) => last.hostname().then(() => undefined)).catch(() => undefined);
    for (const call of [hostname(), client.domainState(guest), extra.domainState(guest), session.openExtra()]) {
      await assert.rejects(call, (error) => error instanceof HostUnreachableError && /has given the fleet's lock back/.test(error.message));
    }
    silent.delete(Proc.connectGetHostname);
    await unlocked;
    const sent = received.slice(before);
    assert.equal(sent[0], Proc.connectGetHostname);
    assert.ok(!sent.includes(Proc.domainGetState));
    session.leave();
    for (const call of [client.domainState(guest), extra.domainState(guest)]) await assert.rejects(call);
    assert.equal(await hostname(), "a1", "who comes anew is let in");
  });

  it("gives its lock back by another connection where calls that were given up fill its own", async () => {
    silent.add(Proc.domainGetState);
    const client = await session.client();
    await Promise.allSettled([client.domainState(guest), client.domainState(guest), client.domainState(guest)]);
    session.holdLock({ client, check: () => undefined });
    const before = received.filter((proc) => proc === Proc.connectGetHostname).length;
    await session.giveBack((last) => last.hostname().then(() => undefined));
    assert.equal(received.filter((proc) => proc === Proc.connectGetHostname).length, before + 1);
  });

  it("says of what somebody uses that it is in use, with host, step and the guard's own words", async () => {
    const refused = session.run("remove member", () => Promise.reject(new GuardError("base is in use: domain lee. Take it from there first")));
    await assert.rejects(refused, (error) => error instanceof InUseError && error.message === "a1: remove member: base is in use: domain lee. Take it from there first");
  });
});
