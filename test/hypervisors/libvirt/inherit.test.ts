import assert from "node:assert/strict";
import { memberMacs, memberUuid, parseFleetSpec } from "../../../provider/fleet";
import type { VmSpec } from "../../../provider/fleet/model";
import type { ReconfigureOrder } from "../../../provider/hypervisors/hypervisor";
import { likeTemplate, memberDefinition, UnfitMachineError } from "../../../provider/hypervisors/libvirt/xml/memberDefinition";
import { all, at, parseXml, text } from "../../../provider/hypervisors/libvirt/xml/xml";

const tag = { purpose: "member" as const, fleetId: "f1", incarnation: "i1", slot: 3, generation: 0, kind: "full" as const, contentId: "c", base: "frozen" as const };
const top = { path: "/pool/delta-3", format: "qcow2" };
const vmOf = (vm: Record<string, unknown> = {}): VmSpec => {
  const { spec, problems } = parseFleetSpec({ namePrefix: "w", template: { host: "a1", domain: "golden" }, count: 1, hosts: [{ name: "a1", uri: "qemu:///system" }], vm });
  assert.deepEqual(problems, undefined);
  return spec!.vm;
};
const orderOf = (vm: VmSpec): ReconfigureOrder => ({
  fleet: { fleetId: "f1", incarnation: "i1", namePrefix: "w" }, host: "a1", slot: 3, name: "w-003", kind: "full", generation: 0, contentId: "c", vm, autostart: false,
});
const golden = (devices = "", more = "", os = "<type arch='x86_64' machine='pc-q35-7.2'>hvm</type><boot dev='hd'/>"): string => `
<domain type='kvm' id='7' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>golden</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid><title>Golden</title>
  <metadata><libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0"><libosinfo:os id="http://debian.org/debian/12"/></libosinfo:libosinfo>
    <vmfleet:fleet xmlns:vmfleet="urn:pulumi-vmfleet:libvirt:1" purpose="member" fleetId="other"/><nova:instance xmlns:nova="http://openstack.org/nova"/></metadata>
  <memory unit='KiB'>2097152</memory><currentMemory unit='KiB'>2097152</currentMemory><vcpu placement='static'>4</vcpu>
  <os>${os}</os><cpu mode='host-passthrough' check='none'><topology sockets='1' dies='1' cores='4' threads='1'/></cpu>${more}
  <devices><emulator>/usr/libexec/qemu-kvm</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='raw' cache='writeback' io='native'/><source file='/img/golden.raw' index='1'/><backingStore/><target dev='sda' bus='scsi'/><alias name='scsi0-0-0-0'/><address type='drive' controller='0' bus='0' target='0' unit='0'/></disk>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/img/data.qcow2'/><target dev='sdb' bus='scsi'/></disk>
    <disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='/iso/debian.iso'/><target dev='sdc' bus='sata'/><readonly/></disk>
    <controller type='scsi' index='0' model='virtio-scsi'/>
    <interface type='network'><mac address='52:54:00:aa:bb:cc'/><source network='default' portid='x'/><target dev='vnet3'/><model type='virtio'/><driver queues='4'/><address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></interface>
    <channel type='unix'><source mode='bind' path='/var/lib/libvirt/qemu/channel/target/domain-golden/org.qemu.guest_agent.0'/><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <graphics type='vnc' port='5901' autoport='no' passwd='geheim'><listen type='address' address='127.0.0.1'/></graphics>
    <watchdog model='itco' action='reset'/>${devices}
  </devices>
</domain>`;
const member = (vm: Record<string, unknown> = {}, xml = golden(), extra: { path: string; format: string; label: string }[] = []): string =>
  memberDefinition(orderOf(vmOf(vm)), { tag, image: [top], extra }, { template: { xml } });
const domainOf = (xml: string): unknown => at(parseXml(xml), "domain");

