/** Every way in which a domain can name an image, in XML as libvirt writes it. */
import assert from "node:assert/strict";
import { realClock } from "../../../provider/async/clock";
import fc from "fast-check";
import { imageUse, ImageUse, type DomainText, type ImageUser } from "../../../provider/hypervisors/libvirt/guard/imageUse";
import { imagesIn } from "../../../provider/hypervisors/libvirt/guard/domainImages";
import type { LibvirtClient } from "../../../provider/hypervisors/libvirt/rpc/client";
import { LibvirtError } from "../../../provider/hypervisors/libvirt/rpc/errors";

const POOL = "/var/lib/libvirt/images";
const IMAGE = { path: `${POOL}/golden.qcow2`, pool: "default", volume: "golden.qcow2" };
const domainXml = (inside: string, around = ""): string => `<domain type='qemu' id='3'><name>somebody</name><uuid>9f0e</uuid>${around}<devices>${inside}</devices></domain>`;
const disk = (source: string, rest = "", attributes = "type='file' device='disk'"): string =>
  `<disk ${attributes}><driver name='qemu' type='qcow2'/>${source}${rest}<target dev='vda' bus='virtio'/><alias name='virtio-disk0'/></disk>`;
const file = (path: string): string => `<source file='${path}' index='1'/>`;

const uuid = Buffer.alloc(16, 7);
const domain = (xml: string, more: Partial<DomainText> & { running?: boolean } = {}): DomainText => {
  const { running = true, ...rest } = more;
  return { domain: { name: "somebody", uuid, id: running ? 3 : -1 }, managedSave: false, ...(running ? { live: xml } : {}), defined: xml, ...rest };
};
const users = (xml: string, more: Parameters<typeof domain>[1] = {}, image = IMAGE): ImageUser[] => new ImageUse([domain(xml, more)]).usersOf(image);
const said = (found: ImageUser[]): string[] => found.map(({ how, writes, certain }) => `${how}${writes ? " writes" : ""}${certain ? "" : " alike"}`);

