import assert from "node:assert/strict";
import { createServer, type AddressInfo, type Server } from "node:net";
import fc from "fast-check";
import { realClock } from "../../../provider/async/clock";
import { memberMacs } from "../../../provider/fleet/members/addresses";
import type { GuestOrder, ReconfigureOrder } from "../../../provider/hypervisors/hypervisor";
import type { Place } from "../../../provider/hypervisors/libvirt/connection/place";
import { addressesOfCards, MAX_ANSWER_CHARACTERS, readHostname, readInterfaces } from "../../../provider/hypervisors/libvirt/guests/agent";
import { LibvirtGuests } from "../../../provider/hypervisors/libvirt/guests/guests";
import { takesConnections } from "../../../provider/hypervisors/libvirt/guests/tcp";
import { CallTimeoutError, ConnectionLostError, LibvirtError } from "../../../provider/hypervisors/libvirt/rpc/errors";
import { AddressSource, ErrorCode, DomainState } from "../../../provider/hypervisors/libvirt/rpc/protocol";
import { hasAgentChannel } from "../../../provider/hypervisors/libvirt/xml/channels";
import { memberDefinition } from "../../../provider/hypervisors/libvirt/xml/memberDefinition";
import { parseTag, tagXml } from "../../../provider/hypervisors/libvirt/xml/tags";
import { parseXml } from "../../../provider/hypervisors/libvirt/xml/xml";
import { spec } from "../../fleet/build";

const [card, second] = memberMacs("f1", 3, 2) as [string, string];
const interfaces = JSON.stringify({ return: [
  { name: "lo", "hardware-address": "00:00:00:00:00:00", "ip-addresses": [{ "ip-address": "127.0.0.1", "ip-address-type": "ipv4", prefix: 8 }] },
  { name: "docker0", "hardware-address": "02:42:00:00:00:01", "ip-addresses": [{ "ip-address": "172.17.0.1" }] },
  { name: "eth1", "hardware-address": second, "ip-addresses": [{ "ip-address": "10.2.0.3" }] },
  { name: "eth0", "hardware-address": card.toUpperCase(), "ip-addresses": [{ "ip-address": "fe80::1" }, { "ip-address": "10.1.0.3" }, { "ip-address": "2a00:db8::3" }] },
] });

interface Says {
  state?: number;
  ping?: string | Error;
  interfaces?: string | Error;
  hostname?: string | Error;
  lease?: string[] | Error;
  arp?: string[] | Error;
  leaseHostname?: string | Error;
}
const refused = (code: number) => new LibvirtError(code, 10, "nein");
const silent = refused(ErrorCode.agentUnresponsive);

/** A host that asks its guest, and what it was asked. */
function guests(says: Says, lines: (Error | undefined)[] = []): { ask: (question: GuestOrder["question"]) => ReturnType<LibvirtGuests["askGuest"]>; asked: string[]; client: { isClogged: boolean } } {
  const asked: string[] = [];
  const answer = <T>(what: string, value: T | Error | undefined, otherwise: T | Error): Promise<T> => {
    asked.push(what);
    const given = value ?? otherwise;
    return given instanceof Error ? Promise.reject(given) : Promise.resolve(given);
  };
  const client = {
    isOpen: true, isClogged: false, clock: realClock, close: () => undefined,
    domainState: () => Promise.resolve(says.state ?? DomainState.shutoff),
    agentCommand: (_domain: unknown, execute: string) => answer(execute, execute === "guest-ping" ? says.ping : execute === "guest-get-host-name" ? says.hostname : says.interfaces, silent),
    interfaceAddresses: (_domain: unknown, source: number) => (source === AddressSource.lease ? answer("lease", says.lease, []) : answer("arp", says.arp, []))
      .then((addresses) => [{ hardware: null, addresses }]),
    leaseHostname: () => answer("lease hostname", says.leaseHostname, refused(ErrorCode.operationFailed)),
  };
  const session = {
    openExtra: () => {
      asked.push("open");
      const failure = lines.shift();
      return failure ? Promise.reject(failure) : Promise.resolve(client);
    },
    wrap: (_step: string, error: Error) => error,
  };
  const subject = new LibvirtGuests(() => Promise.resolve({ session, scope: { fleetId: "f1", hostUuid: "u" } } as unknown as Place));
  const order = { fleet: { fleetId: "f1", incarnation: "i1", namePrefix: "w" }, host: "a1", slot: 3, name: "w-003", generation: 0 };
  return { ask: (question) => subject.askGuest({ ...order, question }), asked, client };
}

