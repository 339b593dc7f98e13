import assert from "node:assert/strict";
import fc from "fast-check";
import { parseFleetSpec } from "../../provider/fleet";
import { host, inputs, spec } from "./build";

const U = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";
const preview = (input: unknown) => parseFleetSpec(input, { isUnknown: (value) => value === U });

describe("inputs that are well-formed", () => {
  it("take the documented defaults, and say which rates were assumed", () => {
    const parsed = spec({ racks: [{ name: "rack-a", uplinkBitsPerSecond: 1e9 }, { name: "rack-b" }] });
    assert.deepEqual(parsed.hosts[0], {
      name: "a1", rack: "rack-a", nicBitsPerSecond: 10e9, diskBytesPerSecond: 1e9, maxConcurrent: 8,
      own: { hypervisor: "libvirt", uri: "qemu+ssh://root@a1/system", pool: "default", transferAddress: "a1", transferPorts: { from: 10809, to: 10872 } },
    });
    assert.deepEqual(parsed.racks, [{ name: "rack-a", uplinkBitsPerSecond: 1e9 }, { name: "rack-b", uplinkBitsPerSecond: 40e9 }]);
    assert.deepEqual(parsed.assumed, [
      "NICs of 10 Gbit/s assumed for all hosts", "uplinks of 40 Gbit/s assumed for racks rack-b", "disks of 1 GB/s assumed for all hosts",
    ]);
    assert.deepEqual([parsed.clone, parsed.policy, parsed.keepSeeds, parsed.powerOn], [{ kind: "full" }, "auto", "none", true]);
    assert.deepEqual(parsed.timeouts, { callMs: 30_000, connectMs: 10_000, shutdownMs: 60_000, lockMs: 600_000, stallMs: 30_000, readyMs: 300_000 });
  });

  it("read rates and sizes from text, as YAML readers may hand them on", () => {
    const parsed = spec({ racks: [{ name: "rack-a", uplinkBitsPerSecond: "4e10" }, { name: "rack-b" }], imageBytes: "10e9" });
    assert.deepEqual([parsed.racks[0]!.uplinkBitsPerSecond, parsed.imageBytes], [4e10, 10e9]);
  });

  it("has copies go plain by default, and over TLS with libvirt's directories or the one that was given", () => {
    assert.equal(spec({}).own.transferTls, undefined);
    assert.deepEqual(spec({ transferTls: true }).own.transferTls, { directories: ["/etc/pki/libvirt-nbd", "/etc/pki/qemu"] });
    assert.deepEqual(spec({ transferTls: true, transferTlsDirectory: "/etc/pki/nbd" }).own.transferTls, { directories: ["/etc/pki/nbd"] });
  });

  it("keeps limits to transfers, and has none by default", () => {
    const parsed = spec({ racks: [{ name: "rack-a", transferRateBitsPerSecond: "2e9" }, { name: "rack-b" }], hosts: [host("a1", { transferRateBitsPerSecond: 1e9 }), host("b1")] });
    assert.deepEqual([...parsed.racks, ...parsed.hosts].map((one) => one.transferRateBitsPerSecond), [2e9, undefined, 1e9, undefined]);
  });

  it("imply racks that hosts name when none are declared, and one for hosts that name none", () => {
    assert.deepEqual(spec().racks.map((rack) => rack.name), ["rack-a", "rack-b"]);
    assert.deepEqual(spec({ hosts: [host("a1", { rack: undefined })] }).racks.map((rack) => rack.name), ["default"]);
  });

  it("take each form of target, template, clone and ports", () => {
    assert.deepEqual(spec({ countPerHost: 2 }).targets, { kind: "countPerHost", countPerHost: 2 });
    assert.deepEqual(spec({ hosts: [host("a1", { count: 2 }), host("a2")] }).targets, { kind: "each", counts: { a1: 2, a2: 0 } });
    assert.deepEqual(spec({ template: { file: "./golden.qcow2" } }).template, { kind: "file", file: "./golden.qcow2" });
    assert.deepEqual(spec({ template: { host: "a1", domain: "golden" } }).template, { hypervisor: "libvirt", kind: "domain", host: "a1", domain: "golden", disks: "all" });
    assert.deepEqual(spec({ template: { host: "a1", domain: "golden", disks: "first" } }).template, { hypervisor: "libvirt", kind: "domain", host: "a1", domain: "golden", disks: "first" });
    assert.deepEqual(spec({ clone: { mixed: { linkedShare: 0.5 } } }).clone, { kind: "mixed", linkedShare: 0.5 });
    assert.deepEqual(spec({ hosts: [host("a1", { transferPorts: "20000-20010" })] }).hosts[0]!.own.transferPorts, { from: 20000, to: 20010 });
  });

  it("let through names that hold XML and shell metacharacters where others chose them", () => {
    const odd = `g <&>"'$(reboot);|* ü.qcow2`;
    const parsed = spec({ template: { host: "a1", pool: `p/${odd}`, volume: odd }, vm: { networks: [{ network: odd }] } });
    assert.deepEqual(parsed.template, { hypervisor: "libvirt", kind: "volume", host: "a1", pool: `p/${odd}`, volume: odd });
    assert.deepEqual(parsed.vm.networks![0]!.own, { hypervisor: "libvirt", kind: "network", network: odd });
  });

  it("need no address for a single local host", () => {
    assert.equal(spec({ hosts: [host("a1", { uri: "qemu:///system" })] }).hosts[0]!.own.transferAddress, undefined);
  });

  it("reach lab hosts by socket and by allowed TCP", () => {
    const hosts = [
      host("a1", { uri: "qemu+unix:///system?socket=/run/a1/libvirt-sock", transferAddress: "10.0.0.1" }),
      host("a2", { uri: "qemu+tcp://[fd00::2]:16509/system" }),
    ];
    assert.equal(spec({ hosts, allowUnauthenticatedTcp: true }).hosts[1]!.own.transferAddress, "fd00::2");
  });

  it("treat null as absent", () => {
    assert.equal(parseFleetSpec({ ...inputs(), policy: null, imageBytes: null }).spec?.policy, "auto");
  });

  it("need no URI when planning without a hypervisor", () => {
    const planned = parseFleetSpec({ ...inputs(), hosts: [{ name: "a1" }, { name: "a2" }] }, { planning: true });
    assert.deepEqual(planned.spec?.hosts.map(({ own }) => [own.uri, own.transferAddress]), [["", undefined], ["", undefined]]);
  });

  it("do not mind the order of properties", () => {
    const reversed = Object.fromEntries(Object.entries(inputs()).reverse());
    assert.deepEqual(parseFleetSpec(reversed), parseFleetSpec(inputs()));
  });
});

