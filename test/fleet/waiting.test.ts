import assert from "node:assert/strict";
import fc from "fast-check";
import { cleanNews, describePlan, parseFleetSpec, parseState, recordState, NO_RUN, memberKeyOn, type FleetInputs } from "../../provider/fleet";
import type { GuestNews, Observation, ObservedMember } from "../../provider/fleet/model";
import { FLEET, host, INCARNATION, inputs, made, member, observation, plan, reachable, spec, template } from "./build";

const problemsOf = (changes: Record<string, unknown>) => (parseFleetSpec({ ...inputs(), ...changes }).problems ?? []).map(({ path, message }) => `${path}: ${message}`);

describe("what is declared of waiting", () => {
  it("is nothing by default, five minutes where something is, and no limit", () => {
    const one = spec();
    assert.deepEqual([one.waitFor, one.timeouts.readyMs, one.limits.maxConfiguring, one.vm.agentChannel], [{ kind: "started" }, 300_000, 1_000_000, undefined]);
    assert.deepEqual(spec({ waitFor: { tcpPort: 22 } }).waitFor, { kind: "tcpPort", port: 22 });
    assert.deepEqual([spec({ waitFor: "address", waitForTimeoutSeconds: 1.5 }).timeouts.readyMs, spec({ waitFor: "guestAgent", maxConfiguring: 3 }).limits.maxConfiguring], [1500, 3]);
  });

  it("is refused by path where it is none, with what it may be", () => {
    const forms = '"started", "guestAgent", "address" or { tcpPort: 22 }';
    assert.deepEqual(problemsOf({ waitFor: "agent" }), [`waitFor: expected ${forms}, got "agent"`]);
    assert.deepEqual(problemsOf({ waitFor: 22 }), [`waitFor: expected ${forms}, got 22`]);
    assert.deepEqual(problemsOf({ waitFor: { tcpPort: 0 } }), ["waitFor.tcpPort: expected an integer from 1 to 65535, got 0"]);
    assert.match(problemsOf({ waitFor: { port: 22 } }).join(), /waitFor\.port: expected one of the properties tcpPort, got "port"|waitFor\.tcpPort: expected/);
    assert.deepEqual(problemsOf({ waitFor: "address", waitForTimeoutSeconds: 0 }), ["waitForTimeoutSeconds: expected a number of seconds from 1 to 86400, got 0"]);
    assert.deepEqual(problemsOf({ waitFor: "address", maxConfiguring: 0 }), ["maxConfiguring: expected an integer from 1 to 1000000, got 0"]);
  });

  it("is refused where there are limits of a waiting that nobody asked for", () => {
    const message = (key: string) => `${key}: expected waitFor "guestAgent", "address" or { tcpPort } beside ${key}, got "started", with which nobody is waited for; add it, or remove ${key}`;
    assert.deepEqual(problemsOf({ maxConfiguring: 3, waitForTimeoutSeconds: 3 }), [message("maxConfiguring"), message("waitForTimeoutSeconds")]);
    assert.deepEqual(problemsOf({ maxConfiguring: 3, waitFor: "started" }), [message("maxConfiguring")]);
    assert.deepEqual(problemsOf({ maxConfiguring: 3, waitFor: "guestAgent" }), []);
  });

  it("gives machines of documented defaults a channel to the agent, and those of a template machine none", () => {
    assert.equal(spec({ waitFor: "guestAgent" }).vm.agentChannel, true);
    assert.equal(spec({ waitFor: "guestAgent", template: { host: "a1", domain: "golden" } }).vm.agentChannel, undefined);
    assert.equal(spec({ waitFor: "guestAgent", template: { host: "a1", domain: "golden" }, vm: { hardware: "defaults" } }).vm.agentChannel, true);
  });
});