describe("a guest on libvirt", () => {
  it("is asked whether its agent is there with one call, over a line that stays open", async () => {
    const { ask, asked } = guests({ ping: "{}" });
    assert.deepEqual(await ask({ kind: "guestAgent" }), { agent: "answers" });
    assert.deepEqual(await ask({ kind: "guestAgent" }), { agent: "answers" });
    assert.deepEqual(asked, ["open", "guest-ping", "guest-ping"]);
  });

  for (const [agent, error] of [
    ["silent", silent], ["silent", refused(ErrorCode.agentUnsynced)], ["silent", refused(ErrorCode.internalError)], ["silent", new CallTimeoutError("qemuDomainAgentCommand", 13_000)],
    ["none", refused(ErrorCode.argumentUnsupported)], ["off", refused(ErrorCode.operationInvalid)],
  ] as const) {
    it(`is ${agent} where libvirt says ${error instanceof LibvirtError ? `error ${error.code}` : "nothing in time"}`, async () => {
      assert.deepEqual(await guests({ ping: error }).ask({ kind: "guestAgent" }), { agent });
    });
  }

  it("that stands still for a moment is silent, and not off", async () => {
    for (const state of [DomainState.paused, DomainState.running, DomainState.pmsuspended]) {
      assert.deepEqual(await guests({ ping: refused(ErrorCode.operationInvalid), state }).ask({ kind: "guestAgent" }), { agent: "silent" });
    }
  });

  it("that is gone is no guest, and a line that broke is opened once more", async () => {
    await assert.rejects(guests({ ping: refused(ErrorCode.noDomain) }).ask({ kind: "guestAgent" }));
    const { ask, asked } = guests({ ping: "{}" }, [new ConnectionLostError("gone")]);
    assert.deepEqual(await ask({ kind: "guestAgent" }), { agent: "answers" });
    assert.deepEqual(asked, ["open", "open", "guest-ping"]);
    await assert.rejects(guests({}, [new ConnectionLostError("gone"), new ConnectionLostError("gone")]).ask({ kind: "guestAgent" }), ConnectionLostError);
  });

  it("is asked over another line once the one that was there is closed or full of calls that nobody answers", async () => {
    const { ask, asked, client } = guests({ ping: "{}" });
    await ask({ kind: "guestAgent" });
    client.isClogged = true;
    const both = [ask({ kind: "guestAgent" }), ask({ kind: "guestAgent" })];
    await Promise.all(both);
    assert.deepEqual(asked.filter((one) => one === "open").length, 2, "one for both");
  });

  it("says by its agent which addresses its own cards have, in their order, and how it is called", async () => {
    const { ask, asked } = guests({ interfaces, hostname: '{"return":{"host-name":"w-003.lab"}}' });
    assert.deepEqual(await ask({ kind: "news" }), { agent: "answers", news: { ipAddresses: ["10.1.0.3", "10.2.0.3", "2a00:db8::3"], hostname: "w-003.lab" } });
    assert.deepEqual(asked, ["open", "guest-network-get-interfaces", "guest-get-host-name"]);
  });

  it("is known by its lease, else by what its host heard, where its agent says nothing of use", async () => {
    assert.deepEqual(await guests({ lease: ["10.3.0.3"], leaseHostname: "leased" }).ask({ kind: "news" }), { agent: "silent", news: { ipAddresses: ["10.3.0.3"], hostname: "leased" } });
    assert.deepEqual(await guests({ lease: refused(ErrorCode.operationInvalid), arp: ["10.4.0.3", "fe80::2"] }).ask({ kind: "news" }), { agent: "silent", news: { ipAddresses: ["10.4.0.3"] } });
    const onlyName = guests({ interfaces: '{"return":[]}', hostname: '{"return":{"host-name":"n"}}', arp: ["10.4.0.3"] });
    assert.deepEqual(await onlyName.ask({ kind: "news" }), { agent: "answers", news: { ipAddresses: ["10.4.0.3"], hostname: "n" } });
    assert.deepEqual(await guests({ interfaces: refused(ErrorCode.operationInvalid), lease: ["10.3.0.3"] }).ask({ kind: "news" }), { agent: "off", news: { ipAddresses: [] } });
  });

  describe("that takes connections", () => {
    let server: Server;
    let port: number;
    before(async () => {
      server = createServer((socket) => socket.end()).listen(0, "127.0.0.1");
      await new Promise((resolve) => server.once("listening", resolve));
      ({ port } = server.address() as AddressInfo);
    });
    after(() => { server.close(); });

    it("is found to at any of its addresses, and one without any is not", async () => {
      assert.equal((await guests({}).ask({ kind: "tcpPort", port, addresses: ["127.0.0.1"] })).tcpPortOpen, true);
      assert.equal((await guests({}).ask({ kind: "tcpPort", port, addresses: [] })).tcpPortOpen, false);
      assert.equal(await takesConnections(realClock, ["127.0.0.2", "127.0.0.1"], port), true);
      assert.equal(await takesConnections(realClock, ["127.0.0.2"], port), false);
    });
  });
});