describe("a member of a template machine", () => {
  it("is like it, but for name, UUID, addresses, tag, and the disk that is its own", () => {
    const domain = domainOf(member());
    assert.equal(text(domain, "name"), "w-003");
    assert.equal(text(domain, "uuid"), memberUuid("f1", 3));
    assert.deepEqual([text(domain, "vcpu"), text(domain, "memory"), text(domain, "cpu", "@mode"), text(domain, "cpu", "topology", "@cores")], ["4", "2097152", "host-passthrough", "4"]);
    assert.equal(text(domain, "os", "type", "@machine"), "pc-q35-7.2");
    assert.equal(text(domain, "devices", "watchdog", "@model"), "itco");
    assert.equal(text(domain, "metadata", "fleet", "@fleetId"), "f1");
    const [disk, ...others] = all(domain, "devices", "disk");
    assert.deepEqual([text(disk, "source", "@file"), text(disk, "driver", "@type"), text(disk, "driver", "@io"), text(disk, "target", "@dev"), text(disk, "target", "@bus"), text(disk, "address", "@type")], [top.path, "qcow2", "native", "sda", "scsi", "drive"]);
    assert.deepEqual(others.map((one) => [text(one, "@device"), at(one, "source")]), [["cdrom", undefined]]);
    const [card, ...more] = all(domain, "devices", "interface");
    assert.equal(more.length, 0);
    assert.deepEqual([text(card, "mac", "@address"), text(card, "source", "@network"), text(card, "driver", "@queues"), text(card, "address", "@bus")], [memberMacs("f1", 3, 1)[0], "default", "4", "0x01"]);
    assert.equal(at(card, "target"), undefined);
    assert.deepEqual([text(domain, "devices", "graphics", "@autoport"), text(domain, "devices", "graphics", "@port"), text(domain, "devices", "graphics", "@passwd")], ["yes", undefined, "geheim"]);
    for (const own of ["golden", "c7a5fdbd", "52:54:00", "openstack", "libexec", "vnet3", "domain-golden"]) assert.equal(member().includes(own), false, own);
    assert.ok(member().includes("libosinfo"), "what the machine is may be said of a copy");
  });

  it("says in one line what is inherited, and what is not", () => {
    const { words, cards } = likeTemplate({ xml: golden() }, vmOf());
    assert.equal(words, "hardware as the template's: pc-q35-7.2, 4 CPUs (host-passthrough), 2048 MiB, disk on scsi, 1 network card, without the disk sdb, the medium in sdc, the fixed port of its vnc console");
    assert.equal(cards, 1);
  });

  it("has what its program names instead, and cards where its guest looks for them", () => {
    const domain = domainOf(member({ numCpus: 2, memory: 512, domainType: "qemu", networks: [{ bridge: "br0", adapterType: "e1000" }, { network: "lab" }] }));
    assert.deepEqual([text(domain, "@type"), text(domain, "vcpu"), text(domain, "memory"), text(domain, "memory", "@unit"), text(domain, "currentMemory")], ["qemu", "2", "512", "MiB", "512"]);
    assert.equal(at(domain, "cpu", "topology"), undefined, "a topology of 4 CPUs is none of 2");
    const cards = all(domain, "devices", "interface");
    assert.deepEqual(cards.map((card) => [text(card, "@type"), text(card, "mac", "@address"), text(card, "address", "@bus")]), [["bridge", memberMacs("f1", 3, 2)[0], "0x01"], ["network", memberMacs("f1", 3, 2)[1], undefined]]);
  });

  it("has nothing of the template's that does not go with its size", () => {
    const mebibytes = 2048;
    const size = (vm: Record<string, unknown>, more: string, devices = "") => domainOf(member(vm, golden(devices, more).replace(/<cpu mode='host-passthrough'.*?<\/cpu>/, "")));
    const cell = (id: number, cpus: string, memory: number) => `<cell id='${id}' cpus='${cpus}' memory='${memory}' unit='KiB'/>`;
    const dimm = "<memory model='dimm'><target><size unit='KiB'>524288</size><node>0</node></target></memory>";
    const one = size({ numCpus: 2, memory: 512 }, `<cpu mode='host-model'><numa>${cell(0, "0-3", 1572864)}</numa></cpu>`, dimm);
    assert.deepEqual(["@cpus", "@memory", "@unit"].map((name) => text(one, "cpu", "numa", "cell", name)), ["0-1", "512", "MiB"], "libvirt goes by its cells");
    assert.equal(at(one, "devices", "memory"), undefined);
    const cells = `<maxMemory slots='4' unit='KiB'>8388608</maxMemory><numatune><memory mode='strict' nodeset='0'/><memnode cellid='0' mode='strict' nodeset='0'/></numatune><cpu mode='host-model'><numa>${cell(0, "0-1", 786432)}${cell(1, "2-3", 786432)}</numa></cpu>`;
    for (const vm of [{ numCpus: 8 }, { memory: 4096 }]) {
      const domain = size(vm, cells, dimm);
      assert.deepEqual([at(domain, "cpu", "numa"), at(domain, "numatune", "memnode"), at(domain, "devices", "memory"), at(domain, "maxMemory")], [undefined, undefined, undefined, undefined]);
    }
    assert.equal(all(size({ numCpus: 4, memory: mebibytes }, cells, dimm), "cpu", "numa", "cell").length, 2, "the same size is none other");
    const tuned = size({ numCpus: 2, memory: 4096 }, "<memtune><hard_limit unit='KiB'>3000000</hard_limit></memtune><cputune><shares>9</shares><vcpusched vcpus='0-3' scheduler='fifo' priority='1'/></cputune>");
    assert.deepEqual([at(tuned, "memtune", "hard_limit"), at(tuned, "cputune", "vcpusched"), text(tuned, "cputune", "shares")], [undefined, undefined, "9"]);
  });

  it("boots from its disk, where the template booted from one that it has not", () => {
    const booted = golden("<disk type='file' device='disk'><source file='/img/b'/><target dev='sde' bus='scsi'/><boot order='1'/></disk>", "", "<type arch='x86_64' machine='q35'>hvm</type>");
    assert.equal(text(all(domainOf(member({}, booted)), "devices", "disk")[0], "boot", "@order"), "1");
  });

  it("has no log, no TPM's directory and no passed-through disk of the template's", () => {
    const log = "<log file='/var/lib/nova/console.log' append='off'/>";
    const devices = `<serial type='pty'>${log}<target port='0'/></serial><console type='pty'>${log}<target type='serial' port='0'/></console><tpm><backend type='emulator' version='2.0'><source type='dir' path='/tpm/golden'/></backend></tpm>` +
      "<disk type='block' device='lun'><source dev='/dev/sdq'/><target dev='sdd' bus='scsi'/></disk>";
    assert.equal(/nova\/console|tpm\/golden|lun|sdq/.test(member({}, golden(devices))), false);
    assert.match(likeTemplate({ xml: golden(devices) }, vmOf()).words, /the disk sdd.*what its TPM holds, the log of its serial, the log of its console/);
  });

  it("has data disks under names that are free, never the first disk's", () => {
    const domain = domainOf(member({}, golden(), [{ path: "/pool/a", format: "qcow2", label: "a" }, { path: "/pool/b", format: "qcow2", label: "b" }]));
    assert.deepEqual(all(domain, "devices", "disk").map((disk) => text(disk, "target", "@dev")), ["sda", "sdc", "vdb", "vdc"]);
  });

  it("is refused where only one machine can have what it has, by name, unless that is left out", () => {
    const lone = [
      ["<hostdev mode='subsystem' type='pci'><source><address domain='0' bus='3' slot='0' function='0'/></source></hostdev>", /a device of its host \(pci\).*"\.\/devices\/hostdev\[1\]": false/, "./devices/hostdev"],
      ["<filesystem type='mount'><driver type='virtiofs'/><source dir='/srv'/><target dir='srv'/></filesystem>", /the file system \/srv of its host, to be written/, "./devices/filesystem"],
      ["<serial type='tcp'><source mode='bind' host='0.0.0.0' service='4555'/><target port='0'/></serial>", /a serial at a fixed tcp address/, "./devices/serial"],
      ["<serial type='file'><source path='/var/log/golden.log'/><target port='0'/></serial>", /a serial at file \/var\/log\/golden\.log/, "./devices/serial[1]"],
      ["<interface type='vhostuser'><source type='unix' path='/tmp/s' mode='client'/></interface>", /a network card of type vhostuser/, "./devices/interface[@type='vhostuser']"],
      ["<shmem name='ring'/>", /the shared memory ring/, "./devices/shmem"],
      ["<tpm model='tpm-tis'><backend type='external'><source type='unix' mode='connect' path='/run/tpm'/></backend></tpm>", /a TPM at a fixed place/, "./devices/tpm[1]"],
      ["<interface type='user'><portForward proto='tcp'><range start='2222' to='22'/></portForward></interface>", /a network card with ports of its host/, "./devices/interface/portForward"],
      ["<input type='evdev'><source dev='/dev/input/event3'/></input>", /an input device of its host \(\/dev\/input\/event3\)/, "./devices/input[1]"],
      ["</devices><qemu:commandline><qemu:arg value='-drive'/><qemu:arg value='file=/x'/></qemu:commandline><devices>", /an image among QEMU's own arguments \(-drive\)/, "./qemu:commandline"],
      ["<tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>", /its host's TPM/, "./devices/tpm"],
    ] as const;
    for (const [device, message, path] of lone) {
      assert.throws(() => member({}, golden(device)), (error) => error instanceof UnfitMachineError && message.test(error.message), device);
      assert.doesNotThrow(() => member({ xml: { [path]: false } }, golden(device)), device);
    }
  });

  it("may have a file at a place that differs by member", () => {
    const console = "<console type='file'><source path='/var/log/golden.log'/><target type='serial' port='0'/></console>";
    const log = domainOf(member({ serialLog: "/log/{slot}.log" }, golden(console)));
    assert.deepEqual([text(log, "devices", "serial", "source", "@path"), all(log, "devices", "console").length], ["/log/3.log", 1]);
    const set = member({ xml: { "./devices/console/source/@path": "/log/{name}.log" } }, golden(console));
    assert.equal(text(domainOf(set), "devices", "console", "source", "@path"), "/log/w-003.log");
    assert.throws(() => member({ xml: { "./devices/console/source/@path": "/log/all.log" } }, golden(console)), UnfitMachineError);
  });

  it("may log its serial console to a file of its own", () => {
    const serial = at(domainOf(member({ serialLog: "/log/{name}.log" })), "devices", "serial");
    assert.deepEqual([text(serial, "@type"), text(serial, "source", "@path")], ["file", "/log/w-003.log"]);
    assert.throws(() => member({ serialLog: "/log/{name}.log", xml: { "./devices/serial/source/@path": "/log/all" } }), /a serial at file \/log\/all/);
  });

  it("has firmware variables of its own", () => {
    const auto = domainOf(member({}, golden("", "", "<type arch='x86_64' machine='q35'>hvm</type>").replace("<os>", "<os firmware='efi'><loader readonly='yes' secure='yes' type='pflash'>/usr/share/OVMF/CODE.fd</loader><nvram template='/usr/share/OVMF/VARS.fd'>/var/lib/libvirt/qemu/nvram/golden_VARS.fd</nvram>")));
    assert.deepEqual([text(auto, "os", "@firmware"), at(auto, "os", "nvram"), at(auto, "os", "loader")], ["efi", undefined, undefined]);
    const named = member({}, golden("", "", "<type arch='x86_64' machine='q35'>hvm</type><loader readonly='yes' type='pflash'>/usr/share/OVMF/CODE.fd</loader><nvram template='/usr/share/OVMF/VARS.fd'>/var/lib/libvirt/qemu/nvram/golden_VARS.fd</nvram>"));
    assert.equal(text(domainOf(named), "os", "loader"), "/usr/share/OVMF/CODE.fd");
    assert.equal(text(domainOf(named), "os", "nvram", "@template"), "/usr/share/OVMF/VARS.fd");
    assert.equal(named.includes("golden_VARS"), false);
    assert.match(likeTemplate({ xml: golden("", "", "<type machine='q35'>hvm</type><loader type='pflash' secure='yes'>/c</loader><nvram>/v</nvram>") }, vmOf()).words, /UEFI with secure boot.*without what its firmware's variables hold/);
    const kept = { xml: golden("", "", "<type machine='q35'>hvm</type><loader type='pflash' secure='yes'>/c</loader><nvram template='/t'>/v</nvram>"), variablesAt: "/v" };
    assert.match(likeTemplate(kept, vmOf()).words, /UEFI with secure boot and its variables/);
    assert.equal(/its firmware's variables/.test(likeTemplate(kept, vmOf()).words), false);
    assert.match(likeTemplate(kept, vmOf({ efiSecureBootEnabled: false })).words, /without what its firmware's variables hold/, "another firmware would not know them");
    for (const template of [kept, { xml: golden("", "", "<type machine='q35'>hvm</type>").replace("<os>", "<os firmware='efi'>"), variablesAt: "/v" }]) {
      const made = domainOf(memberDefinition(orderOf(vmOf()), { tag, image: [top], extra: [], nvram: "/pool/own.fd" }, { template }));
      assert.equal(text(made, "os", "nvram"), "/pool/own.fd");
    }
  });

  it("has a new generation id, and no serial number of the one it is like", () => {
    const xml = member({}, golden("", "<genid>43dc0cf8-809b-4adb-9bea-a9abb5f3d90e</genid><sysinfo type='smbios'><system><entry name='manufacturer'>ACME</entry><entry name='uuid'>c7a5fdbd-edaf-9455-926a-d65c16db1809</entry><entry name='serial'>4711</entry></system></sysinfo>"));
    assert.ok(xml.includes("<genid/>") && xml.includes("ACME"));
    assert.equal(/43dc0cf8|4711/.test(xml), false);
  });

  describe("when it is defined anew", () => {
    const first = member();
    const again = (vm: Record<string, unknown>, own = first): unknown => domainOf(memberDefinition(orderOf(vmOf(vm)), { tag: { ...tag, incarnation: "i1" }, image: [top], extra: [] }, { own }));

    it("keeps what was given to it by hand", () => {
      const byHand = first.replace("</devices>", "<hostdev mode='subsystem' type='usb'><source><vendor id='0x1'/><product id='0x2'/></source></hostdev><interface type='network'><mac address='52:54:00:00:00:01'/><source network='other'/></interface></devices>");
      const domain = again({ memory: 4096 }, byHand);
      assert.equal(text(domain, "memory"), "4096");
      assert.equal(all(domain, "devices", "hostdev").length, 1);
      assert.equal(text(all(domain, "devices", "interface")[1], "mac", "@address"), "52:54:00:00:00:01");
    });

    it("keeps its first disk, wherever somebody put another", () => {
      const image = { path: "/pool/vmfleet.f.h.s3.g0.delta.qcow2", format: "qcow2" };
      const by = (device: string) => `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/data/theirs.qcow2'/><target dev='${device}' bus='sata'/></disk>`;
      const read = (own: string) => all(domainOf(memberDefinition(orderOf(vmOf()), { tag, image: [image], extra: [] }, { own })), "devices", "disk").filter((disk) => text(disk, "@device") === "disk")
        .map((disk) => [text(disk, "target", "@dev"), text(disk, "source", "@file")]);
      const plain = memberDefinition({ ...orderOf({ ...vmOf({ numCpus: 1, memory: 64, networks: [] }), hardware: "defaults" }) }, { tag, image: [image], extra: [] });
      assert.deepEqual(read(plain.replace("<disk", `${by("sda")}<disk`)), [["sda", "/data/theirs.qcow2"], ["vda", image.path]]);
      const scsi = memberDefinition(orderOf(vmOf()), { tag, image: [image], extra: [] }, { template: { xml: golden() } });
      assert.deepEqual(read(scsi.replace("</devices>", `${by("vda")}</devices>`)), [["sda", image.path], ["vda", "/data/theirs.qcow2"]]);
    });

    it("keeps each of its cloned disks, by its file, wherever it stands", () => {
      const xml = golden().replace(/<disk [^>]*>(?:(?!<\/disk>).)*sdb.*?<\/disk>/s, "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/t/data.raw'/><target dev='vda' bus='virtio'/><serial>data</serial></disk>");
      const image = (kind: string) => ["", "-1"].map((disk) => ({ path: `/pool/vmfleet.f.h.s3.g0.${kind}${disk}.qcow2`, format: "qcow2" }));
      const read = (definition: string) => all(domainOf(definition), "devices", "disk").filter((disk) => text(disk, "@device") === "disk")
        .map((disk) => [text(disk, "target", "@dev"), text(disk, "source", "@file"), text(disk, "driver", "@type"), text(disk, "serial")]);
      const template = { xml, disks: "all" as const };
      const made = memberDefinition(orderOf(vmOf()), { tag, image: image("delta"), extra: [] }, { template });
      assert.deepEqual(read(made), [["sda", image("delta")[0]!.path, "qcow2", undefined], ["vda", image("delta")[1]!.path, "qcow2", "data"]]);
      const own = made.replace(/(<disk type="file" device="disk">(?:(?!<\/disk>).)*delta\.qcow2.*?<\/disk>)(.*)(<disk [^>]*>(?:(?!<\/disk>).)*delta-1\.qcow2.*?<\/disk>)/s, "$3$2$1");
      const again = read(memberDefinition(orderOf(vmOf()), { tag, image: image("base"), extra: [{ path: "/pool/a", format: "qcow2", label: "a" }] }, { own }));
      assert.deepEqual(again.map(([device, file]) => [device, file]).sort(), [["sda", image("base")[0]!.path], ["vda", image("base")[1]!.path], ["vdb", "/pool/a"]]);
      assert.match(likeTemplate(template, vmOf()).words, /2 disks on scsi and virtio/);
      assert.match(likeTemplate({ xml, disks: "first" }, vmOf()).words, /disk on scsi.*without the disk vda/);
      assert.throws(() => memberDefinition(orderOf(vmOf({ xml: { "./devices/disk[2]": false } })), { tag, image: image("delta"), extra: [] }, { template: { ...template, xml } }), /vm\.xml changes where the members' disks are/);
      assert.deepEqual(read(memberDefinition(orderOf(vmOf()), { tag, image: image("delta"), extra: [] }, { template: { xml: made, member: { slot: 3, generation: 0, count: 2 } } })), read(made), "one like a member has as many");
      const fewer = memberDefinition({ ...orderOf(vmOf()), slot: 4 }, { tag: { ...tag, slot: 4 }, image: [{ path: "/pool/vmfleet.f.h.s4.g0.delta.qcow2", format: "qcow2" }], extra: [] }, { template: { xml: made, member: { slot: 3, generation: 0, count: 2 } } });
      assert.equal(fewer.includes(".s3.g0."), false, "and one of an image with fewer has none of that member's");
      const rescuing = made.replace("</devices>", "<disk type='file' device='disk'><source file='/pool/vmfleet.f.h.s7.g0.base-2.qcow2'/><target dev='vdx' bus='virtio'/></disk></devices>");
      assert.equal(memberDefinition(orderOf(vmOf()), { tag, image: image("delta"), extra: [] }, { template: { xml: rescuing, member: { slot: 3, generation: 0, count: 2 } } }).includes(".s7."), false, "nor what that one has of another");
    });

    it("has no data disk twice, whatever its pool's path is called by now", () => {
      const own = memberDefinition(orderOf(vmOf()), { tag, image: [top], extra: [{ path: "/pool/a", format: "qcow2", label: "a" }] }, { template: { xml: golden() } });
      const anew = domainOf(memberDefinition(orderOf(vmOf()), { tag, image: [top], extra: [{ path: "/link/a", format: "qcow2", label: "a" }] }, { own }));
      assert.deepEqual(all(anew, "devices", "disk").map((disk) => text(disk, "source", "@file")), [top.path, undefined, "/pool/a"]);
    });

    it("loses nothing more to a path that took something by its place", () => {
      const vm = { xml: { "./devices/serial[1]": false, "./devices/serial[2]": false, "./devices/serial[3]/@tty": "x" } };
      const serial = (port: number, type = "pty", source = "") => `<serial type='${type}'>${source}<target port='${port}'/></serial>`;
      const fixed = "<source path='/log'/>";
      const once = member(vm, golden(serial(0, "file", fixed) + serial(1, "file", fixed) + serial(2) + serial(3)));
      assert.deepEqual(all(domainOf(once), "devices", "serial").map((one) => [text(one, "target", "@port"), text(one, "@tty")]), [["2", "x"], ["3", undefined]]);
      assert.equal(memberDefinition(orderOf(vmOf(vm)), { tag, image: [top], extra: [] }, { own: once }), once);
      assert.equal(all(domainOf(memberDefinition(orderOf(vmOf(vm)), { tag, image: [top], extra: [] }, { template: { xml: once, member: { slot: 3, generation: 0, count: 1 } } })), "devices", "serial").length, 2);
    });

    it("gets by vm.xml nothing that only one machine can have", () => {
      assert.throws(() => again({ xml: { "./devices/serial[1]/@type": "file", "./devices/serial[1]/source/@path": "/log/all" } }), /a serial at file \/log\/all, which only one machine can have/);
    });

    it("gets no address that others have", () => {
      assert.throws(() => again({ xml: { "./devices/interface/mac/@address": "52:54:00:00:00:09" } }), /addresses that are not the member's own/);
    });

    it("twice, is the same", () => {
      const vm = { numCpus: 2, memory: 300, networks: [{ network: "lab" }, { bridge: "br0" }], serialLog: "/log/{slot}", xml: { "./cpu/@check": "full", "./devices/serial[1]/@tty": "x" } };
      for (const from of [{ own: first }, { template: { xml: golden() } }]) {
        const once = memberDefinition(orderOf(vmOf(vm)), { tag, image: [top], extra: [] }, from);
        assert.equal(memberDefinition(orderOf(vmOf(vm)), { tag, image: [top], extra: [] }, { own: once }), once);
      }
    });

    it("over its own disk, no longer stops where that fails, and stands over nothing that was declared for its start", () => {
      const early = memberDefinition(orderOf(vmOf()), { tag, image: [{ ...top, stopOnError: true, backing: { kind: "nbd", host: "h", port: 1, exportName: "e" } }], extra: [] }, { template: { xml: golden() } });
      const disk = (xml: string) => all(domainOf(xml), "devices", "disk")[0];
      assert.deepEqual([text(disk(early), "driver", "@error_policy"), text(disk(early), "backingStore", "source", "@protocol")], ["stop", "nbd"]);
      const settled = memberDefinition(orderOf(vmOf()), { tag, image: [top], extra: [] }, { own: early });
      assert.deepEqual([text(disk(settled), "driver", "@error_policy"), text(disk(settled), "driver", "@io"), at(disk(settled), "backingStore")], [undefined, "native", undefined]);
    });
  });
});

describe("vm.xml", () => {
  it("sets, makes and takes away, after all else", () => {
    const xml = member({ xml: { "./cpu/@mode": "host-model", "./devices/interface[1]/driver/@queues": "8", "./devices/watchdog": false, "./memoryBacking/hugepages": true, "./devices/input[@type='tablet']/@bus": "usb", "./on_crash": "preserve", "./devices/disk[1]/driver/@io": false } });
    const domain = domainOf(xml);
    assert.deepEqual([text(domain, "cpu", "@mode"), text(domain, "devices", "interface", "driver", "@queues"), at(domain, "devices", "watchdog"), text(domain, "on_crash")], ["host-model", "8", undefined, "preserve"]);
    assert.ok(xml.includes("<hugepages/>") && /<input type="tablet" bus="usb"\/>/.test(xml));
    assert.equal(text(all(domain, "devices", "disk")[0], "driver", "@io"), undefined);
  });

  it("works on documented defaults, too", () => {
    const vm: VmSpec = { ...vmOf({ numCpus: 1, memory: 64, networks: [] }), hardware: "defaults", own: { hypervisor: "libvirt", domainType: "qemu", arch: "x86_64", xml: { "./vcpu/@cpuset": "0-1" } } };
    assert.equal(text(domainOf(memberDefinition(orderOf(vm), { tag, image: [top], extra: [] })), "vcpu", "@cpuset"), "0-1");
  });

  it("cannot take from members what tells them apart, nor their disks", () => {
    for (const xml of [
      { "./devices/disk[1]/source/@file": "/etc/shadow" }, { "./devices/disk[1]": false }, { "./devices/disk": false }, { "./devices": false },
      { "./devices/disk[1]/@type": "block", "./devices/disk[1]/source/@dev": "/dev/sda" },
      { "./devices/disk[1]/@type": "block", "./devices/disk[1]/source/@dev": "/dev/sda", "./devices/disk[1]/readonly": true },
      { "./devices/disk[1]/backingStore/source/@file": "/pool/theirs" }, { "./devices/disk/driver/@type": "raw" },
      { "./devices/disk[@snapshot='no']/@device": "disk", "./devices/disk[@snapshot='no']/source/@file": "/one/for/all", "./devices/disk[@snapshot='no']/target/@dev": "vdz" },
      { "./os/nvram": "/var/one.fd" }, { "./os/nvram/source/@file": "/var/one.fd" }, { "./devices/interface/mac/@address": "52:54:00:00:00:09" }, { "./devices/interface[2]/@type": "user" },
    ]) assert.throws(() => member({ xml }), UnfitMachineError, JSON.stringify(xml));
  });

  it("may give them a disk that nobody writes to", () => {
    const at = "./devices/disk[@snapshot='no']";
    assert.ok(member({ xml: { [`${at}/@device`]: "disk", [`${at}/@type`]: "file", [`${at}/source/@file`]: "/tools", [`${at}/target/@dev`]: "vdz", [`${at}/readonly`]: true } }).includes("/tools"));
    assert.ok(member({ xml: { "./devices/disk[@device='cdrom']/source/@file": "/tools.iso" } }).includes("/tools.iso"));
  });

  it("takes a place for that among what the template has, in any order", () => {
    const devices = ["1", "2", "3"].map((bus) => `<hostdev mode='subsystem' type='pci'><source><address domain='0' bus='${bus}' slot='0' function='0'/></source></hostdev>`).join("");
    for (const places of [[1, 2, 3], [3, 2, 1]]) {
      assert.equal(member({ xml: Object.fromEntries(places.map((place) => [`./devices/hostdev[${place}]`, false])) }, golden(devices)).includes("hostdev"), false);
    }
    const made = { "./devices/redirdev[1]/@bus": "usb", "./devices/redirdev[2]/@bus": "usb", "./devices/redirdev[1]/@type": "spicevmc", "./devices/redirdev[2]/@type": "spicevmc" };
    for (const xml of [made, Object.fromEntries(Object.entries(made).reverse())]) assert.equal(all(domainOf(member({ xml })), "devices", "redirdev").length, 2);
    assert.throws(() => member({ xml: { "./devices/redirdev[3]/@bus": "usb" } }), /the place 3 of 0: name the next one/);
  });

  it("declares QEMU's namespace, and asks for others", () => {
    const bare = golden().replace(/ xmlns:qemu='[^']*'/, "");
    const xml = member({ xml: { "./qemu:commandline/qemu:arg[1]/@value": "-cpu", "./qemu:commandline/qemu:arg[2]/@value": "max" } }, bare);
    assert.match(xml, /<domain [^>]*xmlns:qemu="http:\/\/libvirt\.org\/schemas\/domain\/qemu\/1\.0"/);
    assert.match(xml, /<qemu:commandline><qemu:arg value="-cpu"\/><qemu:arg value="max"\/><\/qemu:commandline>/);
    assert.throws(() => member({ xml: { "./lxc:namespace/@x": "y" } }, bare), /vm\.xml names lxc: without its namespace: add "\.\/@xmlns:lxc"/);
    assert.doesNotThrow(() => member({ xml: { "./lxc:namespace/@x": "y", "./@xmlns:lxc": "urn:lxc" } }, bare));
  });
});

describe("firmware, TPM and processor", () => {
  const os = (xml: string) => at(domainOf(xml), "os");
  const features = (xml: string) => all(os(xml), "firmware", "feature").map((one) => `${text(one, "@name")} ${text(one, "@enabled")}`);
  const plain = (vm: Record<string, unknown>): string => {
    const { spec, problems } = parseFleetSpec({ namePrefix: "w", template: { file: "/f" }, count: 1, hosts: [{ name: "a1", uri: "qemu:///system" }], vm });
    assert.equal(problems, undefined);
    return memberDefinition(orderOf(spec!.vm), { tag, image: [top], extra: [] });
  };

  it("are as declared, where documented defaults make the rest", () => {
    const xml = plain({ firmware: "efi", efiSecureBootEnabled: true, vtpm: {}, cpuMode: "host-passthrough" });
    assert.equal(text(os(xml), "@firmware"), "efi");
    assert.deepEqual(features(xml), ["enrolled-keys yes", "secure-boot yes"]);
    assert.equal(text(os(xml), "type", "@machine"), "q35", "which alone has it");
    assert.deepEqual([text(domainOf(xml), "devices", "tpm", "@model"), text(domainOf(xml), "devices", "tpm", "backend", "@version"), text(domainOf(xml), "cpu", "@mode")], ["tpm-crb", "2.0", "host-passthrough"]);
    assert.equal(text(os(plain({ firmware: "efi", machine: "pc" })), "type", "@machine"), "pc");
    assert.deepEqual(features(plain({ firmware: "efi", efiSecureBootEnabled: false })), ["enrolled-keys no", "secure-boot no"]);
  });

  it("take the place of the template machine's", () => {
    const efi = golden("<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>").replace("<os>", "<os firmware='efi'><firmware><feature enabled='yes' name='secure-boot'/></firmware><nvram>/v/golden.fd</nvram>");
    const xml = member({ firmware: "bios", vtpm: false, cpuMode: "maximum" }, efi);
    assert.deepEqual([text(os(xml), "@firmware"), at(os(xml), "firmware"), at(os(xml), "nvram"), at(domainOf(xml), "devices", "tpm")], [undefined, undefined, undefined, undefined]);
    assert.deepEqual([text(domainOf(xml), "cpu", "@mode"), text(domainOf(xml), "cpu", "topology", "@cores")], ["maximum", "4"]);
    assert.equal(text(os(member({}, efi)), "@firmware"), "efi", "which members inherit otherwise");
    assert.ok(at(domainOf(member({ vtpm: { version: "2.0" } }, efi)), "devices", "tpm"));
    assert.equal(text(domainOf(member({ vtpm: { version: "1.2" } }, efi)), "devices", "tpm", "@model"), "tpm-tis");
  });

  it("of a machine that boots by BIOS stay that without secure boot, and a file of its BIOS is none of another firmware's", () => {
    assert.equal(text(os(member({ efiSecureBootEnabled: false })), "@firmware"), undefined);
    const rom = golden("", "", "<type arch='x86_64' machine='pc'>hvm</type><loader type='rom'>/seabios.bin</loader>");
    assert.deepEqual([text(os(member({ firmware: "efi" }, rom)), "@firmware"), at(os(member({ firmware: "efi" }, rom)), "loader")], ["efi", undefined]);
  });

  it("are of a kind that the architecture has", () => {
    const arm = golden("", "", "<type arch='aarch64' machine='virt'>hvm</type>");
    assert.equal(text(domainOf(member({ vtpm: {} }, arm)), "devices", "tpm", "@model"), "tpm-tis");
  });

  it("stay as a member's guest was set up with, whatever is declared since", () => {
    const own = member({ firmware: "efi", vtpm: {} });
    const anew = memberDefinition(orderOf(vmOf({ firmware: "bios", vtpm: false, cpuMode: "maximum" })), { tag, image: [top], extra: [] }, { own });
    assert.equal(text(os(anew), "@firmware"), "efi");
    assert.deepEqual([text(domainOf(anew), "devices", "tpm", "backend", "@version"), text(domainOf(anew), "cpu", "@mode")], ["2.0", "maximum"]);
  });

  it("stay where a member is defined anew, with the variables that it has", () => {
    const vm = vmOf({ efiSecureBootEnabled: true });
    const first = memberDefinition(orderOf(vm), { tag, image: [top], extra: [] }, { template: { xml: golden() } }).replace("</os>", "<loader type='pflash'>/c</loader><nvram>/var/w-003_VARS.fd</nvram></os>");
    assert.ok(memberDefinition(orderOf(vm), { tag, image: [top], extra: [] }, { own: first }).includes("/var/w-003_VARS.fd"));
  });
});