describe("a plan of a fleet whose guests are waited for", () => {
  const waited: Partial<FleetInputs> = { waitFor: "guestAgent", count: 2, hosts: [host("a1")] };
  const holding = (...members: ObservedMember[]): Observation => observation([reachable("a1", members)]);

  it("waits for those that an earlier run left, says so in a word, and leaves the others alone", () => {
    const one = plan(spec(waited), holding(member(0), member(1, { configuring: true })));
    assert.deepEqual(one.awaiting, [{ slot: 1, name: "workers-001", host: "a1", reason: "its guest was not ready when an earlier run ended" }]);
    assert.deepEqual(one.keep.map(({ slot }) => slot), [0, 1]);
    assert.equal(describePlan(plan(spec(waited), holding(member(0), member(1, { configuring: true })), made(waited).state)), "wait for 1 VM");
  });

  it("waits for none where nobody asked for it, or members do not run", () => {
    const left = holding(member(0, { configuring: true }), member(1, { configuring: true, power: "stopped" }));
    assert.deepEqual(plan(spec({ ...waited, waitFor: "started" }), left).awaiting, []);
    assert.deepEqual(plan(spec({ ...waited, powerOn: false }), left).awaiting, []);
  });

  it("waits for no agent that nobody can ask, and says which", () => {
    const mute = { configuring: true, agentChannel: false };
    const one = plan(spec(waited), holding(member(0, mute), member(1, { agentChannel: false, power: "stopped" })));
    assert.deepEqual(one.awaiting, []);
    assert.deepEqual(one.warnings.filter((text) => text.startsWith("waitFor")), ["waitFor: workers-000, workers-001 have no channel to a guest's agent and are not waited for; members made anew get one"]);
    assert.equal(plan(spec({ ...waited, waitFor: "address" }), holding(member(0, mute), member(1))).awaiting.length, 1);
    assert.deepEqual(plan(spec(waited), holding(member(0, { agentChannel: false }), member(1))).warnings, [], "one that is there and runs is nobody's trouble");
  });

  it("is refused where new members would have no channel, and not where nobody needs it", () => {
    const of = (agentChannel: boolean, changes: Partial<FleetInputs> = {}) => plan(spec({ ...waited, template: { host: "a1", domain: "golden" }, ...changes }), observation(
      [reachable("a1")], { template: { ...template, hardware: { cards: 1, memory: 1024, agentChannel, words: "" } } },
    )).problems.map(({ path }) => path);
    assert.deepEqual(of(false), ["waitFor"]);
    assert.deepEqual([of(true), of(false, { waitFor: "address" }), of(false, { powerOn: false }), of(false, { count: 0 })], [[], [], [], []]);
  });

  it("is refused where its channel leaves no slot for the last disk", () => {
    const disks = Array.from({ length: 54 }, (_, index) => ({ label: `d${index}`, sizeBytes: 1_048_576 }));
    const of = (changes: Partial<FleetInputs>) => plan(spec({ ...waited, vm: { networks: [{ network: "default" }], disks }, ...changes }), holding()).problems.map(({ path }) => path);
    assert.deepEqual([of({ waitFor: "started" }), of({}), of({ guest: "none" })], [[], ["vm.disks"], []]);
  });
});