describe("inputs with unknowns", () => {
  it("give neither a spec nor a problem when something that shapes the plan is unknown", () => {
    for (const input of [
      U, inputs({ count: U as never }), inputs({ hosts: U as never }), { ...inputs(), hosts: [host("a1"), U] },
      inputs({ template: { host: U, pool: U, volume: U } }), inputs({ namePrefix: U, vm: U as never }), inputs({ clone: { mixed: U as never } }),
      inputs({ hosts: [host("a1", { rack: U, transferPorts: { from: U as never, to: 2000 } })] }), inputs({ racks: U as never }),
    ]) {
      const result = preview(input);
      assert.deepEqual([result.spec, result.problems, result.unknown.length > 0], [undefined, [], true], JSON.stringify(input));
    }
  });

  it("plan without values that shape no plan, such as a new host's address", () => {
    const result = preview(inputs({ hosts: [host("a1", { uri: U }), host("a2", { uri: U, transferAddress: U })] }));
    assert.deepEqual(result.problems, []);
    assert.deepEqual(result.spec?.hosts.map((one) => one.own.uri), ["", ""]);
    assert.deepEqual(result.unknown, ["hosts[0].uri", "hosts[1].uri", "hosts[1].transferAddress"]);
  });

  it("still tell of what is wrong beside them", () => {
    assert.deepEqual(preview(inputs({ namePrefix: U, count: -1 })).problems.map(({ path }) => path), ["count"]);
  });

  it("give the same spec as a plain parse when nothing is unknown", () => {
    assert.deepEqual(preview(inputs()).spec, parseFleetSpec(inputs()).spec);
  });

  it("never fail on an unknown, wherever it stands", () => {
    const full = inputs({
      racks: [{ name: "rack-a" }, { name: "rack-b" }], clone: { mixed: { linkedShare: 0.5 } }, abandonHosts: ["x"],
      vm: { networks: [{ network: "n" }], disks: [{ label: "d", sizeBytes: 1e9 }], kernel: "/k", cmdline: "c", serialLog: "/l/{name}" },
      hosts: [host("a1", { transferPorts: { from: 2000, to: 2001 }, capacity: 20, nicBitsPerSecond: 1 }), host("b1")],
    });
    const places: (string | number)[][] = [];
    const walk = (value: unknown, path: (string | number)[]) => {
      places.push(path);
      if (typeof value === "object" && value !== null) {
        for (const [key, item] of Object.entries(value)) walk(item, [...path, Array.isArray(value) ? Number(key) : key]);
      }
    };
    walk(full, []);
    const put = (value: unknown, [first, ...rest]: (string | number)[]): unknown => {
      if (first === undefined) return U;
      const copy = structuredClone(value) as Record<string | number, unknown>;
      copy[first] = put(copy[first], rest);
      return copy;
    };
    fc.assert(fc.property(fc.array(fc.constantFrom(...places), { minLength: 1, maxLength: 4 }), (chosen) => {
      const input = chosen.sort((a, b) => b.length - a.length).reduce<unknown>((value, path) => {
        try {
          return put(value, path);
        } catch {
          return value;
        }
      }, full);
      assert.deepEqual(preview(input).problems, []);
    }), { numRuns: 300 });
  });

  it("never throw, whatever they are given", () => {
    fc.assert(fc.property(fc.anything(), (anything) => {
      assert.ok(parseFleetSpec(anything).problems!.length > 0);
      parseFleetSpec({ ...inputs(), hosts: anything, vm: anything, template: anything });
    }));
  });

  it("takes a range of one port, and the ends of what ports there are", () => {
    for (const [given, from, to] of [["1024-1024", 1024, 1024], ["65535-65535", 65535, 65535], [{ from: 2000, to: 2000 }, 2000, 2000], [" 1024 - 65535 ", 1024, 65535]] as const) {
      const { spec: parsed } = parseFleetSpec(inputs({ hosts: [host("a1", { transferPorts: given as never })] }));
      assert.deepEqual(parsed?.hosts[0]?.own.transferPorts, { from, to }, JSON.stringify(given));
    }
    for (const given of ["1023-1024", "65535-65536", "2001-2000"]) {
      assert.deepEqual(parseFleetSpec(inputs({ hosts: [host("a1", { transferPorts: given })] })).problems!.map(({ path }) => path), ["hosts[0].transferPorts"], given);
    }
  });
});
