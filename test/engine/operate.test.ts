/** One operation on one host: how often it is tried, and when a host is given up. */
import assert from "node:assert/strict";
import type { Room } from "../../provider/engine/distribution/room";
import { operate, type RunContext, signalFor } from "../../provider/engine/run/context";
import { Failures } from "../../provider/engine/run/failures";
import { HostBook } from "../../provider/engine/run/hosts";
import { contextOf } from "../../provider/engine/run/session";
import {
  ForeignNameError, HostUnreachableError, HypervisorError, InUseError, NoSpaceError, TemplateChangedError, UnansweredError,
} from "../../provider/hypervisors/hypervisor";
import { inputs, request, specOf, world } from "./world";

function setUp(retries = 3) {
  const spec = specOf(inputs(2, 1, { count: 1, retries }));
  const where = world(spec);
  const cancel = new AbortController();
  const context: RunContext = contextOf(request(spec, where), cancel.signal);
  const times: number[] = [];
  return {
    context, cancel, times, clock: where.clock,
    /** Fails with the next error each time, and succeeds when there is none left. */
    run: (errors: readonly unknown[], host = "a1") => operate(context, host, () => {
      times.push(where.clock.nowMs());
      const error = errors[times.length - 1];
      return error === undefined ? Promise.resolve("done") : Promise.reject(error as Error);
    }),
  };
}

const busy = new HypervisorError("a1", "define", "busy");
const gone = new HostUnreachableError("a1", "define", "gone");

describe("an operation that fails", () => {
  it("is tried again after half a second, then twice as long each time, eight at most", async () => {
    const { run, times } = setUp(7);
    assert.equal(await run(Array.from({ length: 7 }, () => busy)), "done");
    assert.deepEqual(times, [0, 500, 1500, 3500, 7500, 15_500, 23_500, 31_500]);
  });

  it("as often as it may has failed", async () => {
    const { run, times } = setUp(2);
    await assert.rejects(run([busy, busy, busy]), busy);
    assert.equal(times.length, 3);
  });

  for (const error of [
    new ForeignNameError("a1", "define", "taken"), new InUseError("a1", "define", "used"), new NoSpaceError("a1", "define", "full"),
    new TemplateChangedError("a1", "define", "changed"), gone, new UnansweredError("a1", "define", "no answer"),
  ]) {
    it(`with what trying again cannot mend is not tried again: ${error.name}`, async () => {
      const { run, times } = setUp();
      await assert.rejects(run([error]), error);
      assert.equal(times.length, 1);
    });
  }

  it("is not tried again in a cancelled run, whose last error tells nothing of the host", async () => {
    const { cancel, context } = setUp();
    let calls = 0;
    await assert.rejects(operate(context, "a1", () => { calls++; cancel.abort(new Error("ctrl-c")); return Promise.reject(gone); }), gone);
    assert.deepEqual([calls, context.hostBook.failure("a1")], [1, undefined]);
    await assert.rejects(operate(context, "a1", () => assert.fail("must not run")), /ctrl-c/);
  });

  it("is over when the run is cancelled while it waits to be tried again", async () => {
    const { cancel, clock, run, times } = setUp();
    clock.at(100, () => cancel.abort(new Error("ctrl-c")));
    await assert.rejects(run([busy, busy]), /ctrl-c/);
    assert.equal(times.length, 1);
  });
});

describe("an operation that finds no room", () => {
  const full = new NoSpaceError("a1", "snapshot", "full");
  const withRoom = (ends: number, retries?: number) => {
    const all = setUp(retries);
    const asked: string[] = [];
    const room: Pick<Room, "nextEnd"> = {
      nextEnd: (host) => (asked.push(host) > ends ? undefined : all.clock.sleep(70)),
    };
    all.context.room = room as Room;
    return { ...all, asked };
  };

  it("is tried again as soon as a copy in its store has ended", async () => {
    const { run, times, asked } = withRoom(9);
    await run([full, full]);
    assert.deepEqual([times, asked], [[0, 70, 140], ["a1", "a1"]]);
  });

  it("fails where no copy can give any back", async () => {
    const { run, times } = withRoom(1);
    await assert.rejects(run([full, full]), full);
    assert.deepEqual(times, [0, 70]);
  });

  it("waits for no more copies than it may be tried again", async () => {
    const { run, times } = withRoom(9, 2);
    await assert.rejects(run([full, full, full]), full);
    assert.deepEqual(times, [0, 70, 140]);
  });

  it("is no other failure: those wait their time, whatever copies do", async () => {
    const { run, times, asked } = withRoom(9);
    await run([busy]);
    assert.deepEqual([times, asked], [[0, 500], []]);
  });
});

describe("a host that does not answer", () => {
  it("is given up for the rest of the run: what is under way there ends, and nothing begins", async () => {
    const { context, run } = setUp();
    const signal = signalFor(context, "a1");
    await assert.rejects(run([gone]), gone);
    assert.deepEqual([signal.aborted, signal.reason, context.hostBook.failure("a1")], [true, gone, gone]);
    await assert.rejects(operate(context, "a1", () => assert.fail("must not run")), gone);
    assert.equal(await operate(context, "a2", () => Promise.resolve("well")), "well");
    assert.equal(signalFor(context, "a2").aborted, false);
  });

  it("is not known to have been worked on where nothing was called", async () => {
    const { context } = setUp();
    context.hostBook.giveUp(gone);
    await assert.rejects(operate(context, "a1", () => assert.fail("must not run")), gone);
    await operate(context, "a2", () => Promise.resolve());
    assert.deepEqual([...context.ledger.worked], ["a2"]);
  });

  it("has one signal, however many ask", () => {
    const { context, cancel } = setUp();
    const signal = signalFor(context, "a1");
    assert.equal(signalFor(context, "a1"), signal);
    cancel.abort(new Error("ctrl-c"));
    assert.equal(signal.aborted, true);
  });
});

describe("the book of hosts", () => {
  it("knows why a host was given up first, and tells it once", () => {
    const book = new HostBook();
    const told: string[] = [];
    const asked = book.signal("a1");
    book.onGivenUp((name) => told.push(name));
    assert.doesNotThrow(() => book.check("a1"));
    book.giveUp(gone);
    book.giveUp(new HostUnreachableError("a1", "start", "still gone"));
    book.giveUp(new HostUnreachableError("a2", "start", "gone, too"));
    assert.deepEqual([told, book.failure("a1"), asked.reason], [["a1", "a2"], gone, gone]);
    assert.throws(() => book.check("a1"), gone);
    assert.deepEqual([book.signal("a1"), book.signal("a2").aborted, book.signal("a3").aborted], [asked, true, false]);
  });
});

describe("a failure in words", () => {
  it("names nobody where it is the host's own, another host where it is that one's, and tells what is no error", () => {
    const failures = new Failures();
    failures.add({ host: "a1", step: "connect", error: "no", next: "tries it again" });
    failures.add({ host: "a2", name: "w-001", step: "clone", error: gone, next: "clones it again" });
    assert.deepEqual(failures.reasons(), [
      "a1: connect: no; the next `pulumi up` tries it again",
      "a2: w-001: clone: a1: gone; the next `pulumi up` clones it again",
    ]);
  });
});