describe("what is recorded of guests", () => {
  const { declared, found, state } = made({ count: 1, hosts: [host("a1")] });
  const record = (news?: GuestNews, previous = state, changes: Partial<ObservedMember> = {}, one = declared) => {
    const seen = { ...found, hosts: [reachable("a1", [member(0, changes)])] };
    const guests = new Map(news ? [[memberKeyOn("a1", { slot: 0, generation: 0 }), news]] : []);
    return recordState({ spec: one, fleetId: FLEET, incarnation: INCARNATION, observation: seen, previous, lastRun: NO_RUN, guests });
  };
  const ofFirst = (of: ReturnType<typeof record>) => [of.members[0]!.ipAddresses, of.members[0]!.hostname];

  it("is what was heard last, and is read back", () => {
    const heard = record({ ipAddresses: ["10.0.0.9", "2a00:db8::9"], hostname: "nine" });
    assert.deepEqual(ofFirst(heard), [["10.0.0.9", "2a00:db8::9"], "nine"]);
    assert.deepEqual(parseState(JSON.parse(JSON.stringify(heard))), heard);
    assert.deepEqual(ofFirst(record(undefined, heard)), ofFirst(heard));
    assert.deepEqual(ofFirst(record({ ipAddresses: [] }, heard)), ofFirst(heard));
    assert.deepEqual(ofFirst(record(undefined, heard, { power: "stopped" })), [[], "nine"]);
    assert.deepEqual(ofFirst(record(undefined, heard, { generation: 1 })), [[], undefined], "another member's");
  });

  it("is the address that a guest was given, without a word of its own", () => {
    const at = (from: string) => spec({ count: 1, hosts: [host("a1")], guest: { addresses: [{ from, to: "10.1.255.250", prefix: 16 }] } });
    const given = record(undefined, state, {}, at("10.1.0.10"));
    assert.deepEqual(ofFirst(given), [["10.1.0.10"], undefined]);
    const heard = record({ ipAddresses: ["10.1.0.10", "2a00:db8::1"] }, given, {}, at("10.1.0.10"));
    assert.deepEqual(ofFirst(record(undefined, heard, {}, at("10.1.0.10"))), [["10.1.0.10", "2a00:db8::1"], undefined], "what else it has stays");
    assert.deepEqual(ofFirst(record(undefined, heard, {}, at("10.1.0.20"))), [["10.1.0.20"], undefined]);
    assert.deepEqual(ofFirst(record({ ipAddresses: ["10.1.0.10"] }, heard, {}, at("10.1.0.20"))), [["10.1.0.10"], undefined], "it has not taken the new one yet");
  });
});

describe("what a guest says of itself", () => {
  it("counts as far as others can reach it by that, IPv4 first, each address once", () => {
    assert.deepEqual(cleanNews({ addresses: ["127.0.0.1", "::1", "fe80::1", "169.254.1.1", "2A00:DB8:0::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::", "240.0.0.1", "::ffff:10.0.0.1", "10.0.0.1", "10.0.0.1", "0.0.0.0", "224.0.0.1"], hostname: "a" }), { ipAddresses: ["10.0.0.1", "2a00:db8::1"], hostname: "a" });
  });

  it("is an address or none, a name or none, of no more than there is room for, whatever it says", () => {
    const strange = fc.oneof(fc.string(), fc.anything(), fc.ipV4(), fc.ipV6(), fc.constantFrom("10.1", "0x7f000001", "010.0.0.1", "10.0.0.1\n", "::ffff:10.0.0.1", "fe80::1%eth0", "1.2.3.4/24", "😀"));
    fc.assert(fc.property(fc.array(strange, { maxLength: 40 }), strange, (addresses, hostname) => {
      const news = cleanNews({ addresses, hostname });
      assert.ok(news.ipAddresses.length <= 16 && news.ipAddresses.every((one) => /^[0-9a-f.:]+$/.test(one)));
      assert.ok(news.hostname === undefined || (/^[A-Za-z0-9._-]+$/.test(news.hostname) && news.hostname.length <= 253));
      assert.deepEqual(cleanNews({ addresses: news.ipAddresses, hostname: news.hostname }), news);
    }));
    const many = Array.from({ length: 9000 }, (_, i) => `2a00::${i.toString(16)}`);
    assert.equal(cleanNews({ addresses: [...many.map(() => "fe80::1"), "10.0.0.1"] }).ipAddresses.length, 0, "so many are looked at, and no more");
    assert.deepEqual([cleanNews({ addresses: [], hostname: "-rf" }).hostname, cleanNews({ addresses: [], hostname: "..." }).hostname], ["rf", undefined]);
    assert.deepEqual(cleanNews({ addresses: [], hostname: `\u001b[31m<b>x</b>${"y".repeat(9000)}` }).hostname!.slice(0, 8), "31mbxbyy");
  });
});