describe("what an agent answers", () => {
  it("is read as its protocol has it, and all else counts as not said", () => {
    assert.equal(readInterfaces(interfaces).length, 4);
    for (const answer of ["", "no JSON", "[]", "null", '{"return":{}}', '{"return":"x"}', '{"error":{}}', "{".repeat(1e5)]) assert.deepEqual([readInterfaces(answer), readHostname(answer)], [[], undefined], answer.slice(0, 20));
    assert.deepEqual(readInterfaces('{"return":[7,null,{"ip-addresses":"x"},{"hardware-address":7,"ip-addresses":[1,{"ip-address":{}},{"ip-address":"a"}]}]}'), [{ addresses: [] }, { addresses: ["a"] }]);
    assert.equal(readHostname(`{"return":{"host-name":"${"x".repeat(MAX_ANSWER_CHARACTERS)}"}}`), undefined);
  });

  it("makes nobody fail, whatever it is", () => {
    fc.assert(fc.property(fc.oneof(fc.json(), fc.string(), fc.anything().map((value) => JSON.stringify({ return: value }) ?? "")), (answer) => {
      assert.ok(addressesOfCards(readInterfaces(answer), [card]).every((one) => typeof one === "string"));
      assert.ok(["string", "undefined"].includes(typeof readHostname(answer)));
    }));
  });

  it("holds all addresses where it names none of the cards that its host gave it", () => {
    assert.deepEqual(addressesOfCards([{ addresses: ["a"] }, { hardware: "x", addresses: ["b"] }], [card]), ["a", "b"]);
  });
});

describe("a channel to the agent", () => {
  const tag = { purpose: "member" as const, fleetId: "f1", incarnation: "i1", slot: 3, generation: 0, kind: "full" as const, contentId: "c", base: "frozen" as const };
  const define = (waitFor: "started" | "guestAgent", agentChannel?: boolean): string => {
    const order: ReconfigureOrder = {
      fleet: { fleetId: "f1", incarnation: "i1", namePrefix: "w" }, host: "a1", slot: 3, name: "w-003", kind: "full", generation: 0, contentId: "c", vm: spec({ waitFor }).vm, autostart: false,
    };
    return memberDefinition(order, { tag, image: [{ path: "/pool/delta-3", format: "qcow2" }], extra: [], ...(agentChannel !== undefined && { agentChannel }) });
  };
  const has = (xml: string): boolean => hasAgentChannel(parseXml(xml)["domain"]);

  it("is there where guests are waited for, and not where they are not", () => {
    assert.deepEqual([has(define("guestAgent")), has(define("started"))], [true, false]);
    assert.equal(define("started").includes("<channel"), false);
  });

  it("stays, or stays away, where a member has been defined before", () => {
    assert.deepEqual([has(define("guestAgent", false)), has(define("started", true))], [false, true]);
  });

  it("is waited over by a mark in the member's tag, which reads back, and tags of before have none", () => {
    assert.deepEqual(parseTag(tagXml({ ...tag, configuring: true })), { ...tag, configuring: true });
    assert.deepEqual(parseTag(tagXml({ ...tag, configuring: undefined })), tag);
  });
});
