/** No door of the provider shows a password, whatever stands behind it and whatever it is made of. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { FleetRefusedError, FleetRunError } from "../../provider/engine/types";
import { inputs, outputs, plan, state, world } from "./fakes";

/** Known by its ends. In free text a URI ends at white space. */
const secret = fc.string({ unit: fc.constantFrom(..."/@:?#%&;=+[]\"'\\1aä"), maxLength: 10 }).map((middle) => `S3kr${middle}tEnd`);
const uris = fc.record({ user: fc.constantFrom("", "root", "svc@corp"), server: fc.constantFrom("a1", "a1:22", "[fd00::1]"), rest: fc.constantFrom("/system", "/system?keyfile=/k@b", "") });
const uriOf = ({ user, server, rest }: { user: string; server: string; rest: string }, password: string): string => `qemu+ssh://${user}:${password}@${server}${rest}`;

function textsOf(error: unknown): string {
  const { message, stack, cause } = error as Error;
  return [message, stack, cause === undefined ? "" : textsOf(cause), JSON.stringify(error, (key, value: unknown) => (key === "properties" ? undefined : value))].join(" ");
}

describe("passwords in URIs", () => {
  const run = (body: (uri: string, shows: (text: string) => void) => Promise<void>): Promise<void> =>
    fc.assert(fc.asyncProperty(uris, secret, (uri, password) => body(uriOf(uri, password), (text) => {
      assert.ok(!text.includes("S3kr") && !text.includes("tEnd"), text);
    })), { numRuns: 60, seed: 25 });

  it("are not in what check answers and says", () => run(async (uri, shows) => {
    const { provider, said } = world({
      observe: async () => { throw new Error(`cannot reach a1 (${uri}): refused`); },
      preview: { plan: plan({ warnings: [`a1 is reached at ${uri}`] }) },
    });
    const { failures } = await provider.check({}, inputs({ hosts: [{ name: "a1", uri, rack: "rack-a" }] }, true));
    shows(JSON.stringify([failures, said]));
    await provider.check({}, inputs({}, true));
    shows(JSON.stringify(said));
  }));

  it("are not in what diff says", () => run(async (uri, shows) => {
    const { provider, said } = world({
      observe: async () => { throw new Error(`cannot reach ${uri}`); },
      preview: { text: `asking ${uri}`, plan: plan({ warnings: [`a1 is reached at ${uri}`] }) },
    });
    await provider.diff("abcdefghij", await outputs(), inputs({ count: 3 }, true));
    shows(JSON.stringify(said));
  }));

  it("are not in what any method throws or says while it runs", () => run(async (uri, shows) => {
    const errors = [
      () => new Error(`no way to ${uri}`, { cause: new Error(`${uri}: refused`) }),
      () => new FleetRefusedError([{ path: "hosts[0]", message: `expected a host, got "${uri}"` }]),
      () => new FleetRunError([`a1 (${uri}): clone: lost`], state()),
    ];
    for (const make of errors) {
      const fail = async (): Promise<never> => { throw make(); };
      const { provider, said } = world({
        apply: async ({ onProgress }) => {
          onProgress!({ phase: "clone", membersDone: 0, membersTotal: 1, bytesDone: 0, bytesTotal: 1, bytesPerSecond: 0, note: `from ${uri}` });
          return fail();
        },
        refresh: fail, remove: fail,
      });
      const methods = [() => provider.create(inputs()), async () => provider.read("abcdefghij", await outputs()), async () => provider.delete("abcdefghij", await outputs())];
      for (const method of methods) await assert.rejects(async () => method(), (error) => (shows(textsOf(error)), true));
      shows(JSON.stringify(said));
    }
  }));
});

describe("a fleet that an earlier version made", () => {
  it("is read and deleted though its URI holds what is refused by now", async () => {
    const { provider, entered } = world();
    const old = { ...(await outputs()), hosts: [{ name: "a1", uri: "qemu+ssh://root@a1/system?sshauth=password&foo=1" }, { name: "b1", uri: "qemu+ssh://root@localhost/system" }] };
    await provider.read("abcdefghij", old);
    await provider.delete("abcdefghij", old);
    assert.deepEqual(entered.map(({ door }) => door), ["refresh", "remove"]);
  });
});
