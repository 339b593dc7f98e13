/** Whatever check accepts goes out into names, tags, XML and Pulumi's state, and comes back as it was. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { cardPlace, memberMacs, memberUuid, NO_RUN, parseFleetSpec, recordState, slotName, type FleetSpec, type FleetState, type Observation } from "../../../provider/fleet";
import type { ReconfigureOrder } from "../../../provider/hypervisors/hypervisor";
import { cardPlaces } from "../../../provider/hypervisors/libvirt/xml/cards";
import { diskName, memberXml, volumeXml } from "../../../provider/hypervisors/libvirt/xml/domainXml";
import { helperDomainName, isHelperDomain, parseVolumeName, poolKey, volumeName, type VolumeName } from "../../../provider/hypervisors/libvirt/volumes/names";
import { parseTag, tagXml, type MemberTag } from "../../../provider/hypervisors/libvirt/xml/tags";
import { all, at, parseXml, text } from "../../../provider/hypervisors/libvirt/xml/xml";
import { declaredInOutputs, outputsOf, recordedState } from "../../../provider/pulumi/dynamic/properties";
import { acceptedInputs } from "../../fleet/schemaArbitrary";
import { member, observation, reachable } from "../../fleet/build";

const scope = { fleetId: "abcdefghij", hostUuid: "1a2b3c4d-0000-0000-0000-000000000000" };
const RUNS = { numRuns: 40 };

const tag: MemberTag = { purpose: "member", fleetId: "abcdefghij", incarnation: "i", slot: 3, generation: 1, kind: "full", contentId: "c", base: "frozen" };
function orderOf(spec: FleetSpec, slot: number): ReconfigureOrder {
  const fleet = { fleetId: spec.fleetId ?? "abcdefghij", incarnation: "i", namePrefix: spec.namePrefix };
  return {
    fleet, host: spec.hosts[0]!.name, slot, name: slotName(spec.namePrefix, slot),
    kind: "full", generation: 1, contentId: "c", vm: spec.vm, autostart: spec.vm.autostart ?? false,
  };
}

describe("what check accepts", () => {
  it("gives volumes names that read back, each disk its own, and its own serial number and target", () => {
    fc.assert(fc.property(acceptedInputs, fc.nat(1_000_000), fc.nat(1000), ({ spec }, slot, generation) => {
      const fleet = { ...scope, fleetId: spec.fleetId ?? scope.fleetId };
      const names = spec.vm.disks.flatMap(({ label, onDelete }): VolumeName[] => [
        { kind: "disk", slot, generation, label, onDelete }, { kind: "pending", slot, generation, label }, { kind: "pending", slot, generation, label, pool: poolKey(label) },
      ]);
      const written = names.map((name) => volumeName(fleet, name));
      assert.deepEqual(written.map((name) => parseVolumeName(fleet, name)), names);
      assert.ok(written.every((name) => Buffer.byteLength(name) <= 255 && !name.includes("/")));
      assert.equal(new Set(written).size, names.length);
      const xml = memberXml(orderOf(spec, slot), tag, [{ path: "/p/top", format: "qcow2" }], spec.vm.disks.map(({ label }) => ({ path: `/p/${label}`, format: "qcow2", label })));
      const disks = all(parseXml(xml), "domain", "devices", "disk");
      assert.deepEqual(disks.map((disk) => text(disk, "source", "@file")), ["/p/top", ...spec.vm.disks.map(({ label }) => `/p/${label}`)]);
      assert.equal(new Set(disks.map((disk) => text(disk, "serial"))).size, disks.length, "every disk has a serial number of its own, but the first none");
      assert.ok(isHelperDomain(fleet.fleetId, helperDomainName(fleet.fleetId, "x")));
    }), RUNS);
  });

  it("stands in a member's definition as it was declared", () => {
    fc.assert(fc.property(acceptedInputs, fc.nat(20_000), ({ spec }, slot) => {
      fc.pre(spec.vm.hardware === "defaults"); // what is inherited has tests of its own
      const order = orderOf(spec, slot);
      const { vm } = spec;
      const fill = (value: string) => value.split("{name}").join(order.name).split("{slot}").join(String(slot));
      const domain = at(parseXml(memberXml(order, tag, [{ path: `/p/${spec.hosts[0]!.own.pool}`, format: "qcow2" }], [])), "domain");
      assert.deepEqual([text(domain, "name"), text(domain, "uuid"), text(domain, "memory"), text(domain, "vcpu")], [order.name, memberUuid(order.fleet.fleetId, slot), String(Math.max(vm.memory!, vm.maxMemory ?? 0)), String(Math.max(vm.numCpus!, vm.maxCpus ?? 0))]);
      assert.deepEqual([text(domain, "currentMemory") ?? text(domain, "memory"), text(domain, "vcpu", "@current") ?? text(domain, "vcpu")], [String(vm.memory), String(vm.numCpus)]);
      const macs = memberMacs(order.fleet.fleetId, slot, vm.networks!.length);
      assert.deepEqual(
        all(domain, "devices", "interface").map((nic) => [text(nic, "model", "@type"), text(nic, "mac", "@address")]),
        vm.networks!.map((nic, i) => [nic.adapterType, macs[i]]),
      );
      assert.deepEqual(cardPlaces(domain), vm.networks!.map(cardPlace));
      assert.deepEqual([text(domain, "os", "type", "@arch"), text(domain, "os", "type", "@machine")], [vm.own.arch, vm.own.machine]);
      assert.deepEqual([text(domain, "os", "kernel"), text(domain, "os", "initrd")], [vm.own.kernelBoot?.kernel, vm.own.kernelBoot?.initrd]);
      assert.equal(text(domain, "os", "cmdline"), vm.own.kernelBoot?.cmdline === undefined ? undefined : fill(vm.own.kernelBoot.cmdline));
      assert.equal(text(domain, "devices", "serial", "source", "@path"), vm.own.serialLog === undefined ? undefined : fill(vm.own.serialLog));
      assert.equal(text(domain, "devices", "disk", "source", "@file"), `/p/${spec.hosts[0]!.own.pool}`);
      assert.deepEqual(parseTag(tagXml(tag)), tag);
    }), RUNS);
  });

  it("names a volume in XML as it is named in the pool", () => {
    fc.assert(fc.property(acceptedInputs, ({ spec }) => {
      const { template } = spec;
      const name = template.kind === "volume" ? template.volume : template.kind === "domain" ? template.domain : template.file;
      const read = at(parseXml(volumeXml(name, 1024, "qcow2", { path: `/pool/${name}`, format: "qcow2" })), "volume");
      assert.deepEqual([text(read, "name"), text(read, "backingStore", "path")], [name, `/pool/${name}`]);
    }), RUNS);
  });

  it("is recorded in Pulumi's state, and read from it, as it was", () => {
    fc.assert(fc.property(acceptedInputs, ({ inputs, spec }) => {
      const members = spec.hosts.map((_, slot) => member(slot, { name: slotName(spec.namePrefix, slot), networks: (spec.vm.networks ?? []).map(cardPlace) }));
      const found: Observation = observation(spec.hosts.map(({ name }, slot) => reachable(name, [members[slot]!])));
      const state: FleetState = recordState({ spec, fleetId: "abcdefghij", incarnation: "one", observation: found, lastRun: NO_RUN });
      const outputs = outputsOf(inputs as never, state);
      const kept = JSON.parse(Buffer.from(JSON.stringify(outputs), "utf8").toString("utf8")) as Record<string, unknown>;
      assert.deepEqual(JSON.parse(JSON.stringify(recordedState(kept))), JSON.parse(JSON.stringify(state)));
      const { fleetId: _, ...again } = parseFleetSpec(declaredInOutputs(kept)).spec!;
      const { fleetId: __, ...before } = spec;
      assert.deepEqual(again, before);
    }), RUNS);
  });
});

describe("disks' targets", () => {
  it("are named as libvirt names them, whatever their number", () => {
    assert.deepEqual([0, 25, 26, 51, 52, 701, 702].map((index) => diskName(index)), ["vda", "vdz", "vdaa", "vdaz", "vdba", "vdzz", "vdaaa"]);
    assert.equal(new Set(Array.from({ length: 2000 }, (_, index) => diskName(index))).size, 2000);
  });
});

describe("a volume's name", () => {
  it("that is read is the one that would be written: no other spelling is ours", () => {
    const parts = fc.constantFrom("s7", "s07", "s1", ".", "g0", "g00", "g1", "base", "delta", "disk-delete", "disk-keep", "pending", "data", "data-clone", "qcow2", "replica", "arriving", "complete", "abc", "1-2", "01-2", "map", "early", "s99999999999999999999");
    const head = volumeName(scope, { kind: "map", id: "" }).slice(0, -"map.".length);
    fc.assert(fc.property(fc.array(parts, { minLength: 1, maxLength: 6 }), (pieces) => {
      const spelt = head + pieces.filter((piece) => piece !== ".").join(".");
      const read = parseVolumeName(scope, spelt);
      if (read) assert.equal(volumeName(scope, read), spelt);
    }), { numRuns: 1000 });
    assert.equal(parseVolumeName(scope, `${head}s07.g0.base.qcow2`), null);
  });
});