describe("image use", () => {
  const ways: [string, string, string[]][] = [
    ["a disk by file", domainXml(disk(file(IMAGE.path))), ["disk writes"]],
    ["a read-only disk", domainXml(disk(file(IMAGE.path), "<readonly/>")), ["disk"]],
    ["a disk by pool and volume", domainXml(disk("<source pool='default' volume='golden.qcow2' index='1'/><backingStore/>", "", "type='volume' device='disk'")), ["disk writes"]],
    ["the same volume of another pool", domainXml(disk("<source pool='second' volume='golden.qcow2'/>", "", "type='volume' device='disk'")), ["disk writes alike"]],
    ["a block device of that path", domainXml(disk(`<source dev='${IMAGE.path}'/>`, "", "type='block' device='disk'")), ["disk writes"]],
    ["the directory it lies in", domainXml(disk(`<source dir='${POOL}/'/>`, "<readonly/>", "type='dir' device='disk'")), ["disk"]],
    ["a CD", domainXml(disk(file(IMAGE.path), "", "type='file' device='cdrom'")), ["medium"]],
    ["a floppy disk", domainXml(disk(file(IMAGE.path), "", "type='file' device='floppy'")), ["medium writes"]],
    ["an external data file", domainXml(disk(`<source file='/elsewhere/a.qcow2'><dataStore type='file'><format type='raw'/><source file='${IMAGE.path}'/></dataStore></source>`)), ["disk writes"]],
    ["a kernel", domainXml("", `<os><type>hvm</type><kernel>${IMAGE.path}</kernel></os>`), ["boot"]],
    ["an initrd", domainXml("", `<os><initrd>${IMAGE.path}</initrd></os>`), ["boot"]],
    ["firmware", domainXml("", `<os><loader readonly='yes' type='pflash'>${IMAGE.path}</loader></os>`), ["loader"]],
    ["its variables", domainXml("", `<os><nvram template='/usr/share/OVMF/OVMF_VARS.fd'>${IMAGE.path}</nvram></os>`), ["nvram writes"]],
    ["its variables by source", domainXml("", `<os><nvram type='file'><source file='${IMAGE.path}'/></nvram></os>`), ["nvram writes"]],
    ["the template of its variables", domainXml("", `<os><nvram template='${IMAGE.path}'>/var/a.fd</nvram></os>`), ["loader"]],
    ["memory in a file", domainXml(`<memory model='nvdimm'><source><path>${IMAGE.path}</path></source></memory>`), ["memory writes"]],
    ["an argument for QEMU", domainXml("", `<commandline xmlns='http://libvirt.org/schemas/domain/qemu/1.0'><arg value='-drive'/><arg value='file=${IMAGE.path},if=virtio'/></commandline>`), ["other writes alike"]],
    ["a description of nodes", domainXml(disk(`<source file='json:{"driver":"qcow2","file":{"driver":"file","filename":"${IMAGE.path}"}}'/>`)), ["disk writes alike"]],
    ["a path with two slashes", domainXml(disk(file(`${POOL}//golden.qcow2`))), ["disk writes"]],
    ["a path with a dot", domainXml(disk(file(`${POOL}/./golden.qcow2`))), ["disk writes"]],
    ["a path that goes up", domainXml(disk(file(`${POOL}/../images/golden.qcow2`))), ["disk writes"]],
    ["the same name elsewhere, as by a bind mount", domainXml(disk(file("/mnt/images/golden.qcow2"))), ["disk writes alike"]],
  ];
  for (const [what, xml, expected] of ways) it(`knows ${what}`, () => assert.deepEqual(said(users(xml)), expected));

  it("knows what a live disk stands on, and what a merge writes into", () => {
    // As libvirt 9 shows an active commit of two overlays into their base.
    const xml = domainXml(disk(file(`${POOL}/golden.s2`), `<backingStore type='file' index='3'><format type='qcow2'/><source file='${POOL}/golden.s1'/>
      <backingStore type='file' index='2'><format type='qcow2'/><source file='${IMAGE.path}'/><backingStore/></backingStore></backingStore>
      <mirror type='file' job='active-commit' ready='yes'><format type='qcow2'/><source file='${IMAGE.path}' index='2'/></mirror>`));
    assert.deepEqual(said(users(xml)), ["backing", "commit writes"]);
    assert.deepEqual(said(users(xml, {}, { path: `${POOL}/golden.s1`, pool: "default", volume: "golden.s1" })), ["backing"]);
  });

  it("knows the target of a block copy, in both forms libvirt writes", () => {
    const mirror = (inside: string): string => domainXml(disk(file("/elsewhere/top.qcow2"), inside));
    assert.deepEqual(said(users(mirror(`<mirror type='file' file='${IMAGE.path}' format='qcow2' job='copy' ready='yes'><format type='qcow2'/><source file='${IMAGE.path}' index='5'/><backingStore/></mirror>`))), ["mirror writes"]);
    assert.deepEqual(said(users(mirror(`<mirror file='${IMAGE.path}' format='qcow2'/>`))), ["mirror writes"]);
  });

  it("follows a chain of 200 images", () => {
    let chain = "<backingStore/>";
    for (let at = 0; at < 200; at++) chain = `<backingStore type='file'><format type='qcow2'/><source file='${at === 0 ? IMAGE.path : `/chain/${at}`}'/>${chain}</backingStore>`;
    assert.deepEqual(said(users(domainXml(disk(file("/chain/top"), chain)))), ["backing"]);
  });

  it("is not misled by names that begin or end alike, by prose, or by what is on no disk of the host", () => {
    const others = domainXml(
      disk(file(`${POOL}/golden.qcow2.bak`)) + disk(file(`${POOL}/not-golden.qcow2`)) + disk("<source protocol='rbd' name='pool/golden'><host name='ceph' port='6789'/></source>", "", "type='network' device='disk'"),
      `<title>${IMAGE.path}</title><description>made from ${IMAGE.path}</description><metadata><note at='${IMAGE.path}'/></metadata>`,
    );
    assert.deepEqual(users(others), []);
  });

  it("tells what runs from what is defined alone, and both from a saved state", () => {
    const named = domainXml(disk(file(IMAGE.path)));
    const other = domainXml(disk(file("/elsewhere/a.qcow2")));
    const facts = (more: Parameters<typeof domain>[1]) => users(other, more).map(({ running, now, managedSave }) => ({ running, now, managedSave }));
    assert.deepEqual(facts({ live: named }), [{ running: true, now: true, managedSave: false }]);
    assert.deepEqual(facts({ defined: named }), [{ running: true, now: false, managedSave: false }]);
    assert.deepEqual(facts({ running: false, managedSave: true, saved: named }), [{ running: false, now: false, managedSave: true }]);
  });

  it("finds a name that XML must escape", () => {
    const image = { path: `${POOL}/R&D 'x' <1>.qcow2`, pool: "default", volume: "R&D 'x' <1>.qcow2" };
    assert.deepEqual(said(users(domainXml(disk(`<source file='${POOL}/R&amp;D &apos;x&apos; &lt;1&gt;.qcow2'/>`)), {}, image)), ["disk writes"]);
  });

  it("counts a definition that cannot be had as a use, and one that cannot be read where it has the name", () => {
    const silent = new ImageUse([{ domain: { name: "hung", uuid, id: 3 }, managedSave: false, unreadable: "cannot acquire state change lock" }]);
    assert.deepEqual(silent.usersOf(IMAGE).map(({ domain: name, how }) => [name, how]), [["hung", "unreadable"]]);
    assert.deepEqual(said(users(`<domain><devices><disk><source file='${IMAGE.path}'`)), ["unreadable writes alike"]);
    assert.deepEqual(users("<domain><devices><disk><source file='/elsewhere/a'"), []);
  });

  it("passes over a domain that goes meanwhile, and asks for a saved state where there is one", async () => {
    const named = (name: string, id: number) => ({ name, id, uuid: Buffer.from(name.padEnd(16)) });
    const every = [named("gone", 1), named("saved", -1), named("hung", 2)];
    const calls: string[] = [];
    const client = {
      clock: realClock,
      listDomains: (which = 0) => Promise.resolve(which === 0 ? every : [every[1]!]),
      domainXml: ({ name }: { name: string }) => (name === "saved" ? Promise.resolve(domainXml("")) : Promise.reject(new LibvirtError(name === "gone" ? 42 : 68, 0, "no"))),
      managedSaveXml: ({ name }: { name: string }) => { calls.push(name); return Promise.resolve(domainXml(disk(file(IMAGE.path)))); },
    } as unknown as LibvirtClient;
    const found = (await imageUse(client)).usersOf(IMAGE);
    assert.deepEqual([found.map((one) => [one.domain, one.how]).sort(), calls], [[["hung", "unreadable"], ["saved", "disk"]], ["saved"]]);
  });

  it("tells of each path by which one domain has an image, and may have it", () => {
    const both = domainXml(disk(file(IMAGE.path)) + disk(file("/alias/golden.qcow2")));
    assert.deepEqual(users(both).map(({ path, certain }) => [path, certain]), [[IMAGE.path, true], ["/alias/golden.qcow2", false]]);
  });

  it("goes by a domain's definition where its saved state is damaged or gone meanwhile", async () => {
    const saved = { name: "saved", id: -1, uuid };
    for (const [xml, expected] of [[domainXml(disk(file(IMAGE.path))), ["disk"]], [domainXml(""), []]] as const) {
      const client = {
      clock: realClock,
        listDomains: () => Promise.resolve([saved]),
        domainXml: () => Promise.resolve(xml),
        managedSaveXml: () => Promise.reject(new LibvirtError(9, 10, "invalid argument: image magic is incorrect")),
      } as unknown as LibvirtClient;
      assert.deepEqual((await imageUse(client)).usersOf(IMAGE).map(({ how, managedSave }) => [how, managedSave]), expected.map((how) => [how, true]));
    }
  });

  it("finds a path wherever a definition has it", () => {
    const name = fc.constantFrom("a", "b", "source", "devices", "disk", "backingStore", "mirror", "os", "memory", "x");
    const nest = fc.array(name, { maxLength: 8 });
    fc.assert(fc.property(nest, fc.boolean(), (path, isAttribute) => {
      const inner = isAttribute ? `<leaf at='${IMAGE.path}'/>` : `<leaf>${IMAGE.path}</leaf>`;
      const xml = path.reduceRight((inside, each) => `<${each}>${inside}</${each}>`, inner);
      assert.ok(users(domainXml(xml)).length > 0, xml);
      assert.ok(imagesIn(domainXml(xml)).length > 0);
    }));
  });
});
